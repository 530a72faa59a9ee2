//! Small facts and settings of the calling process.

use std::{io, mem, os::unix::process::ExitStatusExt, process::ExitStatus};

/// Leaves at once, with no destructor and no flushing: for children between clone and exec.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) ends the process.
    unsafe { libc::_exit(code) }
}

/// fork(2) through the C library, so that its own state stays right in a child that lives on (the monitor).
/// Returns 0 in the child. The caller must have one thread.
pub fn fork() -> io::Result<i32> {
    // SAFETY: callers have a single thread, so no lock can be held by another one.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// Gives freed memory back to the kernel, malloc_trim(3): for processes that idle for long.
pub fn trim_heap() {
    // SAFETY: takes a number; safe at any time.
    unsafe { libc::malloc_trim(0) };
}

/// A user's hard and soft limit, setrlimit(2), by the kernel's number of the resource.
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: limit is a valid structure that is only read.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The soft and the hard limit of the calling process, getrlimit(2).
pub fn rlimit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills the structure.
    match unsafe { libc::getrlimit(resource, &raw mut limit) } {
        0 => Ok((limit.rlim_cur, limit.rlim_max)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `PR_SET_PDEATHSIG`: the kernel sends `signal` when the parent dies; cleared by a change of user.
pub fn set_parent_death_signal(signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for a child: how it ended, and the largest peak of resident memory, in bytes, of it or of one of those that it
/// waited for itself, wait4(2). What its memory was before it started its program counts too: that of the caller, after
/// vfork(2).
pub fn wait_usage(pid: u32) -> io::Result<(ExitStatus, u64)> {
    let pid = i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut status = 0;
    // SAFETY: a structure of numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both are valid for writing, and the kernel fills them.
    match unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok((
            ExitStatus::from_raw(status),
            // In KiB, getrusage(2).
            u64::try_from(usage.ru_maxrss).unwrap_or_default() << 10,
        )),
    }
}
