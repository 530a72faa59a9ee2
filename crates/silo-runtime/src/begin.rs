//! How a container begins, be it made or restored: its id is taken, its control group is free, what it will have has a name.
//!
//! Called by `container` and `criu`. Nothing is in the kernel yet.

use silo_cgroup::{CgroupPath, Existing, Layout};
use silo_types::{Error, Kind, Result};

use crate::{
    container::{self, Order},
    hooks::HookSet,
    process,
    scope::Driver,
    state::{Held, Record, StateRoot},
};

/// An id that is taken, and what is known of its container.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) held: Held,
    pub(crate) record: Record,
    pub(crate) layout: Layout,
    pub(crate) path: CgroupPath,
    pub(crate) existing: Existing,
    pub(crate) driver: Option<Driver>,
    pub(crate) hooks: Option<HookSet>,
}

/// Takes the id.
///
/// Errors: Conflict when it is taken, or its control group has processes; Unsupported for what the caller may not have.
pub(crate) fn begin(root: &StateRoot, order: &Order<'_>) -> Result<Begun> {
    let spec = &order.bundle.spec;
    let rootfs = order.bundle.rootfs()?;
    let layout = Layout::detect()?;
    let driver = match order.systemd {
        true => Some(Driver::new(spec, order.id)?),
        false => None,
    };
    let path = match &driver {
        Some(driver) => driver.path.clone(),
        None => container::cgroup_path(spec, order.id)?,
    };
    let has_group = driver.is_some() || container::can_have_group(spec, &layout, &path)?;
    let held = root.make(order.id)?;
    let existing = match (container::free_group(&layout, &path), &driver) {
        (Ok(_), Some(_)) => Existing::Managed,
        (Ok(existing), None) => existing,
        (Err(error), _) => {
            held.remove()?;
            return Err(error);
        }
    };
    let record = Record {
        oci_version: spec.version().clone(),
        id: order.id.to_owned(),
        bundle: order.bundle.path.clone(),
        rootfs,
        created: container::now(),
        annotations: container::annotations(spec),
        process: None,
        cgroup: match has_group {
            true => path.to_string(),
            false => String::new(),
        },
        unit: driver.as_ref().map(|driver| driver.scope.unit.clone()),
        unit_of_user: driver.as_ref().is_some_and(|driver| driver.scope.of_user),
        shares_pids: !container::has_own_pids(spec),
        has_hooks: spec.hooks().is_some(),
    };
    Ok(Begun {
        held,
        record,
        layout,
        path,
        existing,
        driver,
        hooks: HookSet::new(spec, order.id, &order.bundle.path),
    })
}

impl Begun {
    /// Its first process is there.
    pub(crate) fn note_process(&mut self, pid: i32) -> Result<()> {
        self.record.process = Some(process::identify(pid)?);
        self.held.write_record(&self.record)
    }

    /// Takes back all of it, because of this.
    pub(crate) fn give_up(self, error: Error) -> Error {
        // A unit of this name came in between: it and its group are somebody else's.
        match self.record.unit.is_some() && error.kind() == Kind::Conflict {
            true => {
                let _ = self.held.remove();
            }
            false => {
                container::unmake(self.held, &self.record, self.hooks.as_ref());
            }
        }
        error
    }
}
