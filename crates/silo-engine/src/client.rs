//! A command's side of the conversation with a monitor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect,
        recv, send, socket_with,
    },
};
use silo_types::{ContainerId, Doing, Error, Result};

use crate::{
    container::Container,
    paths::Paths,
    protocol::{
        CHUNK, Exit, FromMonitor, LONGEST, Reply, Request, packet, packet_json, parse_monitor,
    },
};

/// A connection to a container's monitor.
#[derive(Debug)]
pub struct Connection(OwnedFd);

/// The name of a control socket. A path in a sockaddr has 108 bytes: the folder is given by descriptor, whatever its length.
pub(crate) struct Address {
    pub(crate) name: SocketAddrUnix,
    _folder: OwnedFd,
}

pub(crate) fn address(paths: &Paths, id: &ContainerId) -> Result<Address> {
    use std::os::fd::AsRawFd;
    let folder = rustix::fs::open(
        paths.run.as_path(),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing_with(|| format!("open {}", paths.run.display()))?;
    let path = format!("/proc/self/fd/{}/{id}", folder.as_raw_fd());
    Ok(Address {
        name: SocketAddrUnix::new(path).doing("name the control socket")?,
        _folder: folder,
    })
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Connection {
        Connection(socket)
    }

    /// Connects to the monitor; Conflict when there is none.
    pub(crate) fn open(paths: &Paths, container: &Container) -> Result<Connection> {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .doing("make a socket")?;
        let address = address(paths, container.id())?;
        match connect(&socket, &address.name) {
            Ok(()) => Ok(Connection(socket)),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Err(Error::conflict(format!(
                "container {} is not running",
                container.name()
            ))),
            Err(e) => Err(Error::system(
                format!("reach the monitor of {}", container.name()),
                e,
            )),
        }
    }

    pub fn request(&self, request: &Request) -> Result<()> {
        self.send(&packet_json(b'Q', request))
    }

    /// Standard input of the container, in pieces.
    pub fn input(&self, bytes: &[u8]) -> Result<()> {
        bytes
            .chunks(CHUNK)
            .try_for_each(|chunk| self.send(&packet(b'i', chunk)))
    }

    pub fn end_input(&self) -> Result<()> {
        self.send(&packet(b'e', &[]))
    }

    fn send(&self, packet: &[u8]) -> Result<()> {
        loop {
            match send(&self.0, packet, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::system("speak to the monitor", e)),
            }
        }
    }

    /// The next message; `None` when the monitor has gone.
    pub fn receive(&self) -> Result<Option<FromMonitor>> {
        let mut buffer = vec![0u8; LONGEST];
        let got = loop {
            match recv(&self.0, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((got, _)) => break got,
                // Reset: it left without reading all of ours, and is told before what it said last; then comes 0.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(e) => return Err(Error::system("hear the monitor", e)),
            }
        };
        match buffer.get(..got) {
            Some(bytes) if !bytes.is_empty() => parse_monitor(bytes).map(Some),
            _ => Ok(None),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&self, request: &Request) -> Result<()> {
        self.request(request)?;
        self.answer()
    }

    pub(crate) fn answer(&self) -> Result<()> {
        loop {
            match self.receive()? {
                Some(FromMonitor::Reply(reply)) => return Reply::into_result(reply),
                // The container ended before the monitor could answer.
                Some(FromMonitor::Exit(_)) | None => {
                    return Err(Error::conflict("the container is not running any more"));
                }
                Some(_) => {}
            }
        }
    }

    /// Waits for the end of the main process.
    pub(crate) fn exit(&self) -> Result<Option<Exit>> {
        loop {
            match self.receive()? {
                Some(FromMonitor::Exit(exit)) => return Ok(Some(exit)),
                None => return Ok(None),
                Some(_) => {}
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
