//! A terminal for a program under test or on show: a pty whose master is read and typed into, with what appeared kept.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use silo_types::{Doing, Error, Result};

/// The hidden verb that makes its standard input the controlling terminal and executes the rest of its words.
pub const ON_TERMINAL: &str = "__on-terminal";

/// A program on a terminal of its own.
pub struct Session {
    child: Child,
    master: File,
    /// Everything that appeared, escape sequences included.
    pub screen: String,
    /// Where the next search begins.
    seen: usize,
    /// Also write what appears to standard output.
    pub echo: bool,
    plain: Plain,
}

impl Session {
    /// Starts this program with `words` on a terminal of 80 by 24.
    pub fn start(words: &[&str], echo: bool) -> Result<Session> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .doing("open a terminal")?;
        grantpt(&master).doing("grant the terminal")?;
        unlockpt(&master).doing("unlock the terminal")?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags).doing("open the terminal's other end")?;
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).doing("set the terminal's size")?;
        let copy = |fd: &OwnedFd| fd.try_clone().doing("copy the terminal");
        let program = std::env::current_exe().doing("find the own program")?;
        let child = Command::new(program)
            .arg(ON_TERMINAL)
            .args(words)
            .stdin(copy(&slave)?)
            .stdout(copy(&slave)?)
            .stderr(slave)
            .spawn()
            .doing("start a program on the terminal")?;
        Ok(Session {
            child,
            master: File::from(master),
            screen: String::new(),
            seen: 0,
            echo,
            plain: Plain::default(),
        })
    }

    /// Types.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.master
            .write_all(text.as_bytes())
            .doing("type on the terminal")
    }

    /// Waits until `text` appears after what was found before.
    pub fn expect(&mut self, text: &str, most: Duration) -> Result<()> {
        let until = Instant::now() + most;
        loop {
            if let Some(at) = self.screen[self.seen..].find(text) {
                self.seen += at + text.len();
                return Ok(());
            }
            if !self.read(until)? {
                let shown: String = self.screen[self.seen..].chars().rev().take(400).collect();
                let shown: String = shown.chars().rev().collect();
                return Err(Error::internal(format!(
                    "{text:?} did not appear on the terminal; the last of it: {shown:?}"
                )));
            }
        }
    }

    /// Takes in what appears for so long.
    pub fn watch(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until && self.read(until)? {}
        Ok(())
    }

    /// Reads once; false when the time is over or the program has gone.
    fn read(&mut self, until: Instant) -> Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)).doing("wait for the terminal")? == 0 {
            return Ok(false);
        }
        let mut buffer = [0u8; 4096];
        // EIO: the last one on the other side has gone.
        let got = self.master.read(&mut buffer).unwrap_or(0);
        let text = String::from_utf8_lossy(&buffer[..got]).into_owned();
        if self.echo {
            let _ = std::io::stdout().write_all(self.plain.show(&text).as_bytes());
            let _ = std::io::stdout().flush();
        }
        self.screen.push_str(&text);
        Ok(got > 0)
    }

    /// Waits for the program's end.
    pub fn wait(&mut self, most: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + most;
        loop {
            if let Some(status) = self.child.try_wait().doing("wait for the program")? {
                // What it wrote last.
                while self.read(Instant::now() + Duration::from_millis(20))? {}
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(Error::internal("the program on the terminal does not end"));
            }
            if !self.read(Instant::now() + Duration::from_millis(50))? {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Leaves out what only a terminal understands where standard output is none: a log must be readable.
#[derive(Default)]
struct Plain {
    /// Inside an escape sequence.
    escaped: bool,
}

impl Plain {
    fn show(&mut self, text: &str) -> String {
        use std::io::IsTerminal;
        if std::io::stdout().is_terminal() {
            return text.to_owned();
        }
        let mut shown = String::with_capacity(text.len());
        for letter in text.chars() {
            match letter {
                '\u{1b}' => self.escaped = true,
                // A sequence begins with `[` and ends with a letter.
                letter if self.escaped => self.escaped = !letter.is_ascii_alphabetic(),
                // Progress is written over and over on one line.
                '\r' => shown.push('\n'),
                letter => shown.push(letter),
            }
        }
        shown.replace("\n\n", "\n")
    }
}

/// The hidden verb: a session of its own with standard input as its terminal, then this program with `words`.
pub fn on_terminal(words: &[std::ffi::OsString]) -> Error {
    use std::os::unix::process::CommandExt;
    let ready = rustix::process::setsid()
        .doing("start a session")
        .and_then(|_| {
            rustix::process::ioctl_tiocsctty(std::io::stdin()).doing("take the terminal")
        });
    if let Err(error) = ready {
        return error;
    }
    match std::env::current_exe() {
        Ok(program) => Error::system(
            "execute the own program",
            Command::new(program).args(words).exec(),
        ),
        Err(error) => Error::system("find the own program", error),
    }
}
