//! The program that makes containers must not be writable through them (CVE-2019-5736).
//!
//! A process of the container can reach the program that became it by /proc/PID/exe and open it for writing later. So the
//! commands that make processes run from a clone of the mount that their file lies on, read-only and attached nowhere: whoever
//! opens the file through /proc gets a read-only one (EROFS), whatever the file's own permissions. Nothing is copied.

use std::os::fd::AsFd;

use rustix::{
    fs::{CWD, Mode, OFlags, StatVfsMountFlags},
    mount::{OpenTreeFlags, open_tree},
};
use silo_sys::{
    early::MARK,
    exec::{Words, execve_fd},
    mount::{MountAttr, attr, mount_setattr},
};
use silo_types::{Doing, Error, Result};

/// Returns at once in a process that runs sealed; else executes the program again so that it does, with the same words and
/// environment. Must come before anything that the new start would do again.
pub fn ensure_sealed() -> Result<()> {
    if is_sealed()? {
        return Ok(());
    }
    if std::env::var_os(MARK).is_some() {
        return Err(Error::internal(
            "the program does not see itself on a read-only mount",
        ));
    }
    let doing = "seal the program against the containers that it makes";
    let program = open_tree(
        CWD,
        c"/proc/self/exe",
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .doing(doing)?;
    let read_only = MountAttr {
        set: attr::RDONLY,
        ..MountAttr::default()
    };
    mount_setattr(program.as_fd(), c"", false, &read_only).doing(doing)?;
    let words = Words::from_os(std::env::args_os()).doing(doing)?;
    let variables = std::env::vars_os().map(|(name, value)| {
        let mut variable = name;
        variable.push("=");
        variable.push(value);
        variable
    });
    let mark = std::ffi::OsString::from(format!("{MARK}=1"));
    let env = Words::from_os(variables.chain([mark])).doing(doing)?;
    Err(Error::system(
        doing,
        execve_fd(program.as_fd(), &words, &env),
    ))
}

/// Whether the own file is on a read-only mount: a fact of the kernel's, which no environment can fake.
fn is_sealed() -> Result<bool> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let own =
        rustix::fs::open(c"/proc/self/exe", flags, Mode::empty()).doing("open the own program")?;
    let mount = rustix::fs::fstatvfs(own).doing("look at the own program's mount")?;
    Ok(mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}
