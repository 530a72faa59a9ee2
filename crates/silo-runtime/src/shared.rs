//! A container without a mount namespace of its own: it lives in its caller's, or in one that is joined by path.
//!
//! Nothing is mounted for it, whatever its specification lists: it would be mounted for everybody there, and nobody would unmount
//! it. Its root is entered by chroot(2). What only adds is left out, which is told; what is to hide or to protect is refused. A
//! read-only root is left out as well, since callers send one with every specification.
//!
//! Called by `plan` ([`settle`]), `init` and `enter`.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};
use rustix::fs::{self, CWD, Mode, OFlags, ResolveFlags};
use silo_types::{Doing, Error, Result};

use crate::{plan::Plan, process};

/// Whether a container has no mount namespace that was made for it.
pub fn shares_mounts(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
    let mut mounts = namespaces
        .into_iter()
        .flatten()
        .filter(|one| one.typ() == LinuxNamespaceType::Mount);
    !mounts.any(|one| one.path().as_ref().is_none_or(|p| p.as_os_str().is_empty()))
}

/// Takes out of the plan all that would be made in somebody's mount namespace.
///
/// Errors: Invalid for what must not be left out.
pub(crate) fn settle(spec: &Spec, plan: &mut Plan) -> Result<()> {
    if let Some(linux) = spec.linux() {
        refuse(linux)?;
    }
    let hooks = spec
        .hooks()
        .as_ref()
        .and_then(|h| h.create_container().as_ref());
    if hooks.is_some_and(|hooks| !hooks.is_empty()) && plan.joins_mounts() {
        // Its program would be found there, and would have the privileges of who makes containers.
        return Err(Error::invalid(
            "hooks at createContainer cannot run in a mount namespace that is joined: whoever it belongs to says what their programs are",
        ));
    }
    plan.shares_mounts = true;
    plan.devices.clear();
    let mounts = spec.mounts().iter().flatten();
    let targets: Vec<String> = mounts
        .map(|mount| mount.destination().display().to_string())
        .collect();
    let mut left_out = Vec::new();
    if !targets.is_empty() {
        left_out.push(format!("the mounts at {}", targets.join(", ")));
    }
    left_out.push("the nodes of /dev".to_owned());
    if std::mem::take(&mut plan.root_read_only) {
        left_out.push("a read-only root".to_owned());
    }
    plan.left_out.push(Error::invalid(format!(
        "the container has no mount namespace of its own: left out are {}; its root is entered by chroot, which does not hold who has CAP_SYS_CHROOT",
        left_out.join(", ")
    )));
    Ok(())
}

fn refuse(linux: &Linux) -> Result<()> {
    fn some<T>(list: &Option<Vec<T>>) -> bool {
        list.as_ref().is_some_and(|list| !list.is_empty())
    }
    fn text(word: &Option<String>) -> bool {
        word.as_ref().is_some_and(|word| !word.is_empty())
    }
    let sysctl = linux.sysctl().as_ref().is_some_and(|map| !map.is_empty());
    let asked = [
        ("maskedPaths", some(linux.masked_paths())),
        ("readonlyPaths", some(linux.readonly_paths())),
        ("devices", some(linux.devices())),
        ("sysctl", sysctl),
        ("rootfsPropagation", text(linux.rootfs_propagation())),
        ("mountLabel", text(linux.mount_label())),
    ];
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        None => Ok(()),
        Some((field, _)) => Err(Error::invalid(format!(
            "{field}: needs a mount namespace of the container's own: in another's nothing is changed for it"
        ))),
    }
}

/// The folder that becomes the root. Whoever the namespace belongs to may have put a link in its way.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        .doing_with(|| format!("root file system {}, through no link", path.display()))
}

/// The root of a running process, for who is to have the same.
pub(crate) fn root_of(target: BorrowedFd<'_>) -> Result<OwnedFd> {
    let path = format!("/proc/{}/root", process::pid_of(target)?);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::open(&path, flags, Mode::empty()).doing(path)?;
    // It still is: so the number was its own all the time.
    silo_sys::signal::pidfd_send(target, 0).doing("look at the container's process")?;
    Ok(root)
}

pub(crate) fn enter(root: &impl AsFd) -> Result<()> {
    let doing = "change the root";
    rustix::process::fchdir(root).doing(doing)?;
    rustix::process::chroot(".").doing(doing)
}
