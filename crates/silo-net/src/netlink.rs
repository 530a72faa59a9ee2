//! The netlink socket: sends a batch with one system call, reads the answers, keeps the kernel's words on a refusal.
//!
//! Used by `link` and `nft`. The kernel carries out requests inside send(2) and has queued its answers when that returns,
//! so nothing here ever waits.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use silo_types::{Error, Result};

use crate::message::{self, Batch, DUMP_INTERRUPTED, Finished, Message};

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_CAPPED`: the answer holds only the header of the request.
const CAPPED: u16 = 0x100;
/// `NLMSGERR_ATTR_MSG`
const ATTR_TEXT: u16 = 1;
/// The kernel fills at most 32 KiB per datagram of a list (`netlink_dump` in net/netlink/af_netlink.c).
const LIST_BUFFER: usize = 32 * 1024;
/// An answer to one request: a link without its statistics is under 4 KiB, a refusal repeats its request.
const ANSWER_BUFFER: usize = 8 * 1024;
/// How often a list that changed while it was read is read anew.
const DUMP_ATTEMPTS: u32 = 5;

/// A request that the kernel refused: what it was, which error, and the kernel's own text if it gave one.
#[derive(Debug)]
pub struct Refusal {
    pub errno: Errno,
    doing: String,
    text: Option<String>,
}

impl Refusal {
    fn new(errno: Errno, doing: impl Into<String>) -> Refusal {
        Refusal {
            errno,
            doing: doing.into(),
            text: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        match &self.text {
            Some(text) => write!(f, " (the kernel says: {})", text.trim_end_matches('.')),
            None => Ok(()),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let doing = match refusal.errno {
            Errno::PERM => format!("{refusal}, which needs CAP_NET_ADMIN"),
            _ => refusal.to_string(),
        };
        Error::system(doing, std::io::Error::from(refusal.errno))
    }
}

/// Either a refusal, whose error number the caller may look at, or a batch that could not be built.
#[derive(Debug)]
pub enum Failure {
    Refused(Refusal),
    Other(Error),
}

impl Failure {
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Failure::Refused(refusal) => Some(refusal.errno),
            Failure::Other(_) => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Other(error) => error,
        }
    }
}

/// A netlink socket of the network namespace in which it was opened, wherever its owner goes later.
pub struct Socket {
    fd: OwnedFd,
    next: u32,
}

impl Socket {
    /// For links, addresses and routes: rtnetlink(7).
    pub fn route() -> Result<Socket, Failure> {
        Socket::open(None, "open a route netlink socket")
    }

    /// For nf_tables.
    pub fn netfilter() -> Result<Socket, Failure> {
        let protocol = rustix::net::netlink::NETFILTER;
        Socket::open(Some(protocol), "open a netfilter netlink socket")
    }

    fn open(protocol: Option<Protocol>, doing: &str) -> Result<Socket, Failure> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(|errno| Refusal::new(errno, doing))?;
        // Only texts are lost where this is missing.
        let _ = silo_sys::netlink::enable_extended_acks(fd.as_fd());
        Ok(Socket { fd, next: 1 })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// An empty batch whose answers cannot be mistaken for those of an earlier one.
    pub fn batch(&mut self) -> Batch {
        Batch::new(self.next)
    }

    /// Carries out all requests; the first refusal is returned. rtnetlink goes on with the requests after a refused one.
    pub fn execute(&mut self, batch: Batch) -> Result<(), Failure> {
        let mut requests = self.finish(batch)?;
        requests.acknowledge_last();
        let last = requests.last();
        self.send(&requests)?;
        self.await_ack(&requests, last)
    }

    /// Carries out an nfnetlink batch (first and last request are its markers): all or nothing.
    pub fn execute_transaction(&mut self, batch: Batch) -> Result<(), Failure> {
        let mut requests = self.finish(batch)?;
        let acknowledged = requests.acknowledge_before_end();
        self.send(&requests)?;
        self.await_ack(&requests, acknowledged)
    }

    /// Sends one request for one object and hands the answer to `read`.
    pub fn query<T>(
        &mut self,
        batch: Batch,
        read: impl FnOnce(&Message<'_>) -> T,
    ) -> Result<T, Failure> {
        let requests = self.finish(batch)?;
        self.send(&requests)?;
        let mut buffer = [0; ANSWER_BUFFER];
        loop {
            let bytes = self.receive(&requests, &mut buffer)?;
            for message in message::messages(bytes) {
                if requests.doing(message.sequence).is_none() {
                    continue;
                }
                if message.kind == ERROR {
                    check_ack(&requests, &message)?;
                    continue;
                }
                return Ok(read(&message));
            }
        }
    }

    /// Lists objects: `request` appends the one request, `each` sees every object and returns what is kept of it. Repeated
    /// if the kernel says that the list changed meanwhile.
    pub fn dump<T>(
        &mut self,
        request: impl Fn(&mut Batch),
        each: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut found = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            let mut batch = self.batch();
            request(&mut batch);
            let requests = self.finish(batch)?;
            self.send(&requests)?;
            found.clear();
            if self.read_dump(&requests, |message| found.extend(each(message)))? {
                break;
            }
        }
        Ok(found)
    }

    /// Reads until the end of a list; false if it changed meanwhile.
    fn read_dump(
        &self,
        requests: &Finished,
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<bool, Failure> {
        let mut buffer = vec![0; LIST_BUFFER];
        let mut consistent = true;
        loop {
            let bytes = self.receive(requests, &mut buffer)?;
            for message in message::messages(bytes) {
                if requests.doing(message.sequence).is_none() {
                    continue;
                }
                consistent &= message.flags & DUMP_INTERRUPTED == 0;
                match message.kind {
                    DONE => return Ok(consistent),
                    ERROR => check_ack(requests, &message)?,
                    _ => each(&message),
                }
            }
        }
    }

    fn finish(&mut self, batch: Batch) -> Result<Finished, Failure> {
        self.next = self.next.wrapping_add(batch.requests());
        Ok(batch.finish()?)
    }

    fn send(&self, requests: &Finished) -> Result<(), Refusal> {
        // No address is needed: an unconnected netlink socket sends to the kernel.
        rustix::net::send(&self.fd, requests.bytes(), SendFlags::empty())
            .map_err(|errno| refuse(requests, requests.last(), errno))?;
        Ok(())
    }

    fn await_ack(&self, requests: &Finished, sequence: u32) -> Result<(), Failure> {
        let mut buffer = [0; ANSWER_BUFFER];
        loop {
            let bytes = self.receive(requests, &mut buffer)?;
            for message in message::messages(bytes) {
                let ours = requests.doing(message.sequence).is_some();
                if !ours || message.kind != ERROR {
                    continue;
                }
                check_ack(requests, &message)?;
                if message.sequence == sequence {
                    return Ok(());
                }
            }
        }
    }

    fn receive<'b>(&self, requests: &Finished, buffer: &'b mut [u8]) -> Result<&'b [u8], Refusal> {
        let (_, length) = rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::DONTWAIT)
            .map_err(|errno| refuse(requests, requests.last(), errno))?;
        Ok(&buffer[..length])
    }
}

/// `Ok` for an acknowledgement, the refusal otherwise.
fn check_ack(requests: &Finished, message: &Message<'_>) -> Result<(), Refusal> {
    let code = message::u32_at(message.body, 0).map_or(-1, |code| code as i32);
    if code == 0 {
        return Ok(());
    }
    let errno = Errno::from_raw_os_error(code.wrapping_neg());
    let mut refusal = refuse(requests, message.sequence, errno);
    refusal.text = extended_text(message);
    Err(refusal)
}

fn refuse(requests: &Finished, sequence: u32, errno: Errno) -> Refusal {
    Refusal::new(errno, requests.doing(sequence).unwrap_or("use netlink"))
}

/// The kernel's words: attributes after the error code and the request, of which a capped answer has the header only.
fn extended_text(message: &Message<'_>) -> Option<String> {
    let request = match message.flags & CAPPED {
        0 => message::u32_at(message.body, 4)? as usize,
        _ => 16,
    };
    message::attributes_after(
        message.body,
        request.checked_add(4)?.checked_next_multiple_of(4)?,
    )
    .find(|(kind, _)| *kind == ATTR_TEXT)
    .map(|(_, value)| message::text(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let mut socket = Socket::route().unwrap();
        let mut batch = socket.batch();
        // RTM_NEWADDR to an interface that does not exist
        batch.begin(20, 0, "give nothing an address");
        batch.body(&[2, 24, 0, 0, 0xff, 0xff, 0xff, 0x7f]);
        batch.attr(2, &[127, 1, 2, 3]);
        let failure = socket.execute(batch).unwrap_err();
        assert_eq!(failure.errno(), Some(Errno::NODEV));
        let text = Error::from(failure).to_string();
        assert!(text.starts_with("give nothing an address"), "{text}");
    }

    proptest! {
        #[test]
        fn any_error_message_is_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200), flags in any::<u16>()) {
            let message = Message { kind: ERROR, flags, sequence: 1, body: &body };
            let _ = extended_text(&message);
        }
    }
}
