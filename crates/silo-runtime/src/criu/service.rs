//! CRIU as a process that serves one request over a socket (`criu swrk`), the one other program that the runtime starts: CRIU is no
//! library.
//!
//! ```text
//! silo                     child
//!   fork ──────────────────▶ waits
//!   places it, says go ────▶ namespaces and stage of a restore, if it is one
//!           ◀─────────────── prepared, or why not; exec criu
//!   request ───────────────▶
//!           ◀─────────────── notifications, each answered
//!           ◀─────────────── the answer; it ends
//! ```

use std::{
    ffi::CString,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    io::{Errno, FdFlags},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
    pipe::{PipeFlags, pipe_with},
};
use silo_sys::exec;
use silo_types::{Doing, Error, Kind, Result};

use super::protobuf::{Answer, Message, NOTIFY};
use crate::create::reap;

/// Descriptors that CRIU is given keep their numbers, which must not be those of the socket and the standard streams.
const ABOVE: i32 = 10;
const SOCKET: &str = "3";
const LONGEST: usize = 1 << 16;
/// First bytes of what the child says before it is CRIU, whose messages begin with another.
const PREPARED: u8 = 0;
const FAILED: u8 = 1;

/// What a CRIU does that nobody listens to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forsaken {
    /// It takes back what it did and lets go of the container: killed, it would leave code of its own in it.
    GivesUp,
    /// It is killed, and what it made is found by its control group.
    Dies,
}

/// CRIU, waiting for its one request.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) pid: i32,
    /// `None`: it has heard that nobody listens.
    socket: Option<OwnedFd>,
    /// Closed unsaid: it ends.
    go: Option<OwnedFd>,
    forsaken: Forsaken,
}

/// The program `criu`.
///
/// Errors: Unsupported when it is not installed.
pub(super) fn program() -> Result<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let folders = path.split(':').chain(usual.split(':'));
    let mut found = folders.map(|folder| Path::new(folder).join("criu"));
    let is_program = |path: &PathBuf| {
        let facts = std::fs::metadata(path);
        facts.is_ok_and(|f| f.is_file() && f.permissions().mode() & 0o111 != 0)
    };
    found.find(|path| path.is_absolute() && is_program(path)).ok_or_else(|| {
        Error::unsupported(
            "criu is not installed, which alone can keep a running container: install it (criu.org), for instance by 'apt-get install criu'",
        )
    })
}

/// A descriptor for CRIU, under a number that it keeps there.
pub(super) fn lend(fd: impl AsFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, ABOVE).doing("lend a descriptor to criu")
}

impl Service {
    /// Starts it; `prepare` runs in it when it is told to go on, before it is CRIU.
    pub(super) fn start(
        lent: &[&OwnedFd],
        forsaken: Forsaken,
        prepare: impl FnOnce() -> Result<()>,
    ) -> Result<Service> {
        let path = program()?;
        let bad = "a word for criu holds a NUL character";
        let path = path.to_string_lossy().into_owned();
        let program = CString::new(path.as_str()).doing(bad)?;
        let words = exec::Words::new([path.as_str(), "swrk", SOCKET]).doing(bad)?;
        let env = exec::Words::from_os(std::env::vars_os().map(|(name, value)| {
            let mut variable = name;
            variable.push("=");
            variable.push(value);
            variable
        }))
        .doing(bad)?;
        let (socket, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .doing("make a socket pair for criu")?;
        let theirs = lend(theirs)?;
        let (waits, go) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe for criu")?;
        let pid = silo_sys::process::fork().doing("fork criu")?;
        if pid == 0 {
            drop(go);
            drop(socket);
            let ready = || -> Result<()> {
                if rustix::io::read(&waits, &mut [0u8; 1]) != Ok(1) {
                    silo_sys::process::exit_now(1);
                }
                if forsaken == Forsaken::GivesUp {
                    // Keys of the caller's terminal are not for it: it must not die while it is in a container.
                    rustix::process::setsid().doing("start a session for criu")?;
                }
                prepare()?;
                for fd in lent {
                    rustix::io::fcntl_setfd(fd, FdFlags::empty()).doing("lend a descriptor")?;
                }
                exec::reset_signals();
                tell(&theirs, PREPARED, "");
                become_third(&theirs, lent)
            };
            let why = match ready() {
                Ok(()) => Error::system("exec criu", exec::execve(&program, &words, &env)),
                Err(error) => error,
            };
            tell(&theirs, FAILED, &why.to_string());
            silo_sys::process::exit_now(127);
        }
        Ok(Service {
            pid,
            socket: Some(socket),
            go: Some(go),
            forsaken,
        })
    }

    /// One request, and its answer; `noticed` hears of each notification.
    ///
    /// Errors: what its preparation said; System when it ends without an answer.
    pub(super) fn ask(
        &mut self,
        request: &Message,
        mut noticed: impl FnMut(&Answer, Option<OwnedFd>) -> Result<()>,
    ) -> Result<Answer> {
        if let Some(go) = self.go.take() {
            rustix::io::write(&go, b"x").doing("let criu go on")?;
            // It is not CRIU yet.
            self.receive()?;
        }
        self.send(request)?;
        loop {
            let (packet, passed) = self.receive()?;
            let answer = Answer::decode(&packet)
                .ok_or_else(|| Error::internal("criu's answer is malformed"))?;
            if answer.kind != NOTIFY {
                return Ok(answer);
            }
            noticed(&answer, passed)?;
            let mut reply = Message::default();
            reply.number(1, NOTIFY);
            reply.switch(3, true);
            self.send(&reply)?;
        }
    }

    fn socket(&self) -> Result<&OwnedFd> {
        let socket = self.socket.as_ref();
        socket.ok_or_else(|| Error::internal("criu is not listened to"))
    }

    fn send(&self, message: &Message) -> Result<()> {
        sendmsg(
            self.socket()?,
            &[IoSlice::new(message.bytes())],
            &mut SendAncillaryBuffer::default(),
            SendFlags::NOSIGNAL,
        )
        .doing("ask criu")
        .map(drop)
    }

    /// A packet and the descriptor that came with it.
    fn receive(&self) -> Result<(Vec<u8>, Option<OwnedFd>)> {
        let mut packet = vec![0u8; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = loop {
            let mut room = [IoSliceMut::new(&mut packet)];
            match recvmsg(self.socket()?, &mut room, &mut control, flags) {
                Ok(got) => break got.bytes,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => break 0,
                Err(error) => return Err(Error::system("hear criu", error)),
            }
        };
        packet.truncate(got);
        let mut passed = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                passed = fds.next().or(passed);
            }
        }
        match packet.first() {
            None => Err(Error::internal("criu ended without an answer")),
            Some(&FAILED) => Err(Error::new(
                Kind::System,
                String::from_utf8_lossy(&packet[1..]).into_owned(),
            )),
            Some(_) => Ok((packet, passed)),
        }
    }
}

/// From the child to who forked it.
fn tell(socket: &OwnedFd, kind: u8, text: &str) {
    let _ = sendmsg(
        socket,
        &[IoSlice::new(&[kind]), IoSlice::new(text.as_bytes())],
        &mut SendAncillaryBuffer::default(),
        SendFlags::NOSIGNAL,
    );
}

/// The number that CRIU is told, without close-on-exec.
fn become_third(socket: &OwnedFd, lent: &[&OwnedFd]) -> Result<()> {
    let mut kept: Vec<i32> = lent.iter().map(|fd| fd.as_raw_fd()).collect();
    kept.push(socket.as_raw_fd());
    kept.sort_unstable();
    // Whatever else the caller has there is not CRIU's.
    exec::close_others(&kept).doing("close what is not criu's")?;
    let copy = rustix::io::fcntl_dupfd_cloexec(socket, 3).doing("hand the socket to criu")?;
    match copy.as_raw_fd() {
        3 => {
            rustix::io::fcntl_setfd(&copy, FdFlags::empty()).doing("hand the socket to criu")?;
            let _ = copy.into_raw_fd();
            Ok(())
        }
        other => Err(Error::internal(format!(
            "descriptor 3 is taken, {other} is free"
        ))),
    }
}

/// Nothing of it outlives the command.
impl Drop for Service {
    fn drop(&mut self) {
        drop(self.go.take());
        drop(self.socket.take());
        if let (Forsaken::Dies, Some(pid)) =
            (self.forsaken, rustix::process::Pid::from_raw(self.pid))
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        reap(self.pid);
    }
}
