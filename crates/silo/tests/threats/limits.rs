//! Who is not in its control groups does not run (2025-47291).

use std::fs;

use serde_json::json;

use crate::{
    common::kernel,
    scene::{Scene, Who},
};

#[test]
fn who_left_the_groups_does_not_run() {
    let mut scene = Scene::new();
    let other = scene.oci.host.ceiling(1 << 30);
    for hierarchy in kernel::hierarchies() {
        let procs = hierarchy.place.join(&other).join("cgroup.procs");
        for who in [Who::Root, Who::User] {
            // A hook gets the state, and moves the container away before its program runs.
            let script = format!(
                "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); echo $pid > {}",
                procs.display()
            );
            let ran = scene.run((who, false), &["echo", "RAN"], |spec| {
                spec["hooks"] = json!({"createRuntime": [
                    {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]});
            });
            let moved = !fs::exists(&procs).unwrap() || ran.code != 0;
            assert!(
                moved && !ran.out.contains("RAN"),
                "{} {ran}",
                procs.display()
            );
            assert!(ran.err.contains("and not in /"), "{ran}");
        }
    }
    assert!(scene.oci.groups().is_empty());
}

/// What fills the shared memory of two is counted where it was written, and goes with the last of them (2024-3056).
#[test]
fn shared_memory_is_counted_and_goes() {
    let scene = Scene::new();
    let host = &scene.oci.host;
    host.idle(
        "owner",
        &["--ipc", "shareable", "-m", "64m", "--shm-size", "32m"],
    );
    host.idle("guest", &["--ipc", "container:owner", "-m", "64m"]);
    let before = kernel::number(host.pid("guest"), kernel::MEMORY_USED);
    host.ok(&[
        "exec",
        "guest",
        "dd",
        "if=/dev/zero",
        "of=/dev/shm/x",
        "bs=1048576",
        "count=16",
    ]);
    let after = kernel::number(host.pid("guest"), kernel::MEMORY_USED);
    assert!(after > before + (15 << 20), "{before} {after}");
    let seen = host.ok(&["exec", "owner", "stat", "-c", "%s", "/dev/shm/x"]);
    assert_eq!(seen, (16 << 20).to_string());
    host.ok(&["rm", "-f", "owner", "guest"]);
    host.idle("owner", &["--ipc", "shareable"]);
    assert_eq!(host.ok(&["exec", "owner", "ls", "/dev/shm"]), "");
}
