//! The topmost group of a control group namespace, emptied: below a group with processes v2 has no controllers.
//!
//! Silo inside a container, or in a tree that was delegated to it, finds itself in the very group that it sees as the root. As
//! other engines do there, it moves what is in it to a group below, `init`. Not on the host's own root, which is free of that
//! rule, and not in a group above which somebody else rules.

use crate::file;
use crate::layout::{Hierarchy, Version};
use rustix::io::Errno;

/// The group that takes the processes.
const LEAF: &str = "init";

/// How often the list is read anew: processes that fork while they are moved are seen again.
const ROUNDS: usize = 20;

/// Whether the top of this v2 hierarchy, as the caller sees it, is the root of a control group namespace of its own: the kernel's
/// own root has no type, and a part that was mounted from outside does not call itself the root.
pub(crate) fn is_namespace_root(hierarchy: &Hierarchy) -> bool {
    hierarchy.version == Version::V2
        && hierarchy.root == "/"
        && file::read(&format!("{}/cgroup.type", hierarchy.dir(""))).is_ok()
}

/// Moves every process out of the group `top`; whether it is empty then. What a caller cannot see, as it is of another pid
/// namespace, stays.
pub(crate) fn vacate(top: &str) -> Result<bool, Errno> {
    if file::read(&format!("{top}/cgroup.procs"))?.is_empty() {
        return Ok(true);
    }
    let leaf = format!("{top}/{LEAF}");
    // With controllers for threads handed down beside processes, no group below could take a process.
    let control = format!("{top}/cgroup.subtree_control");
    for name in file::read(&control)?.split_ascii_whitespace() {
        file::write(&control, &format!("-{name}"))?;
    }
    match file::mkdir(&leaf) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    for _ in 0..ROUNDS {
        let list = file::read(&format!("{top}/cgroup.procs"))?;
        if list.is_empty() {
            return Ok(true);
        }
        // Not of this pid namespace.
        if list.lines().all(|pid| pid == "0") {
            return Ok(false);
        }
        for pid in list.lines().filter(|pid| *pid != "0") {
            match file::write(&format!("{leaf}/cgroup.procs"), pid) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(false)
}
