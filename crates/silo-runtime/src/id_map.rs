//! Maps of user and group ids: checked, and made into user namespaces.
//!
//! A user namespace is made by a process that lives just long enough to have its maps written; what is kept is the descriptor. So
//! a namespace of the container's own and one joined by path are the same to all that follows, and so is the one that an
//! id-mapped mount needs.

use std::{
    fmt::Write,
    os::fd::{BorrowedFd, OwnedFd},
};

use oci_spec::runtime::{Capability, LinuxIdMapping};
use rustix::pipe::{PipeFlags, pipe_with};
use silo_sys::clone::{self, Cloned, ns};
use silo_types::{Doing, Error, Result};

use crate::{
    capabilities::CapSet,
    create::{open_namespace, reap},
    process::pid_of,
};

/// The kernel's `UID_GID_MAP_MAX_EXTENTS`.
const MOST_LINES: usize = 340;

/// Maps of a user namespace or an id-mapped mount.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdMaps {
    uids: Vec<Extent>,
    gids: Vec<Extent>,
}

/// `count` ids from `inside` on are those from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extent {
    inside: u32,
    outside: u32,
    count: u32,
}

impl IdMaps {
    /// Checks the maps of `what` (named in errors): both there, no id twice, none beyond what is an id.
    pub(crate) fn new(
        what: &str,
        uids: &[LinuxIdMapping],
        gids: &[LinuxIdMapping],
    ) -> Result<IdMaps> {
        Ok(IdMaps {
            uids: extents(&format!("{what}: uidMappings"), uids)?,
            gids: extents(&format!("{what}: gidMappings"), gids)?,
        })
    }

    /// The maps of a running process, as its host sees them.
    pub(crate) fn of_process(process: BorrowedFd<'_>) -> Result<IdMaps> {
        let pid = pid_of(process)?;
        let map = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            let text = std::fs::read_to_string(&path).doing(path)?;
            Ok(text.lines().filter_map(extent).collect())
        };
        Ok(IdMaps {
            uids: map("uid_map")?,
            gids: map("gid_map")?,
        })
    }

    /// The host's number of a user inside.
    pub(crate) fn host_uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    pub(crate) fn host_gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }

    /// Makes a user namespace with these maps.
    ///
    /// Errors: Unsupported when the caller may not map what is asked.
    pub(crate) fn make_namespace(&self) -> Result<OwnedFd> {
        let held = CapSet::of_this_process()?;
        let free = held.contains(Capability::Setuid) && held.contains(Capability::Setgid);
        if !free {
            self.check_unprivileged()?;
        }
        let (waits, lives) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
        match clone::clone_process(ns::USER, None).doing("make a user namespace")? {
            Cloned::Child => {
                // Ends when the other end closes, be it by the death of the one who holds it.
                drop(lives);
                let _ = rustix::io::read(&waits, &mut [0u8; 1]);
                silo_sys::process::exit_now(0)
            }
            Cloned::Parent { pid, .. } => {
                let made = self.write(pid, free);
                drop(lives);
                reap(pid);
                made
            }
        }
    }

    fn write(&self, pid: i32, free: bool) -> Result<OwnedFd> {
        let put = |file: &str, text: &str| {
            let path = format!("/proc/{pid}/{file}");
            std::fs::write(&path, text).doing_with(|| format!("write {text:?} to {file}"))
        };
        if !free {
            // Else groups that deny something could be given up, user_namespaces(7).
            put("setgroups", "deny")?;
        }
        put("gid_map", &text(&self.gids))?;
        put("uid_map", &text(&self.uids))?;
        open_namespace(std::path::Path::new(&format!("/proc/{pid}/ns/user")))
    }

    /// Without privileges the kernel takes a map of the own id alone.
    fn check_unprivileged(&self) -> Result<()> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let only = |map: &[Extent], id| matches!(map, [one] if one.count == 1 && one.outside == id);
        if only(&self.uids, uid) && only(&self.gids, gid) {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "without privileges a user namespace can map user {uid} and group {gid} alone: map these, one each, or run as root"
        )))
    }
}

/// A line of the kernel's.
fn extent(line: &str) -> Option<Extent> {
    let mut numbers = line.split_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Extent {
        inside: next()?,
        outside: next()?,
        count: next()?,
    })
}

fn extents(what: &str, given: &[LinuxIdMapping]) -> Result<Vec<Extent>> {
    let map: Vec<Extent> = given
        .iter()
        .map(|m| Extent {
            inside: m.container_id(),
            outside: m.host_id(),
            count: m.size(),
        })
        .collect();
    if map.is_empty() || map.len() > MOST_LINES {
        return Err(Error::invalid(format!(
            "{what}: has {} entries, must have 1 to {MOST_LINES}",
            map.len()
        )));
    }
    // The last number stands for "no id".
    let end = |first: u32, count: u32| u64::from(first) + u64::from(count);
    for (at, one) in map.iter().enumerate() {
        let past = end(one.inside, one.count).max(end(one.outside, one.count));
        if one.count == 0 || past > u64::from(u32::MAX) {
            return Err(Error::invalid(format!(
                "{what}: {} ids from {} on, {} on the host, are not all ids",
                one.count, one.inside, one.outside
            )));
        }
        let meet = |a: u32, b: u32, other: &Extent| {
            u64::from(a) < end(b, other.count) && u64::from(b) < end(a, one.count)
        };
        if map[..at].iter().any(|other| {
            meet(one.inside, other.inside, other) || meet(one.outside, other.outside, other)
        }) {
            return Err(Error::invalid(format!(
                "{what}: the entry from {} on maps ids that another entry maps, too",
                one.inside
            )));
        }
    }
    Ok(map)
}

fn outside(map: &[Extent], inside: u32) -> Option<u32> {
    map.iter()
        .find(|one| inside >= one.inside && inside - one.inside < one.count)
        .map(|one| one.outside + (inside - one.inside))
}

fn text(map: &[Extent]) -> String {
    map.iter().fold(String::new(), |mut text, one| {
        let _ = writeln!(text, "{} {} {}", one.inside, one.outside, one.count);
        text
    })
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxIdMappingBuilder;

    use super::*;

    fn map(entries: &[(u32, u32, u32)]) -> Vec<LinuxIdMapping> {
        entries
            .iter()
            .map(|&(inside, outside, count)| {
                LinuxIdMappingBuilder::default()
                    .container_id(inside)
                    .host_id(outside)
                    .size(count)
                    .build()
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn maps_are_checked() {
        let good = map(&[(0, 100_000, 1000), (1000, 5, 1)]);
        let maps = IdMaps::new("x", &good, &good).unwrap();
        assert_eq!(maps.host_uid(999), Some(100_999));
        assert_eq!(maps.host_gid(1000), Some(5));
        assert_eq!(maps.host_uid(1001), None);
        assert_eq!(text(&maps.uids), "0 100000 1000\n1000 5 1\n");
        let read: Vec<Extent> = text(&maps.uids).lines().filter_map(extent).collect();
        assert_eq!(read, maps.uids);
        let bad: [&[(u32, u32, u32)]; 6] = [
            &[],
            &[(0, 0, 0)],
            &[(1, 0, u32::MAX)],
            &[(0, u32::MAX, 1)],
            &[(0, 0, 10), (9, 100, 1)],
            &[(0, 100, 10), (20, 109, 1)],
        ];
        for entries in bad {
            assert!(
                IdMaps::new("x", &map(entries), &good).is_err(),
                "{entries:?}"
            );
            assert!(
                IdMaps::new("x", &good, &map(entries)).is_err(),
                "{entries:?}"
            );
        }
        let many: Vec<_> = (0..341).map(|i| (i, i, 1)).collect();
        assert!(IdMaps::new("x", &map(&many), &good).is_err());
    }
}
