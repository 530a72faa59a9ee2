//! System call filters, seccomp(2): loads a classic BPF program into the calling thread.
//!
//! Called by the runtime as one of the last steps before a program. Nothing here allocates, except for the text of an error.
//! A thread needs `no_new_privs` or CAP_SYS_ADMIN in its user namespace, else the kernel answers EACCES.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
    ptr,
};

/// One instruction of classic BPF, `struct sock_filter` of linux/filter.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SockFilter {
    pub code: u16,
    /// How many instructions to skip when a conditional jump's test holds …
    pub jt: u8,
    /// … and when it does not.
    pub jf: u8,
    pub k: u32,
}

/// How a filter is attached, `SECCOMP_FILTER_FLAG_*` of seccomp(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Log every verdict but "allow" (since Linux 4.14).
    pub log: bool,
    /// Leave the mitigation of Speculative Store Bypass off (since Linux 4.17).
    pub spec_allow: bool,
    /// Attach the filter to all threads of the process.
    pub tsync: bool,
    /// A process that waits for an answer can be killed only (since Linux 5.19); with a listener only.
    pub wait_killable_recv: bool,
}

impl Flags {
    fn bits(self) -> libc::c_ulong {
        [
            (self.log, libc::SECCOMP_FILTER_FLAG_LOG),
            (self.spec_allow, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW),
            (self.tsync, libc::SECCOMP_FILTER_FLAG_TSYNC),
            (
                self.wait_killable_recv,
                libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
            ),
        ]
        .iter()
        .filter(|(set, _)| *set)
        .fold(0, |bits, (_, flag)| bits | flag)
    }
}

/// Attaches `filter` to the calling thread for good.
///
/// EINVAL: not a valid program, or a flag that the kernel does not know. EACCES: neither `no_new_privs` nor CAP_SYS_ADMIN.
pub fn load(filter: &[SockFilter], flags: Flags) -> io::Result<()> {
    match set_mode_filter(filter, flags.bits())? {
        0 => Ok(()),
        thread => Err(io::Error::other(format!(
            "thread {thread} has a filter of its own and cannot take this one"
        ))),
    }
}

/// The same, and returns the descriptor (close-on-exec) on which calls with the verdict "notify" arrive
/// (seccomp_unotify(2), since Linux 5.0). EBUSY: a listener is attached already.
pub fn load_with_listener(filter: &[SockFilter], flags: Flags) -> io::Result<OwnedFd> {
    let mut bits = flags.bits() | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if flags.tsync {
        // Without it a thread id could not be told from the descriptor.
        bits |= libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    }
    let fd = set_mode_filter(filter, bits)?;
    // SAFETY: with NEW_LISTENER a successful call returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the kernel knows `action`, one of `SECCOMP_RET_*` (`SECCOMP_GET_ACTION_AVAIL`, since Linux 4.14).
pub fn action_available(action: u32) -> bool {
    // SAFETY: the kernel reads one u32 through the pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            ptr::from_ref(&action),
        )
    };
    result == 0
}

fn set_mode_filter(filter: &[SockFilter], flags: libc::c_ulong) -> io::Result<i32> {
    let program = libc::sock_fprog {
        // A length that does not fit is over the kernel's limit of 4096 anyway; 0 is refused likewise.
        len: u16::try_from(filter.len()).unwrap_or(0),
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel copies `len` instructions of sock_filter's layout and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            ptr::from_ref(&program),
        )
    };
    match result {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW_ALL: [SockFilter; 1] = [SockFilter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    }];

    #[test]
    fn knows_the_actions_of_the_kernel() {
        assert!(action_available(libc::SECCOMP_RET_KILL_PROCESS));
        assert!(action_available(libc::SECCOMP_RET_USER_NOTIF));
        assert!(!action_available(0x1234_0000));
    }

    #[test]
    fn loads_into_the_calling_thread_only() {
        std::thread::spawn(|| {
            let flags = Flags {
                log: true,
                spec_allow: true,
                ..Flags::default()
            };
            load(&ALLOW_ALL, flags).unwrap();
            let waits = Flags {
                wait_killable_recv: true,
                ..Flags::default()
            };
            let _listener = load_with_listener(&ALLOW_ALL, waits).unwrap();
            let again = load_with_listener(&ALLOW_ALL, waits).unwrap_err();
            assert_eq!(again.raw_os_error(), Some(libc::EBUSY));
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.contains("Seccomp:\t2"), "{status}");
        })
        .join()
        .unwrap();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("Seccomp:\t0"), "{status}");
    }

    #[test]
    fn refuses_what_is_no_program() {
        for bad in [&[][..], &ALLOW_ALL.repeat(4097), &ALLOW_ALL.repeat(70_000)] {
            let error = load(bad, Flags::default()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }
}
