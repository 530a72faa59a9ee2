//! The conversation between the process that makes a container and its first process.
//!
//! One sequenced-packet socket pair; a packet is a message. Its end is a message too: the child's side closes on a successful
//! exec, the parent's when the parent dies.
//!
//! ```text
//! parent                         child
//!   clone ────────────────────────▶ waits, if a service manager makes its control groups
//!   Placed ───────────────────────▶ control groups, namespaces
//!         ◀─────────────────────── Moved, if a process ahead of it made them: see `passage`
//!         ◀─────────────────────── NetworkReady, if the parent connects it; then root, mounts
//!   Connected ────────────────────▶ address, route
//!         ◀─────────────────────── MapIds, for each of the container's own trees that only the host's root can map
//!   IdsMapped ────────────────────▶
//!         ◀─────────────────────── Mounted, if hooks come before the root is entered
//!   HooksDone ────────────────────▶ hooks of its own, the root
//!         ◀─────────────────────── Terminal (with the descriptor), Ready
//!   Go ───────────────────────────▶ user, capabilities, seccomp, exec
//!     or Detach ──────────────────▶ waits for Go from another process, see `door`
//!         ◀─────────────────────── end of file: the program runs · Failed: why not
//! ```

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use silo_types::{Doing, Error, Kind, Result};

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// A packet.
#[derive(Debug)]
pub(crate) enum Message {
    /// To the parent: the first process is this one, with its pidfd; the one that speaks ends.
    Moved(i32, OwnedFd),
    /// To the child: it is in its control groups.
    Placed,
    /// To the parent: the network namespace exists.
    NetworkReady,
    /// To the child: the network is connected from outside.
    Connected,
    /// To the parent: these trees are to have their ids mapped as in this user namespace; and all below it.
    MapIds(OwnedFd, OwnedFd, bool),
    /// To the child: they are.
    IdsMapped,
    /// To the parent: all is mounted and the host's tree still there; waits for [`Message::HooksDone`].
    Mounted,
    /// To the child: the parent's hooks have run.
    HooksDone,
    /// To the child: execute the program.
    Go,
    /// To the child: the parent ends; another process will say [`Message::Go`].
    Detach,
    /// To the parent: everything is made; waits for [`Message::Go`].
    Ready,
    /// To the parent: the master of the container's terminal.
    Terminal(OwnedFd),
    /// To the parent: it ends here; to the child: what it asked for cannot be.
    Failed(Error),
}

const LONGEST: usize = 8192;

/// Kinds that can cross the channel, by their place.
const KINDS: [Kind; 8] = [
    Kind::Invalid,
    Kind::NotFound,
    Kind::Conflict,
    Kind::Unsupported,
    Kind::CommandNotFound,
    Kind::CommandNotExecutable,
    Kind::System,
    Kind::Internal,
];

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Channel {
        Channel(socket)
    }
}

impl Channel {
    /// Both ends: the parent's and the child's.
    pub(crate) fn pair() -> Result<(Channel, Channel)> {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .doing("make a socket pair")?;
        Ok((Channel(one), Channel(other)))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        let mut packet = Vec::new();
        let mut passed: Vec<BorrowedFd<'_>> = Vec::new();
        match message {
            Message::Moved(pid, pidfd) => {
                packet.push(b'P');
                packet.extend(pid.to_ne_bytes());
                passed.push(pidfd.as_fd());
            }
            Message::Placed => packet.push(b'L'),
            Message::NetworkReady => packet.push(b'N'),
            Message::Connected => packet.push(b'C'),
            Message::MapIds(tree, space, recursive) => {
                packet.extend([b'I', u8::from(*recursive)]);
                passed.extend([tree.as_fd(), space.as_fd()]);
            }
            Message::IdsMapped => packet.push(b'O'),
            Message::Mounted => packet.push(b'M'),
            Message::HooksDone => packet.push(b'H'),
            Message::Go => packet.push(b'G'),
            Message::Detach => packet.push(b'D'),
            Message::Ready => packet.push(b'R'),
            Message::Terminal(master) => {
                packet.push(b'T');
                passed.push(master.as_fd());
            }
            Message::Failed(error) => {
                let kind = KINDS.iter().position(|k| *k == error.kind()).unwrap_or(7);
                packet.extend([b'F', kind as u8]);
                packet.extend(error.to_string().bytes().take(LONGEST - 2));
            }
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !passed.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&passed));
        }
        sendmsg(
            &self.0,
            &[IoSlice::new(&packet)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .doing("speak to the other side")?;
        Ok(())
    }

    /// The next message; `None` when the other end is closed.
    pub(crate) fn receive(&self) -> Result<Option<Message>> {
        let mut packet = [0u8; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            match recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut packet)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(got) => break got.bytes,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => break 0,
                Err(error) => return Err(Error::system("hear the other side", error)),
            }
        };
        let message = match packet.get(..got).unwrap_or_default() {
            [] => return Ok(None),
            [b'P', pid @ ..] => Message::Moved(
                pid.try_into()
                    .map(i32::from_ne_bytes)
                    .map_err(|_| Error::internal("bad message on the start channel"))?,
                passed_descriptor(&mut control)?,
            ),
            b"L" => Message::Placed,
            b"N" => Message::NetworkReady,
            b"C" => Message::Connected,
            [b'I', recursive] => {
                let [tree, space] = passed_descriptors(&mut control)?;
                Message::MapIds(tree, space, *recursive != 0)
            }
            b"O" => Message::IdsMapped,
            b"M" => Message::Mounted,
            b"H" => Message::HooksDone,
            b"G" => Message::Go,
            b"D" => Message::Detach,
            b"R" => Message::Ready,
            b"T" => Message::Terminal(passed_descriptor(&mut control)?),
            [b'F', kind, text @ ..] => Message::Failed(Error::new(
                KINDS
                    .get(usize::from(*kind))
                    .copied()
                    .unwrap_or(Kind::Internal),
                String::from_utf8_lossy(text),
            )),
            _ => return Err(Error::internal("unknown message on the start channel")),
        };
        Ok(Some(message))
    }
}

fn passed_descriptor(control: &mut RecvAncillaryBuffer<'_>) -> Result<OwnedFd> {
    passed_descriptors(control).map(|[one]| one)
}

fn passed_descriptors<const COUNT: usize>(
    control: &mut RecvAncillaryBuffer<'_>,
) -> Result<[OwnedFd; COUNT]> {
    let passed: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let missing = |_| Error::internal("a descriptor did not arrive");
    passed.try_into().map_err(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_cross_whole() {
        let (parent, child) = Channel::pair().unwrap();
        let error = Error::new(Kind::CommandNotFound, "exec: \"x\": not found");
        child.send(&Message::Failed(error)).unwrap();
        drop(child);
        match parent.receive().unwrap() {
            Some(Message::Failed(error)) => {
                assert_eq!(error.kind(), Kind::CommandNotFound);
                assert_eq!(error.to_string(), "exec: \"x\": not found");
            }
            other => panic!("{other:?}"),
        }
        assert!(parent.receive().unwrap().is_none());
    }

    #[test]
    fn descriptors_cross() {
        let (parent, child) = Channel::pair().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        child.send(&Message::Terminal(writer)).unwrap();
        let Some(Message::Terminal(writer)) = parent.receive().unwrap() else {
            panic!("no terminal");
        };
        rustix::io::write(&writer, b"x").unwrap();
        let mut byte = [0u8; 1];
        assert_eq!(rustix::io::read(&reader, &mut byte).unwrap(), 1);
        let (one, other) = rustix::pipe::pipe().unwrap();
        child.send(&Message::MapIds(one, other, true)).unwrap();
        let Some(Message::MapIds(one, other, true)) = parent.receive().unwrap() else {
            panic!("no trees");
        };
        rustix::io::write(&other, b"x").unwrap();
        assert_eq!(rustix::io::read(&one, &mut byte).unwrap(), 1);
    }
}
