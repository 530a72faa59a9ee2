//! For `doctor`: what is wrong with a network that a command left half made, and whether this host can have one at all.
//!
//! A network is made in an order that is safe to interrupt (`bridge`), so a killed maker leaves one of the states below. Each is
//! completed by the next container; `doctor` tells of it, and takes away what nobody needs.

use rustix::io::Errno;
use silo_types::Result;

use crate::bridge::Bridge;
use crate::link::{self, VethPair};
use crate::netlink::Socket;
use crate::subnet::{Mac, Subnet};
use crate::{Netns, firewall, nft};

/// What is wrong with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is recorded, and has no bridge, or one that was not finished.
    NoBridge,
    /// The bridge is there without its rules: `nft flush ruleset`.
    NoRules,
    /// Bridge or rules without a record: its folder was removed.
    NoRecord,
}

impl Bridge {
    /// What is wrong with the network; `None` also while another process makes or removes it.
    pub fn flaw(&self) -> Result<Option<Flaw>> {
        let Some(_lock) = self.try_lock()? else {
            return match self.exists_without_folder()? {
                true => Ok(Some(Flaw::NoRecord)),
                false => Ok(None),
            };
        };
        let Some(subnet) = self.recorded_subnet()? else {
            let left = self.own_link()?.is_some() || self.has_rules()?;
            return Ok(left.then_some(Flaw::NoRecord));
        };
        if !self.own_link()?.is_some_and(|link| link.up) {
            return Ok(Some(Flaw::NoBridge));
        }
        Ok((!firewall::installed(self.name(), subnet)?).then_some(Flaw::NoRules))
    }

    fn exists_without_folder(&self) -> Result<bool> {
        Ok(!self.has_folder() && (self.own_link()?.is_some() || self.has_rules()?))
    }

    /// Takes away a bridge and rules that are this network's own; links that others put into the bridge stay, without it.
    pub fn remove_bridge_and_rules(&self) -> Result<()> {
        let rules = self.has_rules()?;
        if self.own_link()?.is_some() {
            link::delete(&mut Socket::route()?, self.name())?;
        }
        if rules {
            firewall::remove(self.name())?;
        }
        Ok(())
    }

    /// Whether a table of this name is there that a Silo has made.
    fn has_rules(&self) -> Result<bool> {
        // INVAL: netfilter is there, and nf_tables is not.
        let absent = [
            Errno::PROTONOSUPPORT,
            Errno::AFNOSUPPORT,
            Errno::OPNOTSUPP,
            Errno::INVAL,
        ];
        let mut socket = match Socket::netfilter() {
            Err(failure) if failure.errno().is_some_and(|e| absent.contains(&e)) => {
                return Ok(false);
            }
            other => other?,
        };
        match nft::table_comment(&mut socket, self.name()) {
            Err(failure) if failure.errno().is_some_and(|e| absent.contains(&e)) => Ok(false),
            other => Ok(other?.is_some_and(|comment| firewall::is_comment(&comment))),
        }
    }
}

/// Tries what a container on a bridge needs, in the network namespace that the caller is in, which must be one to throw away:
/// a bridge, a veth pair in it, and all rules. What could not be made, each with the reason.
pub fn try_all() -> Vec<(&'static str, Result<()>)> {
    const NAME: &str = "silo-trial";
    let address = std::net::Ipv4Addr::new(10, 88, 0, 1);
    let mac = Mac::from_ip(address);
    let bridge = || -> Result<u32> {
        let mut socket = Socket::route()?;
        let mut batch = socket.batch();
        link::add_bridge(&mut batch, NAME, mac);
        socket.execute(batch)?;
        Ok(link::find(&mut socket, NAME)?.map_or(0, |link| link.index))
    };
    let made = bridge();
    let index = made.as_ref().copied().unwrap_or(0);
    let veth = || -> Result<()> {
        let mut socket = Socket::route()?;
        let mut batch = socket.batch();
        let pair = VethPair {
            host_name: "silo-trial-a",
            bridge: index,
            inside_name: "silo-trial-b",
            inside_mac: mac,
            netns: Netns::Pid(std::process::id()),
        };
        link::add_veth(&mut batch, &pair);
        Ok(socket.execute(batch)?)
    };
    let rules = || firewall::install(NAME, Subnet::of(address, 16)?);
    vec![
        ("bridge", made.map(drop)),
        ("veth", veth()),
        ("nat", rules()),
    ]
}
