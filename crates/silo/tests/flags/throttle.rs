//! --blkio-weight --device-read-bps --device-write-bps --device-read-iops --device-write-iops.

use std::{fs, path::Path, time::Instant};

use crate::common::{Host, kernel};

/// A folder on a whole disk, and the disk's path and numbers: the host's root, or what tests/vm/run adds.
fn disk() -> Option<(&'static Path, String, String)> {
    let found = |(place, folder)| {
        let (path, numbers) = disk_at(place)?;
        Some((Path::new(folder), path, numbers))
    };
    [("/", "/tmp"), ("/mnt/disk", "/mnt/disk")]
        .into_iter()
        .find_map(found)
}

fn disk_at(place: &str) -> Option<(String, String)> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = text.lines().find(|l| l.split(' ').nth(4) == Some(place))?;
    let numbers = mount.split(' ').nth(2)?.to_owned();
    let facts = fs::read_to_string(format!("/sys/dev/block/{numbers}/uevent")).ok()?;
    // Rates are for whole disks, not for their partitions.
    if facts.contains("DEVTYPE=partition") {
        return None;
    }
    let name = facts.lines().find_map(|l| l.strip_prefix("DEVNAME="))?;
    Some((format!("/dev/{name}"), numbers))
}

#[test]
fn rates_of_a_disk() {
    let Some((folder, disk, numbers)) = disk() else {
        println!("skipped: the root file system is not on a whole disk");
        return;
    };
    let host = Host::below(folder);
    let rate = |value: &str| format!("{disk}:{value}");
    let flags = [
        "--device-read-bps",
        &rate("3mb"),
        "--device-write-bps",
        &rate("1mb"),
        "--device-read-iops",
        &rate("300"),
        "--device-write-iops",
        &rate("400"),
    ];
    host.idle("slow", &flags);
    let pid = host.pid("slow");
    let file = |v1: &str| kernel::group_file(pid, "blkio", v1, "io.max");
    for (name, v1, v2) in [
        ("blkio.throttle.read_bps_device", "3145728", "rbps=3145728"),
        ("blkio.throttle.write_bps_device", "1048576", "wbps=1048576"),
        ("blkio.throttle.read_iops_device", "300", "riops=300"),
        ("blkio.throttle.write_iops_device", "400", "wiops=400"),
    ] {
        let text = file(name);
        assert!(
            text.starts_with(&numbers) && (text.ends_with(v1) || text.contains(v2)),
            "{name}: {text}"
        );
    }
    // 2 MiB past the page cache at 1 MiB a second.
    let began = Instant::now();
    host.ok(&[
        "exec",
        "slow",
        "dd",
        "if=/dev/zero",
        "of=/file",
        "bs=64k",
        "count=32",
        "oflag=direct",
    ]);
    assert!(began.elapsed().as_millis() >= 900, "{:?}", began.elapsed());
    for wrong in [
        "/dev/nosuch:1mb",
        "/dev/null:1mb",
        "relative:1mb",
        "/etc/passwd:1mb",
    ] {
        host.fails(
            &["run", "--rm", "--device-read-bps", wrong, "lab", "true"],
            125,
            wrong.split(':').next().unwrap(),
        );
    }
    host.fails(
        &[
            "run",
            "--rm",
            "--device-write-iops",
            &rate("-1"),
            "lab",
            "true",
        ],
        125,
        "",
    );
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 1);
}

/// The kernel has weights only with a scheduler that knows them: it works or is refused, and is never forgotten.
#[test]
fn the_weight_of_block_io() {
    let host = Host::new();
    let ran = host.silo(&[
        "run",
        "-d",
        "--name",
        "heavy",
        "--network",
        "none",
        "--blkio-weight",
        "300",
        "lab",
        "sleep",
        "600",
    ]);
    if ran.code == 0 {
        let group = kernel::group_of(host.pid("heavy"), "blkio");
        let files = [
            "blkio.weight",
            "blkio.bfq.weight",
            "io.weight",
            "io.bfq.weight",
        ];
        let read = |file: &&str| fs::read_to_string(group.join(file)).ok();
        let texts: Vec<String> = files.iter().filter_map(read).collect();
        // io.weight has another scale.
        assert!(
            texts
                .iter()
                .any(|t| t.contains("300") || t.contains("2930")),
            "{texts:?}"
        );
    } else {
        assert_eq!(ran.code, 125, "{ran}");
        assert!(ran.err.contains("weight"), "{ran}");
    }
    for wrong in ["5", "1001"] {
        host.fails(
            &["run", "--rm", "--blkio-weight", wrong, "lab", "true"],
            125,
            "10 to 1000",
        );
    }
}
