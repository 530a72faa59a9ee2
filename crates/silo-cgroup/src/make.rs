//! Makes a group's directories in every hierarchy, with what they need to be usable: CPUs and memory nodes on v1,
//! controllers enabled on v2.
//!
//! On the way of every start: one mkdir per hierarchy; parents are looked at only when the kernel says that they lack.

use crate::Existing;
use crate::file;
use crate::layout::{Controller, Controllers, Hierarchy, Layout, Version};
use crate::path::CgroupPath;
use crate::vacate::{is_namespace_root, vacate};
use rustix::io::Errno;
use silo_types::{Doing, Error, Result};

/// What v2 counts and limits for every container, where the host offers it.
const USUAL: Controllers = Controllers::of(&[
    Controller::Cpu,
    Controller::Cpuset,
    Controller::Memory,
    Controller::Io,
    Controller::Pids,
]);

/// Makes `dirs` (one per hierarchy of `layout`, all of `path`) with the v2 controllers of `required` enabled. When it
/// fails, nothing that it made at `path` is left.
pub(crate) fn make(
    layout: &Layout,
    path: &CgroupPath,
    dirs: &[String],
    required: Controllers,
    existing: Existing,
) -> Result<()> {
    let mut made = Vec::with_capacity(dirs.len());
    for (hierarchy, dir) in layout.hierarchies().iter().zip(dirs) {
        let one = make_one(hierarchy, path, dir, existing).and_then(|fresh| {
            if fresh {
                made.push(dir);
            }
            match existing {
                Existing::Managed if hierarchy.version == Version::V2 => {
                    check(hierarchy, dir, required)
                }
                _ => equip(hierarchy, path, dir, required, fresh),
            }
        });
        if let Err(error) = one {
            unmake(&made);
            return Err(error);
        }
    }
    Ok(())
}

/// Removes directories that were made a moment ago and that nobody is in.
pub(crate) fn unmake<S: AsRef<str>>(made: &[S]) {
    for dir in made.iter().rev() {
        // The failure that led here is the one to tell; what stays is found by `list_below`
        let _ = rustix::fs::rmdir(dir.as_ref());
    }
}

/// Whether the directory is new.
fn make_one(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    dir: &str,
    existing: Existing,
) -> Result<bool> {
    let outcome = match file::mkdir(dir) {
        Err(Errno::NOENT) => make_parents(hierarchy, path).and_then(|()| file::mkdir(dir)),
        outcome => outcome,
    };
    match outcome {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) if existing != Existing::Refuse => Ok(false),
        Err(Errno::EXIST) => Err(Error::conflict(format!(
            "cgroup {path} exists already in the {} hierarchy: it belongs to somebody else, or a crash left it",
            hierarchy.label()
        ))),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Err(Error::unsupported(format!(
            "cgroup {path} cannot be made below {}: no write permission: be root, or choose a parent that was delegated to you",
            hierarchy.point
        ))),
        Err(Errno::AGAIN) => Err(Error::conflict(format!(
            "cgroup {path} cannot be made below {}: the group above has reached its number or depth of groups (cgroup.max.*)",
            hierarchy.point
        ))),
        Err(errno) => Err(Error::system(format!("make cgroup {dir}"), errno)),
    }
}

fn make_parents(hierarchy: &Hierarchy, path: &CgroupPath) -> Result<(), Errno> {
    for parent in path.ancestors() {
        let dir = hierarchy.dir(parent);
        match file::mkdir(&dir) {
            Ok(()) if is_v1_cpuset(hierarchy) => {
                // Groups made below inherit CPUs and nodes from then on, without a write (cgroup-v1/cpusets.rst, 1.9)
                let _ = file::write(&format!("{dir}/cgroup.clone_children"), "1");
            }
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    if is_v1_cpuset(hierarchy) {
        for parent in path.ancestors() {
            inherit_cpuset(&hierarchy.dir(parent))?;
        }
    }
    Ok(())
}

fn is_v1_cpuset(hierarchy: &Hierarchy) -> bool {
    hierarchy.version == Version::V1 && hierarchy.controllers.contains(Controller::Cpuset)
}

/// What a directory needs before a process may enter it.
fn equip(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    dir: &str,
    required: Controllers,
    fresh: bool,
) -> Result<()> {
    if hierarchy.version == Version::V2 {
        return enable(hierarchy, path, dir, required);
    }
    if !is_v1_cpuset(hierarchy) {
        return Ok(());
    }
    // A fresh group has inherited both or none
    let cpus = format!("{dir}/cpuset.cpus");
    if fresh && !is_blank(&cpus).doing_with(|| format!("read {cpus}"))? {
        return Ok(());
    }
    for parent in path.ancestors() {
        let dir = hierarchy.dir(parent);
        inherit_cpuset(&dir).doing_with(|| format!("give cgroup {dir} its cpus and nodes"))?;
    }
    inherit_cpuset(dir).doing_with(|| format!("give cgroup {dir} its cpus and nodes"))
}

fn is_blank(path: &str) -> Result<bool, Errno> {
    Ok(file::read(path)?.trim().is_empty())
}

/// Copies the parent's CPUs and memory nodes into a v1 cpuset that has none: no process may enter it before.
fn inherit_cpuset(dir: &str) -> Result<(), Errno> {
    let parent = dir.rsplit_once('/').map_or("", |(parent, _)| parent);
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = format!("{dir}/{name}");
        if is_blank(&own)? {
            let inherited = file::read(&format!("{parent}/{name}"))?;
            file::write(&own, inherited.trim())?;
        }
    }
    Ok(())
}

/// That a manager has given the group what its limits need.
fn check(hierarchy: &Hierarchy, dir: &str, required: Controllers) -> Result<()> {
    let file = format!("{dir}/cgroup.controllers");
    let text = file::read(&file).doing_with(|| format!("read {file}"))?;
    let lacks = required
        .and(hierarchy.controllers)
        .without(Controllers::from_v2_names(&text));
    match lacks.iter().next() {
        None => Ok(()),
        Some(lost) => Err(Error::unsupported(format!(
            "systemd has no {0} controller for {dir}: delegate it to the service manager that is asked (Delegate={0} in user@.service), or leave the limit out",
            lost.v2_name()
        ))),
    }
}

/// Enables the usual and the `required` v2 controllers for the group, from the root down, where they are not.
fn enable(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    dir: &str,
    required: Controllers,
) -> Result<()> {
    let wanted = USUAL
        .iter()
        .fold(required, Controllers::with)
        .and(hierarchy.controllers);
    if wanted.is_empty() {
        return Ok(());
    }
    let file = format!("{dir}/cgroup.controllers");
    let has = || -> Result<Controllers> {
        let text = file::read(&file).doing_with(|| format!("read {file}"))?;
        Ok(Controllers::from_v2_names(&text))
    };
    if wanted.without(has()?).is_empty() {
        return Ok(());
    }
    let mut reason = None;
    for parent in std::iter::once("").chain(path.ancestors()) {
        let control = format!("{}/cgroup.subtree_control", hierarchy.dir(parent));
        let on = file::read(&control).doing_with(|| format!("read {control}"))?;
        let missing = wanted.without(Controllers::from_v2_names(&on));
        if parent.is_empty() && !missing.is_empty() && is_namespace_root(hierarchy) {
            // Before: some controllers can be handed down beside processes, and then neither those nor the processes can move.
            // Where it fails, the kernel's refusal is told below.
            let _ = vacate(&hierarchy.dir(""));
        }
        for one in missing.iter() {
            let outcome = file::write(&control, &format!("+{}", one.v2_name()));
            if let Err(errno) = outcome
                && required.contains(one)
                && reason.is_none()
            {
                reason = Some((control.clone(), errno));
            }
        }
    }
    let Some(lost) = required.without(has()?).iter().next() else {
        return Ok(());
    };
    let name = lost.v2_name();
    Err(Error::unsupported(match reason {
        Some((control, Errno::BUSY | Errno::OPNOTSUPP)) => format!(
            "the {name} controller cannot be enabled in {control}: that group has processes of its own: move them into a group below it, such as 'init', or choose another parent"
        ),
        Some((control, errno)) => format!(
            "the {name} controller cannot be enabled in {control} ({errno}): it must be delegated to the parent group"
        ),
        None => format!("the {name} controller is not available in cgroup {path}"),
    }))
}
