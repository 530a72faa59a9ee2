//! The container's view of the control groups: v2 alone, or a tmpfs with a folder for each hierarchy.
//!
//! Of a v1 hierarchy the container sees its own group: a clone of the host's mount, which takes three calls where a new mount
//! takes eight, and shows nobody else's groups when the container has no namespace of control groups.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{self, FileType, Mode, OFlags},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
    },
};
use silo_sys::mount::{MountAttr, attr, mount_setattr};
use silo_types::{Doing, Result};

use super::{Rootfs, attach};
use crate::{mount_options::MS_PRIVATE, plan::MountStep};

/// What `mount_cgroup` shows, made by the caller from its layout.
#[derive(Clone, Debug, PartialEq)]
pub enum CgroupView {
    V2,
    V1(Vec<CgroupHierarchy>),
}

/// One hierarchy below /sys/fs/cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct CgroupHierarchy {
    /// Folder name: `memory`, `cpu,cpuacct`, `systemd`, `unified`.
    pub name: String,
    /// `cgroup` or `cgroup2`.
    pub kind: String,
    /// Mount data: `memory`, or `none` and `name=systemd`.
    pub options: Vec<String>,
    /// Other names for it: `cpu` → `cpu,cpuacct`.
    pub links: Vec<String>,
}

impl Rootfs {
    /// `groups` are the container's own, one for each hierarchy, detached; where there is none, the hierarchy is mounted anew, and its root is
    /// that of the cgroup namespace. `only_seen`: read-only whatever is asked for (2023-25809).
    pub(super) fn mount_cgroup(
        &self,
        step: &MountStep,
        view: &CgroupView,
        groups: &[OwnedFd],
        only_seen: bool,
    ) -> Result<()> {
        let target = self.target(&step.target, FileType::Directory)?;
        let flags = MountAttrFlags::from_bits_retain(step.options.set as u32);
        let read_only = if only_seen { attr::RDONLY } else { 0 };
        let change = MountAttr {
            set: step.options.set | read_only,
            clear: step.options.clear & !read_only,
            propagation: MS_PRIVATE,
            ..MountAttr::default()
        };
        let mount_one = |kind: &str, data: &[&str], onto: BorrowedFd<'_>| -> Result<()> {
            let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).doing("fsopen")?;
            fsconfig_set_string(&context, "source", "cgroup").doing("set its source")?;
            for word in data {
                match word.split_once('=') {
                    Some((key, value)) => fsconfig_set_string(&context, key, value),
                    None => fsconfig_set_flag(&context, *word),
                }
                .doing_with(|| format!("option {word}"))?;
            }
            fsconfig_create(&context).doing_with(|| format!("{kind} {data:?}"))?;
            let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).doing("fsmount")?;
            attach(&mount, &onto)
        };
        let hierarchies = match view {
            CgroupView::V2 => {
                return match groups.first() {
                    Some(group) => {
                        mount_setattr(group.as_fd(), c"", false, &change)
                            .doing("set its options")?;
                        attach(group, &target)
                    }
                    None => mount_one("cgroup2", &[], target.as_fd()),
                };
            }
            CgroupView::V1(hierarchies) => hierarchies,
        };
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).doing("fsopen")?;
        fsconfig_set_string(&context, "mode", "755").doing("set its mode")?;
        fsconfig_create(&context).doing("tmpfs")?;
        let top = fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            flags & !MountAttrFlags::MOUNT_ATTR_RDONLY,
        )
        .doing("fsmount")?;
        for hierarchy in hierarchies {
            let name = hierarchy.name.as_str();
            fs::mkdirat(&top, name, Mode::from_raw_mode(0o755)).doing_with(|| name.to_owned())?;
            for link in &hierarchy.links {
                fs::symlinkat(name, &top, link.as_str()).doing_with(|| link.clone())?;
            }
        }
        attach(&top, &target)?;
        let mut groups = groups.iter();
        for hierarchy in hierarchies {
            match groups.next() {
                Some(group) => {
                    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                    move_mount(group, "", &top, hierarchy.name.as_str(), flags)
                        .doing_with(|| format!("attach {}", hierarchy.name))?;
                }
                None => {
                    let onto = open_below(&top, &hierarchy.name)?;
                    let data: Vec<&str> = hierarchy.options.iter().map(String::as_str).collect();
                    mount_one(&hierarchy.kind, &data, onto.as_fd())?;
                }
            }
        }
        mount_setattr(top.as_fd(), c"", true, &change).doing("set the options of all")
    }
}

fn open_below(dir: &OwnedFd, name: &str) -> Result<OwnedFd> {
    fs::openat(
        dir,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing_with(|| format!("open {name}"))
}
