//! Labels of security modules: what a process becomes at its exec (AppArmor's profile, SELinux' context), and SELinux' context of
//! a mount's files. A module that is asked for and not there is an error, never a container without.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::Process;
use rustix::fs::{self, CWD, Mode, OFlags};
use silo_types::{Doing, Error, Result};

const PROC_SUPER_MAGIC: i64 = 0x9fa0;
const SELINUX_MAGIC: i64 = 0xf97c_ff8c;

/// What is to be written to one file of /proc/thread-self/attr.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    module: &'static str,
    /// Below attr/, the module's own first.
    files: &'static [&'static str],
    text: String,
}

/// A label with the open file of the calling process that takes it.
pub(crate) struct OpenLabel {
    label: Label,
    file: OwnedFd,
}

impl AsFd for OpenLabel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The labels that a process is to get; Unsupported when the host lacks their module.
pub(crate) fn of(process: &Process) -> Result<Vec<Label>> {
    let asked = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut labels = Vec::new();
    if let Some(profile) = asked(process.apparmor_profile()) {
        // What is confined by nothing is unconfined: the word for "no profile" asks for nothing there.
        if !has_apparmor() && profile != "unconfined" {
            return Err(Error::unsupported(format!(
                "AppArmor profile {profile}: AppArmor is not enabled on this host"
            )));
        }
        if has_apparmor() {
            labels.push(Label {
                module: "AppArmor profile",
                files: &["apparmor/exec", "exec"],
                text: format!("exec {profile}"),
            });
        }
    }
    if let Some(context) = asked(process.selinux_label()) {
        require_selinux(&context)?;
        labels.push(Label {
            module: "SELinux label",
            files: &["exec"],
            text: context,
        });
    }
    Ok(labels)
}

/// SELinux must be there for a mount's context, too.
pub(crate) fn require_selinux(label: &str) -> Result<()> {
    let there = fs::statfs("/sys/fs/selinux").is_ok_and(|fs| fs.f_type == SELINUX_MAGIC);
    match there {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "SELinux label {label}: SELinux is not enabled on this host"
        ))),
    }
}

fn has_apparmor() -> bool {
    let enabled = Path::new("/sys/module/apparmor/parameters/enabled");
    std::fs::read(enabled).is_ok_and(|text| text.starts_with(b"Y"))
}

/// Opens where the calling process's labels go: in the host's /proc, before the container's can be in its place (2019-16884).
pub(crate) fn open(labels: &[Label]) -> Result<Vec<OpenLabel>> {
    labels
        .iter()
        .map(|label| {
            let named = || format!("{} {}", label.module, label.text);
            let mut found = None;
            for name in label.files {
                let path = format!("/proc/thread-self/attr/{name}");
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                if let Ok(file) = fs::openat(CWD, path, flags, Mode::empty()) {
                    found = Some(file);
                    break;
                }
            }
            let file = found.ok_or_else(|| {
                Error::unsupported(format!("{}: the kernel takes no such label", named()))
            })?;
            match fs::fstatfs(&file).doing_with(named)?.f_type {
                PROC_SUPER_MAGIC => Ok(OpenLabel {
                    label: label.clone(),
                    file,
                }),
                _ => Err(Error::invalid(format!("{}: /proc is no procfs", named()))),
            }
        })
        .collect()
}

impl OpenLabel {
    /// Takes effect at the next exec.
    pub(crate) fn apply(&self) -> Result<()> {
        rustix::io::write(&self.file, self.label.text.as_bytes())
            .map(drop)
            .doing_with(|| format!("{} {}", self.label.module, self.label.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_lacks_is_an_error() {
        let mut process = Process::default();
        assert_eq!(of(&process).unwrap(), []);
        if !has_apparmor() {
            process.set_apparmor_profile(Some("unconfined".into()));
            assert_eq!(of(&process).unwrap(), []);
            process.set_apparmor_profile(Some("docker-default".into()));
            let error = of(&process).unwrap_err().to_string();
            assert!(error.contains("docker-default"), "{error}");
        }
        process.set_apparmor_profile(None);
        if require_selinux("x").is_err() {
            process.set_selinux_label(Some("system_u:system_r:x:s0".into()));
            assert!(of(&process).is_err());
        }
    }
}
