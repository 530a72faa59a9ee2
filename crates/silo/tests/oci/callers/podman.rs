//! Podman with conmon.

use std::process::{Command, Stdio};

use super::have;
use crate::{
    common::{Ran, kernel, until},
    fixture::{Oci, rootfs},
};

/// Podman with storage of its own.
struct Podman {
    oci: Oci,
}

/// Limits that a host without CAP_SYS_RESOURCE can set.
const LIMITS: [&str; 6] = [
    "--ulimit",
    "nofile=512:512",
    "--ulimit",
    "nproc=500:500",
    "--network",
    "none",
];

impl Podman {
    fn new() -> Podman {
        Podman { oci: Oci::new() }
    }

    fn run(&self, words: &[&str]) -> Ran {
        let base = &self.oci.host.files;
        let mut command = Command::new("podman");
        for (flag, folder) in [
            ("--root", "p-root"),
            ("--runroot", "p-run"),
            ("--tmpdir", "p-tmp"),
        ] {
            command.arg(flag).arg(base.join(folder));
        }
        command
            .args([
                "--cgroup-manager",
                "cgroupfs",
                "--storage-driver",
                "vfs",
                "--events-backend",
                "file",
            ])
            .arg("--runtime")
            .arg(self.oci.program())
            .args(words)
            .stdin(Stdio::null());
        self.oci.host.finish(command, words, b"")
    }

    fn start(&self, flags: &[&str], words: &[&str]) -> Ran {
        let parent = format!("/{}", self.oci.host.mark());
        let root = rootfs().display().to_string();
        let own = ["--cgroup-parent", &parent];
        self.run(
            &[
                &["run"],
                &LIMITS[..],
                &own,
                flags,
                &["--rootfs", &root],
                words,
            ]
            .concat(),
        )
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.run(&["rm", "--all", "--force", "--time", "0"]);
        // Podman leaves the group of its own conmon processes.
        let conmon = format!("{}/conmon", self.oci.host.mark());
        until("the end of conmon", || {
            kernel::remove_parent(&conmon);
            !kernel::hierarchies()
                .iter()
                .any(|h| h.place.join(&conmon).exists())
        });
    }
}

#[test]
fn podman_runs_and_ends_with_the_programs_code() {
    if !have(&["podman", "conmon"]) {
        return;
    }
    let podman = Podman::new();
    let ran = podman.start(
        &["--rm", "--memory", "64m", "--pids-limit", "50"],
        &["sh", "-c", "echo out; id -u; exit 5"],
    );
    assert_eq!((ran.code, ran.out.as_str()), (5, "out\n0\n"), "{ran}");
    assert_eq!(podman.start(&["--rm"], &["nonesuch"]).code, 127);
    assert_eq!(podman.start(&["--rm"], &["/etc/passwd"]).code, 126);
}

#[test]
fn podman_manages_what_runs() {
    if !have(&["podman", "conmon"]) {
        return;
    }
    let podman = Podman::new();
    let started = podman.start(&["-d", "--name", "c"], &["sleep", "600"]);
    assert_eq!(started.code, 0, "{started}");
    assert_eq!(
        podman
            .run(&["exec", "c", "sh", "-c", "echo in; exit 9"])
            .code,
        9
    );
    assert_eq!(podman.run(&["exec", "c", "nonesuch"]).code, 127);
    let stats = podman.run(&["stats", "--no-stream", "c"]);
    assert!(stats.code == 0 && stats.out.contains(" c "), "{stats}");
    let status = |word: &str| {
        let shown = podman
            .run(&["inspect", "--format", "{{.State.Status}}", "c"])
            .out;
        assert_eq!(shown.trim(), word);
    };
    podman.run(&["pause", "c"]).ok();
    status("paused");
    podman.run(&["unpause", "c"]).ok();
    status("running");
    podman.run(&["kill", "c"]).ok();
    podman.run(&["wait", "c"]).ok();
    status("exited");
    podman.run(&["rm", "c"]).ok();
}
