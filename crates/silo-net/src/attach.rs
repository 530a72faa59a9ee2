//! One container's place in a bridge network: lease, veth pair, the configuration inside, and the way back.
//!
//! Called by the engine, in this order:
//!
//! ```text
//! Bridge::prepare(request)      before the network namespace exists: bridge checked, address leased
//!   Pending::attachment()       goes to network.json: from here on Bridge::detach undoes everything
//! Pending::connect(netns)       the veth pair, host end up in the bridge, other end as eth0 in the namespace
//! configure_inside(attachment)  by a process in the namespace; or configure_from_outside(netns, …) by another
//! …
//! Bridge::release(attachment)   quick; or detach, which waits for the kernel; both as often as one likes
//! ```

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};
use silo_types::{ContainerId, Doing, Error, Result};

use crate::bridge::{Bridge, Ensured};
use crate::ipam::{self, Lease};
use crate::link::{self, LOOPBACK, Netns, VethPair};
use crate::netlink::Socket;
use crate::subnet::{Mac, Subnet};
use crate::sysctl;

/// The name of the interface inside a container.
const INSIDE_NAME: &str = "eth0";
/// The longest name that a link can have.
const NAME_MAX: usize = 15;

/// How long the kernel may take to remove links by itself, and how often it is looked at.
const KERNELS_TURN: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// What a container asks of a bridge network.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub id: &'a ContainerId,
    /// `--ip`; `None`: the next free one.
    pub ip: Option<Ipv4Addr>,
    /// `--mac-address`; `None`: made from the address.
    pub mac: Option<Mac>,
}

/// A container's connection to a bridge network: written to `network.json`, enough to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetAttachment {
    /// Id of the container: owns the lease.
    pub container: String,
    pub bridge: String,
    /// The host's end of the veth pair: `veth` and the first 11 digits of the id.
    pub host_interface: String,
    /// The end inside: `eth0`.
    pub interface: String,
    pub ip: Ipv4Addr,
    pub subnet: Subnet,
    pub gateway: Ipv4Addr,
    pub mac: Mac,
}

/// An attachment that has its address, but no link yet.
pub struct Pending {
    attachment: NetAttachment,
    ensured: Ensured,
    socket: Socket,
}

/// Something that a container which is no more has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Orphan {
    Lease(Lease),
    /// The host's end of a veth pair.
    Link(String),
}

impl Orphan {
    /// Whether it was made for this container, by the digits of the id that it carries.
    pub fn belongs_to(&self, id: &ContainerId) -> bool {
        match self {
            Orphan::Lease(lease) => lease.owner == ipam::owner_of(id.as_str()),
            Orphan::Link(name) => *name == host_name(id.as_str()),
        }
    }
}

impl Bridge {
    /// Sees to the bridge and leases an address. The lease is the only thing made per container.
    pub fn prepare(&self, request: &Request<'_>) -> Result<Pending> {
        let mut socket = Socket::route()?;
        let ensured = self.ensure_with(&mut socket)?;
        let network = &ensured.network;
        let owner = ipam::owner_of(request.id.as_str());
        let ip = match request.ip {
            Some(ip) => self.leases().take(network.subnet, ip, owner).map(|()| ip),
            None => self.leases().take_next(network.subnet, owner),
        }
        .map_err(|error| error.context(format_args!("bridge {}", self.name())))?;
        let attachment = NetAttachment {
            container: request.id.to_string(),
            bridge: network.bridge.clone(),
            host_interface: host_name(request.id.as_str()),
            interface: INSIDE_NAME.to_owned(),
            ip,
            subnet: network.subnet,
            gateway: network.gateway,
            mac: request.mac.unwrap_or_else(|| Mac::from_ip(ip)),
        };
        Ok(Pending {
            attachment,
            ensured,
            socket,
        })
    }

    /// Gives the address back and leaves the veth pair to the kernel, which removes it with the namespace, some 10 to 50 ms
    /// after the last process and descriptor of it are gone. Costs microseconds: the usual end of a container. A namespace
    /// that others still share needs [`Bridge::detach`].
    pub fn release(&self, attachment: &NetAttachment) -> Result<()> {
        let owner = ipam::owner_of(&attachment.container);
        self.leases().free(attachment.ip, owner)
    }

    /// Takes the container out of the network now: link, then lease. Waits 10 to 40 ms for the kernel, whose removal of a link
    /// waits for all CPUs several times. What is already gone is fine; goes on past a failure and returns the first one.
    pub fn detach(&self, attachment: &NetAttachment) -> Result<()> {
        let link = Socket::route()
            .and_then(|mut socket| link::delete(&mut socket, &attachment.host_interface))
            .map(drop)
            .map_err(Error::from);
        let lease = self.release(attachment);
        link.and(lease)
    }

    /// Waits until the kernel has removed the links of containers whose namespaces have gone: it does that for many at once, where
    /// each that is deleted makes the caller wait. What is still there after a while is deleted.
    pub fn await_gone(&self, ids: &[&str]) -> Result<()> {
        let names: Vec<String> = ids.iter().map(|id| host_name(id)).collect();
        let mut socket = Socket::route()?;
        let end = Instant::now() + KERNELS_TURN;
        loop {
            let mut left = link::list(&mut socket)?;
            left.retain(|link| names.contains(&link.name));
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() < end {
                std::thread::sleep(BETWEEN_LOOKS);
                continue;
            }
            for link in left {
                link::delete(&mut socket, &link.name)?;
            }
        }
    }

    /// What containers other than `live` have left: leases, and veth pairs in this bridge. A pair that the kernel is about to
    /// remove is still seen: what is found once and not 100 ms later was none.
    pub fn orphans(&self, live: &[ContainerId]) -> Result<Vec<Orphan>> {
        let leases = self.leases().list()?.into_iter();
        let mut orphans: Vec<Orphan> = leases
            .filter(|lease| {
                !live
                    .iter()
                    .any(|id| ipam::owner_of(id.as_str()) == lease.owner)
            })
            .map(Orphan::Lease)
            .collect();
        let mut socket = Socket::route()?;
        if let Some(bridge) = link::find(&mut socket, self.name())? {
            let known: Vec<String> = live.iter().map(|id| host_name(id.as_str())).collect();
            let links = link::list(&mut socket)?.into_iter();
            let strays = links
                .filter(|l| {
                    let ours = l.kind == "veth" && is_host_name(&l.name);
                    l.master == bridge.index && ours && !known.contains(&l.name)
                })
                .map(|link| Orphan::Link(link.name));
            orphans.extend(strays);
        }
        Ok(orphans)
    }

    /// Removes one of [`Bridge::orphans`]; gone already is fine.
    pub fn remove_orphan(&self, orphan: &Orphan) -> Result<()> {
        match orphan {
            Orphan::Lease(lease) => self.leases().free(lease.address, &lease.owner),
            Orphan::Link(name) => Ok(link::delete(&mut Socket::route()?, name).map(drop)?),
        }
    }
}

impl Pending {
    pub fn attachment(&self) -> &NetAttachment {
        &self.attachment
    }

    /// What had to be made for it.
    pub fn ensured(&self) -> &Ensured {
        &self.ensured
    }

    /// Makes the veth pair into `netns`: one request that creates both ends in place, one that sets the host's end up once
    /// IPv6 is off on it. The kernel creates no end of a pair as already up (`veth_open` refuses with ENOTCONN).
    pub fn connect(mut self, netns: Netns<'_>) -> Result<NetAttachment> {
        let host = &self.attachment.host_interface;
        let pair = VethPair {
            host_name: host,
            bridge: self.ensured.network.index,
            inside_name: &self.attachment.interface,
            inside_mac: self.attachment.mac,
            netns,
        };
        add_veth(&mut self.socket, &pair)?;
        sysctl::disable_ipv6(host)?;
        let mut batch = self.socket.batch();
        link::set_up_named(&mut batch, host);
        self.socket.execute(batch)?;
        Ok(self.attachment)
    }
}

/// Creates the pair. A link of that name can only be this container's own, left from a run whose namespace the kernel has
/// not taken down yet: it goes first then.
fn add_veth(socket: &mut Socket, pair: &VethPair<'_>) -> Result<()> {
    let create = |socket: &mut Socket| {
        let mut batch = socket.batch();
        link::add_veth(&mut batch, pair);
        socket.execute(batch)
    };
    match create(socket) {
        Err(failure) if failure.errno() == Some(Errno::EXIST) => {
            link::delete(socket, pair.host_name)?;
            Ok(create(socket)?)
        }
        other => Ok(other?),
    }
}

/// Configures the namespace that the caller is in: loopback up, eth0 with address and without IPv6, up, default route. The
/// caller must still see the host's /proc, which is true before pivot_root.
pub fn configure_inside(attachment: &NetAttachment) -> Result<()> {
    let name = &attachment.interface;
    sysctl::disable_ipv6(name)?;
    let mut socket = Socket::route()?;
    let index = rustix::net::netdevice::name_to_index(socket.as_fd(), name)
        .doing_with(|| format!("look up link {name}"))?;
    let mut batch = socket.batch();
    link::set_up(&mut batch, LOOPBACK, "lo");
    link::add_address(&mut batch, index, attachment.ip, attachment.subnet);
    link::set_up(&mut batch, index, name);
    link::add_default_route(&mut batch, index, attachment.gateway);
    Ok(socket.execute(batch)?)
}

/// The same as [`configure_inside`], done by a single-threaded process outside: it visits `netns` and is back in `own` (its
/// own network namespace, opened before) when this returns. If it cannot come back, that is an internal error, and the
/// process must end.
pub fn configure_from_outside(
    netns: BorrowedFd<'_>,
    own: BorrowedFd<'_>,
    attachment: &NetAttachment,
) -> Result<()> {
    let visit =
        |fd: BorrowedFd<'_>| move_into_link_name_space(fd, Some(LinkNameSpaceType::Network));
    visit(netns).doing("enter the container's network namespace")?;
    let configured = configure_inside(attachment);
    visit(own.as_fd()).map_err(|errno| {
        Error::internal(format!(
            "cannot return to the own network namespace: {errno}"
        ))
    })?;
    configured
}

/// Sets the loopback interface of the caller's network namespace up: all that `--network none` needs.
pub fn configure_loopback() -> Result<()> {
    let mut socket = Socket::route()?;
    let mut batch = socket.batch();
    link::set_up(&mut batch, LOOPBACK, "lo");
    Ok(socket.execute(batch)?)
}

/// `veth` and as many digits of the id as fit: 44 bits, so that a name belongs to one container.
fn host_name(id: &str) -> String {
    format!("veth{id}").chars().take(NAME_MAX).collect()
}

/// Whether a link has such a name: what somebody else put into the bridge is left alone.
fn is_host_name(name: &str) -> bool {
    let digits = name.strip_prefix("veth").unwrap_or_default();
    let is_hex = |letter: char| letter.is_ascii_digit() || ('a'..='f').contains(&letter);
    name.len() == NAME_MAX && digits.chars().all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attachment_survives_its_file() {
        let attachment = NetAttachment {
            container: "ab".repeat(32),
            bridge: "silo0".to_owned(),
            host_interface: host_name(&"ab".repeat(32)),
            interface: INSIDE_NAME.to_owned(),
            ip: Ipv4Addr::new(10, 88, 0, 2),
            subnet: "10.88.0.0/16".parse().unwrap(),
            gateway: Ipv4Addr::new(10, 88, 0, 1),
            mac: Mac::from_ip(Ipv4Addr::new(10, 88, 0, 2)),
        };
        assert_eq!(attachment.host_interface, "vethabababababa");
        let text = serde_json::to_string(&attachment).unwrap();
        assert!(text.contains(r#""mac":"02:42:0a:58:00:02""#), "{text}");
        assert!(text.contains(r#""subnet":"10.88.0.0/16""#), "{text}");
        assert_eq!(
            serde_json::from_str::<NetAttachment>(&text).unwrap(),
            attachment
        );
    }
}
