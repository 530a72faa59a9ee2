//! Who asks: root of the host, or a user with what a user can have.
//!
//! Called by `container` and the command line, which leave out what only root of the host could do, and where nobody is harmed:
//! device rules where no device can be made, a control group of its own when no limit was asked for.

use std::{path::PathBuf, sync::OnceLock};

pub use silo_cgroup::systemd::is_unprivileged;

/// Whether who asks is in another user namespace than the one that the machine began with. Asked once: what goes into a namespace
/// of its own afterwards is its child.
pub fn is_inside() -> bool {
    // PROC_USER_INIT_INO of linux/proc_ns.h.
    const FIRST: u64 = 0xefff_fffd;
    static INSIDE: OnceLock<bool> = OnceLock::new();
    *INSIDE
        .get_or_init(|| rustix::fs::stat("/proc/self/ns/user").is_ok_and(|own| own.st_ino != FIRST))
}

/// Where a user's programs keep what lasts until the end of the session (XDG Base Directory specification).
pub fn run_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    folder.filter(|_| is_unprivileged()).map(PathBuf::from)
}
