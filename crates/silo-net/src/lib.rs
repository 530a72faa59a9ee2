//! Container networks: bridge, veth pairs, addresses and firewall over netlink, and the files by which a container knows names.
//!
//! No helper program (`ip`, `nft`) is run, nothing is kept in memory between calls, no daemon is needed. The engine decides on
//! the mode (bridge, none, host, another container's) and calls:
//!
//! ```text
//! bridge   Bridge::new ─ prepare ─ (network.json) ─ Pending::connect ─ configure_inside  …  release | detach
//! none     configure_loopback
//! moved    Devices::find ─ move_to ─ (Moved::take_back)      of a specification of others, see `silo oci`
//! files    files::hosts, files::hostname, files::resolv_conf
//! doctor   Bridge::orphans, remove_orphan, flaw, remove_bridge_and_rules, try_all
//! ```
//!
//! **What stays.** The bridge, its rules and one turned-on setting (`net.ipv4.ip_forward`) stay when no container runs, as
//! Docker's `docker0` does: they *are* the network, and making them anew costs more than a container does. Nothing that
//! belongs to one container outlives [`Bridge::detach`] (or, with [`Bridge::release`], its namespace), and [`Bridge::remove_all`] leaves no link, rule or lease behind.
//! Forwarding is left on then, since somebody else may have come to need it.
//!
//! **Rules** are in a table of the bridge's own, listed at the head of `firewall.rs`; rules of others are never touched. The
//! reverse does not hold: a packet must be accepted by *all* tables, so a host whose own forward chain drops (`iptables -P
//! FORWARD DROP`, which Docker sets) needs `iptables -I DOCKER-USER -i silo0 -j ACCEPT` and the same with `-o silo0`.
//! Every attachment checks that the table is there, so `nft flush ruleset` is repaired by the next container.
//!
//! **IPv6** is off on the bridge and on both ends of each veth pair.
//!
//! **Speed** (`cargo bench -p silo-net`). Attaching takes about half a millisecond, most of it the kernel's for the veth pair;
//! a network that is there is checked in 30 µs. *Removing* a link takes 10 to 40 ms, since the kernel waits for grace periods
//! of RCU; it does so on its own when a namespace ends, which is why [`Bridge::release`] exists beside [`Bridge::detach`].
#![forbid(unsafe_code)]

mod attach;
mod bridge;
mod condition;
pub mod files;
mod firewall;
mod ipam;
mod link;
mod message;
mod moved;
mod netlink;
mod nft;
mod subnet;
mod sysctl;

pub use attach::{
    NetAttachment, Orphan, Pending, Request, configure_from_outside, configure_inside,
    configure_loopback,
};
pub use bridge::{Bridge, DEFAULT_BRIDGE, Ensured, Network, Removed};
pub use condition::{Flaw, try_all};
pub use ipam::Lease;
pub use link::Netns;
pub use moved::{Devices, Moved, Wanted};
pub use subnet::{Mac, Subnet};
