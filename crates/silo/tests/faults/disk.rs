//! A full disk.

use std::{fs, io::Write, path::PathBuf};

use crate::common::{Host, kernel};

/// A small file system in memory, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(name: &str, size: &str) -> Disk {
        let place = PathBuf::from(format!("/tmp/silo-test-disk-{}-{name}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let options = format!("size={size}");
        kernel::run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &options,
                "none",
                place.to_str().unwrap(),
            ],
        );
        Disk(place)
    }

    /// Takes all the space that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let block = vec![1; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let place = self.0.to_string_lossy().into_owned();
        let _ = std::process::Command::new("umount").arg(&place).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn nothing_is_half_made() {
    let disk = Disk::new("full", "64m");
    let host = Host::below(&disk.0);
    host.idle("before", &["-v", "kept:/data"]);
    let image = host.silo(&["save", "lab"]).raw;
    let filler = disk.fill();

    let said = host.fails(
        &["run", "--name", "late", "--network", "none", "lab", "true"],
        125,
        "no space left",
    );
    assert!(said.len() < 400, "{said}");
    host.fails(
        &["run", "--rm", "--name", "late", "lab", "true"],
        125,
        "no space left",
    );
    host.fails(
        &["create", "--name", "late", "lab", "true"],
        125,
        "no space left",
    );
    host.fails(&["volume", "create", "late"], 1, "no space left");
    let ran = host.silo_with(&["load"], &image);
    assert!(ran.code == 0 || ran.err.contains("no space left"), "{ran}");
    let ran = host.silo_with(&["import", "-", "late"], &image);
    assert!(ran.code == 1 && ran.err.contains("no space left"), "{ran}");
    assert_eq!(host.ok(&["ps", "-a", "--format", "{{.Names}}"]), "before");
    assert_eq!(host.ok(&["volume", "ls", "-q"]), "kept");

    // What runs goes on, and can be looked at, stopped and removed.
    assert_eq!(
        host.ok(&[
            "exec",
            "before",
            "sh",
            "-c",
            "echo x 2>&1 > /file || true; echo lives"
        ])
        .lines()
        .last(),
        Some("lives")
    );
    let report: serde_json::Value =
        serde_json::from_str(&host.ok(&["doctor", "--format", "json"])).unwrap();
    let orphans = report.get("Orphans").or_else(|| report.get("orphans"));
    assert_eq!(
        orphans.and_then(|o| o.as_array()).map(Vec::len),
        Some(0),
        "{report}"
    );
    host.ok(&["rm", "-f", "before"]);
    fs::remove_file(filler).unwrap();
    assert_eq!(
        host.offline(&["--name", "late", "-v", "kept:/data"], "echo fine"),
        "fine"
    );
}

/// A container that writes more than it is good for ends none of the others.
#[test]
fn a_disk_that_fills_up_meanwhile() {
    let disk = Disk::new("greedy", "64m");
    let host = Host::below(&disk.0);
    host.idle("other", &[]);
    let ran = host.silo(&[
        "run",
        "--name",
        "greedy",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        "cat /dev/zero > /file; echo code $?",
    ]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.out.contains("code 1"), "{ran}");
    assert_eq!(host.status("other"), "running");
    assert_eq!(host.status("greedy"), "exited");
    host.ok(&["rm", "greedy"]);
    assert_eq!(host.offline(&[], "echo fine"), "fine");
}
