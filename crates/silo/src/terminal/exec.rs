//! Streams of a process started by `exec`: its terminal is relayed here; without one it has this command's own streams.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    termios::{Winsize, tcsetwinsize},
};
use silo_engine::Session;
use silo_sys::signal::SignalFd;
use silo_types::{Doing, Error, Result};

use super::{CHUNK, RawMode, read_stdin, signals, size, to_pass_on, write::write_all};

/// Output that may still come when the process has ended: more than any terminal's buffer holds.
const LAST_READS: usize = 64;

/// Waits for a process with this command's own streams; signals are passed on. The exit code.
pub fn wait(session: &Session) -> Result<i32> {
    let signals = signals(true, false)?;
    loop {
        let mut fds = [
            PollFd::new(&session.pidfd, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(Error::system("wait for the process", e)),
        }
        if !fds[0].revents().is_empty() {
            return session.wait();
        }
        pass_on(&signals, session, None);
    }
}

fn pass_on(signals: &SignalFd, session: &Session, terminal: Option<BorrowedFd>) {
    while let Some(number) = signals.read() {
        match (to_pass_on(number), terminal) {
            (Some(signal), _) => session.signal(signal),
            (None, Some(terminal)) => resize(terminal),
            (None, None) => {}
        }
    }
}

fn resize(terminal: BorrowedFd) {
    let (rows, columns) = size();
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // The process may have gone.
    let _ = tcsetwinsize(terminal, size);
}

/// Relays a process's terminal until it ends. The exit code.
pub fn relay(session: &Session, terminal: BorrowedFd, input: bool) -> Result<i32> {
    let _raw = match input {
        true => RawMode::start()?,
        false => None,
    };
    let signals = signals(true, true)?;
    resize(terminal);
    let flags = fcntl_getfl(terminal).doing("look at the terminal")?;
    fcntl_setfl(terminal, flags | OFlags::NONBLOCK).doing("make the terminal non-blocking")?;
    let mut relay = Relay {
        session,
        terminal,
        typed: VecDeque::new(),
        input,
        buffer: vec![0; CHUNK],
    };
    while relay.once(&signals)? {}
    // What the process wrote last; others may hold the terminal for ever.
    for _ in 0..LAST_READS {
        if !relay.show()? {
            break;
        }
    }
    session.wait()
}

struct Relay<'a> {
    session: &'a Session,
    terminal: BorrowedFd<'a>,
    /// Typed, and not yet taken by the process's terminal.
    typed: VecDeque<u8>,
    input: bool,
    buffer: Vec<u8>,
}

impl Relay<'_> {
    /// Waits and moves what is there; false when the process has ended.
    fn once(&mut self, signals: &SignalFd) -> Result<bool> {
        let stdin = std::io::stdin();
        let mut terminal = PollFlags::IN;
        if !self.typed.is_empty() {
            terminal |= PollFlags::OUT;
        }
        let mut fds = vec![
            PollFd::new(&self.session.pidfd, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(self.terminal, terminal),
        ];
        // One thing after the other: no more is taken in than the process takes.
        if self.input && self.typed.is_empty() {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(true),
            Err(e) => return Err(Error::system("wait for the terminal", e)),
        }
        let ready: Vec<PollFlags> = fds.iter().map(|fd| fd.revents()).collect();
        if !ready[1].is_empty() {
            pass_on(signals, self.session, Some(self.terminal));
        }
        if ready[2].contains(PollFlags::OUT) {
            self.hand_on()?;
        }
        let shown = ready[2].contains(PollFlags::IN) && self.show()?;
        if ready.get(3).is_some_and(|ready| !ready.is_empty()) {
            self.take_in()?;
        }
        if !ready[0].is_empty() {
            return Ok(false);
        }
        // Nobody has the other end open any more, and the process still runs.
        if !shown && ready[2].contains(PollFlags::HUP) {
            let mut end = [PollFd::new(&self.session.pidfd, PollFlags::IN)];
            let _ = poll(&mut end, None);
            return Ok(false);
        }
        Ok(true)
    }

    fn take_in(&mut self) -> Result<()> {
        let got = read_stdin(&mut self.buffer)?;
        match got {
            // A terminal has no end of input: its key for that is sent.
            0 => {
                self.typed.push_back(0x04);
                self.input = false;
            }
            got => self.typed.extend(&self.buffer[..got]),
        }
        self.hand_on()
    }

    fn hand_on(&mut self) -> Result<()> {
        while !self.typed.is_empty() {
            match rustix::io::write(self.terminal, self.typed.make_contiguous()) {
                Ok(done) => drop(self.typed.drain(..done)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::IO) => self.typed.clear(),
                Err(e) => return Err(Error::system("type on the container's terminal", e)),
            }
        }
        Ok(())
    }

    /// False when there is nothing more.
    fn show(&mut self) -> Result<bool> {
        match rustix::io::read(self.terminal, &mut self.buffer[..]) {
            Ok(0) | Err(Errno::AGAIN | Errno::IO) => Ok(false),
            Ok(got) => {
                write_all(std::io::stdout(), &self.buffer[..got])?;
                Ok(true)
            }
            Err(Errno::INTR) => Ok(true),
            Err(e) => Err(Error::system("read the container's terminal", e)),
        }
    }
}
