//! A command on a terminal: a pty that is typed into and read from, as a person does.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::soon;

/// The shell's prompt in the built-in image.
pub const PROMPT: &str = "# ";

/// A program on a terminal of its own; killed when dropped.
pub struct Session {
    child: Child,
    master: File,
    /// The terminal's mode before the program had it.
    pub first_mode: String,
    /// Everything that appeared.
    pub screen: String,
    /// Where the next search begins.
    seen: usize,
    /// The beginning of a letter.
    held: Vec<u8>,
}

impl Session {
    /// `command` makes its standard input the terminal that controls it.
    pub fn start(mut command: Command, size: (u16, u16)) -> Session {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        let copy = |fd: &OwnedFd| fd.try_clone().unwrap();
        command
            .stdin(copy(&slave))
            .stdout(copy(&slave))
            .stderr(slave);
        let master = File::from(master);
        set_size(&master, size);
        let first_mode = mode(&master);
        Session {
            first_mode,
            child: command.spawn().unwrap(),
            master,
            screen: String::new(),
            seen: 0,
            held: Vec::new(),
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The terminal's mode as text, to compare.
    pub fn mode(&self) -> String {
        mode(&self.master)
    }

    /// Changes the size, as a person who drags the window's corner.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        set_size(&self.master, (rows, columns));
    }

    /// Types keys as they are.
    pub fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line and Enter.
    pub fn line(&mut self, line: &str) {
        self.keys(&format!("{line}\r"));
    }

    /// Waits until `text` appears behind what was found before; what appeared up to its end.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_within(text, soon())
    }

    #[track_caller]
    pub fn expect_within(&mut self, text: &str, most: Duration) -> String {
        let end = Instant::now() + most;
        loop {
            let fresh = &self.screen[self.seen..];
            if let Some(at) = fresh.find(text) {
                let found = fresh[..at + text.len()].to_owned();
                self.seen += found.len();
                return found;
            }
            if !self.read(end) {
                let from = self.screen.len().saturating_sub(1500).max(self.seen);
                let from = (from..)
                    .find(|at| self.screen.is_char_boundary(*at))
                    .unwrap();
                panic!(
                    "{text:?} did not appear; the last that did: {:?}",
                    &self.screen[from..]
                );
            }
        }
    }

    /// Waits for the shell's prompt.
    #[track_caller]
    pub fn prompt(&mut self) -> String {
        self.expect(PROMPT)
    }

    /// Takes in what appears for so long.
    pub fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.read(end) {}
    }

    /// Reads once; false when the time is over or the program has gone.
    fn read(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)).unwrap_or(0) == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        // EIO: the last one on the other side has gone.
        let got = self.master.read(&mut buffer).unwrap_or(0);
        self.held.extend_from_slice(&buffer[..got]);
        // A letter may arrive in two parts; what is no letter at all is shown as such.
        let whole = match std::str::from_utf8(&self.held) {
            Err(error) if error.error_len().is_none() && got > 0 => error.valid_up_to(),
            _ => self.held.len(),
        };
        let arrived: Vec<u8> = self.held.drain(..whole).collect();
        self.screen.push_str(&String::from_utf8_lossy(&arrived));
        got > 0
    }

    /// Waits for the program's end; its exit code.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let end = Instant::now() + soon();
        loop {
            // What it writes must be taken, or it never ends.
            let more = self.read(Instant::now() + Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().unwrap() {
                while self.read(Instant::now() + Duration::from_millis(20)) {}
                return status.code().unwrap_or(-1);
            }
            assert!(
                Instant::now() < end,
                "the program does not end: {:?}",
                self.screen
            );
            if !more {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Kills the program, as closing the window hard would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mode(terminal: &File) -> String {
    format!("{:?}", rustix::termios::tcgetattr(terminal).unwrap())
}

fn set_size(terminal: &File, (rows, columns): (u16, u16)) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}

impl Drop for Session {
    fn drop(&mut self) {
        self.kill();
    }
}
