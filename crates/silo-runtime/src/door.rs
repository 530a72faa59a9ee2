//! How a container that was made by one command is started by another.
//!
//! The maker binds a socket in the container's state folder and the container's first process waits there, after the maker has
//! written down who it is and let go. Who connects becomes its parent in the conversation of `channel`.
//!
//! ```text
//! create                 first process               start
//!   ◀────── Ready ───────────┤
//!   state.json               │
//!   ├────── Detach ─────────▶│ accept
//!   ends                     │ ◀──────── connect ────┤ unlink
//!                            │ ◀────────── Go ───────┤
//!                            ├─ end of file: it runs ▶│
//! ```
//! A maker that is killed before `Detach` takes its container along; a starter that is killed before `Go` does too.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::AtFlags,
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
        socket_with,
    },
};
use silo_types::{Doing, Error, ProcessId, Result};

use crate::{
    channel::{Channel, Message},
    process,
};

/// Name of the socket in the state folder.
const NAME: &str = "start";

/// Where the first process waits.
#[derive(Debug)]
pub struct Door(OwnedFd);

/// Signals that end a process which does not expect them: HUP, INT, QUIT, USR1, USR2, ALRM and TERM.
const DEADLY: [i32; 7] = [1, 2, 3, 10, 12, 14, 15];

impl Door {
    /// Makes it in `folder`, which must be closed to others.
    pub fn make(folder: BorrowedFd<'_>) -> Result<Door> {
        let socket = new_socket()?;
        bind(&socket, &address(folder)?).doing("bind the start socket")?;
        listen(&socket, 1).doing("listen on the start socket")?;
        Ok(Door(socket))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits for a starter; in the container's first process. As the first of its pid namespace it would not die of a signal that
    /// has no handler, pid_namespaces(7), and a container that waits is to end as one that runs.
    pub(crate) fn accept(&self) -> Result<Channel> {
        silo_sys::signal::leave_on(&DEADLY);
        loop {
            match accept_with(&self.0, SocketFlags::CLOEXEC) {
                Ok(socket) => return Ok(Channel::from(socket)),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(Error::system("wait for the start", error)),
            }
        }
    }
}

/// Whether the container behind `folder` still waits.
pub fn is_waiting(folder: BorrowedFd<'_>) -> bool {
    rustix::fs::statat(folder, NAME, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Lets the program of a waiting container run; returns when it was executed, or says why it could not.
///
/// Errors: Conflict when nobody waits.
pub fn start(folder: BorrowedFd<'_>, main: ProcessId) -> Result<()> {
    let nobody = || Error::conflict("the container's first process does not wait for a start");
    let socket = new_socket()?;
    match connect(&socket, &address(folder)?) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::CONNREFUSED) => return Err(nobody()),
        Err(error) => return Err(Error::system("reach the container's first process", error)),
    }
    // From here on it is not "created" any more: it runs, or ends with this command.
    rustix::fs::unlinkat(folder, NAME, AtFlags::empty()).doing("remove the start socket")?;
    let channel = Channel::from(socket);
    channel.send(&Message::Go)?;
    match channel.receive() {
        Ok(Some(Message::Failed(error))) => Err(error),
        Ok(Some(_)) => Err(Error::internal("unexpected message from the container")),
        // Also the end of a process that was killed meanwhile.
        Ok(None) => match process::same(main) {
            Some(facts) if facts.has_ended() && !facts.executed() => Err(Error::conflict(
                "the container's first process was killed before its program ran",
            )),
            _ => Ok(()),
        },
        Err(error) => Err(error),
    }
}

fn new_socket() -> Result<OwnedFd> {
    socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .doing("make a socket")
}

/// By descriptor: a state folder's path may be longer than a socket's name can be.
fn address(folder: BorrowedFd<'_>) -> Result<SocketAddrUnix> {
    let path = format!("/proc/self/fd/{}/{NAME}", folder.as_fd().as_raw_fd());
    SocketAddrUnix::new(path).doing("name the start socket")
}
