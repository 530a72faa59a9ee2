//! Making processes: clone3(2) straight into namespaces and a control group, and plain fork.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// What a call that returns twice returned.
pub enum Cloned {
    /// In the caller: the child's pid as the caller sees it, and its pidfd.
    Parent { pid: i32, pidfd: OwnedFd },
    /// In the child.
    Child,
}

/// `struct clone_args` up to `cgroup` (`CLONE_ARGS_SIZE_VER2`), clone(2).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Namespace flags of clone(2) and unshare(2), as `u64` because `CLONE_NEWTIME` and friends are combined with clone3's.
pub mod ns {
    pub const TIME: u64 = 0x80;
    pub const MOUNT: u64 = 0x2_0000;
    pub const CGROUP: u64 = 0x200_0000;
    pub const UTS: u64 = 0x400_0000;
    pub const IPC: u64 = 0x800_0000;
    pub const USER: u64 = 0x1000_0000;
    pub const PID: u64 = 0x2000_0000;
    pub const NET: u64 = 0x4000_0000;
}

/// Copies the calling process (as fork does: memory is copied on write) with new namespaces `namespaces` (see [`ns`]), in the
/// v2 control group `cgroup` if given.
///
/// Errors: `EINVAL` with more than one thread, besides clone(2)'s.
pub fn clone_process(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    refuse_threads()?;
    let mut args = CloneArgs {
        flags: namespaces,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(group) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd() as u64;
    }
    clone(args)
}

/// The same, but the new process is a child of the caller's parent, which must wait for both (`CLONE_PARENT`).
///
/// For a process that was itself cloned here, and so has one thread: it may be where no /proc shows it.
pub fn clone_sibling(namespaces: u64) -> io::Result<Cloned> {
    // The signal at its end is the caller's own: the kernel refuses one here.
    clone(CloneArgs {
        flags: namespaces | CLONE_PARENT,
        ..CloneArgs::default()
    })
}

fn clone(mut args: CloneArgs) -> io::Result<Cloned> {
    let mut pidfd: i32 = -1;
    args.flags |= CLONE_PIDFD;
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    let pointer = &raw const args;
    // SAFETY: args is a valid clone_args of the size given; no memory is shared with the child (no CLONE_VM, no stack), and there
    // is no other thread whose locks the child could inherit.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, pointer, mem::size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: pid as i32,
            // SAFETY: the kernel stored a new descriptor of ours there (CLONE_PIDFD).
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// One stat(2): a directory of /proc/self/task has two links and one more for each thread.
fn refuse_threads() -> io::Result<()> {
    let tasks = rustix::fs::stat(c"/proc/self/task")?;
    match tasks.st_nlink {
        0..=3 => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a process with threads cannot clone a container",
        )),
    }
}

/// unshare(2) of namespaces.
pub fn unshare(namespaces: u64) -> io::Result<()> {
    // SAFETY: only namespace flags reach the kernel; memory and descriptors stay shared as they are.
    match unsafe { libc::unshare(namespaces as i32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// setns(2) with a pidfd (several namespaces at once) or a namespace descriptor (`namespaces` may be 0).
pub fn setns(target: BorrowedFd<'_>, namespaces: u64) -> io::Result<()> {
    // SAFETY: takes a descriptor and flags; touches no memory of ours.
    match unsafe { libc::setns(target.as_raw_fd(), namespaces as i32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, waitpid};

    #[test]
    fn threads_are_refused() {
        // The test harness has threads of its own.
        assert!(clone_process(0, None).is_err());
        let _ = waitpid(None, WaitOptions::NOHANG);
    }
}
