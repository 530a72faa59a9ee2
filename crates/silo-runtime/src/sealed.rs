//! The program that makes containers must not be writable through them (CVE-2019-5736).
//!
//! A process of the container can reach the program that became it by /proc/PID/exe and open it for writing later. So the
//! commands that make processes run from a clone of the mount that their file lies on, read-only and attached nowhere: whoever
//! opens the file through /proc gets a read-only one (EROFS), whatever the file's own permissions. Nothing is copied.
//!
//! A mount that is read-only anyway is not enough: it may be made writable while a container runs.
//!
//! A user may not clone mounts. A program that only another user can write to is safe from a container of this one; else a copy
//! in memory runs that nobody can change (memfd_create(2), "File sealing").

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{
        CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals,
        fcntl_get_seals, memfd_create,
    },
    io::Errno,
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
    let read_only = is_on_read_only()?;
    if std::env::var_os(MARK).is_some() {
        // A kernel that says otherwise where a clone is.
        if read_only {
            return Ok(());
        }
        return Err(Error::internal(
            "the program does not see itself on a read-only mount",
        ));
    }
    let doing = "seal the program against the containers that it makes";
    let program = match clone_read_only() {
        // Mounts are not a user's to clone.
        Err(Errno::PERM) if read_only || is_others()? => return Ok(()),
        Err(Errno::PERM) => copy().doing(doing)?,
        cloned => cloned.doing(doing)?,
    };
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

/// What keeps this process' program from being written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It runs from a read-only clone of the mount that its file lies on.
    Clone,
    /// It may not clone mounts, and its file lies on a read-only one.
    ReadOnly,
    /// It runs from a sealed copy in memory.
    Copy,
    /// Its file is another user's.
    Others,
}

/// After [`ensure_sealed`].
pub fn seal() -> Result<Seal> {
    Ok(match (is_on_read_only()?, is_sealed()?) {
        (true, true) => Seal::Clone,
        (true, false) => Seal::ReadOnly,
        (false, true) => Seal::Copy,
        (false, false) => Seal::Others,
    })
}

fn clone_read_only() -> Result<OwnedFd, Errno> {
    let program = open_tree(
        CWD,
        c"/proc/self/exe",
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    let read_only = MountAttr {
        set: attr::RDONLY,
        ..MountAttr::default()
    };
    match mount_setattr(program.as_fd(), c"", false, &read_only) {
        Ok(()) => Ok(program),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

/// Whether only another user could write to the program, whom a container of this one does not become.
fn is_others() -> Result<bool> {
    let own = rustix::fs::stat("/proc/self/exe").doing("look at the own program")?;
    let is_ours = own.st_uid == rustix::process::geteuid().as_raw();
    Ok(!is_ours && own.st_mode & 0o022 == 0)
}

/// A copy in memory that can never be changed.
fn copy() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = memfd_create(c"silo", flags)?;
    let own = rustix::fs::open(
        c"/proc/self/exe",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    while rustix::fs::sendfile(&copy, &own, None, 1 << 30)? > 0 {}
    fcntl_add_seals(&copy, WHOLE)?;
    Ok(copy)
}

const WHOLE: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// Whether the program runs from such a clone or copy: a fact of the kernel's, which no environment can fake. On a mount that
/// is attached nowhere the file is the root, and its path `/`.
fn is_sealed() -> Result<bool> {
    if is_on_read_only()? {
        let path = std::fs::read_link("/proc/self/exe").doing("look where the own program is")?;
        return Ok(path.as_os_str() == "/");
    }
    let reading = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/exe", reading, Mode::empty());
    // Other files than such copies have no seals: EINVAL.
    Ok(file.is_ok_and(|file| fcntl_get_seals(file).is_ok_and(|seals| seals.contains(WHOLE))))
}

fn is_on_read_only() -> Result<bool> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let own =
        rustix::fs::open(c"/proc/self/exe", flags, Mode::empty()).doing("open the own program")?;
    let mount = rustix::fs::fstatvfs(own).doing("look at the own program's mount")?;
    Ok(mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}
