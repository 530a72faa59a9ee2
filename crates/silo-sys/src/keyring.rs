//! keyctl(2): a session keyring of one's own, which rustix lacks.

use std::{ffi::CStr, io};

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Gives the calling process a fresh session keyring called `name` in place of the one that it inherited.
///
/// ENOSYS on kernels without keys; EDQUOT when the user has too many.
pub fn join_session(name: &CStr) -> io::Result<()> {
    // SAFETY: name ends with NUL and is only read.
    let id = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    match id {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
