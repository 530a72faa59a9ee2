//! The user's terminal and signals while a container's streams are joined.
//!
//! ```text
//! keyboard ─ stdin ─▶ detach keys ─▶ monitor or pty ─▶ program
//! screen  ◀─ stdout ◀──────────────── monitor or pty ◀─ program
//! signals ─ signalfd ─▶ size, or passed on
//! ```
//! One poll loop, no threads: a command may still have to clone.

mod attach;
mod exec;
mod keys;
mod raw;
mod write;

pub use attach::{Attachment, Ended, attach};
pub use exec::{relay, wait};
pub use raw::{RawMode, size, stdin_is_terminal, stdout_is_terminal};
pub use write::write_all;

use rustix::io::Errno;
use silo_sys::signal::SignalFd;
use silo_types::{Doing, Error, Result, Signal};

const HUP: i32 = 1;
const INT: i32 = 2;
const QUIT: i32 = 3;
const USR1: i32 = 10;
const USR2: i32 = 12;
const TERM: i32 = 15;
const WINCH: i32 = 28;

/// Bytes read at once.
const CHUNK: usize = 32 * 1024;

/// The signals that are passed on, and the one that tells of another size. They are blocked from here on.
fn signals(proxy: bool, terminal: bool) -> Result<SignalFd> {
    let mut wanted = Vec::new();
    if proxy {
        wanted.extend([HUP, INT, QUIT, USR1, USR2, TERM]);
    }
    if terminal {
        wanted.push(WINCH);
    }
    SignalFd::new(&wanted).doing("listen for signals")
}

/// The signal as one to pass on; `None` for a change of size.
fn to_pass_on(number: i32) -> Option<Signal> {
    match number {
        WINCH => None,
        number => Signal::from_number(number).ok(),
    }
}

/// Reads what is there; empty at the end.
fn read_stdin(buffer: &mut [u8]) -> Result<usize> {
    loop {
        match rustix::io::read(std::io::stdin(), &mut *buffer) {
            Ok(got) => return Ok(got),
            Err(Errno::INTR) => {}
            // The terminal went away.
            Err(Errno::IO) => return Ok(0),
            Err(e) => return Err(Error::system("read standard input", e)),
        }
    }
}
