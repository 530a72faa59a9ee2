//! What the container's mounts take from the host, opened as detached mounts with their options set, before the host's tree is
//! dropped. A process that has privileges on the host opens it before it enters a user namespace: there it could neither reach
//! all of it nor map its ids.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::LinuxDeviceType;
use rustix::{
    fs::{self, CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use silo_sys::{
    clone,
    mount::{MountAttr, attr, mount_setattr},
};
use silo_types::{Doing, Error, Kind, Result};

use super::{Root, new_filesystem};
use crate::{
    mount_options::{MS_PRIVATE, MS_SLAVE},
    plan::{DeviceNode, MountMaps, MountStep, MountWhat, Plan},
};

/// User namespaces that map ids, made by the parent.
#[derive(Debug, Default)]
pub(crate) struct IdSpaces {
    /// The container's, when it is not the caller's.
    pub(crate) user: Option<OwnedFd>,
    /// Of the mounts with maps of their own, by their place in the plan.
    pub(crate) of_mounts: Vec<(usize, OwnedFd)>,
}

/// Detached mounts in the order of the plan's, `None` for those that are made inside; and of its devices in a user namespace,
/// where nodes cannot be made.
pub(crate) struct Sources {
    pub(super) mounts: Vec<Option<OwnedFd>>,
    pub(super) devices: Option<Vec<Option<OwnedFd>>>,
    /// The container's own control groups, in the order of the hierarchies, where they are shown instead of these.
    pub(super) groups: Vec<OwnedFd>,
    /// For what is taken from the container itself, later.
    spaces: IdSpaces,
}

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// Opens what the plan takes from the host. Must run before the mount namespace is made private, so that `rslave` and `rshared`
/// still can follow the host's mounts.
///
/// `groups`: the folders of the container's control groups, a hierarchy each; none: they are not to be shown. `with_new`: makes new
/// mounts as well, as [`Sources::make_new`] does later.
pub(crate) fn open_sources(
    plan: &Plan,
    spaces: IdSpaces,
    groups: &[String],
    with_new: bool,
) -> Result<Sources> {
    let open = |(at, step): (usize, &MountStep)| match &step.what {
        MountWhat::Bind { source, recursive } => {
            open_bind(source, *recursive, step.options.plain_source)
                .and_then(|tree| {
                    configure(&tree, step, id_space(at, step, &spaces)?, &map_ids)?;
                    Ok(Some(tree))
                })
                .map_err(|e| e.context(format!("mount {}", step.target)))
        }
        // In their turn: the kernel lists mounts by when they were made.
        _ if with_new => made_new(step, plan),
        _ => Ok(None),
    };
    let devices = match plan.is_bounded() {
        true => Some(
            plan.devices
                .iter()
                .map(open_device)
                .collect::<Result<_>>()?,
        ),
        false => None,
    };
    let mounts = plan.mounts.iter().enumerate().map(open);
    let mounts = mounts.collect::<Result<_>>()?;
    Ok(Sources {
        mounts,
        devices,
        groups: open_groups(plan, groups)?,
        spaces,
    })
}

/// Their options are set where they are attached.
fn open_groups(plan: &Plan, groups: &[String]) -> Result<Vec<OwnedFd>> {
    if !plan.mounts.iter().any(|s| s.what == MountWhat::Cgroup) {
        return Ok(Vec::new());
    }
    let open = |group: &String| {
        open_tree(CWD, group.as_str(), CLONE).doing_with(|| format!("control group {group}"))
    };
    groups.iter().map(open).collect()
}

/// The tree of a root that is a folder of the host, detached, and no peer of the host's mounts: no root of that kind can be
/// entered by pivot_root(2).
pub(crate) fn open_root(root: Root, plan: &Plan) -> Result<OwnedFd> {
    let path = match root {
        Root::Mount(mount) => return Ok(mount),
        Root::Path(path) => path,
    };
    let named = || format!("root file system {}", path.display());
    let tree =
        open_tree(CWD, path.as_path(), CLONE | OpenTreeFlags::AT_RECURSIVE).doing_with(named)?;
    let change = MountAttr {
        propagation: match plan.root_propagation {
            Some((MS_SLAVE, _)) => MS_SLAVE,
            _ => MS_PRIVATE,
        },
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), c"", true, &change).doing_with(named)?;
    Ok(tree)
}

impl Sources {
    pub(super) fn space_of(&self, at: usize, step: &MountStep) -> Result<Option<&OwnedFd>> {
        id_space(at, step, &self.spaces)
    }

    /// Makes the mounts that need no look at what they cover. In a user namespace the kernel allows those of /proc and /sys only
    /// while whole ones are seen (`mount_too_revealing`): so before the host's tree is dropped.
    pub(crate) fn make_new(&mut self, plan: &Plan) -> Result<()> {
        for (at, step) in plan.mounts.iter().enumerate() {
            if let Some(made) = made_new(step, plan)? {
                self.mounts[at] = Some(made);
            }
        }
        Ok(())
    }
}

fn made_new(step: &MountStep, plan: &Plan) -> Result<Option<OwnedFd>> {
    let MountWhat::New { kind, source } = &step.what else {
        return Ok(None);
    };
    if !matches!(kind.as_str(), "proc" | "sysfs") && !step.stands_alone() {
        return Ok(None);
    }
    let made = match new_filesystem(kind, source, &step.options) {
        Err(error) if plan.is_bounded() => instead(kind, step, error),
        made => made,
    };
    made.map(Some)
        .map_err(|e| e.context(format!("mount {}", step.target)))
}

/// Without a network namespace of its own a user namespace gets no new sysfs: then the host's is seen, read-only (2023-25809).
fn instead(kind: &str, step: &MountStep, error: Error) -> Result<OwnedFd> {
    if kind != "proc" && kind != "sysfs" {
        return Err(error);
    }
    if kind == "proc" {
        return Err(error.context(
            "in a user namespace /proc needs a PID namespace of the container's own, and a whole /proc where Silo runs",
        ));
    }
    let tree = open_tree(CWD, c"/sys", CLONE | OpenTreeFlags::AT_RECURSIVE).doing("/sys")?;
    let change = MountAttr {
        set: step.options.set | step.options.set_recursive | attr::RDONLY,
        clear: step.options.clear & !attr::RDONLY,
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), c"", true, &change).doing("set its options")?;
    Ok(tree)
}

fn open_bind(source: &Path, recursive: bool, plain: bool) -> Result<OwnedFd> {
    let flags = match recursive {
        true => CLONE | OpenTreeFlags::AT_RECURSIVE,
        false => CLONE,
    };
    match inside_process(source) {
        Some((pid, path)) => open_elsewhere(&pid, &path, flags),
        None if plain => open_plain(source, flags)
            .doing_with(|| format!("bind source {}, through no link", source.display())),
        None => {
            open_tree(CWD, source, flags).doing_with(|| format!("bind source {}", source.display()))
        }
    }
}

fn id_space<'a>(at: usize, step: &MountStep, spaces: &'a IdSpaces) -> Result<Option<&'a OwnedFd>> {
    let found = match &step.id_map {
        None => return Ok(None),
        Some(MountMaps::OfContainer) => spaces.user.as_ref(),
        Some(MountMaps::Own(_)) => spaces.of_mounts.iter().find(|s| s.0 == at).map(|s| &s.1),
    };
    found
        .map(Some)
        .ok_or_else(|| Error::internal("its maps were not made"))
}

/// Has the ids of a detached tree mapped as in a user namespace, and of all below it: [`map_ids`], or who asks somebody to do that.
pub(crate) type MapIds<'m> = dyn Fn(&OwnedFd, &OwnedFd, bool) -> Result<()> + 'm;

pub(super) fn configure(
    tree: &OwnedFd,
    step: &MountStep,
    ids: Option<&OwnedFd>,
    map: &MapIds<'_>,
) -> Result<()> {
    let options = &step.options;
    let (propagation, whole) = options.propagation.unwrap_or((MS_PRIVATE, true));
    let change = |set, clear, propagation, recursive| {
        if set == 0 && clear == 0 && propagation == 0 {
            return Ok(());
        }
        let change = MountAttr {
            set,
            clear,
            propagation,
            userns_fd: 0,
        };
        mount_setattr(tree.as_fd(), c"", recursive, &change).doing("set its options")
    };
    change(0, 0, propagation, whole)?;
    if let Some(ids) = ids {
        map(tree, ids, options.id_map == Some(true))?;
    }
    change(options.set_recursive, options.clear_recursive, 0, true)?;
    change(options.set, options.clear, 0, false)
}

/// Only root of the user namespace that the file system belongs to can do it.
pub(crate) fn map_ids(tree: &OwnedFd, ids: &OwnedFd, recursive: bool) -> Result<()> {
    let map = MountAttr {
        set: attr::IDMAP,
        userns_fd: ids.as_raw_fd() as u64,
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), c"", recursive, &map).map_err(id_error)
}

fn id_error(error: std::io::Error) -> Error {
    let why = "map the ids of its files";
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::INVAL) => Error::system(why, error)
            .context("its file system knows no id-mapped mounts, or its ids are mapped already")
            .with_kind(Kind::Unsupported),
        Some(Errno::PERM) => {
            Error::system(why, error).context("only root of the file system's user namespace may")
        }
        _ => Error::system(why, error),
    }
}

/// `/proc/PID/root/PATH` names a mount of another process's namespace: its pid and the path there.
fn inside_process(source: &Path) -> Option<(String, String)> {
    let (pid, path) = source
        .to_str()?
        .strip_prefix("/proc/")?
        .split_once("/root/")?;
    let digits = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| (pid.to_owned(), path.to_owned()))
}

/// A mount can be cloned only by who is in its namespace, open_tree(2): a visit there and back.
fn open_elsewhere(pid: &str, path: &str, flags: OpenTreeFlags) -> Result<OwnedFd> {
    let namespace = |of: &str| {
        let path = format!("/proc/{of}/ns/mnt");
        fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(path)
    };
    let (own, other) = (namespace("self")?, namespace(pid)?);
    clone::setns(other.as_fd(), clone::ns::MOUNT).doing_with(|| format!("visit process {pid}"))?;
    let cloned =
        open_plain(Path::new(path), flags).doing_with(|| format!("share /{path} of process {pid}"));
    clone::setns(own.as_fd(), clone::ns::MOUNT).doing("return from the visit")?;
    cloned
}

/// A clone of what lies at a path without links.
fn open_plain(path: &Path, flags: OpenTreeFlags) -> rustix::io::Result<OwnedFd> {
    let open = OFlags::PATH | OFlags::CLOEXEC;
    let place = fs::openat2(CWD, path, open, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    open_tree(&place, "", flags | OpenTreeFlags::AT_EMPTY_PATH)
}

/// The host's node of a device: the very one that is asked for, whatever lies at the path. Pipes can be made inside.
fn open_device(device: &DeviceNode) -> Result<Option<OwnedFd>> {
    if device.kind == LinuxDeviceType::P {
        return Ok(None);
    }
    let named = || format!("device {} for a user namespace", device.path);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = fs::open(&device.path, flags, Mode::empty()).doing_with(named)?;
    let stat = fs::fstat(&node).doing_with(named)?;
    let kind = match device.kind {
        LinuxDeviceType::B => FileType::BlockDevice,
        _ => FileType::CharacterDevice,
    };
    if FileType::from_raw_mode(stat.st_mode) != kind
        || stat.st_rdev != fs::makedev(device.major, device.minor)
    {
        return Err(Error::invalid(format!(
            "device {}: a user namespace takes the host's, which is not {}:{}",
            device.path, device.major, device.minor
        )));
    }
    let tree = open_tree(&node, "", CLONE | OpenTreeFlags::AT_EMPTY_PATH).doing_with(named)?;
    let private = MountAttr {
        propagation: MS_PRIVATE,
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), c"", false, &private).doing_with(named)?;
    Ok(Some(tree))
}
