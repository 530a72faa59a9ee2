//! The rules of one bridge network: which there are, and that they are in the kernel.
//!
//! Every bridge has a table `ip NAME` of its own, named as the bridge, so that nothing is shared between networks, nobody
//! else's rules are touched and one deletion removes all. As `nft list table ip silo0` shows it:
//!
//! ```text
//! map published   { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; flags interval }
//! chain sources   { type filter hook prerouting priority raw    iifname silo0 ip saddr != SUBNET drop }
//! chain forward   { type filter hook forward priority filter    oifname != silo0 accept
//!                                                               iifname silo0 accept
//!                                                               ct state established,related accept
//!                                                               ct status dnat accept
//!                                                               drop }
//! chain prerouting{ type nat hook prerouting priority dstnat    fib daddr type local dnat ip to
//!                                                               meta l4proto . ip daddr . th dport map @published }
//! chain output    { type nat hook output priority dstnat        the same, for the host's own connections }
//! chain postrouting{ type nat hook postrouting priority srcnat  ip saddr SUBNET oifname != silo0 masquerade }
//! ```
//!
//! So containers of one bridge talk to each other, reach the outside, and are reached only through published ports; other
//! bridges are outside. A published port is one element of the map, with a range of all addresses where the port is
//! published on all. Used by `bridge`.

use rustix::io::Errno;
use silo_types::Result;

use crate::netlink::{Failure, Socket};
use crate::nft::{self, Hook, Step};
use crate::subnet::Subnet;

/// Counted up whenever the rules change, so that a newer Silo replaces those of an older one.
const VERSION: u32 = 1;
const PUBLISHED: &str = "published";

/// True if the table of `bridge` is there, made by this version for `subnet`.
pub fn installed(bridge: &str, subnet: Subnet) -> Result<bool> {
    let mut socket = Socket::netfilter().map_err(nft::explain)?;
    nft::has_table(&mut socket, bridge, &comment(subnet)).map_err(nft::explain)
}

/// Makes the table, in place of one that is there, in one transaction: at no moment is the bridge without rules.
pub fn install(bridge: &str, subnet: Subnet) -> Result<()> {
    let mut socket = Socket::netfilter().map_err(nft::explain)?;
    let mut batch = socket.batch();
    let comment = comment(subnet);
    nft::begin(&mut batch);
    // Deleting what may be missing is an error: made first, it is never missing.
    nft::add_table(&mut batch, bridge, &comment);
    nft::delete_table(&mut batch, bridge);
    nft::add_table(&mut batch, bridge, &comment);
    nft::add_port_map(&mut batch, bridge, PUBLISHED);
    for (name, hook, rules) in chains(bridge, subnet) {
        nft::add_chain(&mut batch, bridge, name, hook);
        for steps in rules {
            nft::add_rule(&mut batch, bridge, name, &steps);
        }
    }
    nft::end(&mut batch);
    socket.execute_transaction(batch).map_err(nft::explain)
}

/// Removes the table. `Ok(false)`: there was none, or the kernel has no nf_tables.
pub fn remove(bridge: &str) -> Result<bool> {
    let absent = [
        Errno::NOENT,
        Errno::PROTONOSUPPORT,
        Errno::AFNOSUPPORT,
        Errno::OPNOTSUPP,
    ];
    let removed = Socket::netfilter().and_then(|mut socket| {
        let mut batch = socket.batch();
        nft::begin(&mut batch);
        nft::delete_table(&mut batch, bridge);
        nft::end(&mut batch);
        socket.execute_transaction(batch)
    });
    match removed {
        Ok(()) => Ok(true),
        Err(Failure::Refused(refusal)) if absent.contains(&refusal.errno) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// Whether this is the comment of a table that a Silo of any version has made.
pub fn is_comment(text: &str) -> bool {
    text.starts_with("silo rules ")
}

fn comment(subnet: Subnet) -> String {
    format!("silo rules {VERSION} for {subnet}")
}

type Chain = (&'static str, Hook, Vec<Vec<Step>>);

/// The chains with their rules, as the head of this file shows them.
fn chains(bridge: &str, subnet: Subnet) -> Vec<Chain> {
    let from = || Step::FromInterface(bridge.to_owned());
    let not_to = || Step::NotToInterface(bridge.to_owned());
    let published = || vec![Step::ToThisHost, Step::TranslateBy(PUBLISHED)];
    vec![
        (
            "sources",
            Hook::Raw,
            vec![vec![from(), Step::NotFromNetwork(subnet), Step::Drop]],
        ),
        (
            "forward",
            Hook::Forward,
            vec![
                vec![not_to(), Step::Accept],
                vec![from(), Step::Accept],
                vec![Step::EstablishedOrRelated, Step::Accept],
                vec![Step::DestinationTranslated, Step::Accept],
                vec![Step::Drop],
            ],
        ),
        ("prerouting", Hook::Prerouting, vec![published()]),
        ("output", Hook::Output, vec![published()]),
        (
            "postrouting",
            Hook::Postrouting,
            vec![vec![Step::FromNetwork(subnet), not_to(), Step::Masquerade]],
        ),
    ]
}
