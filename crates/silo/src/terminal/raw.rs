//! Raw mode of the user's terminal, given back whatever happens.

use std::{io::IsTerminal, os::fd::AsFd};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use silo_types::{Doing, Result};

pub fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Rows and columns of the terminal on standard output, or input; (0, 0) without one.
pub fn size() -> (u16, u16) {
    let of = |fd: std::os::fd::BorrowedFd| tcgetwinsize(fd).map(|s| (s.ws_row, s.ws_col)).ok();
    of(std::io::stdout().as_fd())
        .or_else(|| of(std::io::stdin().as_fd()))
        .unwrap_or((0, 0))
}

/// While it lives, standard input hands through every key as it is.
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// `None` when standard input is no terminal.
    pub fn start() -> Result<Option<RawMode>> {
        if !stdin_is_terminal() {
            return Ok(None);
        }
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).doing("read the terminal's mode")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).doing("set the terminal to raw mode")?;
        // A panic ends the program without unwinding.
        let kept = before.clone();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore(&kept);
            hook(panic);
        }));
        Ok(Some(RawMode { before }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

fn restore(mode: &Termios) {
    // Nothing is left to be done when the terminal has gone.
    let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, mode);
}
