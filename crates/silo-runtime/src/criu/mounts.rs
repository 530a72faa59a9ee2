//! What of a container's mounts comes from outside, by names that its images keep: binds of the host's files, its control groups, and
//! devices where they cannot be made.
//!
//! A name is the place that the specification has for it, so that a restore finds its own source for it.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use silo_sys::inside;
use silo_types::{Doing, Result};

use crate::{
    plan::{MountWhat, Plan},
    rootfs::{CgroupView, stage},
};

/// One of them.
#[derive(Debug, PartialEq)]
pub(super) struct Outside {
    /// Absolute, inside the container.
    pub(super) name: String,
    /// Its name on the stage of a restore.
    pub(super) staged: String,
    is_group: bool,
}

/// All that the plan takes from outside.
pub(super) fn outside(plan: &Plan, view: &CgroupView) -> Vec<Outside> {
    let mut found = Vec::new();
    let mut add = |name: &str, staged: String, is_group: bool| {
        let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
        let name = parts.fold(String::new(), |all, part| all + "/" + part);
        found.push(Outside {
            name,
            staged,
            is_group,
        });
    };
    for (at, step) in plan.mounts.iter().enumerate() {
        match (&step.what, view) {
            (MountWhat::Bind { .. }, _) => add(&step.target, stage::mount(at), false),
            (MountWhat::Cgroup, CgroupView::V2) => add(&step.target, stage::group(0), true),
            (MountWhat::Cgroup, CgroupView::V1(hierarchies)) => {
                for (at, hierarchy) in hierarchies.iter().enumerate() {
                    let place = format!("{}/{}", step.target, hierarchy.name);
                    add(&place, stage::group(at), true);
                }
            }
            _ => {}
        }
    }
    if plan.is_bounded() {
        for (at, device) in plan.devices.iter().enumerate() {
            add(&device.path, stage::device(at), false);
        }
    }
    found
}

/// A line of /proc/PID/mountinfo, proc_pid_mountinfo(5).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mounted {
    pub(super) id: u64,
    pub(super) root: String,
    pub(super) point: String,
    pub(super) is_read_only: bool,
    pub(super) kind: String,
}

pub(super) fn mounted(mountinfo: &str) -> Vec<Mounted> {
    let line = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let fields: Vec<&str> = mount.split(' ').collect();
        Some(Mounted {
            id: fields.first()?.parse().ok()?,
            root: unescaped(fields.get(3)?),
            point: unescaped(fields.get(4)?),
            is_read_only: fields.get(5)?.split(',').any(|word| word == "ro"),
            kind: filesystem.split(' ').next()?.to_owned(),
        })
    };
    mountinfo.lines().filter_map(line).collect()
}

/// Blanks and the like are written as `\040`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        let code = digits.and_then(|d| u8::from_str_radix(d, 8).ok());
        match (first, code) {
            (b'\\', Some(code)) => {
                bytes.push(code);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The mounts of a process, and its root to look them up from.
pub(super) struct Inside {
    pub(super) mounts: Vec<Mounted>,
    root: OwnedFd,
}

impl Inside {
    pub(super) fn of(pid: i32) -> Result<Inside> {
        let path = format!("/proc/{pid}/mountinfo");
        let text = fs::read(&path).doing(&path)?;
        let root = format!("/proc/{pid}/root");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Inside {
            mounts: mounted(&String::from_utf8_lossy(&text)),
            root: rustix::fs::open(&root, flags, Mode::empty()).doing(root)?,
        })
    }

    /// What lies at a path, through links nowhere but inside; `None`: nothing.
    pub(super) fn open(&self, path: &str) -> Option<OwnedFd> {
        let below = path.trim_start_matches('/');
        let below = if below.is_empty() { "." } else { below };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        inside::open(&self.root, below, OFlags::PATH | OFlags::CLOEXEC, resolve).ok()
    }

    /// The mount that something lies on.
    pub(super) fn mount_of(&self, found: impl AsFd) -> Option<&Mounted> {
        let path = format!("/proc/self/fdinfo/{}", found.as_fd().as_raw_fd());
        let info = fs::read_to_string(path).ok()?;
        let id = info.lines().find_map(|l| l.strip_prefix("mnt_id:"))?;
        let id: u64 = id.trim().parse().ok()?;
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// Where each of these is mounted, and its name.
    pub(super) fn places(&self, outside: &[Outside]) -> Vec<(String, String)> {
        let place = |one: &Outside| {
            let mount = self.mount_of(self.open(&one.name)?)?;
            // Taken away meanwhile; or a whole hierarchy, which can be mounted anew.
            let is_root = mount.point == "/" || (one.is_group && mount.root == "/");
            (!is_root).then(|| (mount.point.clone(), one.name.clone()))
        };
        outside.iter().filter_map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let text = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n\
                    37 36 0:5 / / ro - proc proc rw\nrubbish\n\\";
        let found = mounted(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].id, found[0].point.as_str()), (36, "/mnt 2"));
        assert_eq!(
            (found[0].root.as_str(), found[0].is_read_only),
            ("/mnt1", false)
        );
        assert_eq!(
            (found[1].kind.as_str(), found[1].is_read_only),
            ("proc", true)
        );
        assert_eq!(unescaped("a\\134b\\9"), "a\\b\\9");
    }

    #[test]
    fn this_process_sees_its_own() {
        let own = Inside::of(std::process::id() as i32).unwrap();
        let proc = own.open("/proc/self/../self/status").unwrap();
        assert_eq!(own.mount_of(&proc).unwrap().kind, "proc");
        assert!(own.open("/proc/nonesuch").is_none());
    }
}
