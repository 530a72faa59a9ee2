//! `--security-opt`, `--sysctl`, `--cap-add`, `--cap-drop`.

use super::{shown, truth};
use crate::{Error, Result};

/// One `--security-opt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityOption {
    NoNewPrivileges(bool),
    SeccompDefault,
    SeccompUnconfined,
    /// The path of a profile: the caller reads it.
    SeccompFile(String),
    /// A profile's name; `unconfined` comes as empty.
    AppArmor(String),
    /// `label=…` as given.
    Label(String),
    /// `systempaths=unconfined`
    UnmaskPaths,
}

/// `no-new-privileges[=BOOL]`, `seccomp=default|unconfined|FILE`, `apparmor=PROFILE`, `label=…`, `systempaths=unconfined`; a colon
/// may stand for the first `=`.
pub fn security_option(text: &str) -> Result<SecurityOption> {
    let bad = || {
        Error::invalid(format!(
            "invalid --security-opt: {}: known are no-new-privileges, seccomp=, apparmor=, label= and systempaths=unconfined",
            shown(text)
        ))
    };
    if text == "no-new-privileges" {
        return Ok(SecurityOption::NoNewPrivileges(true));
    }
    let at = text.find(['=', ':']).ok_or_else(bad)?;
    let (key, value) = (&text[..at], &text[at + 1..]);
    if value.is_empty() || value.contains('\0') {
        return Err(bad());
    }
    match key {
        "no-new-privileges" => truth(key, value).map(SecurityOption::NoNewPrivileges),
        "seccomp" => Ok(match value {
            "unconfined" => SecurityOption::SeccompUnconfined,
            "default" | "builtin" => SecurityOption::SeccompDefault,
            file => SecurityOption::SeccompFile(file.to_owned()),
        }),
        "apparmor" if value == "unconfined" => Ok(SecurityOption::AppArmor(String::new())),
        "apparmor" => Ok(SecurityOption::AppArmor(value.to_owned())),
        "label" => Ok(SecurityOption::Label(value.to_owned())),
        "systempaths" if value == "unconfined" => Ok(SecurityOption::UnmaskPaths),
        _ => Err(bad()),
    }
}

/// Keys of the IPC namespace; everything below `net.` and `fs.mqueue.` is namespaced as well, namespaces(7).
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// `KEY=VALUE` with a key that belongs to a namespace of the container: anything else would change the host.
pub fn sysctl(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        Error::invalid(format!("invalid sysctl '{}': use KEY=VALUE", shown(text)))
    })?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let whole =
        key.len() <= 255 && key.bytes().all(plain) && !key.split('.').any(|part| part.is_empty());
    if !whole || !is_namespaced(key) {
        return Err(Error::invalid(format!(
            "sysctl '{}' is not allowed: only keys of the container's own namespaces (net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*)",
            shown(key)
        )));
    }
    if value.contains(['\0', '\n']) || value.len() > 4096 {
        return Err(Error::invalid(format!("invalid value for sysctl '{key}'")));
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn is_namespaced(key: &str) -> bool {
    IPC_SYSCTLS.contains(&key) || key.starts_with("net.") || key.starts_with("fs.mqueue.")
}

/// A capability's name as typed (`net_admin`, `CAP_NET_ADMIN`, `ALL`), returned as `CAP_NET_ADMIN` or `ALL`.
///
/// Whether the kernel knows it is the engine's to say.
pub fn capability(text: &str) -> Result<String> {
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let plain = |b: u8| b.is_ascii_uppercase() || b == b'_';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        return Err(Error::invalid(format!(
            "invalid capability: {:?}",
            shown(text)
        )));
    }
    Ok(match name {
        "ALL" => "ALL".to_owned(),
        name => format!("CAP_{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        use SecurityOption::*;
        for (typed, meant) in [
            ("no-new-privileges", NoNewPrivileges(true)),
            ("no-new-privileges:false", NoNewPrivileges(false)),
            ("seccomp=unconfined", SeccompUnconfined),
            ("seccomp:unconfined", SeccompUnconfined),
            ("seccomp=/p.json", SeccompFile("/p.json".into())),
            ("apparmor=unconfined", AppArmor(String::new())),
            ("label=type:x", Label("type:x".into())),
            ("systempaths=unconfined", UnmaskPaths),
        ] {
            assert_eq!(security_option(typed).unwrap(), meant, "{typed}");
        }
        for bad in [
            "",
            "x",
            "seccomp",
            "seccomp=",
            "systempaths=x",
            "no-new-privileges=x",
            "x=y",
        ] {
            assert!(security_option(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_namespaced_sysctls() {
        for good in [
            "net.ipv4.ip_forward=1",
            "kernel.shmmax=1",
            "fs.mqueue.msg_max=10",
            "kernel.sem=1 2 3 4",
        ] {
            assert!(sysctl(good).is_ok(), "{good}");
        }
        for bad in [
            "kernel.core_pattern=|/x",
            "kernel.shm_rmid_forced=1+kernel.core_pattern=|/x\n",
            "net..=1",
            "net./../kernel.core_pattern=x",
            "net/ipv4/ip_forward=1",
            "vm.overcommit_memory=1",
            "kernel.sem.x=1",
            "net.ipv4.ip_forward",
            "kernel.shm=1",
        ] {
            assert!(sysctl(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn capabilities() {
        assert_eq!(capability("net_admin").unwrap(), "CAP_NET_ADMIN");
        assert_eq!(capability("CAP_SYS_TIME").unwrap(), "CAP_SYS_TIME");
        assert_eq!(capability("all").unwrap(), "ALL");
        for bad in ["", "CAP_", "a-b", "é"] {
            assert!(capability(bad).is_err(), "{bad}");
        }
    }
}
