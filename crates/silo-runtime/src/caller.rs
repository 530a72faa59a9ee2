//! Who asks: root of the host, or a user with what a user can have.
//!
//! Called by `container` and the command line, which leave out what only root of the host could do, and where nobody is harmed:
//! device rules where no device can be made, a control group of its own when no limit was asked for.

use std::path::PathBuf;

pub use silo_cgroup::systemd::is_unprivileged;

/// Whether this process is in a user namespace of its own: one that does not have all ids as they are.
pub fn is_inside() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_whitespace().collect();
    !words.is_empty() && words != ["0", "0", "4294967295"]
}

/// Where a user's programs keep what lasts until the end of the session (XDG Base Directory specification).
pub fn run_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    folder.filter(|_| is_unprivileged()).map(PathBuf::from)
}
