//! The shell's descriptor table. Redirections change this table, never the process's real descriptors: a builtin writes
//! to the table's entry, and a child gets the entries as its descriptors 0, 1, 2, …

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::rc::Rc;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

#[derive(Clone, Debug)]
enum Entry {
    /// The shell's own descriptor 0, 1 or 2.
    Own(i32),
    Open(Rc<OwnedFd>),
    Closed,
}

#[derive(Clone, Debug)]
pub struct Fds(BTreeMap<i32, Entry>);

impl Default for Fds {
    fn default() -> Self {
        Self((0..3).map(|n| (n, Entry::Own(n))).collect())
    }
}

impl Fds {
    pub fn set(&mut self, fd: i32, file: OwnedFd) {
        self.0.insert(fd, Entry::Open(Rc::new(file)));
    }

    pub fn close(&mut self, fd: i32) {
        self.0.insert(fd, Entry::Closed);
    }

    /// `to>&from`.
    ///
    /// # Errors
    /// When `from` is not open.
    pub fn duplicate(&mut self, from: i32, to: i32) -> io::Result<()> {
        let entry = match self.0.get(&from) {
            Some(Entry::Closed) => return Err(rustix::io::Errno::BADF.into()),
            Some(entry) => entry.clone(),
            None => Entry::Open(Rc::new(inherited(from)?)),
        };
        self.0.insert(to, entry);
        Ok(())
    }

    /// Runs `work` with a borrowed descriptor.
    fn with<T>(&self, fd: i32, work: impl FnOnce(BorrowedFd) -> io::Result<T>) -> io::Result<T> {
        match self.0.get(&fd) {
            Some(Entry::Own(0)) => work(io::stdin().as_fd()),
            Some(Entry::Own(1)) => work(io::stdout().as_fd()),
            Some(Entry::Own(_)) => work(io::stderr().as_fd()),
            Some(Entry::Open(file)) => work(file.as_fd()),
            Some(Entry::Closed) | None => Err(rustix::io::Errno::BADF.into()),
        }
    }

    /// Writes all of `data` without buffering.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&self, fd: i32, data: &[u8]) -> io::Result<()> {
        self.with(fd, |f| {
            let mut rest = data;
            while !rest.is_empty() {
                match rustix::io::write(f, rest) {
                    Ok(n) => rest = &rest[n..],
                    Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Ok(())
        })
    }

    /// Reads one byte, so that nothing is taken from a program that reads next; `None` at the end.
    ///
    /// # Errors
    /// As read(2); `Interrupted` is passed on.
    pub fn read_byte(&self, fd: i32) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let n = self.with(fd, |f| Ok(rustix::io::read(f, &mut byte)?))?;
        Ok((n > 0).then_some(byte[0]))
    }

    pub fn is_terminal(&self, fd: i32) -> bool {
        self.with(fd, |f| Ok(rustix::termios::isatty(f)))
            .unwrap_or(false)
    }

    fn stdio(&self, fd: i32) -> io::Result<Stdio> {
        match self.0.get(&fd) {
            Some(Entry::Own(n)) if *n == fd => Ok(Stdio::inherit()),
            Some(Entry::Closed) | None => Ok(Stdio::null()),
            Some(_) => self.with(fd, |f| Ok(f.try_clone_to_owned()?.into())),
        }
    }

    /// Gives the table to a child-to-be.
    ///
    /// # Errors
    /// When no further descriptor can be opened.
    pub fn give_to(&self, command: &mut Command) -> io::Result<()> {
        command
            .stdin(self.stdio(0)?)
            .stdout(self.stdio(1)?)
            .stderr(self.stdio(2)?);
        let mut extra = Vec::new();
        for &child_fd in self.0.keys().filter(|&&n| n > 2) {
            if let Ok(parent_fd) = self.with(child_fd, |f| f.try_clone_to_owned()) {
                extra.push(FdMapping {
                    parent_fd,
                    child_fd,
                });
            }
        }
        if extra.is_empty() {
            return Ok(());
        }
        command.fd_mappings(extra).map_err(io::Error::other)?;
        Ok(())
    }

    /// A descriptor that holds `text`, for here-documents.
    ///
    /// # Errors
    /// As memfd_create(2).
    pub fn holding(text: &[u8]) -> io::Result<OwnedFd> {
        let mut file = File::from(rustix::fs::memfd_create(
            "here",
            rustix::fs::MemfdFlags::CLOEXEC,
        )?);
        file.write_all(text)?;
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
        Ok(file.into())
    }
}

/// A descriptor above 2 that the shell was started with (and that is not one of its own: those close on exec).
fn inherited(fd: i32) -> io::Result<OwnedFd> {
    let bad = || io::Error::from(rustix::io::Errno::BADF);
    let mut info = String::new();
    File::open(format!("/proc/self/fdinfo/{fd}"))
        .map_err(|_| bad())?
        .read_to_string(&mut info)?;
    let flags = info
        .lines()
        .find_map(|l| l.strip_prefix("flags:"))
        .ok_or_else(bad)?;
    let flags = u32::from_str_radix(flags.trim(), 8).map_err(|_| bad())?;
    if flags & rustix::fs::OFlags::CLOEXEC.bits() != 0 {
        return Err(bad());
    }
    let me = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty());
    match me.and_then(|me| rustix::process::pidfd_getfd(&me, fd, PidfdGetfdFlags::empty())) {
        Ok(copy) => Ok(copy),
        // seccomp profiles may forbid pidfd_getfd(2); opening anew loses only a regular file's offset.
        Err(_) => reopen(fd, flags),
    }
}

fn reopen(fd: i32, flags: u32) -> io::Result<OwnedFd> {
    let access = rustix::fs::OFlags::from_bits_truncate(flags & 3) | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(
        format!("/proc/self/fd/{fd}"),
        access,
        rustix::fs::Mode::empty(),
    )?)
}

/// Is this process the first of its pid namespace?
pub fn is_init() -> bool {
    rustix::process::getpid() == Pid::INIT
}
