//! Writing all of it, also to a terminal that somebody made non-blocking.

use std::os::fd::AsFd;

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use silo_types::{Error, Result};

/// False when the reader has gone.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<bool> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(done) => bytes = &bytes[done..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
                let _ = poll(&mut fds, None);
            }
            Err(Errno::PIPE | Errno::IO) => return Ok(false),
            Err(e) => return Err(Error::system("write the container's output", e)),
        }
    }
    Ok(true)
}
