//! containerd with its shim, through `ctr`.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{PATH, have};
use crate::{
    common::{Ran, Session, kernel, signal, until},
    fixture::{Oci, rootfs},
};

const PROGRAMS: [&str; 3] = ["containerd", "ctr", "containerd-shim-runc-v2"];

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

    fn complete(&self, command: &mut Command, words: &[&str]) {
        command
            .arg("--address")
            .arg(&self.socket)
            .args(["--namespace", self.oci.host.mark()])
            .args(words)
            .stdin(Stdio::null());
    }

    fn ctr(&self, words: &[&str]) -> Ran {
        let mut command = Command::new("ctr");
        self.complete(&mut command, words);
        self.oci.host.finish(command, words, b"")
    }

    /// Removes a task that ended with this code.
    #[track_caller]
    fn deleted(&self, id: &str, code: &str) {
        let ran = self.ctr(&["tasks", "delete", id]);
        assert!(ran.err.contains(code), "{ran}");
    }

    /// Pid and status of a task.
    #[track_caller]
    fn task(&self, id: &str) -> (i32, String) {
        let listed = self.ctr(&["tasks", "ls"]).ok();
        let words = listed.lines().map(|line| line.split_whitespace().collect());
        let line = words.into_iter().find(|words: &Vec<&str>| words[0] == id);
        let line = line.unwrap_or_else(|| panic!("no task {id}: {listed}"));
        (line[1].parse().unwrap(), line[2].to_owned())
    }

    fn run(&self, flags: &[&str], words: &[&str]) -> Ran {
        let program = self.oci.program().display().to_string();
        let root = rootfs().display().to_string();
        let own = ["run", "--env", PATH, "--runc-binary", &program, "--rootfs"];
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
    if !have(&PROGRAMS) {
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
    let (pid, status) = containerd.task("three");
    assert_eq!(status, "RUNNING");
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
    assert_eq!(containerd.task("three").1, "PAUSED");
    containerd.ctr(&["tasks", "resume", "three"]).ok();
    let ps = containerd.ctr(&["tasks", "ps", "three"]).ok();
    assert!(ps.contains(&pid.to_string()), "{ps}");
    assert!(
        containerd
            .ctr(&["tasks", "metrics", "three"])
            .ok()
            .contains("memory")
    );
    containerd
        .ctr(&["tasks", "kill", "-s", "KILL", "three"])
        .ok();
    until("its end", || containerd.task("three").1 == "STOPPED");
    containerd.deleted("three", "137");
    containerd.ctr(&["containers", "delete", "three"]).ok();
    assert!(!kernel::alive(pid));
}

#[test]
fn containerd_plays_the_demo() {
    if !have(&PROGRAMS) {
        return;
    }
    let containerd = Containerd::new();
    let limits = ["--memory-limit", "33554432", "--cpus", "0.5"];
    let idle = [&["--detach"], &limits[..]].concat();
    containerd.run(&idle, &["idle", "sleep", "600"]).ok();
    let (pid, _) = containerd.task("idle");
    assert_eq!(kernel::number(pid, kernel::MEMORY), 32 << 20);
    assert_eq!(kernel::cpu_quota(pid), (50_000, 100_000));
    signal(pid, 9);
    until("its end", || containerd.task("idle").1 == "STOPPED");
    containerd.deleted("idle", "137");
    let hog = [&["--rm"], &limits[..]].concat();
    let hog = containerd.run(&hog, &["hog", "saturate-mem"]);
    assert_eq!(hog.code, 137, "{hog}");

    let program = containerd.oci.program().display().to_string();
    let root = rootfs().display().to_string();
    let base = [
        "run",
        "--rm",
        "--tty",
        "--env",
        PATH,
        "--runc-binary",
        &program,
    ];
    let mut command = Command::new("setsid");
    command.args(["--ctty", "ctr"]);
    let words = [&base[..], &["--rootfs", &root, "shell", "sh"]].concat();
    containerd.complete(&mut command, &words);
    command.env("TERM", "xterm");
    let mut session = Session::start(command, (33, 101));
    session.prompt();
    // Newer ones tell the size a moment after the start.
    until("the size", || {
        session.line("stty size");
        session.watch(Duration::from_millis(200));
        session.screen.contains("33 101")
    });
    session.line("exit 7");
    assert_eq!(session.wait(), 7);
}
