//! The last steps of the root: system settings, read-only and masked paths, propagation. All by descriptor, after all mounts.

use std::{
    fs::File,
    io::Write,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{self, FileType, Mode, OFlags, ResolveFlags},
    mount::{OpenTreeFlags, open_tree},
};
use silo_sys::mount::{MountAttr, attr, mount_setattr};
use silo_types::{Doing, Error, Result};

use super::{Rootfs, attach, new_filesystem, set_attributes};
use crate::{mount_options::MountOptions, plan::Plan, sysctl::Sysctl};

impl Rootfs {
    /// Masks and read-only paths, system settings, the root's own read-only flag: after all mounts.
    pub(crate) fn harden(&self, plan: &Plan) -> Result<()> {
        self.write_sysctls(&plan.sysctls)?;
        self.make_read_only(&plan.readonly_paths)?;
        self.mask(&plan.masked_paths)?;
        if let Some((propagation, recursive)) = plan.root_propagation {
            let change = MountAttr {
                propagation,
                ..MountAttr::default()
            };
            mount_setattr(self.root.as_fd(), c"", recursive, &change)
                .doing("set the root's propagation")?;
        }
        for mount in &self.late_read_only {
            set_attributes(mount, attr::RDONLY)?;
        }
        if plan.root_read_only {
            set_attributes(&self.root, attr::RDONLY)?;
        }
        Ok(())
    }

    /// Writes go to the procfs instance that was mounted here, held by descriptor: nothing laid over it can catch them.
    fn write_sysctls(&self, sysctls: &[Sysctl]) -> Result<()> {
        for Sysctl {
            path: key, value, ..
        } in sysctls
        {
            let proc = self.proc.as_ref().ok_or_else(|| {
                Error::invalid(format!("sysctl {key}: the container has no /proc"))
            })?;
            let file = fs::openat2(
                proc,
                format!("sys/{key}"),
                OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
            )
            .doing_with(|| format!("sysctl {}", key.replace('/', ".")))?;
            File::from(file)
                .write_all(value.as_bytes())
                .doing_with(|| format!("sysctl {key} = {value:?}"))?;
        }
        Ok(())
    }

    fn make_read_only(&self, paths: &[String]) -> Result<()> {
        for path in paths {
            let Some(target) = self.existing(path)? else {
                continue;
            };
            let tree = open_tree(
                &target,
                "",
                OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_EMPTY_PATH
                    | OpenTreeFlags::AT_RECURSIVE,
            )
            .doing_with(|| format!("read-only path {path}"))?;
            set_attributes(&tree, attr::RDONLY)
                .and_then(|()| attach(&tree, &target))
                .map_err(|e| e.context(format!("read-only path {path}")))?;
        }
        Ok(())
    }

    /// Files are covered by our own /dev/null, folders by an empty read-only tmpfs: the first by itself, the others by clones,
    /// since before Linux 6.15 only what is attached can be cloned.
    fn mask(&self, paths: &[String]) -> Result<()> {
        let mut empty: Option<OwnedFd> = None;
        let mut null: Option<OwnedFd> = None;
        // Some callers name a path twice, and a second cover hides nothing more.
        let mut done: Vec<&str> = Vec::with_capacity(paths.len());
        for path in paths {
            if done.contains(&path.as_str()) {
                continue;
            }
            done.push(path);
            let named = |error: Error| error.context(format!("masked path {path}"));
            let Some(target) = self.existing(path)? else {
                continue;
            };
            let mode = fs::fstat(&target).doing_with(|| format!("masked path {path}"))?;
            if FileType::from_raw_mode(mode.st_mode) != FileType::Directory {
                let null = match &null {
                    Some(null) => null,
                    None => null.insert(self.null_device()?),
                };
                cover(null, &target).map_err(named)?;
            } else if let Some(empty) = &empty {
                cover(empty, &target).map_err(named)?;
            } else {
                let first = empty_tmpfs()?;
                attach(&first, &target).map_err(named)?;
                empty = Some(first);
            }
        }
        Ok(())
    }

    /// The null device of the /dev that was made here: major 1, minor 3, or nothing.
    fn null_device(&self) -> Result<OwnedFd> {
        let null = match &self.dev {
            Some(dev) => fs::openat(
                dev,
                "null",
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            ),
            None => fs::openat(
                &self.root,
                "dev/null",
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            ),
        }
        .doing("open the null device")?;
        let stat = fs::fstat(&null).doing("stat the null device")?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == fs::makedev(1, 3)
        {
            Ok(null)
        } else {
            Err(Error::invalid(
                "/dev/null of the container is not the null device",
            ))
        }
    }
}

/// Attaches a clone of what is attached elsewhere.
fn cover(mount: &OwnedFd, target: &OwnedFd) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let clone = open_tree(mount, "", flags).doing("clone its cover")?;
    attach(&clone, target)
}

fn empty_tmpfs() -> Result<OwnedFd> {
    let options = MountOptions {
        set: attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC,
        data: vec![
            ("size".to_owned(), Some("0".to_owned())),
            ("nr_inodes".to_owned(), Some("1".to_owned())),
        ],
        ..MountOptions::default()
    };
    new_filesystem("tmpfs", "tmpfs", &options)
}
