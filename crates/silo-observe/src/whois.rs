//! From a process of the host back to its container: control group paths, namespaces, both pids.
//!
//! Called by `whois`, by `top` for its header and by the host list. Which control group parent belongs to Silo is the
//! caller's knowledge, and so is what the container is called.

use std::io;

use serde::Serialize;
use silo_types::{ContainerId, Doing, Error, Result};

use crate::{Proc, Want, proc::ProcessDir, text::printable};

/// The namespaces of namespaces(7) with the link that shows each.
const KINDS: [(&str, &std::ffi::CStr); 8] = [
    ("cgroup", c"ns/cgroup"),
    ("ipc", c"ns/ipc"),
    ("mnt", c"ns/mnt"),
    ("net", c"ns/net"),
    ("pid", c"ns/pid"),
    ("time", c"ns/time"),
    ("user", c"ns/user"),
    ("uts", c"ns/uts"),
];

/// One namespace of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// `cgroup ipc mnt net pid time user uts`
    pub kind: &'static str,
    /// What /proc/PID/ns shows in brackets.
    pub inode: u64,
    /// The host's init lives in it too; where init may not be looked at, the calling process stands for the host.
    pub shared_with_host: bool,
    /// The calling process lives in it too.
    pub shared_with_self: bool,
}

/// One line of /proc/PID/cgroup, cgroups(7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupPath {
    /// 0 is the v2 hierarchy.
    pub hierarchy: u32,
    /// `memory`, `cpu,cpuacct`, `name=systemd`; empty for v2.
    pub controllers: String,
    /// Below the root of the hierarchy, with a leading slash, as the reader's cgroup namespace shows it.
    pub path: String,
}

/// What /proc tells about a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Whois {
    pub host_pid: i32,
    /// In its innermost pid namespace.
    pub pid: i32,
    /// In every pid namespace from the host's inwards.
    pub ns_pids: Vec<i32>,
    pub host_ppid: i32,
    /// Clock ticks after boot.
    pub start_time: u64,
    pub state: char,
    /// Effective user as the host numbers it.
    pub uid: u32,
    pub command: String,
    /// The container of this host that holds it.
    pub container: Option<ContainerId>,
    /// Containers inside that container, outermost first.
    pub nested: Vec<ContainerId>,
    pub cgroups: Vec<CgroupPath>,
    pub namespaces: Vec<Namespace>,
}

/// What a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rights {
    /// Effective user as the host numbers it.
    pub uid: u32,
    /// Capabilities that it, or a program that it starts, may at most get; bit n is capability n.
    pub bounding: u64,
    /// 0 off, 1 strict, 2 filter.
    pub seccomp: u8,
    pub no_new_privileges: bool,
}

impl Proc {
    /// The rights of a process.
    pub fn rights(&self, pid: i32) -> Result<Rights> {
        let mut buffer = Vec::new();
        self.process(pid)
            .and_then(|process| process.read(c"status", &mut buffer))
            .map_err(io::Error::from)
            .doing_with(|| format!("read the rights of process {pid}"))?;
        let status = crate::ProcStatus::parse(&buffer);
        Ok(Rights {
            uid: status.uid[1],
            bounding: status.cap_bnd,
            seccomp: status.seccomp,
            no_new_privileges: status.no_new_privs,
        })
    }

    /// The facts about a process; `parent` is the control group below which Silo puts containers, `/silo` for instance.
    /// [`silo_types::Kind::NotFound`] when there is no such process.
    pub fn whois(&self, pid: i32, parent: &str) -> Result<Whois> {
        let want = Want {
            status: true,
            command_line: true,
            ..Want::default()
        };
        let process = self.process_facts(pid, want).map_err(|e| {
            if self.is_kernel_thread(pid) {
                Error::not_found(format!(
                    "process {pid} is a thread of the kernel: it has no container"
                ))
            } else {
                e
            }
        })?;
        let cgroups = self.cgroups(pid)?;
        let mut containers = containers_in(&cgroups, parent).into_iter();
        Ok(Whois {
            host_pid: process.host_pid,
            pid: process.innermost_pid(),
            host_ppid: process.host_ppid,
            start_time: process.start_time,
            state: process.state,
            uid: process.uid[1],
            command: process.command(),
            ns_pids: process.ns_pids,
            container: containers.next(),
            nested: containers.collect(),
            cgroups,
            namespaces: self.namespaces(pid)?,
        })
    }

    /// The namespaces of a process; a zombie has only those that outlive its program.
    pub fn namespaces(&self, pid: i32) -> Result<Vec<Namespace>> {
        let process = self
            .process(pid)
            .map_err(io::Error::from)
            .doing_with(|| format!("read the namespaces of process {pid}"))?;
        let init = self.process(1).ok();
        let own = self.own_process().ok();
        let inode = |of: &Option<ProcessDir>, link| of.as_ref()?.namespace(link).ok();
        let mut found = Vec::with_capacity(KINDS.len());
        for (kind, link) in KINDS {
            let Ok(number) = process.namespace(link) else {
                continue;
            };
            // Links of a process with more capabilities than ours are hidden, ptrace(2) "access mode checking".
            let ours = inode(&own, link);
            let host = inode(&init, link).or(ours);
            found.push(Namespace {
                kind,
                inode: number,
                shared_with_host: host == Some(number),
                shared_with_self: ours == Some(number),
            });
        }
        Ok(found)
    }

    /// The control groups of a process in every hierarchy; of one that ended and was not waited for those of its parent, where
    /// the kernel (version 1) says no more of it than the root.
    pub fn cgroups(&self, pid: i32) -> Result<Vec<CgroupPath>> {
        let found = self.own_cgroups(pid)?;
        if found.iter().all(|group| group.path != "/") {
            return Ok(found);
        }
        match self.zombies_parent(pid) {
            Some(parent) => self.own_cgroups(parent).or(Ok(found)),
            None => Ok(found),
        }
    }

    fn own_cgroups(&self, pid: i32) -> Result<Vec<CgroupPath>> {
        let mut buffer = Vec::new();
        self.process(pid)
            .and_then(|process| process.read(c"cgroup", &mut buffer))
            .map_err(io::Error::from)
            .doing_with(|| format!("read the control groups of process {pid}"))?;
        Ok(parse_cgroups(&buffer))
    }

    fn is_kernel_thread(&self, pid: i32) -> bool {
        let mut buffer = Vec::new();
        let read = self
            .process(pid)
            .and_then(|process| process.read(c"stat", &mut buffer));
        read.is_ok() && crate::Stat::parse(&buffer).is_some_and(|stat| stat.is_kernel_thread())
    }
}

/// Lines `hierarchy:controllers:path`; odd lines are left out. A path may hold colons.
pub fn parse_cgroups(text: &[u8]) -> Vec<CgroupPath> {
    let line = |line: &[u8]| {
        let mut parts = line.splitn(3, |b| *b == b':');
        Some(CgroupPath {
            hierarchy: crate::text::number(parts.next()?)?,
            controllers: printable(parts.next()?),
            path: printable(parts.next()?),
        })
    };
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

/// The containers in whose control groups a process lives, outermost first: `PARENT/ID` anywhere in a path, in the first
/// hierarchy that has one. Only the outermost can be trusted: a container may make groups of any name inside its own.
/// An empty parent accepts an id anywhere.
pub fn containers_in(cgroups: &[CgroupPath], parent: &str) -> Vec<ContainerId> {
    let wanted: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
    let ids = |cgroup: &CgroupPath| {
        let parts: Vec<&str> = cgroup.path.split('/').filter(|p| !p.is_empty()).collect();
        let under_parent = |at: &usize| parts[..*at].ends_with(&wanted);
        (0..parts.len())
            .filter(under_parent)
            .filter_map(|at| ContainerId::parse(parts[at]).ok())
            .collect::<Vec<_>>()
    };
    let mut found = cgroups.iter().map(ids);
    found.find(|ids| !ids.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OUTER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const INNER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn ids(text: &str, parent: &str) -> Vec<String> {
        let found = containers_in(&parse_cgroups(text.as_bytes()), parent);
        found.iter().map(|id| id.as_str().to_owned()).collect()
    }

    #[test]
    fn containers_in_every_kind_of_host() {
        let v1 = format!(
            "9:name=systemd:/\n4:memory:/silo/{OUTER}\n1:cpu,cpuacct:/silo/{OUTER}\n0::/\n"
        );
        assert_eq!(ids(&v1, "/silo"), [OUTER]);
        let v2 = format!("0::/user.slice/silo/{OUTER}/payload\n");
        assert_eq!(ids(&v2, "silo"), [OUTER]);
        assert_eq!(ids(&v2, "/user.slice/silo/"), [OUTER]);
        let nested = format!("0::/silo/{OUTER}/silo/{INNER}\n");
        assert_eq!(ids(&nested, "/silo"), [OUTER, INNER]);
        assert!(ids(&format!("0::/docker/{OUTER}\n"), "/silo").is_empty());
        assert!(ids(&format!("0::/xsilo/{OUTER}\n"), "/silo").is_empty());
        assert_eq!(ids(&format!("0::/docker/{OUTER}\n"), ""), [OUTER]);
    }

    #[test]
    fn a_colon_in_a_path() {
        let parsed = parse_cgroups(b"4:memory:/a:b\nbad\n0::/\n");
        assert_eq!(parsed[0].path, "/a:b");
        assert_eq!((parsed.len(), parsed[1].hierarchy), (2, 0));
    }

    #[test]
    fn this_process_is_in_no_container() {
        let proc = Proc::host().unwrap();
        let own = std::process::id() as i32;
        let facts = proc.whois(own, "/silo").unwrap();
        assert_eq!((facts.host_pid, facts.container), (own, None));
        assert!(facts.namespaces.iter().all(|n| n.shared_with_self));
        assert!(facts.namespaces.len() >= 7 && !facts.cgroups.is_empty());
        let error = proc.whois(i32::MAX, "/silo").unwrap_err();
        assert_eq!(error.kind(), silo_types::Kind::NotFound);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), parent in "[/a-z]{0,9}") {
            let _ = containers_in(&parse_cgroups(&bytes), &parent);
        }
    }
}
