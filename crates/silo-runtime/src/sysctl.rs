//! System settings of a container: those alone that belong to a namespace which is not the host's.
//!
//! [`plan`] decides by name before anything exists, [`refuse_hosts`] looks at the namespaces that are joined by path.

use std::os::fd::OwnedFd;

use rustix::fs;
use silo_sys::clone::ns;
use silo_types::{Doing, Error, Result};

use crate::plan::Plan;

/// One setting.
#[derive(Debug, PartialEq)]
pub struct Sysctl {
    /// With slashes, below /proc/sys.
    pub path: String,
    pub value: String,
    /// The namespace whose setting it is.
    pub(crate) namespace: u64,
}

const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// Checks a setting against the namespaces that the container does not share: `own` has their flags.
pub(crate) fn plan(key: &str, value: &str, own: u64) -> Result<Sysctl> {
    let path = path(key)?;
    let Some((namespace, name)) = namespace_of(&path) else {
        return Err(Error::invalid(format!(
            "sysctl {key}: is not of a namespace, so it would change the host"
        )));
    };
    if path == "kernel/hostname" {
        return Err(Error::invalid(format!(
            "sysctl {key}: set the hostname of the specification instead"
        )));
    }
    if own & namespace == 0 {
        return Err(Error::invalid(format!(
            "sysctl {key}: needs {name} namespace of the container's own, else it would change the host"
        )));
    }
    Ok(Sysctl {
        path,
        value: value.to_owned(),
        namespace,
    })
}

fn namespace_of(path: &str) -> Option<(u64, &'static str)> {
    if IPC.contains(&path) || path.starts_with("fs/mqueue/") {
        Some((ns::IPC, "an IPC"))
    } else if path.starts_with("net/") {
        Some((ns::NET, "a network"))
    } else if path == "kernel/hostname" || path == "kernel/domainname" {
        Some((ns::UTS, "a UTS"))
    } else if path.starts_with("user/") {
        Some((ns::USER, "a user"))
    } else {
        None
    }
}

/// A namespace joined by path may be the host's own after all.
pub(crate) fn refuse_hosts(plan: &Plan, joins: &[(u64, OwnedFd)]) -> Result<()> {
    for sysctl in &plan.sysctls {
        let Some((_, joined)) = joins.iter().find(|join| join.0 == sysctl.namespace) else {
            continue;
        };
        let file = match sysctl.namespace {
            ns::IPC => "ipc",
            ns::NET => "net",
            ns::UTS => "uts",
            _ => "user",
        };
        let own = format!("/proc/self/ns/{file}");
        let host = fs::stat(&own).doing(own)?;
        let joined = fs::fstat(joined).doing("stat a namespace")?;
        if (host.st_dev, host.st_ino) == (joined.st_dev, joined.st_ino) {
            return Err(Error::invalid(format!(
                "sysctl {}: the {file} namespace is the host's, so it would change the host",
                sysctl.path
            )));
        }
    }
    Ok(())
}

/// `net.ipv4.ip_forward` → `net/ipv4/ip_forward`; slashes are kept as they are, as sysctl(8) has it.
fn path(key: &str) -> Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_proc_sys() {
        assert_eq!(path("net.ipv4.ip_forward").unwrap(), "net/ipv4/ip_forward");
        assert_eq!(
            path("net/ipv4/conf/eth0.1/x").unwrap(),
            "net/ipv4/conf/eth0.1/x"
        );
        for bad in ["", "..", "net..x", "../core_pattern", "/x", "a b"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_of_the_host_are_refused() {
        let all = ns::IPC | ns::NET | ns::UTS | ns::USER;
        for (key, namespace) in [
            ("kernel.shmmax", ns::IPC),
            ("fs.mqueue.msg_max", ns::IPC),
            ("net.ipv4.ip_forward", ns::NET),
            ("net/core/somaxconn", ns::NET),
            ("kernel.domainname", ns::UTS),
            ("user.max_user_namespaces", ns::USER),
        ] {
            assert_eq!(plan(key, "1", namespace).unwrap().namespace, namespace);
            let shared = plan(key, "1", all & !namespace).unwrap_err().to_string();
            assert!(shared.contains("of the container's own"), "{shared}");
        }
        for key in [
            "kernel.core_pattern",
            "vm.swappiness",
            "fs.file-max",
            "kernel.hostname",
            "kernel.shmmax.x",
            "network.x",
        ] {
            assert!(plan(key, "1", all).is_err(), "{key}");
        }
    }
}
