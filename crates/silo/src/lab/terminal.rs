//! A terminal for a program of a lab: a pty whose master is read and typed into, and what appeared on it.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::process::ExitStatusExt,
    process::{Child, Command},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use silo_types::{Doing, Error, Result};

use super::vt::Vt;

/// The hidden verb that makes its standard input the controlling terminal and executes the rest of its words.
pub const ON_TERMINAL: &str = "__on-terminal";

/// What runs the learner's commands on the host: their own shell, not a helper of Silo's.
const SHELL: &str = "/bin/sh";

/// Read at once.
const CHUNK: usize = 16 * 1024;

/// A program on a terminal of its own.
pub struct Session {
    child: Child,
    master: File,
    pub vt: Vt,
    exit: Option<i32>,
}

impl Session {
    /// Starts a shell with `script` on a terminal of `size`; `variables` are added to its environment.
    pub fn start(script: &str, size: (u16, u16), variables: &[(&str, &str)]) -> Result<Session> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .doing("open a terminal")?;
        grantpt(&master).doing("grant the terminal")?;
        unlockpt(&master).doing("unlock the terminal")?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags).doing("open the terminal's other end")?;
        tcsetwinsize(&master, winsize(size)).doing("set the terminal's size")?;
        let copy = |fd: &OwnedFd| fd.try_clone().doing("copy the terminal");
        let program = std::env::current_exe().doing("find the own program")?;
        let child = Command::new(program)
            .arg(ON_TERMINAL)
            .args([SHELL, "-c", script])
            .envs(variables.iter().copied())
            .stdin(copy(&slave)?)
            .stdout(copy(&slave)?)
            .stderr(slave)
            .spawn()
            .doing("start a program on the terminal")?;
        let flags = fcntl_getfl(&master).doing("look at the terminal")?;
        fcntl_setfl(&master, flags | OFlags::NONBLOCK).doing("make the terminal non-blocking")?;
        Ok(Session {
            child,
            master: File::from(master),
            vt: Vt::new(size),
            exit: None,
        })
    }

    /// Types. What the program does not take at once is lost, as on a terminal whose program hangs.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self.master.write(bytes) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock || e.raw_os_error() == Some(5) => {
                Ok(())
            }
            Err(e) => Err(Error::system("type on the terminal", e)),
        }
    }

    pub fn resize(&mut self, size: (u16, u16)) {
        self.vt.resize(size);
        // The program may have gone.
        let _ = tcsetwinsize(&self.master, winsize(size));
    }

    /// Takes in what is there, without waiting; true when something came.
    pub fn pump(&mut self) -> Result<bool> {
        let mut came = false;
        let mut buffer = [0u8; CHUNK];
        // The end is looked for first: what was written before it is then read whole.
        if self.exit.is_none()
            && let Some(status) = self.child.try_wait().doing("wait for the program")?
        {
            self.exit = Some(
                status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            );
            came = true;
        }
        // EIO: the last one on the other side has gone.
        while let Ok(got @ 1..) = self.master.read(&mut buffer) {
            self.vt.write(&buffer[..got]);
            came = true;
            if got < CHUNK && self.exit.is_none() {
                break;
            }
        }
        Ok(came)
    }

    /// How it ended; none while it runs.
    pub fn exit(&self) -> Option<i32> {
        self.exit
    }

    /// For poll(2).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // All that the shell has started and not put elsewhere; a process that was waited for has given its number away.
        if self.exit.is_none() {
            let group = rustix::process::Pid::from_child(&self.child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn winsize((rows, columns): (u16, u16)) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// The hidden verb: a session of its own with standard input as its terminal, then `words`: an absolute path, or this program's.
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
    // Who started it may hold signals back for itself.
    silo_sys::signal::unblock_all();
    let program = match words.first() {
        Some(word) if word.as_encoded_bytes().starts_with(b"/") => Ok((word.into(), &words[1..])),
        _ => std::env::current_exe().map(|own| (own, words)),
    };
    match program {
        Ok((program, words)) => Error::system(
            format!("execute {}", program.display()),
            Command::new(&program).args(words).exec(),
        ),
        Err(error) => Error::system("find the own program", error),
    }
}
