//! Opening a path that must not leave a folder, openat2(2).

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::{Errno, Result},
};

/// How often one is told to try again: an attacker who renames without end gets an error, not a process that waits for ever.
const MOST: usize = 1000;

/// Opens `path` below `root`, as `resolve` says.
///
/// Whenever something was renamed or mounted meanwhile, anywhere on the machine, the kernel cannot be sure of a `..` and wants to be
/// asked again (EAGAIN).
pub fn open(root: impl AsFd, path: &str, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
    for _ in 1..MOST {
        match openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
    openat2(&root, path, flags, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below() {
        let folder = rustix::fs::open("/proc/self", OFlags::PATH, Mode::empty()).unwrap();
        let flags = OFlags::PATH;
        assert!(open(&folder, "../self/status", flags, ResolveFlags::IN_ROOT).is_err());
        assert!(open(&folder, "../status", flags, ResolveFlags::IN_ROOT).is_ok());
        assert_eq!(
            open(&folder, "..", flags, ResolveFlags::BENEATH).unwrap_err(),
            Errno::XDEV
        );
    }
}
