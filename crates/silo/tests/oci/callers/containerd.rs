//! containerd with its shim, through `ctr`.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::have;
use crate::{
    common::{Ran, kernel, until},
    fixture::{Oci, rootfs},
};

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
