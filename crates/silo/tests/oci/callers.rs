//! Real callers: Podman with conmon, containerd with its shim. Where they are not installed, the tests say that they were skipped.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::{
    common::{Ran, kernel, until},
    fixture::{Oci, is_silo, rootfs},
};

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
        None => is_silo(),
    }
}

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

/// containerd on sockets of its own, without its interface for Kubernetes.
struct Containerd {
    oci: Oci,
    daemon: Child,
    socket: PathBuf,
}

impl Containerd {
    fn new() -> Containerd {
        let oci = Oci::new();
        let base = &oci.host.files;
        let socket = base.join("c.sock");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n[grpc]\naddress = {socket:?}\n",
            base.join("c-root"),
            base.join("c-state"),
        );
        let file = oci.host.file("containerd.toml", &config);
        let log = fs::File::create(base.join("containerd.log")).unwrap();
        let daemon = Command::new("containerd")
            .args(["--config", &file, "--log-level", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let containerd = Containerd {
            oci,
            daemon,
            socket,
        };
        until("containerd", || containerd.ctr(&["version"]).code == 0);
        containerd
    }

    fn ctr(&self, words: &[&str]) -> Ran {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket);
        command
            .args(["--namespace", self.oci.host.mark()])
            .args(words);
        command.stdin(Stdio::null());
        self.oci.host.finish(command, words, b"")
    }

    fn run(&self, flags: &[&str], words: &[&str]) -> Ran {
        let program = self.oci.program().display().to_string();
        let root = rootfs().display().to_string();
        let own = ["run", "--runc-binary", &program, "--rootfs"];
        self.ctr(&[&own[..], flags, &[&root], words].concat())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for id in self.ctr(&["tasks", "ls", "-q"]).out.lines() {
            self.ctr(&["tasks", "kill", "-s", "KILL", id]);
            self.ctr(&["tasks", "rm", "--force", id]);
            self.ctr(&["containers", "rm", id]);
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn containerd_runs_and_manages() {
    if !have(&["containerd", "ctr", "containerd-shim-runc-v2"]) {
        return;
    }
    let containerd = Containerd::new();
    let ran = containerd.run(&["--rm"], &["one", "sh", "-c", "echo out; exit 4"]);
    assert_eq!((ran.code, ran.out.as_str()), (4, "out\n"), "{ran}");
    let missing = containerd.run(&["--rm"], &["two", "nonesuch"]);
    assert!(
        missing.code != 0 && missing.err.contains("executable file not found"),
        "{missing}"
    );
    containerd
        .run(&["--detach"], &["three", "sleep", "600"])
        .ok();
    let pid = || -> i32 {
        let listed = containerd.ctr(&["tasks", "ls"]).ok();
        let line = listed
            .lines()
            .find(|line| line.starts_with("three"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let pid = pid();
    assert!(kernel::alive(pid));
    let words = [
        "tasks",
        "exec",
        "--exec-id",
        "e",
        "three",
        "sh",
        "-c",
        "exit 6",
    ];
    assert_eq!(containerd.ctr(&words).code, 6);
    containerd.ctr(&["tasks", "pause", "three"]).ok();
    assert!(containerd.ctr(&["tasks", "ls"]).out.contains("PAUSED"));
    containerd.ctr(&["tasks", "resume", "three"]).ok();
    assert!(
        containerd
            .ctr(&["tasks", "metrics", "three"])
            .ok()
            .contains("memory")
    );
    containerd
        .ctr(&["tasks", "kill", "-s", "KILL", "three"])
        .ok();
    until("its end", || !kernel::alive(pid));
}
