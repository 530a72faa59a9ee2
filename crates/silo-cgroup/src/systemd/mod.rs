//! Control groups by systemd: a container's group is a scope, a unit that systemd makes around a process, with the limits as its
//! properties (org.freedesktop.systemd1(5)).
//!
//! Called by the runtime when a caller asks for this driver (`--systemd-cgroup`), and by nobody else: nothing connects before. The
//! unit is delegated, so limits are written to the group as without systemd, too, and read back; what both know, both are told.
//!
//! ```text
//! Manager::connect ─ path_of ─ (a process waits) ─ start ─ Cgroup::create(…, Managed) ─ update ─ stop
//! ```

mod annotations;
mod bus;
mod properties;
mod wire;

pub use wire::{Property, Value};

use crate::cgroup::Cgroup;
use crate::devices::{self, Rules};
use crate::layout::{Layout, Mode};
use crate::limits;
use crate::path::CgroupPath;
use bus::Bus;
use oci_spec::runtime::LinuxResources;
use silo_types::{Doing, Error, Kind, Result};
use std::path::Path;
use wire::Writer;

/// A unit, by name, and whose manager has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub unit: String,
    /// Empty in one that is only looked up again.
    slice: String,
    /// The manager of the caller's user, not the system's.
    pub of_user: bool,
}

impl Scope {
    /// From a specification's `cgroupsPath`, which has the form `slice:prefix:name` for this driver; a text without anything makes
    /// `silo-ID.scope` in the usual slice.
    pub fn new(cgroups_path: &str, id: &str) -> Result<Scope> {
        let of_user = is_unprivileged();
        let usual = if of_user {
            "user.slice"
        } else {
            "system.slice"
        };
        let (slice, prefix, name) = match cgroups_path {
            "" => ("", "silo", id),
            text => {
                let mut parts = text.split(':');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    (Some(slice), Some(prefix), Some(name), None) if !name.is_empty() => {
                        (slice, prefix, name)
                    }
                    _ => {
                        return Err(Error::invalid(format!(
                            "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {text:?} instead"
                        )));
                    }
                }
            }
        };
        let unit = match prefix {
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        check_name(&unit)?;
        Ok(Scope {
            unit,
            slice: if slice.is_empty() { usual } else { slice }.to_owned(),
            of_user,
        })
    }

    /// One that was made before.
    pub fn known(unit: &str, of_user: bool) -> Scope {
        Scope {
            unit: unit.to_owned(),
            slice: String::new(),
            of_user,
        }
    }
}

/// A unit's name, systemd.unit(5).
fn check_name(unit: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    if unit.len() < 256 && unit.bytes().all(good) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{unit:?} cannot be the name of a unit of systemd: letters, digits, ':', '-', '_', '.', '\\' and '@' make one"
    )))
}

/// The path of a slice below the manager's own group: `a-b.slice` lies in `a.slice`.
fn slice_path(slice: &str) -> Result<String> {
    let bad = || Error::invalid(format!("{slice:?} is no name of a slice of systemd"));
    // The root of all.
    if slice == "-.slice" {
        return Ok(String::new());
    }
    let name = slice.strip_suffix(".slice").ok_or_else(bad)?;
    if name.is_empty() || name.contains('/') || name.split('-').any(str::is_empty) {
        return Err(bad());
    }
    check_name(slice)?;
    let ends = name.match_indices('-').map(|(at, _)| at);
    let levels = ends.chain([name.len()]);
    Ok(levels
        .map(|end| format!("/{}.slice", &name[..end]))
        .collect())
}

/// Whether the system's manager is not the caller's to ask: another user than root, or root of a user namespace.
pub fn is_unprivileged() -> bool {
    owner() != 0
}

/// The host's number of the caller's user.
fn owner() -> u32 {
    let own = rustix::process::geteuid().as_raw();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let found = map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (inside, outside, count) = (
            numbers.next()?.ok()?,
            numbers.next()?.ok()?,
            numbers.next()?.ok()?,
        );
        let at = own.checked_sub(inside).filter(|at| *at < count)?;
        Some(outside + at)
    });
    found.unwrap_or(own)
}

/// A manager of services, connected.
#[derive(Debug)]
pub struct Manager {
    bus: Bus,
}

/// What the properties of a unit are made from.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub resources: &'a LinuxResources,
    /// `Name=value` of the specification's annotations: see [`Manager::start`].
    pub annotations: &'a [(String, String)],
    pub description: &'a str,
}

impl Manager {
    /// Connects to the system's manager, or to the user's.
    ///
    /// Errors: Unsupported when there is none, with the way out.
    pub fn connect(of_user: bool) -> Result<Manager> {
        let whose = match of_user {
            true => "your user's systemd",
            false => "systemd",
        };
        let bus = Bus::connect(&bus::addresses(of_user)).map_err(|error| {
            Error::unsupported(format!(
                "--systemd-cgroup: {whose} cannot be asked: {error}: have the caller use the cgroupfs driver{}",
                match of_user {
                    true => ", or log in with a session (XDG_RUNTIME_DIR says where it is)",
                    false => "",
                }
            ))
        })?;
        Ok(Manager { bus })
    }

    /// Where the scope's group will be in every hierarchy.
    pub fn path_of(&mut self, scope: &Scope) -> Result<CgroupPath> {
        let own = self.bus.property("ControlGroup")?;
        let own = own.trim_end_matches("/init.scope").trim_end_matches('/');
        let slice = slice_path(&scope.slice)?;
        CgroupPath::new(&format!("{own}{slice}/{}", scope.unit))
    }

    /// Makes the scope around a process that waits, and returns when it is in the scope's group.
    ///
    /// Annotations `org.systemd.property.NAME` are properties as they are; their values are in the text form of GVariant.
    ///
    /// Errors: Conflict when a unit of this name is there; Invalid for a property that systemd does not know.
    pub fn start(
        &mut self,
        scope: &Scope,
        pid: i32,
        layout: &Layout,
        wanted: &Wanted<'_>,
    ) -> Result<()> {
        let mut properties = scope_properties(scope, pid, layout, wanted.description);
        properties.extend(limit_properties(layout, wanted.resources, 100_000, scope)?);
        properties.extend(annotations::properties(wanted.annotations)?);
        match self.start_once(scope, &properties) {
            // One of this name that has failed is kept until somebody has looked at it.
            Err(error) if error.kind() == Kind::Conflict => {
                let _ = self.forget(scope);
                self.start_once(scope, &properties)
            }
            done => done,
        }
        .map_err(|error| error.context(format!("unit {}", scope.unit)))
    }

    fn start_once(&mut self, scope: &Scope, properties: &[Property]) -> Result<()> {
        let mut body = Writer::default();
        body.text(&scope.unit);
        body.text("replace");
        body.properties(properties);
        // No units beside it: an empty a(sa(sv)).
        body.value(&Value::Array("(sa(sv))".into(), Vec::new()));
        let reply = self
            .bus
            .call_manager("StartTransientUnit", "ssa(sv)a(sa(sv))", body)?;
        match self.wait_for(&reply.texts)?.as_str() {
            "done" => Ok(()),
            result => {
                let _ = self.forget(scope);
                Err(Error::system("start it", format!("systemd says {result}")))
            }
        }
    }

    fn wait_for(&mut self, reply: &[String]) -> Result<String> {
        let job = reply
            .first()
            .ok_or_else(|| Error::internal("systemd names no job"))?;
        self.bus.wait_for_job(job)
    }

    /// Changes limits of the unit; the group itself is changed by [`Cgroup::update`].
    pub fn update(
        &mut self,
        scope: &Scope,
        group: &Cgroup,
        resources: &LinuxResources,
    ) -> Result<()> {
        let properties = limit_properties(group.layout(), resources, group.period(), scope)?;
        if properties.is_empty() {
            return Ok(());
        }
        let mut body = Writer::default();
        body.text(&scope.unit);
        // Until it ends.
        body.value(&Value::Bool(true));
        body.properties(&properties);
        self.bus
            .call_manager("SetUnitProperties", "sba(sv)", body)
            .map(drop)
            .map_err(|error| error.context(format!("unit {}", scope.unit)))
    }

    /// Ends the unit. Not there is as good as ended.
    pub fn stop(&mut self, scope: &Scope) -> Result<()> {
        let mut body = Writer::default();
        body.text(&scope.unit);
        body.text("replace");
        let stopped = self
            .bus
            .call_manager("StopUnit", "ss", body)
            .and_then(|reply| self.wait_for(&reply.texts).map(drop));
        let forgotten = self.forget(scope);
        let there = |error: &Error| error.kind() != Kind::NotFound;
        match (stopped.err().filter(there), forgotten.err().filter(there)) {
            (Some(error), _) | (None, Some(error)) => {
                Err(error.context(format!("unit {}", scope.unit)))
            }
            (None, None) => Ok(()),
        }
    }

    fn forget(&mut self, scope: &Scope) -> Result<()> {
        let mut body = Writer::default();
        body.text(&scope.unit);
        self.bus
            .call_manager("ResetFailedUnit", "s", body)
            .map(drop)
    }
}

fn pids(pid: i32) -> Value {
    Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())])
}

fn scope_properties(scope: &Scope, pid: i32, layout: &Layout, description: &str) -> Vec<Property> {
    let yes = |name: &str| (name.to_owned(), Value::Bool(true));
    let mut properties = vec![
        ("Description".to_owned(), Value::text(description)),
        ("Slice".to_owned(), Value::text(&scope.slice)),
        ("PIDs".to_owned(), pids(pid)),
        ("DefaultDependencies".to_owned(), Value::Bool(false)),
        yes("Delegate"),
        yes("CPUAccounting"),
        yes("MemoryAccounting"),
        yes("TasksAccounting"),
    ];
    properties.push(match layout.mode() {
        Mode::V2 => yes("IOAccounting"),
        Mode::V1 | Mode::Hybrid => yes("BlockIOAccounting"),
    });
    properties
}

fn limit_properties(
    layout: &Layout,
    resources: &LinuxResources,
    period: u64,
    scope: &Scope,
) -> Result<Vec<Property>> {
    let steps = limits::plan(layout, resources)?;
    let mut properties = properties::of_limits(layout, &steps, period)?;
    // A user's manager has no say about devices.
    if let Some(rules) = resources.devices().as_ref().filter(|_| !scope.of_user) {
        let majors = std::fs::read_to_string("/proc/devices").doing("read /proc/devices")?;
        let rules = devices::Rules::new(rules)?;
        properties.extend(of_rules(&rules, &majors));
    }
    Ok(properties)
}

fn of_rules(rules: &Rules, majors: &str) -> Vec<Property> {
    match rules.as_slice() {
        [] => Vec::new(),
        _ => properties::of_devices(rules, majors),
    }
}

/// Whether this host was booted with systemd, sd_booted(3).
pub fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_slice_and_scope() {
        let scope = Scope::new("machine-x.slice:libpod:abc", "id").unwrap();
        assert_eq!(
            (scope.slice.as_str(), scope.unit.as_str()),
            ("machine-x.slice", "libpod-abc.scope")
        );
        assert_eq!(Scope::new("::abc", "id").unwrap().unit, "abc.scope");
        assert_eq!(Scope::new("", "id").unwrap().unit, "silo-id.scope");
        for bad in ["/a/b", "a", "a:b", "a:b:", "a:b:c:d", "a:b:c/d", "a:b:c d"] {
            assert!(Scope::new(bad, "id").is_err(), "{bad}");
        }
    }

    #[test]
    fn slices_lie_in_each_other() {
        assert_eq!(slice_path("-.slice").unwrap(), "");
        assert_eq!(slice_path("a.slice").unwrap(), "/a.slice");
        assert_eq!(
            slice_path("a-b-c.slice").unwrap(),
            "/a.slice/a-b.slice/a-b-c.slice"
        );
        for bad in [
            "a",
            ".slice",
            "-a.slice",
            "a-.slice",
            "a--b.slice",
            "a/b.slice",
            "",
        ] {
            assert!(slice_path(bad).is_err(), "{bad}");
        }
    }
}
