//! The one setting of a netlink socket that rustix lacks.
//!
//! Called by the network crate for every netlink socket it opens.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes the kernel add its own words to a refusal: `NETLINK_EXT_ACK`, netlink(7), Linux 4.12.
pub fn enable_extended_acks(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `on` outlives the call and has the length that is passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_EXT_ACK,
            (&raw const on).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
