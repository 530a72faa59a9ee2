//! What `run` needs of the kernel, tried for real: in children that have new namespaces, do it, say how it went and end.
//!
//! Nothing outlives the child: what it makes is in namespaces that go with it.

use std::{
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{WaitId, WaitIdOptions, waitid},
};
use silo_sys::clone::{Cloned, clone_process, ns};
use silo_types::{Doing, Kind, Result};

use super::Finding;

pub(super) fn all(root: &Path) -> Vec<Finding> {
    let mut found: Vec<Finding> = SPACES.iter().map(namespace).collect();
    found.extend(network());
    found.push(id_mapped(root));
    found.push(memory_file());
    found
}

/// Runs `what` in a child with these new namespaces; what it wrote.
///
/// Errors: those of clone(2), by their number.
fn in_child(namespaces: u64, what: impl FnOnce() -> String) -> Result<String, Errno> {
    let (mut from, to) = pipe_with(PipeFlags::CLOEXEC)
        .map(|(from, to)| (std::fs::File::from(from), std::fs::File::from(to)))?;
    let number = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    match clone_process(namespaces, None).map_err(number)? {
        Cloned::Child => {
            drop(from);
            let mut to = to;
            let _ = to.write_all(what().as_bytes());
            silo_sys::process::exit_now(0)
        }
        Cloned::Parent { pidfd, .. } => {
            drop(to);
            let mut said = String::new();
            let read = from.read_to_string(&mut said);
            wait(&pidfd)?;
            read.map_err(number)?;
            Ok(said)
        }
    }
}

fn wait(pidfd: &OwnedFd) -> Result<(), Errno> {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Flag, name in /proc/sys/user and /proc/PID/ns, what it is for.
const SPACES: [(u64, &str, &str); 8] = [
    (ns::PID, "pid", "own processes (pid namespaces)"),
    (ns::MOUNT, "mnt", "own file tree (mount namespaces)"),
    (ns::NET, "net", "own network (network namespaces)"),
    (ns::IPC, "ipc", "own shared memory (ipc namespaces)"),
    (ns::UTS, "uts", "own host names (uts namespaces)"),
    (
        ns::CGROUP,
        "cgroup",
        "own view of groups (cgroup namespaces)",
    ),
    (ns::USER, "user", "own users (user namespaces)"),
    (ns::TIME, "time", "own clocks (time namespaces)"),
];

fn namespace((flag, kind, what): &(u64, &'static str, &'static str)) -> Finding {
    let made = in_child(*flag, String::new).map(drop);
    let most = std::fs::read_to_string(format!("/proc/sys/user/max_{kind}_namespaces"));
    namespace_finding(kind, what, made, most.unwrap_or_default().trim())
}

fn namespace_finding(
    kind: &'static str,
    what: &str,
    made: Result<(), Errno>,
    most: &str,
) -> Finding {
    let (why, advice) = match made {
        Ok(()) if most.is_empty() => return Finding::fine("kernel", kind, format!("{what}: yes")),
        Ok(()) => {
            let text = format!("{what}: yes, up to {most}");
            return Finding::fine("kernel", kind, text);
        }
        Err(Errno::NOSPC | Errno::USERS) => (
            format!("the limit of {most} is reached"),
            format!("raise it with 'sysctl user.max_{kind}_namespaces=NUMBER'"),
        ),
        Err(Errno::INVAL) => (
            "this kernel has none".to_owned(),
            "it needs one that is built with them (CONFIG_NAMESPACES and its kin)".to_owned(),
        ),
        Err(Errno::PERM | Errno::ACCESS) => (
            "not allowed here".to_owned(),
            "run it as root; inside a container of another engine, as a privileged one".to_owned(),
        ),
        Err(errno) => (
            format!("no ({})", std::io::Error::from(errno)),
            String::new(),
        ),
    };
    Finding::missing("kernel", kind, format!("{what}: {why}"), advice)
}

/// A bridge with its rules, in a network namespace that nobody else is in.
fn network() -> Vec<Finding> {
    let said = in_child(ns::NET, || {
        let tried = silo_net::try_all().into_iter();
        let lines = tried.map(|(what, made)| match made {
            Ok(()) => format!("{what}\t\n"),
            Err(error) => format!("{what}\t{}\n", error.to_string().replace('\n', " ")),
        });
        lines.collect()
    });
    // Where there are no network namespaces, that is told already.
    let said = said.unwrap_or_default();
    said.lines().filter_map(network_finding).collect()
}

fn network_finding(line: &str) -> Option<Finding> {
    let (what, why) = line.split_once('\t')?;
    let (name, text, module) = match what {
        "bridge" => ("bridge", "a bridge for containers", "bridge"),
        "veth" => ("veth", "cables to containers (veth)", "veth"),
        "nat" => (
            "nftables",
            "rules and NAT for the bridge (nftables)",
            "nf_tables nft_chain_nat nft_masq nft_ct nft_fib_inet",
        ),
        _ => return None,
    };
    Some(match why {
        "" => Finding::fine("network", name, format!("{text}: yes")),
        why => Finding::missing(
            "network",
            name,
            format!("{text}: no: {why}"),
            format!("try 'modprobe -a {module}', or use --network none or host"),
        ),
    })
}

fn id_mapped(root: &Path) -> Finding {
    let tried = crate::rootfs::open_folder(root)
        .and_then(|folder| silo_runtime::try_id_mapped_mount(folder.as_fd()));
    match tried {
        Ok(()) => Finding::fine(
            "files",
            "idMappedMounts",
            "other owners for a mount's files: yes",
        ),
        Err(error) if error.kind() == Kind::Unsupported => Finding::fine(
            "files",
            "idMappedMounts",
            "other owners for a mount's files: not on the file system of --root",
        )
        .with("only 'silo oci' with mounts that are idmap needs it; ext4, xfs and btrfs have it"),
        Err(error) => Finding::fine(
            "files",
            "idMappedMounts",
            format!("other owners for a mount's files: no: {error}"),
        )
        .with("only 'silo oci' with mounts that are idmap needs it"),
    }
}

/// What keeps the program from being written to where mounts cannot be cloned, and copies files of an image into a volume.
fn memory_file() -> Finding {
    let sealed = || -> Result<()> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create(c"silo-trial", flags).doing("make a file in memory")?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SEAL).doing("seal it")
    };
    let strict = std::fs::read_to_string("/proc/sys/vm/memfd_noexec").unwrap_or_default();
    match (sealed(), strict.trim()) {
        (Err(error), _) => Finding::missing(
            "kernel",
            "memoryFiles",
            format!("sealed files in memory: no: {error}"),
            "the kernel needs CONFIG_MEMFD_CREATE",
        ),
        (Ok(()), "2") => Finding::fine(
            "kernel",
            "memoryFiles",
            "sealed files in memory: yes, but none may be a program",
        )
        .with("who is not root can start nothing: 'sysctl vm.memfd_noexec=1'"),
        (Ok(()), _) => Finding::fine("kernel", "memoryFiles", "sealed files in memory: yes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let said = |made| namespace_finding("user", "own users", made, "7");
        assert!(!said(Ok(())).trouble);
        let full = said(Err(Errno::NOSPC));
        assert!(full.trouble && full.text.contains("limit of 7"), "{full:?}");
        assert!(full.advice.contains("user.max_user_namespaces"), "{full:?}");
        assert!(said(Err(Errno::INVAL)).text.contains("has none"));
        assert!(said(Err(Errno::PERM)).advice.contains("root"));
    }

    #[test]
    fn what_a_child_says_of_the_network_is_told() {
        assert!(!network_finding("veth\t").unwrap().trouble);
        let found = network_finding("nat\tno such thing").unwrap();
        assert!(found.trouble && found.text.ends_with("no: no such thing"));
        assert!(found.advice.contains("nft_masq"), "{found:?}");
        assert_eq!(network_finding("x\ty"), None);
    }
}
