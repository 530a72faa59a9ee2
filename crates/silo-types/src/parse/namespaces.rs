//! `--pid`, `--ipc`, `--uts`, `--cgroupns`.

use super::shown;
use crate::{Error, NamespaceMode, Result};

/// `host`, `container:NAME`, `private` or empty.
pub fn pid_namespace(text: &str) -> Result<NamespaceMode> {
    mode("PID", text, &["private"], true)
}

/// The same, and `shareable`: every private namespace of Silo's can be shared.
pub fn ipc_namespace(text: &str) -> Result<NamespaceMode> {
    if text == "none" {
        return Err(Error::invalid(
            "IPC mode 'none' is not available: use private",
        ));
    }
    mode("IPC", text, &["private", "shareable"], true)
}

/// `host` or empty.
pub fn uts_namespace(text: &str) -> Result<NamespaceMode> {
    mode("UTS", text, &["private"], false)
}

/// `host`, `private` or empty.
pub fn cgroup_namespace(text: &str) -> Result<NamespaceMode> {
    mode("cgroup namespace", text, &["private"], false)
}

fn mode(what: &str, text: &str, private: &[&str], joins: bool) -> Result<NamespaceMode> {
    if text.is_empty() || private.contains(&text) {
        return Ok(NamespaceMode::Private);
    }
    if text == "host" {
        return Ok(NamespaceMode::Host);
    }
    match text.strip_prefix("container:") {
        Some(name) if joins && !name.is_empty() => Ok(NamespaceMode::Container(name.to_owned())),
        _ => Err(Error::invalid(format!(
            "invalid {what} mode: {}: use host, {}{}",
            shown(text),
            private.join(", "),
            if joins { " or container:NAME" } else { "" }
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(pid_namespace("").unwrap(), NamespaceMode::Private);
        assert_eq!(pid_namespace("host").unwrap(), NamespaceMode::Host);
        assert_eq!(
            pid_namespace("container:a").unwrap(),
            NamespaceMode::Container("a".into())
        );
        assert_eq!(ipc_namespace("shareable").unwrap(), NamespaceMode::Private);
        for bad in ["container:", "Host", "x"] {
            assert!(pid_namespace(bad).is_err(), "{bad}");
        }
        assert!(ipc_namespace("none").is_err());
        assert!(uts_namespace("container:a").is_err());
        assert!(cgroup_namespace("container:a").is_err());
    }
}
