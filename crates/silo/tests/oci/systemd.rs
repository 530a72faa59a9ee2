//! The systemd driver beside a real systemd: a scope that has the limits, says so, and goes. Without one, it says the way out.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::{
    common::{kernel, until},
    fixture::{Oci, is_silo},
};

/// Whether a test of this driver can be.
pub fn is_booted() -> bool {
    let is = std::path::Path::new("/run/systemd/system").is_dir();
    if !is {
        println!("skipped: this host does not run systemd");
    }
    is && is_silo()
}

/// Whether control groups are those of v2 alone.
fn is_unified() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// What systemd says of a unit's property.
#[track_caller]
fn shown(unit: &str, property: &str) -> String {
    let words = ["show", "--value", "--property", property, unit];
    let ran = Command::new("systemctl").args(words).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// A container in the background whose group is asked of systemd.
#[track_caller]
fn idle(oci: &Oci, id: &str, path: &str, change: impl FnOnce(&mut Value)) {
    let bundle = oci.bundle(id, &["sleep", "600"], |spec| {
        spec["linux"]["cgroupsPath"] = json!(path);
        change(spec);
    });
    let ran = oci.leave(&bundle, &["--systemd-cgroup", "run", "-d", id]);
    assert_eq!(ran.code, 0, "{ran}");
}

/// A unit of this test's own.
fn unit(oci: &Oci) -> (String, String) {
    let name = oci.host.mark().to_owned();
    (format!(":x:{name}"), format!("x-{name}.scope"))
}

#[test]
fn a_scope_has_the_limits_and_goes() {
    if !is_booted() {
        return;
    }
    let oci = Oci::new();
    let (path, unit) = unit(&oci);
    idle(&oci, "a", &path, |spec| {
        spec["annotations"] = json!({"org.systemd.property.TimeoutStopSec": "uint64 7"});
        spec["linux"]["resources"] = json!({
            "memory": {"limit": 64 << 20, "reservation": 16 << 20},
            "cpu": {"shares": 512, "quota": 12_345, "period": 50_000},
            "pids": {"limit": 40},
            "devices": [{"allow": false, "access": "rwm"}],
        });
    });
    let pid = oci.pid("a");
    let group = kernel::group_of(pid, "memory");
    assert!(
        group.ends_with(format!("system.slice/{unit}")),
        "{}",
        group.display()
    );
    let read = |controller: &str, v1: &str, v2: &str| kernel::group_file(pid, controller, v1, v2);
    // Version 1 has other files, and systemd other names for them.
    let low = (16 << 20).to_string();
    let (memory, shares, quota, place) = match is_unified() {
        true => (
            "MemoryMax",
            vec![("CPUWeight", "59"), ("MemoryLow", low.as_str())],
            "12345 50000",
            "0::/",
        ),
        false => (
            "MemoryLimit",
            vec![("CPUShares", "512")],
            "12345",
            ":memory:/",
        ),
    };
    for (property, value) in [
        ("ActiveState", "active"),
        ("Slice", "system.slice"),
        ("Delegate", "yes"),
        ("DevicePolicy", "strict"),
        ("TasksMax", "40"),
        ("TimeoutStopUSec", "7s"),
        // Rounded up to what systemd tells apart.
        ("CPUQuotaPerSecUSec", "250ms"),
        (memory, &(64 << 20).to_string()),
    ]
    .into_iter()
    .chain(shares)
    {
        assert_eq!(shown(&unit, property), value, "{property}");
    }
    // And the kernel exactly what was asked for.
    assert_eq!(read("cpu", "cpu.cfs_quota_us", "cpu.max"), quota);
    oci.ok(&[
        "--systemd-cgroup",
        "update",
        "--memory",
        "80m",
        "--pids-limit",
        "50",
        "a",
    ]);
    assert_eq!(shown(&unit, memory), (80 << 20).to_string());
    assert_eq!(shown(&unit, "TasksMax"), "50");
    assert_eq!(
        read("memory", "memory.limit_in_bytes", "memory.max"),
        (80 << 20).to_string()
    );
    let inside = oci.ok(&[
        "exec",
        "a",
        "sh",
        "-c",
        "echo x > /dev/null && cat /proc/self/cgroup",
    ]);
    assert!(inside.contains(place), "{inside}");
    oci.ok(&["pause", "a"]);
    assert_eq!(oci.status("a"), "paused");
    oci.ok(&["resume", "a"]);
    let sample: Value = serde_json::from_str(&oci.ok(&["events", "--stats", "a"])).unwrap();
    assert_eq!(sample["data"]["pids"], json!({"current": 1, "limit": 50}));
    assert_eq!(
        oci.ok(&["ps", "-f", "json", "a"]).trim(),
        format!("[{pid}]")
    );
    oci.ok(&["--systemd-cgroup", "delete", "--force", "a"]);
    assert_eq!(shown(&unit, "LoadState"), "not-found");
    assert!(!group.exists());
}

#[test]
fn a_scope_lies_in_the_slice_that_was_named() {
    if !is_booted() {
        return;
    }
    let oci = Oci::new();
    let mark = oci.host.mark().replace('-', "_");
    idle(&oci, "a", &format!("silo-{mark}.slice:y:a"), |_| {});
    let group = kernel::group_of(oci.pid("a"), "memory");
    let wanted = format!("silo.slice/silo-{mark}.slice/y-a.scope");
    assert!(group.ends_with(&wanted), "{}", group.display());
    // All of its processes, and the scope with the last.
    oci.ok(&["kill", "--all", "a", "KILL"]);
    oci.becomes("a", "stopped");
    until("the scope to end", || {
        shown("y-a.scope", "LoadState") == "not-found"
    });
    oci.ok(&["--systemd-cgroup", "delete", "a"]);
    let slice = format!("silo-{mark}.slice");
    let _ = Command::new("systemctl")
        .args(["stop", &slice, "silo.slice"])
        .status();
}

#[test]
fn a_name_that_is_taken_is_refused_and_stays() {
    if !is_booted() {
        return;
    }
    let oci = Oci::new();
    let (path, unit) = unit(&oci);
    idle(&oci, "a", &path, |_| {});
    let bundle = oci.bundle("b", &["true"], |spec| {
        spec["linux"]["cgroupsPath"] = json!(path);
    });
    let ran = oci.run_in(&bundle, &["--systemd-cgroup", "run", "b"]);
    assert!(ran.code != 0 && ran.err.contains(&unit), "{ran}");
    assert_eq!(oci.ok(&["list", "-q"]).trim(), "a");
    assert_eq!(oci.status("a"), "running");
    for (path, text) in [("/a/b", "slice:prefix:name"), ("a.slice:x:y z", "systemd")] {
        let bundle = oci.bundle("c", &["true"], |spec| {
            spec["linux"]["cgroupsPath"] = json!(path);
        });
        let ran = oci.run_in(&bundle, &["--systemd-cgroup", "run", "c"]);
        assert!(ran.code != 0 && ran.err.contains(text), "{ran}");
    }
    let bundle = oci.bundle("d", &["true"], |spec| {
        spec["linux"]["cgroupsPath"] = json!(":x:d");
        spec["annotations"] = json!({"org.systemd.property.Nonesuch": "true"});
    });
    let ran = oci.run_in(&bundle, &["--systemd-cgroup", "run", "d"]);
    assert!(ran.code != 0 && ran.err.contains("Nonesuch"), "{ran}");
    assert_eq!(oci.ok(&["list", "-q"]).trim(), "a");
}

#[test]
fn a_maker_that_is_killed_leaves_nothing_that_delete_does_not_find() {
    if !is_booted() {
        return;
    }
    let oci = Oci::new();
    let (path, unit) = unit(&oci);
    let bundle = oci.bundle("a", &["sleep", "600"], |spec| {
        spec["linux"]["cgroupsPath"] = json!(path);
    });
    for milliseconds in [5, 20, 40, 80, 160] {
        let words = ["--systemd-cgroup", "create", "a"];
        let mut maker = oci.command(&bundle, &words);
        maker.stdout(fs::File::create(bundle.join("out")).unwrap());
        maker.stderr(fs::File::create(bundle.join("err")).unwrap());
        let mut maker = maker.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        let _ = maker.kill();
        maker.wait().unwrap();
        oci.ok(&["--systemd-cgroup", "delete", "--force", "a"]);
        until("the scope to end", || {
            shown(&unit, "LoadState") == "not-found"
        });
        let group = PathBuf::from("/sys/fs/cgroup/system.slice").join(&unit);
        assert!(!group.exists(), "after {milliseconds} ms");
    }
}
