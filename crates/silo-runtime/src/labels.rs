//! Labels of security modules: what a process becomes at its exec (AppArmor's profile, SELinux' context), and SELinux' context of
//! a mount's files. A label that cannot be applied is an error, never a container without. Only where the kernel has no such module at
//! all it is left out, if somebody hears that (`warn`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::Process;
use rustix::fs::{self, CWD, Mode, OFlags};
use silo_types::{Doing, Error, Result};

use crate::warn::{self, Warn};

const PROC_SUPER_MAGIC: i64 = 0x9fa0;
const SELINUX_MAGIC: i64 = 0xf97c_ff8c;
const SYSFS_MAGIC: i64 = 0x6265_6572;

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

/// The labels that a process is to get.
///
/// Errors: Unsupported when the host lacks their module, unless it is told to `warn` that the kernel has none.
pub(crate) fn of(process: &Process, warn: Option<Warn<'_>>) -> Result<Vec<Label>> {
    let asked = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut labels = Vec::new();
    if let Some(profile) = asked(process.apparmor_profile()) {
        if has_apparmor() {
            labels.push(Label {
                module: "AppArmor profile",
                files: &["apparmor/exec", "exec"],
                text: format!("exec {profile}"),
            });
        } else if profile != "unconfined" {
            // What is confined by nothing is unconfined: the word for "no profile" asks for nothing there.
            let missing = Missing {
                label: format!("AppArmor profile {profile}"),
                module: "AppArmor",
                never: lacks_apparmor(),
            };
            missing.leave_out(warn)?;
        }
    }
    if let Some(context) = asked(process.selinux_label())
        && takes_context(&context, warn)?
    {
        labels.push(Label {
            module: "SELinux label",
            files: &["exec"],
            text: context,
        });
    }
    Ok(labels)
}

/// Whether there is SELinux, for a process or a mount's files; else as [`of`].
pub(crate) fn takes_context(label: &str, warn: Option<Warn<'_>>) -> Result<bool> {
    if fs::statfs("/sys/fs/selinux").is_ok_and(|fs| fs.f_type == SELINUX_MAGIC) {
        return Ok(true);
    }
    let missing = Missing {
        label: format!("SELinux label {label}"),
        module: "SELinux",
        never: lacks_selinux(),
    };
    missing.leave_out(warn).map(|()| false)
}

/// A label whose module does not show itself.
struct Missing {
    label: String,
    module: &'static str,
    /// It is not in the kernel; else it may only be out of sight.
    never: bool,
}

impl Missing {
    fn leave_out(self, warn: Option<Warn<'_>>) -> Result<()> {
        let (label, module) = (self.label, self.module);
        let error = Error::unsupported(format!("{label}: {module} is not enabled on this host"));
        match self.never {
            true if warn.is_some() => {
                let gone =
                    format!("the kernel has no {module}, so nothing of it confines the container");
                warn::left_out(warn, error.context(gone))
            }
            _ => Err(error),
        }
    }
}

fn has_apparmor() -> bool {
    std::fs::read(APPARMOR_ENABLED).is_ok_and(|text| text.starts_with(b"Y"))
}

const APPARMOR_ENABLED: &str = "/sys/module/apparmor/parameters/enabled";

/// Without a sysfs nobody can tell.
fn lacks_apparmor() -> bool {
    match std::fs::read(APPARMOR_ENABLED) {
        Ok(text) => text.starts_with(b"N"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::statfs("/sys").is_ok_and(|fs| fs.f_type == SYSFS_MAGIC)
        }
        Err(_) => false,
    }
}

/// Its file system is known to the kernel where it is enabled, mounted or not.
fn lacks_selinux() -> bool {
    let known = std::fs::read_to_string("/proc/filesystems");
    known.is_ok_and(|known| !known.is_empty() && !known.contains("selinuxfs"))
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
    fn what_the_host_lacks_is_an_error_unless_somebody_hears_it() {
        let mut process = Process::default();
        assert_eq!(of(&process, None).unwrap(), []);
        let told = std::cell::RefCell::new(Vec::new());
        let hear = |text: &str| told.borrow_mut().push(text.to_owned());
        if !has_apparmor() {
            process.set_apparmor_profile(Some("unconfined".into()));
            assert_eq!(of(&process, None).unwrap(), []);
            process.set_apparmor_profile(Some("docker-default".into()));
            let error = of(&process, None).unwrap_err().to_string();
            assert!(error.contains("docker-default"), "{error}");
        }
        if lacks_apparmor() {
            assert_eq!(of(&process, Some(Warn(&hear))).unwrap(), []);
            assert!(told.take()[0].contains("docker-default"));
        }
        process.set_apparmor_profile(None);
        if takes_context("x", None).is_err() {
            process.set_selinux_label(Some("system_u:system_r:x:s0".into()));
            assert!(of(&process, None).is_err());
            if lacks_selinux() {
                assert_eq!(of(&process, Some(Warn(&hear))).unwrap(), []);
                assert!(told.take()[0].contains("system_u:system_r:x:s0"));
            }
        }
    }

    /// What may only be out of sight is not gone on without.
    #[test]
    fn a_module_that_cannot_be_seen_is_not_left_out() {
        let missing = Missing {
            label: "AppArmor profile x".into(),
            module: "AppArmor",
            never: false,
        };
        assert!(missing.leave_out(Some(Warn(&|_| ()))).is_err());
    }
}
