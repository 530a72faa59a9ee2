//! Signals as descriptors, signalfd(2): no handler runs in Silo, a poll loop reads them.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

/// Blocks signals for this process and delivers them as readable records.
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks `signals` and returns a non-blocking, close-on-exec descriptor for them.
    pub fn new(signals: &[i32]) -> io::Result<SignalFd> {
        // SAFETY: the set is initialised by sigemptyset before use; the descriptor returned is new and ours.
        unsafe {
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(SignalFd(OwnedFd::from_raw_fd(fd))),
            }
        }
    }

    /// The next pending signal's number, if any.
    pub fn read(&self) -> Option<i32> {
        self.read_with_sender().map(|(signal, ..)| signal)
    }

    /// The next pending signal with its sender: (number, pid, user). Zero where the kernel sent it.
    pub fn read_with_sender(&self) -> Option<(i32, i32, u32)> {
        let mut info = mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = mem::size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer has the size given; it is read only when the kernel filled all of it.
        unsafe {
            let got = libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (got == size as isize).then(|| {
                let info = info.assume_init();
                (info.ssi_signo as i32, info.ssi_pid as i32, info.ssi_uid)
            })
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sets signals to be ignored; the setting passes through execve(2) until [`crate::exec::reset_signals`].
pub fn ignore(signals: &[i32]) {
    for signal in signals {
        // SAFETY: SIG_IGN runs no code.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Has signals end the calling process with 128 and their number, also one that is the first of its pid namespace, where the
/// default action does nothing, pid_namespaces(7). Until [`crate::exec::reset_signals`].
pub fn leave_on(signals: &[i32]) {
    extern "C" fn leave(signal: i32) {
        // SAFETY: _exit(2) may be called in a handler, signal-safety(7).
        unsafe { libc::_exit(128 + signal) }
    }
    let handler: extern "C" fn(i32) = leave;
    for signal in signals {
        // SAFETY: the handler has the form that signal(2) asks for, and touches no memory.
        unsafe { libc::signal(*signal, handler as libc::sighandler_t) };
    }
}

/// Unblocks every signal: after a fork from a process that reads them by descriptor.
pub fn unblock_all() {
    // SAFETY: an empty set replaces the mask.
    unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// pidfd_send_signal(2) with any signal number: rustix knows no real-time signals.
pub fn pidfd_send(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: takes a descriptor and numbers; a null siginfo means kill(2)'s.
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
