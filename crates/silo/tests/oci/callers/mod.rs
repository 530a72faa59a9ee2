//! Real callers. Where they are not installed, the tests say that they were skipped.

mod containerd;
mod cri;
mod docker;
mod kubernetes;
mod podman;
mod swarm;

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::{
    common::{signal, until},
    fixture::{Oci, rootfs},
};

/// What an image says of where programs lie; runc knows no other place.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

/// SIGKILL to all of them at once; returns when their numbers are free, for a daemon takes even a dead containerd for a living one.
fn kill_and_wait(pids: &[i32]) {
    for pid in pids {
        signal(*pid, 9);
    }
    let there = |pid: &i32| Path::new("/proc").join(pid.to_string()).exists();
    until("their end", || !pids.iter().any(there));
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

/// What a daemon's own mount namespace gets before it starts there: parameters of the machine that it cannot set, and a folder
/// of the test's for its shims' sockets, where a daemon that comes back finds them.
const OWN_PLACES: &str = r#"
mount -o bind,ro /proc/sys/kernel /proc/sys/kernel
mkdir -p /run/containerd "$0"
mount --bind "$0" /run/containerd
exec "$@"
"#;

/// A daemon in a mount namespace of its own, with which all that it mounts goes; `flags` are unshare's. Program and words are to
/// be added.
fn apart(oci: &Oci, flags: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .args(flags)
        .args(["sh", "-e", "-c", OWN_PLACES])
        .arg(oci.host.files.join("shims"))
        .env("SILO_TEST_HOST", oci.host.mark())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// What docs/kubernetes.md has the user write into a file, with the runtime that is asked.
fn documented(file: &str, oci: &Oci) -> String {
    let page = include_str!("../../../../../docs/kubernetes.md");
    let mut parts = page
        .split("```")
        .step_by(2)
        .zip(page.split("```").skip(1).step_by(2));
    let (_, block) = parts.find(|(before, _)| before.contains(file)).unwrap();
    let (_language, text) = block.split_once('\n').unwrap();
    let path = "/usr/local/bin/silo-runtime";
    assert_eq!(text.matches(path).count(), 1, "{text}");
    text.replace(path, oci.program().to_str().unwrap())
}
