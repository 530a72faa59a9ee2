//! Flag values as typed: each parser refuses what cannot be meant.
//!
//! The command line and the API hand in text and fill a [`crate::ContainerConfig`] with what comes back. Nothing here reads a file,
//! the environment or the host: what a parser needs from there (working folder, number of CPUs, a variable) is a parameter.
//! Wording follows Docker's where people know it; no text from outside is repeated at more than 80 characters.

mod checks;
mod cpu;
mod device;
mod environment;
mod life;
mod memory;
mod mounts;
mod namespaces;
mod network;
mod process;
mod security;

pub use checks::{check, check_resources};
pub use cpu::{MAX_CPUS, cpu_list, cpus};
pub use device::{device, device_bps, device_iops};
pub use environment::{env, env_file, key_value, label, label_file};
pub use life::{DEFAULT_DETACH_KEYS, detach_keys, log_options, restart};
pub use memory::{limit, limit_or_unlimited};
pub use mounts::{mount, tmpfs, volume};
pub use namespaces::{cgroup_namespace, ipc_namespace, pid_namespace, uts_namespace};
pub use network::{add_host, domain_name, host_name, ip_address, mac_address, network};
pub use process::{group, ulimit, user};
pub use security::{SecurityOption, capability, security_option, sysctl};

use crate::{Error, Result};

/// At most 80 characters of what was typed, to be shown in an error.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// An absolute path without `.`, `..`, doubled and trailing slashes, as Go's `filepath.Clean`.
///
/// Errors: the path is relative, holds a NUL, or is longer than the 4095 bytes of PATH_MAX (path_resolution(7)).
pub fn clean_path(what: &str, path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid {what}: '{}' {what} must be absolute",
            shown(path)
        )));
    }
    if path.contains('\0') || path.len() > 4095 {
        return Err(Error::invalid(format!(
            "invalid {what}: '{}' holds a NUL or is longer than 4095 bytes",
            shown(path)
        )));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Go's `strconv.ParseBool`: what Docker takes for a truth value.
pub fn truth(what: &str, text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!(
            "invalid value for {what}: '{}' is neither true nor false",
            shown(text)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_cleaned() {
        for (typed, clean) in [
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../../etc", "/etc"),
        ] {
            assert_eq!(clean_path("path", typed).unwrap(), clean);
        }
        for bad in ["", "a", "./a", "/a\0b"] {
            assert!(clean_path("path", bad).is_err(), "{bad:?}");
        }
        assert!(clean_path("path", &format!("/{}", "x".repeat(5000))).is_err());
    }

    #[test]
    fn long_input_is_cut_in_errors() {
        let error = clean_path("path", &"é".repeat(65536)).unwrap_err();
        assert!(error.to_string().len() < 400);
    }

    proptest! {
        #[test]
        fn clean_paths_stay_inside(text in "/[a./]{0,30}") {
            let clean = clean_path("path", &text).unwrap();
            prop_assert!(clean.starts_with('/'));
            prop_assert!(!clean.split('/').any(|p| p == ".." || p == "."));
            prop_assert_eq!(clean_path("path", &clean).unwrap(), clean);
        }

        #[test]
        fn no_parser_panics(text in "\\PC{0,60}", cut in "[a-z0-9:=,./-]{0,60}") {
            for t in [&text, &cut] {
                let _ = truth("x", t);
                let _ = volume(t, "/work");
                let _ = mount(t);
                let _ = tmpfs(t);
                let _ = env(t, &|_| None);
                let _ = env_file(t.as_bytes(), &|_| None);
                let _ = label(t);
                let _ = label_file(t.as_bytes());
                let _ = device(t);
                let _ = device_bps(t);
                let _ = device_iops(t);
                let _ = ulimit(t);
                let _ = user(t);
                let _ = group(t);
                let _ = add_host(t);
                let _ = host_name(t);
                let _ = domain_name(t);
                let _ = mac_address(t);
                let _ = ip_address(t);
                let _ = network(t);
                let _ = cpus(t, 4);
                let _ = cpu_list("CPUs", t, 4);
                let _ = limit("memory", t);
                let _ = limit_or_unlimited("memory", t);
                let _ = pid_namespace(t);
                let _ = ipc_namespace(t);
                let _ = uts_namespace(t);
                let _ = cgroup_namespace(t);
                let _ = restart(t);
                let _ = detach_keys(t);
                let _ = log_options("json-file", std::slice::from_ref(t));
                let _ = security_option(t);
                let _ = sysctl(t);
                let _ = capability(t);
            }
        }
    }
}
