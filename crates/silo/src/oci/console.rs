//! What a caller gets handed over: the container's terminal through a socket, the pid in a file.

use std::{
    fs,
    io::{ErrorKind, IoSlice, IsTerminal, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
        SocketFlags, SocketType, connect, sendmsg, socket_with,
    },
};
use silo_types::{Doing, Error, Result};

use super::options::Words;
use crate::terminal;

/// Whether a terminal is asked for and somebody is there to have it.
///
/// Errors: in runc's words, when a detached process would have a terminal that nobody holds, or a socket has no use.
pub fn check(words: &Words, terminal: bool, detached: bool) -> Result<Option<&str>> {
    let socket = words.get("console-socket").filter(|path| !path.is_empty());
    match (terminal, detached, socket) {
        (true, true, None) => Err(Error::invalid(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (false, _, Some(_)) | (_, false, Some(_)) => Err(Error::invalid(
            "cannot use console socket if runc will not detach or allocate tty",
        )),
        _ => Ok(socket),
    }
}

/// Whether what a terminal prints goes to another terminal: else its reader wants lines as programs write them.
pub fn is_screen() -> bool {
    terminal::stdin_is_terminal() && std::io::stdout().is_terminal()
}

/// Sends the master of a terminal to who listens on `socket`.
pub fn send(socket: &str, master: &OwnedFd) -> Result<()> {
    send_named(socket, master.as_fd(), "/dev/ptmx", "terminal")
}

/// Sends a pidfd of the process to who listens on `--pidfd-socket`, if that is given.
pub fn send_pidfd(words: &Words, pidfd: BorrowedFd<'_>, kind: &str) -> Result<()> {
    match words.get("pidfd-socket").filter(|path| !path.is_empty()) {
        Some(socket) => send_named(socket, pidfd, kind, "pidfd"),
        None => Ok(()),
    }
}

/// A descriptor with the name that runc's readers expect.
fn send_named(socket: &str, passed: BorrowedFd<'_>, name: &str, what: &str) -> Result<()> {
    let doing = || format!("send the {what} to {socket}");
    let stream = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .doing_with(doing)?;
    // By descriptor: the path may be longer than a socket's name can be.
    let path = Path::new(socket);
    let (folder, file) = (path.parent(), path.file_name());
    let (Some(folder), Some(file)) = (folder, file) else {
        return Err(Error::invalid(format!("{socket:?} names no socket")));
    };
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .doing_with(doing)?;
    let path = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(file);
    let address = SocketAddrUnix::new(path).doing_with(doing)?;
    connect(&stream, &address).doing_with(doing)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let passed = [passed];
    control.push(SendAncillaryMessage::ScmRights(&passed));
    let name = [IoSlice::new(name.as_bytes())];
    sendmsg(&stream, &name, &mut control, SendFlags::NOSIGNAL)
        .doing_with(doing)
        .map(drop)
}

/// Writes the pid for whoever waits for the file: it is there whole or not at all. Who else can write to its folder may have put a
/// link there, which is replaced and not followed.
pub fn write_pid(words: &Words, pid: i32) -> Result<()> {
    let Some(path) = words.get("pid-file").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = Path::new(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}"));
    let written = || {
        match fs::remove_file(&fresh) {
            // Of a command that was killed here.
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs::File::create_new(&fresh)?.write_all(pid.to_string().as_bytes())?;
        fs::rename(&fresh, path)
    };
    written().doing_with(|| format!("write the pid file {}", path.display()))
}
