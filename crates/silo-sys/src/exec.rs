//! The last steps before a program: descriptors, signals, execve(2).

use std::{
    ffi::{CStr, CString, OsString},
    io, mem,
    os::unix::ffi::OsStringExt,
    ptr,
};

/// Marks every descriptor from `first` on close-on-exec, close_range(2): nothing of the engine's reaches the container.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: takes numbers only; CLOEXEC leaves the descriptors usable until exec.
    match unsafe { libc::close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A program's words and environment in the form that execve(2) takes, made before it is too late to allocate or fail.
pub struct Words {
    _owned: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Words {
    /// Fails on a word with a NUL byte.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> io::Result<Words> {
        Words::from_bytes(words.into_iter().map(|word| word.as_bytes().to_vec()))
    }

    /// The same from the system's strings.
    pub fn from_os(words: impl IntoIterator<Item = OsString>) -> io::Result<Words> {
        Words::from_bytes(words.into_iter().map(OsString::into_vec))
    }

    fn from_bytes(words: impl Iterator<Item = Vec<u8>>) -> io::Result<Words> {
        let owned = words.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let pointers = owned
            .iter()
            .map(|word| word.as_ptr())
            .chain([ptr::null()])
            .collect();
        Ok(Words {
            _owned: owned,
            pointers,
        })
    }
}

/// execve(2): returns only when it failed.
pub fn execve(program: &CStr, args: &Words, env: &Words) -> io::Error {
    // SAFETY: program is NUL-terminated; both arrays are, and their strings live as long as the Words.
    unsafe {
        libc::execve(
            program.as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
        )
    };
    io::Error::last_os_error()
}

/// execveat(2) of an open file: returns only when it failed.
pub fn execve_fd(program: std::os::fd::BorrowedFd<'_>, args: &Words, env: &Words) -> io::Error {
    use std::os::fd::AsRawFd;
    // SAFETY: an empty path with AT_EMPTY_PATH; both arrays end with NULL and outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Gives every signal its default action and unblocks all: what a program expects at its start. Rust ignores SIGPIPE, and an
/// ignored signal stays ignored across execve(2). The C library keeps 32 and 33 for itself and refuses them, the kernel does not.
pub fn reset_signals() {
    // Handler, flags, restorer and mask of the kernel's own structure: SIG_DFL and nothing else.
    let default = [0u64; 4];
    // SAFETY: the kernel reads 32 bytes; the numbers that may not be changed (KILL, STOP) just fail.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                ptr::null_mut::<u64>(),
                size_of::<u64>(),
            );
        }
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Closes every descriptor from 3 on except those in `kept`.
pub fn close_others(kept: &[i32]) -> io::Result<()> {
    let mut kept: Vec<u32> = kept
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([u32::MAX]) {
        if fd > first {
            let last = if fd == u32::MAX { fd } else { fd - 1 };
            // SAFETY: takes numbers; the caller owns every descriptor of the process and gives up those not kept.
            if unsafe { libc::close_range(first, last, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = first.max(fd.saturating_add(1));
    }
    Ok(())
}
