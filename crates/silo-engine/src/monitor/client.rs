//! One connection to the monitor: what it may hear, and what still has to be sent to it.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags},
};

use crate::protocol::{FromClient, LONGEST, parse_client};

/// A client of the monitor.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    queue: VecDeque<Vec<u8>>,
    /// Gets output.
    pub(crate) attached: bool,
    /// Its input goes to the container.
    pub(crate) input: bool,
    /// Is told when the main process has ended.
    pub(crate) waits_for_exit: bool,
    /// Is told when the start has succeeded or failed.
    pub(crate) waits_for_start: bool,
    /// Closed or broken: to be dropped.
    pub(crate) gone: bool,
}

impl Client {
    /// The process on the other end, and its user, when it connected: SO_PEERCRED, unix(7).
    pub(crate) fn peer(&self) -> Option<(i32, u32)> {
        let peer = rustix::net::sockopt::socket_peercred(&self.socket).ok()?;
        Some((peer.pid.as_raw_nonzero().get(), peer.uid.as_raw()))
    }

    pub(crate) fn new(socket: OwnedFd) -> Client {
        Client {
            socket,
            queue: VecDeque::new(),
            attached: false,
            input: false,
            waits_for_exit: false,
            waits_for_start: false,
            gone: false,
        }
    }

    /// Sends now or keeps for later; the order is kept.
    pub(crate) fn send(&mut self, packet: Vec<u8>) {
        if !self.queue.is_empty() || !self.try_send(&packet) {
            self.queue.push_back(packet);
        }
    }

    pub(crate) fn flush(&mut self) {
        while let Some(packet) = self.queue.pop_front() {
            if !self.try_send(&packet) {
                self.queue.push_front(packet);
                return;
            }
        }
        self.queue.shrink_to_fit();
    }

    /// False when the socket is full.
    fn try_send(&mut self, packet: &[u8]) -> bool {
        if self.gone {
            return true;
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match rustix::net::send(&self.socket, packet, flags) {
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => {
                    self.gone = true;
                    return true;
                }
            }
        }
    }

    /// Something still waits to be sent: the container's output is held back meanwhile.
    pub(crate) fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next packet; `None` when there is none now. A client that closed or spoke nonsense is marked gone.
    pub(crate) fn receive(&mut self) -> Option<FromClient> {
        let mut packet = vec![0u8; LONGEST];
        let got = loop {
            match rustix::net::recv(&self.socket, packet.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((got, _)) => break got,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                Err(_) => break 0,
            }
        };
        let parsed = match packet.get(..got) {
            Some(bytes) if !bytes.is_empty() => parse_client(bytes).ok(),
            _ => None,
        };
        if parsed.is_none() {
            self.gone = true;
        }
        parsed
    }

    /// Waits until everything is sent, at most a second: the monitor's last words.
    pub(crate) fn finish(mut self) {
        for _ in 0..20 {
            self.flush();
            if self.gone || self.queue.is_empty() {
                return;
            }
            let mut fds = [rustix::event::PollFd::new(
                &self.socket,
                rustix::event::PollFlags::OUT,
            )];
            let pause = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 50_000_000,
            };
            let _ = rustix::event::poll(&mut fds, Some(&pause));
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
