//! The socket under `ping`: ICMP echo over IPv4, by a ping socket where the system allows it (net.ipv4.ping_group_range),
//! else by a raw socket (CAP_NET_RAW). See icmp(7), raw(7) and ip(7), IP_RECVERR.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with,
};

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const HEADER: usize = 8;

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Reply {
        from: Ipv4Addr,
        sequence: u16,
        ttl: u8,
        payload: Vec<u8>,
    },
    /// The kernel or a router says that the request cannot arrive.
    Failure {
        from: Ipv4Addr,
        sequence: u16,
        what: &'static str,
    },
}

pub struct Icmp {
    fd: OwnedFd,
    raw: bool,
    id: u16,
}

impl Icmp {
    /// # Errors
    /// When neither kind of socket is allowed.
    pub fn open() -> Result<Self, String> {
        let open = |kind| {
            socket_with(
                AddressFamily::INET,
                kind,
                SocketFlags::CLOEXEC,
                Some(ipproto::ICMP),
            )
        };
        let (fd, raw) = match open(SocketType::DGRAM) {
            Ok(fd) => (fd, false),
            Err(_) => match open(SocketType::RAW) {
                Ok(fd) => (fd, true),
                Err(e) => {
                    return Err(format!(
                        "no ICMP socket: {}; CAP_NET_RAW or net.ipv4.ping_group_range must allow it",
                        crate::cli::reason(&e.into())
                    ));
                }
            },
        };
        let id = (rustix::process::getpid().as_raw_nonzero().get() & 0xffff) as u16;
        // Without these only the TTL and the reasons of failures are missing.
        let _ = setsockopt(&fd, sockopt::Ipv4RecvTtl, &true);
        let _ = setsockopt(&fd, sockopt::Ipv4RecvErr, &true);
        Ok(Self { fd, raw, id })
    }

    /// Sends one request.
    ///
    /// # Errors
    /// As sendto(2); an earlier failure may be reported here too (then it is in the error queue as well).
    pub fn send(&self, to: Ipv4Addr, sequence: u16, payload: &[u8]) -> rustix::io::Result<()> {
        let packet = request(self.id, sequence, payload);
        sendto(
            &self.fd,
            &packet,
            SendFlags::empty(),
            &SocketAddrV4::new(to, 0),
        )
        .map(drop)
    }

    /// Waits at most `time`; is there something to receive?
    pub fn wait(&self, time: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: time.as_secs() as i64,
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        matches!(
            poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout)),
            Ok(1..)
        )
    }

    /// Everything that has arrived about requests of ours.
    pub fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(event) = self
            .receive(MsgFlags::MSG_ERRQUEUE)
            .or_else(|()| self.receive(MsgFlags::empty()))
        {
            events.extend(event);
        }
        events
    }

    /// One message; `Err(())` when there is none, `Ok(None)` when it is not for us.
    fn receive(&self, flags: MsgFlags) -> Result<Option<Event>, ()> {
        let mut buffer = vec![0; 66_000];
        let mut control = nix::cmsg_space!([u8; 256]);
        let errors = flags.contains(MsgFlags::MSG_ERRQUEUE);
        let fd = self.fd.as_fd().as_raw_fd();
        let (length, from, ttl, failure) = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let message = match recvmsg::<SockaddrIn>(
                fd,
                &mut parts,
                Some(&mut control),
                flags | MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(message) => message,
                // A pending error is handed out once; what it was about is in the error queue.
                Err(nix::errno::Errno::EAGAIN) => return Err(()),
                Err(_) => return Ok(None),
            };
            let from = message.address.map_or(Ipv4Addr::UNSPECIFIED, |a| a.ip());
            let (mut ttl, mut failure) = (0, None);
            for part in message.cmsgs().map_err(|_| ())? {
                match part {
                    ControlMessageOwned::Ipv4Ttl(value) => ttl = u8::try_from(value).unwrap_or(0),
                    ControlMessageOwned::Ipv4RecvErr(error, offender) => {
                        let offender =
                            offender.map(|o| Ipv4Addr::from(u32::from_be(o.sin_addr.s_addr)));
                        failure = Some((
                            offender.filter(|o| !o.is_unspecified()),
                            error.ee_type,
                            error.ee_code,
                        ));
                    }
                    _ => {}
                }
            }
            (message.bytes, from, ttl, failure)
        };
        let packet = &buffer[..length];
        if errors {
            let Some((offender, kind, code)) = failure else {
                return Ok(None);
            };
            let sequence = sequence_of(packet, self.id, self.raw);
            let event = |sequence| Event::Failure {
                from: offender.unwrap_or(from),
                sequence,
                what: reason(kind, code),
            };
            return Ok(sequence.map(event));
        }
        Ok(parse(packet, from, ttl, self.raw, self.id))
    }
}

/// The id and sequence of an echo request; a ping socket's id is the kernel's own.
fn sequence_of(packet: &[u8], id: u16, check: bool) -> Option<u16> {
    let header = packet.get(..HEADER)?;
    let ours = header[0] == ECHO && (!check || header[4..6] == id.to_be_bytes());
    ours.then(|| u16::from_be_bytes([header[6], header[7]]))
}

/// Removes the IPv4 header that raw sockets give.
fn without_ip(packet: &[u8]) -> Option<(&[u8], u8)> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    Some((packet.get(length..)?, *packet.get(8)?))
}

fn parse(packet: &[u8], from: Ipv4Addr, ttl: u8, raw: bool, id: u16) -> Option<Event> {
    let (packet, ttl) = if raw {
        without_ip(packet)?
    } else {
        (packet, ttl)
    };
    let header = packet.get(..HEADER)?;
    match header[0] {
        ECHO_REPLY if !raw || header[4..6] == id.to_be_bytes() => {
            let sequence = u16::from_be_bytes([header[6], header[7]]);
            Some(Event::Reply {
                from,
                sequence,
                ttl,
                payload: packet[HEADER..].to_vec(),
            })
        }
        kind @ (UNREACHABLE | TIME_EXCEEDED) => {
            let (inner, _) = without_ip(&packet[HEADER..])?;
            Some(Event::Failure {
                from,
                sequence: sequence_of(inner, id, raw)?,
                what: reason(kind, header[1]),
            })
        }
        _ => None,
    }
}

fn reason(kind: u8, code: u8) -> &'static str {
    match (kind, code) {
        (UNREACHABLE, 0) => "Destination Net Unreachable",
        (UNREACHABLE, 1) => "Destination Host Unreachable",
        (UNREACHABLE, 2) => "Destination Protocol Unreachable",
        (UNREACHABLE, 3) => "Destination Port Unreachable",
        (UNREACHABLE, 9 | 10 | 13) => "Packet filtered",
        (UNREACHABLE, _) => "Destination Unreachable",
        (TIME_EXCEEDED, _) => "Time to live exceeded",
        _ => "Error",
    }
}

fn request(id: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![ECHO, 0, 0, 0];
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(payload);
    let sum = checksum(&packet).to_be_bytes();
    packet[2..4].copy_from_slice(&sum);
    packet
}

/// RFC 1071.
fn checksum(packet: &[u8]) -> u16 {
    let words = packet
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_checks_out() {
        let packet = request(7, 258, b"abc");
        assert_eq!(checksum(&packet), 0);
        assert_eq!(sequence_of(&packet, 7, true), Some(258));
        assert_eq!(sequence_of(&packet, 8, true), None);
    }

    #[test]
    fn replies_and_failures() {
        let here = Ipv4Addr::LOCALHOST;
        let mut ip = vec![0x45; 20];
        ip[8] = 63;
        let mut reply = request(7, 3, b"x");
        reply[0] = ECHO_REPLY;
        let packet = [ip.clone(), reply].concat();
        let wanted = Event::Reply {
            from: here,
            sequence: 3,
            ttl: 63,
            payload: b"x".to_vec(),
        };
        assert_eq!(parse(&packet, here, 0, true, 7), Some(wanted));
        assert_eq!(parse(&packet, here, 0, true, 8), None);
        let failure = [
            ip.clone(),
            vec![UNREACHABLE, 1, 0, 0, 0, 0, 0, 0],
            ip,
            request(7, 9, b""),
        ]
        .concat();
        let wanted = Event::Failure {
            from: here,
            sequence: 9,
            what: "Destination Host Unreachable",
        };
        assert_eq!(parse(&failure, here, 0, true, 7), Some(wanted));
        for length in 0..failure.len() {
            parse(&failure[..length], here, 0, true, 7);
        }
    }
}
