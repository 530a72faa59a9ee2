//! Devices of the host's that a specification wants in its container's network namespace (`linux.netDevices`), for `silo oci`: its
//! runtime knows no network.

use std::cell::RefCell;

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, open};
use silo_net::{Devices, Moved, Wanted};
use silo_types::{Doing, Result};

/// What is wanted, and once it is moved, where it is.
#[derive(Debug)]
pub struct NetDevices {
    wanted: Vec<Wanted>,
    moved: RefCell<Option<Moved>>,
}

impl NetDevices {
    /// `None`: no device is asked for.
    ///
    /// Errors: Invalid for names that cannot be.
    pub fn of(spec: &Spec) -> Result<Option<NetDevices>> {
        let Some(asked) = spec.linux().as_ref().and_then(|l| l.net_devices().as_ref()) else {
            return Ok(None);
        };
        let wanted = asked
            .iter()
            .map(|(name, device)| Wanted::new(name, device.name().as_deref()));
        let mut wanted: Vec<Wanted> = wanted.collect::<Result<_>>()?;
        // The order of a map is nobody's.
        wanted.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((!wanted.is_empty()).then(|| NetDevices {
            wanted,
            moved: RefCell::new(None),
        }))
    }

    /// Moves them to the network namespace of a process, which must be a child that waits for it.
    pub fn move_to(&self, pid: i32) -> Result<()> {
        let devices = Devices::find(&self.wanted)?;
        let path = format!("/proc/{pid}/ns/net");
        let there = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(path)?;
        self.moved.replace(Some(devices.move_to(there)?));
        Ok(())
    }

    /// Takes them back, since their container did not come about. Its namespace lasts until here.
    pub fn take_back(&self) -> Result<()> {
        match self.moved.take() {
            Some(mut moved) => moved.take_back(),
            None => Ok(()),
        }
    }
}
