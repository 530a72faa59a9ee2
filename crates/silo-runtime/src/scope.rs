//! The systemd driver's part of a container's life: its first process waits until systemd has made a scope around it.
//!
//! Called by `container`, for callers that ask for this driver. What it is called is written down before it exists, so that
//! [`end`] finds it whenever the maker was killed; a scope without processes ends by itself.

use oci_spec::runtime::{LinuxResources, Spec};
use silo_cgroup::{
    Cgroup, CgroupPath, Existing, Layout,
    systemd::{Manager, Scope, Wanted, is_booted},
};
use silo_types::{Doing, Error, Result};

use crate::state::Record;

/// A scope to be made, and the manager that will.
#[derive(Debug)]
pub(crate) struct Driver {
    manager: Manager,
    pub(crate) scope: Scope,
    pub(crate) path: CgroupPath,
    description: String,
    annotations: Vec<(String, String)>,
}

impl Driver {
    /// Connects, and finds out where the group will be.
    ///
    /// Errors: Unsupported without systemd, with the way out.
    pub(crate) fn new(spec: &Spec, id: &str) -> Result<Driver> {
        let asked = spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.cgroups_path().as_ref())
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default();
        let scope = Scope::new(&asked, id)?;
        check()?;
        let mut manager = Manager::connect(scope.of_user)?;
        let path = manager.path_of(&scope)?;
        let annotations = spec.annotations().clone().unwrap_or_default();
        Ok(Driver {
            manager,
            scope,
            path,
            description: format!("silo container {id}"),
            annotations: annotations.into_iter().collect(),
        })
    }

    /// Puts a process that waits into a scope with all limits.
    pub(crate) fn place(
        mut self,
        pid: i32,
        layout: &Layout,
        limits: &LinuxResources,
    ) -> Result<()> {
        let wanted = Wanted {
            resources: limits,
            annotations: &self.annotations,
            description: &self.description,
        };
        self.manager.start(&self.scope, pid, layout, &wanted)?;
        let group = Cgroup::create(layout, &self.path, limits, Existing::Managed)?;
        let file = format!("/proc/{pid}/cgroup");
        let groups = std::fs::read_to_string(&file).doing_with(|| format!("read {file}"))?;
        match group.confirm(&groups) {
            Ok(()) => Ok(()),
            // Hierarchies of v1 that systemd leaves alone.
            Err(_) => group.attach(pid),
        }
    }
}

/// Whether there is a systemd to ask at all.
pub fn check() -> Result<()> {
    match is_booted() {
        true => Ok(()),
        false => Err(Error::unsupported(
            "--systemd-cgroup: this host does not run systemd: have the caller use the cgroupfs driver",
        )),
    }
}

fn of(record: &Record) -> Option<Scope> {
    let unit = record.unit.as_deref()?;
    Some(Scope::known(unit, record.unit_of_user))
}

/// Changes the limits of a container in its group and, where it has one, its unit.
///
/// The kernel comes first, which refuses what cannot be, and last, since systemd rounds.
pub fn update(record: &Record, limits: &LinuxResources) -> Result<()> {
    let group = crate::container::group_of(record)?;
    let Some(scope) = of(record) else {
        return group.update(limits);
    };
    let mut manager = Manager::connect(scope.of_user)?;
    group.update(limits)?;
    manager.update(&scope, &group, limits)?;
    group.update(limits)
}

/// Ends the unit of a container, if it has one.
pub(crate) fn end(record: &Record) -> Result<()> {
    match of(record) {
        Some(scope) => Manager::connect(scope.of_user)?.stop(&scope),
        None => Ok(()),
    }
}
