//! From an OCI specification to the list of steps that make the container: pure, no I/O, printable, tested without root.
//!
//! Called by [`crate::create`]; carried out by the child in `init`. Everything that can be refused is refused here, before
//! anything exists.

use std::path::PathBuf;

use oci_spec::runtime::{
    Linux, LinuxDeviceType, LinuxNamespaceType, Mount, PosixRlimit, PosixRlimitType, Process, Spec,
};
use silo_sys::clone::ns;
use silo_types::{Error, Result};

use crate::mount_options::{self, MountOptions};

/// What the child does, in order of the fields.
#[derive(Debug, Default)]
pub struct Plan {
    /// Namespaces made new; [`ns::PID`] among them is made by the clone itself.
    pub new_namespaces: u64,
    /// Namespaces joined, by path.
    pub joined_namespaces: Vec<(u64, PathBuf)>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub mounts: Vec<MountStep>,
    pub devices: Vec<DeviceNode>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    /// Key with slashes below /proc/sys, and value.
    pub sysctls: Vec<(String, String)>,
    pub root_read_only: bool,
    pub rlimits: Vec<Rlimit>,
}

/// One entry of `mounts`.
#[derive(Debug, PartialEq)]
pub struct MountStep {
    /// Absolute, inside the container.
    pub target: String,
    pub what: MountWhat,
    pub options: MountOptions,
}

#[derive(Debug, PartialEq)]
pub enum MountWhat {
    /// A new file system instance.
    New { kind: String, source: String },
    /// An existing file or folder of the host.
    Bind { source: PathBuf, recursive: bool },
    /// The container's own view of the control groups.
    Cgroup,
}

/// A device node in the container's /dev.
#[derive(Debug, PartialEq)]
pub struct DeviceNode {
    pub path: String,
    pub kind: LinuxDeviceType,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, PartialEq)]
pub struct Rlimit {
    pub name: String,
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// Nodes that every container has (OCI runtime specification, "Default Devices").
const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Makes the plan or says what the specification asks that cannot be.
pub fn plan(spec: &Spec) -> Result<Plan> {
    let mut plan = Plan {
        hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
        domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
        root_read_only: spec
            .root()
            .as_ref()
            .and_then(|root| root.readonly())
            .unwrap_or(false),
        ..Plan::default()
    };
    for mount in spec.mounts().iter().flatten() {
        plan.mounts.push(mount_step(mount)?);
    }
    if let Some(linux) = spec.linux() {
        namespaces(linux, &mut plan)?;
        devices(linux, &mut plan)?;
        plan.masked_paths = linux.masked_paths().clone().unwrap_or_default();
        plan.readonly_paths = linux.readonly_paths().clone().unwrap_or_default();
        for (key, value) in linux.sysctl().iter().flatten() {
            plan.sysctls.push((sysctl_path(key)?, value.clone()));
        }
    }
    let process = spec
        .process()
        .as_ref()
        .ok_or_else(|| Error::invalid("the specification has no process"))?;
    plan.rlimits = rlimits(process)?;
    Ok(plan)
}

/// The resource limits of a process, by the kernel's numbers.
pub(crate) fn rlimits(process: &Process) -> Result<Vec<Rlimit>> {
    process.rlimits().iter().flatten().map(rlimit).collect()
}

fn namespaces(linux: &Linux, plan: &mut Plan) -> Result<()> {
    for namespace in linux.namespaces().iter().flatten() {
        let flag = match namespace.typ() {
            LinuxNamespaceType::Mount => ns::MOUNT,
            LinuxNamespaceType::Cgroup => ns::CGROUP,
            LinuxNamespaceType::Uts => ns::UTS,
            LinuxNamespaceType::Ipc => ns::IPC,
            LinuxNamespaceType::Pid => ns::PID,
            LinuxNamespaceType::Network => ns::NET,
            LinuxNamespaceType::User => {
                return Err(Error::unsupported(
                    "user namespaces are not available yet: run without one",
                ));
            }
            LinuxNamespaceType::Time => {
                return Err(Error::unsupported(
                    "time namespaces are not available yet: run without one",
                ));
            }
        };
        match namespace.path() {
            Some(path) => plan.joined_namespaces.push((flag, path.clone())),
            None => plan.new_namespaces |= flag,
        }
    }
    if plan.new_namespaces & ns::MOUNT == 0 {
        return Err(Error::invalid(
            "a container needs a mount namespace of its own",
        ));
    }
    let has = |flag: u64| {
        plan.new_namespaces & flag != 0 || plan.joined_namespaces.iter().any(|j| j.0 == flag)
    };
    if (plan.hostname.is_some() || plan.domainname.is_some()) && !has(ns::UTS) {
        return Err(Error::invalid(
            "a host name needs a UTS namespace of its own",
        ));
    }
    Ok(())
}

fn devices(linux: &Linux, plan: &mut Plan) -> Result<()> {
    for (path, major, minor) in DEFAULT_DEVICES {
        plan.devices.push(DeviceNode {
            path: path.to_owned(),
            kind: LinuxDeviceType::C,
            major,
            minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
        });
    }
    for device in linux.devices().iter().flatten() {
        let path = device.path().to_string_lossy().into_owned();
        plan.devices.retain(|known| known.path != path);
        let number = |value: i64| {
            u32::try_from(value)
                .map_err(|_| Error::invalid(format!("device {path}: bad device number {value}")))
        };
        plan.devices.push(DeviceNode {
            kind: device.typ(),
            major: number(device.major())?,
            minor: number(device.minor())?,
            mode: device.file_mode().unwrap_or(0o666),
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
            path,
        });
    }
    Ok(())
}

fn mount_step(mount: &Mount) -> Result<MountStep> {
    let target = mount.destination().to_string_lossy().into_owned();
    if !target.starts_with('/') {
        return Err(Error::invalid(format!(
            "mount destination {target:?} is not an absolute path"
        )));
    }
    let words = mount.options().clone().unwrap_or_default();
    let options = mount_options::parse(&words, &target)?;
    let kind = mount.typ().clone().unwrap_or_default();
    let source = mount.source().clone();
    let what = if options.bind || kind == "bind" {
        MountWhat::Bind {
            source: source
                .ok_or_else(|| Error::invalid(format!("bind mount at {target} has no source")))?,
            recursive: options.bind_recursive,
        }
    } else if kind == "cgroup" || kind == "cgroup2" {
        MountWhat::Cgroup
    } else if kind.is_empty() {
        return Err(Error::invalid(format!("mount at {target} has no type")));
    } else {
        MountWhat::New {
            source: source.map_or_else(|| kind.clone(), |s| s.to_string_lossy().into_owned()),
            kind,
        }
    };
    Ok(MountStep {
        target,
        what,
        options,
    })
}

/// `net.ipv4.ip_forward` → `net/ipv4/ip_forward`; slashes are kept as they are, as sysctl(8) has it.
fn sysctl_path(key: &str) -> Result<String> {
    let good = !key.is_empty()
        && !key.split(['.', '/']).any(str::is_empty)
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b));
    if !good {
        return Err(Error::invalid(format!("invalid sysctl name {key:?}")));
    }
    let first = key.find(['.', '/']).map_or(b'.', |i| key.as_bytes()[i]);
    Ok(if first == b'/' {
        key.to_owned()
    } else {
        // In the dotted form a slash stands for a dot inside a name (an interface `eth0.1`).
        key.chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    })
}

fn rlimit(limit: &PosixRlimit) -> Result<Rlimit> {
    use PosixRlimitType as T;
    let (resource, name) = match limit.typ() {
        T::RlimitCpu => (0, "cpu"),
        T::RlimitFsize => (1, "fsize"),
        T::RlimitData => (2, "data"),
        T::RlimitStack => (3, "stack"),
        T::RlimitCore => (4, "core"),
        T::RlimitRss => (5, "rss"),
        T::RlimitNproc => (6, "nproc"),
        T::RlimitNofile => (7, "nofile"),
        T::RlimitMemlock => (8, "memlock"),
        T::RlimitAs => (9, "as"),
        T::RlimitLocks => (10, "locks"),
        T::RlimitSigpending => (11, "sigpending"),
        T::RlimitMsgqueue => (12, "msgqueue"),
        T::RlimitNice => (13, "nice"),
        T::RlimitRtprio => (14, "rtprio"),
        T::RlimitRttime => (15, "rttime"),
    };
    if limit.soft() > limit.hard() {
        return Err(Error::invalid(format!(
            "ulimit {name}: the soft limit {} is above the hard limit {}",
            limit.soft(),
            limit.hard()
        )));
    }
    Ok(Rlimit {
        name: name.to_owned(),
        resource,
        soft: limit.soft(),
        hard: limit.hard(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_specification_has_a_plan() {
        let plan = plan(&Spec::default()).unwrap();
        assert_ne!(plan.new_namespaces & ns::PID, 0);
        assert_eq!(plan.mounts[0].target, "/proc");
        assert!(plan.mounts.iter().any(|m| m.what == MountWhat::Cgroup));
        assert!(plan.devices.iter().any(|d| d.path == "/dev/null"));
    }

    #[test]
    fn sysctl_names_stay_below_proc_sys() {
        assert_eq!(
            sysctl_path("net.ipv4.ip_forward").unwrap(),
            "net/ipv4/ip_forward"
        );
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/x").unwrap(),
            "net/ipv4/conf/eth0.1/x"
        );
        for bad in ["", "..", "net..x", "../core_pattern", "/x", "a b"] {
            assert!(sysctl_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn relative_destinations_are_refused() {
        let mut mount = Mount::default();
        mount.set_destination("proc".into());
        assert!(mount_step(&mount).is_err());
    }
}
