//! Inside the child: from the host's tree to the container's, carrying out the plan's mounts.
//!
//! The order is what makes it safe: sources on the host are opened first, as detached mounts; then the root is entered with
//! pivot_root(2) and the host's tree dropped; only then are destinations resolved. A symlink of the image can therefore lead
//! nowhere but into the container, and every mount goes onto a descriptor, never onto a path looked up twice.

mod cgroups;
mod copy_up;
mod dev;
mod hardening;
mod place;
mod sources;
pub(crate) mod stage;

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{self, CWD, FileType, ResolveFlags},
    mount::{
        FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, UnmountFlags,
        fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount,
        fsopen, fspick, move_mount, unmount,
    },
};
use silo_sys::mount::{MountAttr, attr, mount_setattr};
use silo_types::{Doing, Error, Result};

pub use cgroups::{CgroupHierarchy, CgroupView};
pub(crate) use dev::check_terminal;
pub(crate) use sources::{IdSpaces, MapIds, Sources, map_ids, open_root, open_sources};

use crate::{
    mount_options::{MS_PRIVATE, MountOptions},
    plan::{MountStep, MountWhat, Plan},
    shared,
};

/// Where the container's root comes from.
#[derive(Debug)]
pub enum Root {
    /// A detached mount (fsmount(2)), made by the caller; attached nowhere on the host.
    Mount(OwnedFd),
    /// A folder of the host.
    Path(std::path::PathBuf),
}

/// The new root, entered; its own /dev and /proc once they are mounted.
pub(crate) struct Rootfs {
    root: OwnedFd,
    proc: Option<OwnedFd>,
    dev: Option<OwnedFd>,
    /// New mounts that become read-only when nothing more is made in them.
    late_read_only: Vec<OwnedFd>,
    /// The host's nodes for the plan's devices, where they cannot be made.
    devices: Option<Vec<Option<OwnedFd>>>,
    /// Master and slave of a terminal that was opened before, where there is no /dev of the container's own.
    terminal: Option<(OwnedFd, OwnedFd)>,
}

impl Rootfs {
    /// Attaches the root over `stage`, a folder that exists on the host, or over the current one: nothing of it changes, for this
    /// namespace is our own.
    pub(crate) fn attach(
        root: Root,
        stage: Option<&std::path::Path>,
        plan: &Plan,
    ) -> Result<Rootfs> {
        // Cloned while it still follows the host's mounts, should it be asked to go on doing so.
        let root = open_root(root, plan)?;
        let private = MountAttr {
            propagation: MS_PRIVATE,
            ..MountAttr::default()
        };
        mount_setattr(CWD, c"/", true, &private).doing("make the mounts private")?;
        let from = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        match stage {
            Some(stage) => move_mount(&root, "", CWD, stage, from),
            None => move_mount(
                &root,
                "",
                CWD,
                "",
                from | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
            ),
        }
        .doing_with(|| match stage {
            Some(stage) => format!("attach the root file system over {}", stage.display()),
            None => "attach the root file system".to_owned(),
        })?;
        Ok(Rootfs::of(root, None))
    }

    fn of(root: OwnedFd, terminal: Option<(OwnedFd, OwnedFd)>) -> Rootfs {
        Rootfs {
            root,
            proc: None,
            dev: None,
            late_read_only: Vec::new(),
            devices: None,
            terminal,
        }
    }

    /// A folder in somebody's mount namespace, in which nothing is mounted: see `shared`.
    pub(crate) fn share(root: OwnedFd, terminal: Option<(OwnedFd, OwnedFd)>) -> Rootfs {
        Rootfs::of(root, terminal)
    }

    /// The other way in, for one that is shared: the namespace's own tree stays there, out of sight.
    pub(crate) fn change_root(&self) -> Result<()> {
        shared::enter(&self.root)
    }

    /// The working directory of hooks that see both trees.
    pub(crate) fn stand_in(&self) -> Result<()> {
        rustix::process::fchdir(&self.root).doing("enter the root file system")
    }

    /// Makes it `/` and drops the host's tree. Mounts come after it, but for hooks that need to see both trees: destinations are
    /// resolved below the root's descriptor (`RESOLVE_IN_ROOT`) either way.
    pub(crate) fn enter(&self) -> Result<()> {
        self.stand_in()?;
        // The old root is put on top of the new one at the same place and then dropped: pivot_root(2), "NOTES".
        rustix::process::pivot_root(".", ".").doing("pivot_root")?;
        unmount(".", UnmountFlags::DETACH).doing("drop the host's mounts")?;
        rustix::process::chdir("/").doing("enter the new root")
    }

    /// Carries out the mounts. `map` is asked for ids of the container's own trees in a user namespace.
    pub(crate) fn mount_all(
        &mut self,
        plan: &Plan,
        mut sources: Sources,
        cgroup_mounts: &CgroupView,
        map: &MapIds<'_>,
    ) -> Result<()> {
        // In a user namespace nobody can but who made the container.
        let map = match plan.user_namespace {
            Some(_) => map,
            None => &map_ids,
        };
        self.devices = sources.devices.take();
        if !plan.mounts.iter().any(|step| step.target == "/dev") {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
            let dev = place::make_folders(&self.root, "dev", resolve).doing("make /dev")?;
            self.fill_dev(dev, plan)?;
        }
        for (index, step) in plan.mounts.iter().enumerate() {
            let named = |e: Error| e.context(format!("mount {}", step.target));
            let source = sources.mounts[index].take();
            match &step.what {
                MountWhat::New { kind, source: name } => {
                    self.mount_new(step, kind, name, source, plan)
                }
                MountWhat::Bind { .. } => self.mount_bind(step, source),
                MountWhat::Own { path, recursive } => {
                    self.open_inside(path, *recursive).and_then(|tree| {
                        sources::configure(&tree, step, sources.space_of(index, step)?, map)?;
                        self.mount_bind(step, Some(tree))
                    })
                }
                MountWhat::Cgroup => self
                    .mount_cgroup(
                        step,
                        cgroup_mounts,
                        &sources.groups,
                        plan.only_sees_groups(),
                    )
                    .map_err(|e| plan.explain_cgroups(e)),
                MountWhat::Remount => self.remount(step),
            }
            .map_err(named)?;
        }
        self.make_other_devices(plan)
    }

    fn mount_new(
        &mut self,
        step: &MountStep,
        kind: &str,
        source: &str,
        made: Option<OwnedFd>,
        plan: &Plan,
    ) -> Result<()> {
        let found = self.find(&step.target)?;
        let mount = match made {
            Some(made) => made,
            None => self.make_mount(step, kind, source, found.as_ref())?,
        };
        if kind == "tmpfs" && step.options.is_read_only() {
            let copy = mount.try_clone().doing("keep it")?;
            self.late_read_only.push(copy);
        }
        if let Some((propagation, recursive)) = step.options.propagation {
            let change = MountAttr {
                propagation,
                ..MountAttr::default()
            };
            mount_setattr(mount.as_fd(), c"", recursive, &change).doing("set its propagation")?;
        }
        let target = match found {
            Some(found) => found,
            None => self.target(&step.target, FileType::Directory)?,
        };
        if step.options.copy_up {
            copy_up::copy_up(&target, &mount, &step.options)?;
        }
        attach(&mount, &target)?;
        match step.target.as_str() {
            "/proc" if kind == "proc" => self.proc = Some(mount),
            "/dev" if kind == "tmpfs" => self.fill_dev(mount, plan)?,
            _ => {}
        }
        Ok(())
    }

    /// A tmpfs has the mode of the folder that it covers, if it is not said. It is read-only later: places of other mounts, devices
    /// and copies are still to be made in it.
    fn make_mount(
        &self,
        step: &MountStep,
        kind: &str,
        source: &str,
        covers: Option<&OwnedFd>,
    ) -> Result<OwnedFd> {
        let mut options = step.options.clone();
        if kind == "tmpfs" {
            let says = |key: &str| options.data.iter().any(|(name, _)| name == key);
            if let (Some(covers), false) = (covers, says("mode")) {
                let mode = fs::fstat(covers).doing("stat what is covered")?.st_mode & 0o7777;
                let mode = ("mode".to_owned(), Some(format!("{mode:o}")));
                options.data.push(mode);
            }
            options.set &= !attr::RDONLY;
            options.set_recursive &= !attr::RDONLY;
        }
        new_filesystem(kind, source, &options)
    }

    fn mount_bind(&self, step: &MountStep, tree: Option<OwnedFd>) -> Result<()> {
        let tree = tree.ok_or_else(|| Error::internal("its source was not opened"))?;
        let kind = FileType::from_raw_mode(fs::fstat(&tree).doing("stat the source")?.st_mode);
        attach(&tree, &self.target(&step.target, kind)?)
    }

    /// Options of the mount itself, and data for its file system.
    fn remount(&self, step: &MountStep) -> Result<()> {
        let there = self
            .existing(&step.target)?
            .ok_or_else(|| Error::invalid("there is nothing to be mounted again"))?;
        let options = &step.options;
        let (propagation, recursive) = options.propagation.unwrap_or((0, false));
        for (set, clear, propagation, recursive) in [
            (options.set_recursive, options.clear_recursive, 0, true),
            (options.set, options.clear, 0, false),
            (0, 0, propagation, recursive),
        ] {
            if set != 0 || clear != 0 || propagation != 0 {
                let change = MountAttr {
                    set,
                    clear,
                    propagation,
                    userns_fd: 0,
                };
                mount_setattr(there.as_fd(), c"", recursive, &change).doing("set its options")?;
            }
        }
        if options.data.is_empty() {
            return Ok(());
        }
        let context = fspick(
            &there,
            "",
            FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC,
        )
        .doing("pick its file system")?;
        set_data(&context, &step.options)?;
        fsconfig_reconfigure(&context).doing("change its file system")
    }
}

fn new_filesystem(kind: &str, source: &str, options: &MountOptions) -> Result<OwnedFd> {
    let context =
        fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).doing_with(|| format!("file system {kind}"))?;
    fsconfig_set_string(&context, "source", source).doing("set its source")?;
    set_data(&context, options)?;
    fsconfig_create(&context).doing_with(|| format!("file system {kind}"))?;
    let set = options.set | options.set_recursive;
    let flags = MountAttrFlags::from_bits_retain(set as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).doing("fsmount")
}

fn set_data(context: &OwnedFd, options: &MountOptions) -> Result<()> {
    for (key, value) in &options.data {
        match value {
            Some(value) => fsconfig_set_string(context, key.as_str(), value.as_str()),
            None => fsconfig_set_flag(context, key.as_str()),
        }
        .doing_with(|| format!("option {key}"))?;
    }
    Ok(())
}

fn set_attributes(mount: &OwnedFd, set: u64) -> Result<()> {
    let change = MountAttr {
        set,
        ..MountAttr::default()
    };
    mount_setattr(mount.as_fd(), c"", false, &change).doing("make it read-only")
}

fn attach(mount: &OwnedFd, target: &impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags).doing("attach it")
}
