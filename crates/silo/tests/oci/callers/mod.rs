//! Real callers. Where they are not installed, the tests say that they were skipped.

mod containerd;
mod docker;
mod podman;
mod swarm;

use std::{process::Command, sync::OnceLock};

use crate::fixture::rootfs;

/// Whether a test of these programs can be.
fn have(programs: &[&str]) -> bool {
    let find = |name: &&&str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {name}")])
            .output();
        !found.is_ok_and(|found| found.status.success())
    };
    match programs.iter().find(find) {
        Some(missing) => {
            println!("skipped: {missing} is not installed");
            false
        }
        None => true,
    }
}

/// The built-in image's files as an archive.
fn archive() -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(rootfs()).args(["-c", "."]);
        tar.output().unwrap().stdout
    })
}
