//! Files of the kernel that steer the host: settings, control groups, what is masked.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    common::{Host, kernel},
    scene::{EVERY, Scene, Who},
};

/// Settings that are not of a namespace of the container's own, in whatever spelling (2022-0811).
#[test]
fn settings_of_the_host_stay() {
    let scene = Scene::new();
    let files = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/swappiness",
        "/proc/sys/kernel/hostname",
    ];
    let before = files.map(|file| fs::read(file).unwrap());
    for (key, value) in [
        ("kernel.core_pattern", "|/x"),
        ("kernel/core_pattern", "|/x"),
        ("net.ipv4/../../kernel/core_pattern", "|/x"),
        ("net/../kernel/core_pattern", "|/x"),
        ("net...kernel.core_pattern", "|/x"),
        ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x"),
        ("kernel.shm_rmid_forced", "1\nkernel.core_pattern=|/x"),
        ("vm.swappiness", "1"),
        ("kernel.hostname", "x"),
    ] {
        for how in EVERY {
            let ran = scene.run(how, &["true"], |spec| {
                spec["linux"]["sysctl"] = json!({key: value});
            });
            // What stands behind a number and a newline the kernel does not read, and it goes to no other file.
            assert!(ran.code != 0 || value.starts_with("1\n"), "{key} {ran}");
        }
    }
    assert_eq!(files.map(|file| fs::read(file).unwrap()), before);
}

/// 2022-0492, 2023-25809: control groups are seen read-only, and no others can be mounted.
#[test]
fn control_groups_cannot_be_written() {
    let scene = Scene::new();
    let agents: Vec<_> = kernel::hierarchies()
        .into_iter()
        .map(|h| h.place.join("release_agent"))
        .filter(|file| file.exists())
        .collect();
    let before: Vec<_> = agents.iter().map(|file| fs::read(file).unwrap()).collect();
    let script = "for f in /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/cgroup.procs \
        /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/*/notify_on_release; do \
        echo 0 2>/dev/null > $f && echo WROTE $f; done; \
        for kind in cgroup cgroup2 proc sysfs tmpfs; do mount -t $kind none /tmp 2>/dev/null && echo MOUNTED $kind; done; echo done";
    for how in EVERY {
        let ran = scene.run(how, &["sh", "-c", script], |_| {});
        assert_eq!(ran.out.trim(), "done", "{how:?} {ran}");
    }
    let host = &scene.oci.host;
    assert_eq!(host.offline(&[], script), "done");
    for (file, text) in agents.iter().zip(before) {
        assert_eq!(fs::read(file).unwrap(), text, "{}", file.display());
    }
}

/// 2017-16539, 2018-10892 and their kin: nothing of this list tells about the host or steers it, whatever of it the host has.
#[test]
fn files_of_the_host_are_masked() {
    const HIDDEN: [&str; 14] = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
        "/sys/devices/system/cpu/cpu0/thermal_throttle",
        "/sys/devices/system/cpu/cpu1/thermal_throttle",
    ];
    const FIXED: [&str; 8] = [
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/irq/default_smp_affinity",
        "/proc/bus/pci/devices",
        "/proc/fs/nfsd/threads",
        "/sys/kernel/mm/ksm/run",
    ];
    let there = |list: &[&str]| -> Vec<String> {
        list.iter()
            .filter(|p| Path::new(p).exists())
            .map(|p| p.to_string())
            .collect()
    };
    let (hidden, fixed) = (there(&HIDDEN).join(" "), there(&FIXED).join(" "));
    assert!(!hidden.is_empty() && !fixed.is_empty());
    let script = format!(
        "for p in {hidden}; do if [ -d $p ]; then ls $p; else head -c 64 $p; fi; done; \
         for p in {hidden}; do [ -d $p ] && echo x 2>/dev/null > $p/x && echo WROTE $p; done; \
         for p in {fixed}; do echo 0 2>/dev/null > $p && echo WROTE $p; done; echo done"
    );
    let host = Host::new();
    assert_eq!(host.offline(&[], &script), "done");
    let scene = Scene::new();
    std::os::unix::fs::symlink("silo-lab", scene.root.join("bin/head")).unwrap();
    for who in [Who::Root, Who::User] {
        let ran = scene.run((who, false), &["sh", "-c", &script], |spec| {
            let all: Vec<&str> = HIDDEN.to_vec();
            spec["linux"]["maskedPaths"] = json!(all);
        });
        assert_eq!(ran.out.trim(), "done", "{who:?} {ran}");
    }
}
