//! Links, addresses and routes: rtnetlink(7) requests and answers.
//!
//! Used by `bridge` and `attach`. Requests are appended to a batch, so that callers decide how many go in one system call;
//! questions go out at once.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::message::{self, Batch, CREATE, DUMP, EXCL, Message, REPLACE};
use crate::netlink::{Failure, Socket};
use crate::subnet::{Mac, Subnet};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
/// Without its network's route; without the search for doubles.
const IFA_KEPT: u32 = 0x200 | 0x02;
const IFA_F_PERMANENT: u32 = 0x80;
const RT_SCOPE_UNIVERSE: u8 = 0;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const IFINFOMSG: usize = 16;
const IFADDRMSG: usize = 8;
const RTMSG: usize = 12;

/// The loopback interface has this number in every network namespace.
pub const LOOPBACK: u32 = 1;

/// A network namespace, named as the caller can.
#[derive(Clone, Copy, Debug)]
pub enum Netns<'a> {
    /// An open `/proc/PID/ns/net`.
    Fd(BorrowedFd<'a>),
    /// A live process inside it. The caller must know that the number was not reused: by a pidfd or as its parent.
    Pid(u32),
}

/// What the kernel says about a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub up: bool,
    /// `bridge`, `veth`, …; empty for hardware.
    pub kind: String,
    pub alias: String,
    pub mac: Vec<u8>,
    /// Number of the bridge it belongs to; 0: none.
    pub master: u32,
}

/// A permanent address of a link, of any family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    scope: u8,
    flags: u32,
    /// Own, far end, broadcast, as the kernel has them.
    values: Vec<(u16, Vec<u8>)>,
}

impl Address {
    /// Good anywhere, not on this host or link alone.
    pub fn is_global(&self) -> bool {
        self.scope == RT_SCOPE_UNIVERSE
    }
}

/// A new veth pair: one end on the host, in the bridge, the other in a container's namespace.
pub struct VethPair<'a> {
    pub host_name: &'a str,
    pub bridge: u32,
    pub inside_name: &'a str,
    pub inside_mac: Mac,
    pub netns: Netns<'a>,
}

/// Appends: a bridge, down, with a link address that stays (one without takes its ports', and changes with them).
pub fn add_bridge(batch: &mut Batch, name: &str, mac: Mac) {
    batch.begin(RTM_NEWLINK, CREATE | EXCL, format!("create bridge {name}"));
    batch.body(&ifinfomsg(0, 0));
    batch.text(IFLA_IFNAME, name);
    batch.attr(IFLA_ADDRESS, &mac.octets());
    batch.nest(IFLA_LINKINFO, |b| b.text(IFLA_INFO_KIND, "bridge"));
}

/// Appends: a veth pair, both ends down, each in its place from the start: nothing is moved or renamed afterwards.
pub fn add_veth(batch: &mut Batch, pair: &VethPair<'_>) {
    let doing = format!("create veth pair {}", pair.host_name);
    batch.begin(RTM_NEWLINK, CREATE | EXCL, doing);
    batch.body(&ifinfomsg(0, 0));
    batch.text(IFLA_IFNAME, pair.host_name);
    batch.number(IFLA_MASTER, pair.bridge);
    one_queue(batch);
    batch.nest(IFLA_LINKINFO, |b| {
        b.text(IFLA_INFO_KIND, "veth");
        b.nest(IFLA_INFO_DATA, |b| {
            b.nest(VETH_INFO_PEER, |b| {
                b.body(&ifinfomsg(0, 0));
                b.text(IFLA_IFNAME, pair.inside_name);
                b.attr(IFLA_ADDRESS, &pair.inside_mac.octets());
                one_queue(b);
                match pair.netns {
                    Netns::Fd(fd) => b.number(IFLA_NET_NS_FD, fd.as_raw_fd() as u32),
                    Netns::Pid(pid) => b.number(IFLA_NET_NS_PID, pid),
                }
            });
        });
    });
}

/// One queue each way. The kernel's default is one per CPU, each with entries in sysfs that are made and removed with the
/// link; veth has no queueing discipline, so more of them bring nothing here.
fn one_queue(batch: &mut Batch) {
    batch.number(IFLA_NUM_TX_QUEUES, 1);
    batch.number(IFLA_NUM_RX_QUEUES, 1);
}

/// Appends: the link of that number goes up. `name` is for the error.
pub fn set_up(batch: &mut Batch, index: u32, name: &str) {
    batch.begin(RTM_SETLINK, 0, format!("set {name} up"));
    batch.body(&ifinfomsg(index, IFF_UP));
}

/// Appends: the link of that number goes down.
pub fn set_down(batch: &mut Batch, index: u32, name: &str) {
    batch.begin(RTM_SETLINK, 0, format!("set {name} down"));
    let mut body = ifinfomsg(index, 0);
    body[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    batch.body(&body);
}

/// Appends: the link of that number goes into the namespace behind a descriptor, and is called `name` there.
pub fn set_namespace(batch: &mut Batch, index: u32, name: &str, namespace: i32) {
    let doing = format!("move it to another network namespace as {name}");
    batch.begin(RTM_SETLINK, 0, doing);
    batch.body(&ifinfomsg(index, 0));
    batch.number(IFLA_NET_NS_FD, namespace as u32);
    batch.text(IFLA_IFNAME, name);
}

/// Appends: the link of that name goes up.
pub fn set_up_named(batch: &mut Batch, name: &str) {
    batch.begin(RTM_SETLINK, 0, format!("set {name} up"));
    batch.body(&ifinfomsg(0, IFF_UP));
    batch.text(IFLA_IFNAME, name);
}

/// Appends: the link goes up and carries a free text for people, `ip link` shows it as alias.
pub fn set_up_with_alias(batch: &mut Batch, index: u32, name: &str, alias: &str) {
    set_up(batch, index, name);
    batch.text(IFLA_IFALIAS, alias);
}

/// Appends: an address, with the route to its network that the kernel adds.
pub fn add_address(batch: &mut Batch, index: u32, address: Ipv4Addr, subnet: Subnet) {
    let doing = format!("add address {address}/{}", subnet.prefix());
    batch.begin(RTM_NEWADDR, CREATE | EXCL, doing);
    batch.body(&[AF_INET, subnet.prefix(), 0, 0]);
    batch.body(&index.to_ne_bytes());
    batch.attr(IFA_LOCAL, &address.octets());
    batch.attr(IFA_ADDRESS, &address.octets());
    batch.attr(IFA_BROADCAST, &subnet.broadcast().octets());
}

/// Appends: an address that a link had elsewhere.
pub fn add_address_again(batch: &mut Batch, index: u32, address: &Address) {
    batch.begin(RTM_NEWADDR, CREATE | REPLACE, "give it its address again");
    batch.body(&[address.family, address.prefix, 0, address.scope]);
    batch.body(&index.to_ne_bytes());
    for (kind, value) in &address.values {
        batch.attr(*kind, value);
    }
    batch.number(IFA_FLAGS, address.flags & IFA_KEPT);
}

/// Appends: the default route through a gateway on the link of that number.
pub fn add_default_route(batch: &mut Batch, index: u32, gateway: Ipv4Addr) {
    let doing = format!("add the default route through {gateway}");
    batch.begin(RTM_NEWROUTE, CREATE | EXCL, doing);
    batch.body(&[AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST]);
    batch.body(&[0; 4]);
    batch.attr(RTA_GATEWAY, &gateway.octets());
    batch.number(RTA_OIF, index);
}

/// Deletes a link by name, a veth with its other end. `Ok(false)`: there was none.
pub fn delete(socket: &mut Socket, name: &str) -> Result<bool, Failure> {
    let mut batch = socket.batch();
    batch.begin(RTM_DELLINK, 0, format!("delete link {name}"));
    batch.body(&ifinfomsg(0, 0));
    batch.text(IFLA_IFNAME, name);
    match socket.execute(batch) {
        Ok(()) => Ok(true),
        Err(failure) if failure.errno() == Some(Errno::NODEV) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The link of that name, if there is one.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>, Failure> {
    let mut batch = socket.batch();
    batch.begin(RTM_GETLINK, 0, format!("look up link {name}"));
    batch.body(&ifinfomsg(0, 0));
    batch.text(IFLA_IFNAME, name);
    batch.number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    match socket.query(batch, |message| parse_link(message.body)) {
        Ok(link) => Ok(link),
        Err(failure) if failure.errno() == Some(Errno::NODEV) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// All links of the namespace.
pub fn list(socket: &mut Socket) -> Result<Vec<Link>, Failure> {
    socket.dump(
        |batch| {
            batch.begin(RTM_GETLINK, DUMP, "list links");
            batch.body(&ifinfomsg(0, 0));
            batch.number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        },
        |message| match message.kind {
            RTM_NEWLINK => parse_link(message.body),
            _ => None,
        },
    )
}

/// The permanent addresses of a link.
pub fn addresses(socket: &mut Socket, index: u32) -> Result<Vec<Address>, Failure> {
    socket.dump(
        |batch| {
            batch.begin(RTM_GETADDR, DUMP, "list addresses");
            batch.body(&[0; IFADDRMSG]);
        },
        |message| permanent_address(message, index),
    )
}

/// The IPv4 networks that the host has addresses in or routes to, by any table. The default route is left out: it reaches
/// everything.
pub fn used_networks(socket: &mut Socket) -> Result<Vec<Subnet>, Failure> {
    let mut used = socket.dump(
        |batch| {
            batch.begin(RTM_GETADDR, DUMP, "list addresses");
            batch.body(&[AF_INET, 0, 0, 0, 0, 0, 0, 0]);
        },
        parse_address,
    )?;
    used.extend(socket.dump(
        |batch| {
            batch.begin(RTM_GETROUTE, DUMP, "list routes");
            batch.body(&[AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        },
        parse_route,
    )?);
    Ok(used)
}

/// `struct ifinfomsg`; `up` sets that flag and no other.
fn ifinfomsg(index: u32, up: u32) -> [u8; IFINFOMSG] {
    let mut bytes = [0; IFINFOMSG];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&up.to_ne_bytes());
    bytes[12..16].copy_from_slice(&up.to_ne_bytes());
    bytes
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: message::u32_at(body, 4)?,
        up: message::u32_at(body, 8)? & IFF_UP != 0,
        ..Link::default()
    };
    for (kind, value) in message::attributes_after(body, IFINFOMSG) {
        match kind {
            IFLA_IFNAME => link.name = message::text(value),
            IFLA_IFALIAS => link.alias = message::text(value),
            IFLA_ADDRESS => link.mac = value.to_vec(),
            IFLA_MASTER => link.master = message::u32_at(value, 0).unwrap_or(0),
            IFLA_LINKINFO => {
                let info = message::attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = info.map_or_else(String::new, |(_, value)| message::text(value));
            }
            _ => {}
        }
    }
    Some(link)
}

fn parse_address(message: &Message<'_>) -> Option<Subnet> {
    let body = message.body;
    if message.kind != RTM_NEWADDR || body.first() != Some(&AF_INET) {
        return None;
    }
    // IFA_ADDRESS is the far end of a point-to-point link; elsewhere both are the same.
    let wanted = [IFA_ADDRESS, IFA_LOCAL];
    let mut values = message::attributes_after(body, IFADDRMSG);
    let (_, value) = values.find(|(kind, _)| wanted.contains(kind))?;
    Subnet::of(ipv4(value)?, *body.get(1)?).ok()
}

fn permanent_address(message: &Message<'_>, index: u32) -> Option<Address> {
    let body = message.body;
    if message.kind != RTM_NEWADDR || message::u32_at(body, 4)? != index {
        return None;
    }
    let [family, prefix, flags, scope] = *body.first_chunk()?;
    let mut address = Address {
        family,
        prefix,
        scope,
        flags: flags.into(),
        values: Vec::new(),
    };
    for (kind, value) in message::attributes_after(body, IFADDRMSG) {
        match kind {
            // Eight of its bits are in the header, too.
            IFA_FLAGS => address.flags = message::u32_at(value, 0)?,
            IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST => address.values.push((kind, value.to_vec())),
            _ => {}
        }
    }
    (address.flags & IFA_F_PERMANENT != 0).then_some(address)
}

fn parse_route(message: &Message<'_>) -> Option<Subnet> {
    let body = message.body;
    let inet = message.kind == RTM_NEWROUTE && body.first() == Some(&AF_INET);
    let prefix = *body.get(1)?;
    if !inet || prefix == 0 {
        return None;
    }
    let mut values = message::attributes_after(body, RTMSG);
    let (_, destination) = values.find(|(kind, _)| *kind == RTA_DST)?;
    Subnet::of(ipv4(destination)?, prefix).ok()
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loopback_link_is_found() {
        let mut socket = Socket::route().unwrap();
        let lo = find(&mut socket, "lo").unwrap().unwrap();
        assert_eq!((lo.index, lo.name.as_str()), (LOOPBACK, "lo"));
        assert_eq!(find(&mut socket, "silo-nowhere").unwrap(), None);
        assert!(list(&mut socket).unwrap().iter().any(|l| l.name == "lo"));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200), kind in 16u16..27) {
            let message = Message { kind, flags: 0, sequence: 1, body: &body };
            let _ = (parse_link(&body), parse_address(&message), parse_route(&message), permanent_address(&message, 1));
        }
    }
}
