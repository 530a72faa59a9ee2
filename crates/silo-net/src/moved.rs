//! Devices of the host's that a container gets: moved into its network namespace, perhaps with another name (OCI runtime
//! specification, `netDevices`).
//!
//! ```text
//! Devices::find(wanted)      looks at the devices, changes nothing
//!   move_to(netns)           down, over there, its permanent global addresses again, up
//!   take_back()              the same the other way: when what they were moved for did not come about
//! ```
//! When one of several cannot be moved, those that were are taken back. A device that stays there belongs to the namespace: the
//! kernel brings hardware back to the host when that ends, and removes what is virtual.
//!
//! Must be called by a process with one thread: it visits the other namespace.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, fstat, open},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use silo_types::{Doing, Error, Result};

use crate::link::{self, Address, Link};
use crate::netlink::Socket;

/// The longest name that a link can have.
const NAME_MAX: usize = 15;
/// At its end, the kernel finds a number.
const TEMPLATE: &str = "%d";

/// A device, by its name here, and its name there: another one, or a template such as `eth%d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub new_name: Option<String>,
}

/// Devices that were found.
#[derive(Debug)]
pub struct Devices {
    own: OwnedFd,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    link: Link,
    addresses: Vec<Address>,
    /// What it is to be called there.
    name: String,
}

/// Devices that were moved, with the namespace that they are in, which is held as long as they may have to come back.
#[derive(Debug)]
pub struct Moved {
    own: OwnedFd,
    there: OwnedFd,
    /// With the number that each has there.
    devices: Vec<(Found, u32)>,
}

impl Wanted {
    /// Errors: Invalid for what cannot be a device's name.
    pub fn new(name: &str, new_name: Option<&str>) -> Result<Wanted> {
        check_name(name, name)?;
        let new_name = new_name.filter(|new| !new.is_empty());
        if let Some(new) = new_name {
            let fixed = new.strip_suffix(TEMPLATE).unwrap_or(new);
            check_name(new, fixed)?;
        }
        Ok(Wanted {
            name: name.to_owned(),
            new_name: new_name.map(str::to_owned),
        })
    }
}

/// As the kernel has it (`dev_valid_name`), and without the sign of templates: `fixed` is what of it is no template.
fn check_name(name: &str, fixed: &str) -> Result<()> {
    let good = !name.is_empty()
        && name.len() <= NAME_MAX
        && !matches!(fixed, "." | "..")
        && !fixed
            .chars()
            .any(|c| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control());
    match good {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "netDevices: {name:?} is no name of a network device: 1 to {NAME_MAX} characters, none of / : % and no space"
        ))),
    }
}

impl Devices {
    /// Looks for them in the caller's own namespace.
    ///
    /// Errors: NotFound.
    pub fn find(wanted: &[Wanted]) -> Result<Devices> {
        let mut socket = Socket::route()?;
        let mut found = Vec::with_capacity(wanted.len());
        for one in wanted {
            let link = link::find(&mut socket, &one.name)?.ok_or_else(|| {
                Error::not_found(format!("netDevices: there is no device {}", one.name))
            })?;
            found.push(Found {
                addresses: link::addresses(&mut socket, link.index)?,
                name: one.new_name.clone().unwrap_or_else(|| one.name.clone()),
                link,
            });
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = open("/proc/self/ns/net", flags, Mode::empty()).doing("/proc/self/ns/net")?;
        Ok(Devices { own, found })
    }

    /// Moves them all, or none.
    ///
    /// Errors: Conflict when a name is taken there; those of the kernel.
    pub fn move_to(self, there: OwnedFd) -> Result<Moved> {
        let id = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        if id(&self.own).doing("look at a namespace")? == id(&there).doing("look at a namespace")? {
            return Err(Error::invalid(
                "netDevices: the network namespace is the one that the devices are in",
            ));
        }
        let mut moved = Moved {
            own: self.own,
            there,
            devices: Vec::new(),
        };
        let (mut here, mut away) = moved.sockets()?;
        for device in self.found {
            if let Err(error) = moved.take(&mut here, &mut away, device) {
                let back = moved.take_back();
                return Err(match back {
                    Ok(()) => error,
                    Err(more) => error.context(more),
                });
            }
        }
        Ok(moved)
    }
}

impl Moved {
    fn sockets(&self) -> Result<(Socket, Socket)> {
        let here = Socket::route()?;
        let visit =
            |fd: BorrowedFd<'_>| move_into_link_name_space(fd, Some(LinkNameSpaceType::Network));
        visit(self.there.as_fd()).doing("enter the container's network namespace")?;
        let away = Socket::route();
        visit(self.own.as_fd()).map_err(|errno| {
            Error::internal(format!(
                "cannot return to the own network namespace: {errno}"
            ))
        })?;
        Ok((here, away?))
    }

    fn take(&mut self, here: &mut Socket, away: &mut Socket, device: Found) -> Result<()> {
        let (old, new) = (device.link.name.clone(), device.name.clone());
        let named = |error: Error| error.context(format!("netDevices: move {old}"));
        let is_template = new.ends_with(TEMPLATE);
        // Asked before: the kernel moves a device and fails to rename it then.
        if !is_template && link::find(away, &new)?.is_some() {
            return Err(Error::conflict(format!(
                "netDevices: the container's network namespace has a device {new} already: choose another name for {old}, or one that ends with {TEMPLATE}"
            )));
        }
        let before = link::list(away)?;
        let sent = send(here, &device.link, &new, self.there.as_fd());
        let arrived = link::list(away).map(|after| {
            after.into_iter().find(|link| {
                link.mac == device.link.mac && !before.iter().any(|old| old.index == link.index)
            })
        });
        let arrived = match (arrived, sent) {
            (Ok(Some(arrived)), sent) => {
                self.devices.push((device, arrived.index));
                sent.map_err(named)?;
                arrived
            }
            (arrived, sent) => {
                // It did not leave; but it may be down, and lost addresses of version 6 by that.
                let back = restore(here, &device);
                sent.and(arrived.map(drop).map_err(Error::from))
                    .and(back)
                    .map_err(named)?;
                return Err(Error::internal(format!("device {old} vanished")));
            }
        };
        let (device, _) = &self.devices[self.devices.len() - 1];
        let mut batch = away.batch();
        for address in device.addresses.iter().filter(|a| a.is_global()) {
            link::add_address_again(&mut batch, arrived.index, address);
        }
        link::set_up(&mut batch, arrived.index, &arrived.name);
        away.execute(batch).map_err(|e| named(e.into()))
    }

    /// Back to where they were, with their names and all permanent addresses, and up if they were. Goes on past a failure; the first
    /// one is returned.
    pub fn take_back(&mut self) -> Result<()> {
        if self.devices.is_empty() {
            return Ok(());
        }
        let (mut here, mut away) = self.sockets()?;
        let mut done = Ok(());
        for (device, index) in std::mem::take(&mut self.devices).into_iter().rev() {
            let old = &device.link.name;
            let there = Link {
                index,
                ..device.link.clone()
            };
            let back = send(&mut away, &there, old, self.own.as_fd())
                .and_then(|()| restore(&mut here, &device))
                .map_err(|e| e.context(format!("take back device {old}")));
            done = done.and(back);
        }
        done
    }
}

/// Takes a link down and moves it, with a name of its own there.
fn send(from: &mut Socket, link: &Link, name: &str, to: BorrowedFd<'_>) -> Result<()> {
    let mut batch = from.batch();
    link::set_down(&mut batch, link.index, &link.name);
    from.execute(batch)?;
    let mut batch = from.batch();
    link::set_namespace(&mut batch, link.index, name, to.as_raw_fd());
    Ok(from.execute(batch)?)
}

fn restore(here: &mut Socket, device: &Found) -> Result<()> {
    let link =
        link::find(here, &device.link.name)?.ok_or_else(|| Error::internal("it did not arrive"))?;
    let mut batch = here.batch();
    for address in &device.addresses {
        link::add_address_again(&mut batch, link.index, address);
    }
    if device.link.up {
        link::set_up(&mut batch, link.index, &link.name);
    }
    match batch.requests() {
        0 => Ok(()),
        _ => Ok(here.execute(batch)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for good in ["eth0", "a.b", "wlp0s20f3", "123456789012345"] {
            assert!(Wanted::new(good, None).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "eth%d",
            "1234567890123456",
            "a\n",
        ] {
            assert!(Wanted::new(bad, None).is_err(), "{bad}");
        }
        assert!(Wanted::new("eth0", Some("net%d")).is_ok());
        for bad in ["%s", "a%db", "%d%d", "a%"] {
            assert!(Wanted::new("eth0", Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(Wanted::new("eth0", Some("")).unwrap().new_name, None);
    }
}
