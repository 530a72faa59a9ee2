//! Checkpoint and restore with a real CRIU: a program goes on where it was. Where CRIU is missing or cannot work, it says so.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    common::until,
    fixture::{Oci, add, bind, is_silo},
};

/// Whether CRIU works on this kernel.
fn works() -> bool {
    let checked = Command::new("criu").arg("check").output();
    let does = checked.is_ok_and(|ran| ran.status.success());
    if !does {
        println!("skipped: criu is not installed, or does not work on this kernel (criu check)");
    }
    does && is_silo()
}

/// A shell that counts in a file, slowly.
fn count(oci: &Oci, id: &str) -> std::path::PathBuf {
    let out = oci.host.folder("out");
    let script =
        "i=0; while true; do i=$((i+1)); echo $i > /out/new; mv /out/new /out/n; sleep 0.1; done";
    let bundle = oci.bundle(id, &["sh", "-c", script], |spec| {
        add(&mut spec["mounts"], bind(Path::new(&out), "/out"));
        spec["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|m| m["destination"] != "/sys/fs/cgroup");
        spec["linux"]["resources"]["pids"] = json!({"limit": 40});
    });
    // A file of the host's could not be found again from inside.
    let mut command = oci.command(&bundle, &["run", "-d", id]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    bundle
}

#[track_caller]
fn counted(oci: &Oci) -> u64 {
    let text = fs::read_to_string(format!("{}/n", oci.host.folder("out"))).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// What CRIU said, for a test that fails.
fn log(folder: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

#[test]
fn a_counting_shell_goes_on_where_it_was() {
    if !works() {
        return;
    }
    let oci = Oci::new();
    let bundle = count(&oci, "a");
    until("it to count", || counted(&oci) > 5);
    let images = oci.host.folder("images");
    let flags = ["--image-path", &images];
    let ran = oci.run(&[&["checkpoint", "--leave-running"], &flags[..], &["a"]].concat());
    assert_eq!(ran.code, 0, "{ran}\n{}", log(&images, "dump.log"));
    assert_eq!(oci.status("a"), "running");
    let before = counted(&oci);
    until("it to count on", || counted(&oci) > before + 2);
    let ran = oci.run(&[&["checkpoint"], &flags[..], &["a"]].concat());
    assert_eq!(ran.code, 0, "{ran}\n{}", log(&images, "dump.log"));
    assert_eq!(oci.status("a"), "stopped");
    assert!(oci.groups().is_empty(), "{:?}", oci.groups());
    let stopped = counted(&oci);
    assert!(stopped > before);
    let ran = oci.leave(&bundle, &[&["restore", "-d"], &flags[..], &["a"]].concat());
    assert_eq!(ran.code, 0, "{ran}\n{}", log(&images, "restore.log"));
    assert_eq!(oci.status("a"), "running");
    until("it to go on", || counted(&oci) > stopped);
    // Not from the beginning.
    assert!(counted(&oci) < stopped + 1000);
    assert_eq!(oci.ok(&["exec", "a", "hostname"]).trim(), "runc");
    let pid = oci.pid("a");
    assert_eq!(
        crate::common::kernel::group_file(pid, "pids", "pids.max", "pids.max"),
        "40"
    );
    oci.ok(&["delete", "--force", "a"]);
}

#[test]
fn failures_leave_it_running_or_nothing() {
    let oci = Oci::new();
    if !works() {
        if is_silo() {
            // Whatever is the matter: said, and nothing happened.
            oci.idle("a", |_| {});
            let images = oci.host.folder("images");
            let ran = oci.run(&["checkpoint", "--image-path", &images, "a"]);
            assert!(ran.code == 1 && ran.err.contains("criu"), "{ran}");
            assert_eq!(oci.status("a"), "running");
        }
        return;
    }
    let bundle = count(&oci, "a");
    until("it to count", || counted(&oci) > 1);
    let images = oci.host.folder("images");
    // Images of a parent that is not there.
    let words = [
        "checkpoint",
        "--image-path",
        &images,
        "--parent-path",
        "/abs",
        "a",
    ];
    oci.fails(&words, "relative");
    oci.fails(
        &["checkpoint", "--manage-cgroups-mode", "x", "a"],
        "manage-cgroups-mode",
    );
    oci.fails(&["checkpoint", "nonesuch"], "does not exist");
    assert_eq!(oci.status("a"), "running");
    let empty = oci.host.folder("empty");
    let ran = oci.run_in(&bundle, &["restore", "-d", "--image-path", &empty, "b"]);
    assert!(ran.code == 1 && ran.err.contains("no checkpoint"), "{ran}");
    oci.ok(&["checkpoint", "--image-path", &images, "a"]);
    // Half of the images.
    fs::remove_file(format!("{images}/pagemap-1.img")).unwrap();
    let ran = oci.leave(&bundle, &["restore", "-d", "--image-path", &images, "b"]);
    assert!(ran.code == 1 && ran.err.contains("restore.log"), "{ran}");
    assert_eq!(oci.ok(&["list", "-q"]).trim(), "a");
    assert!(oci.groups().is_empty(), "{:?}", oci.groups());
    oci.ok(&["delete", "a"]);
}
