//! Podman with conmon.

use std::process::{Command, Stdio};

use super::{PATH, archive, documented, have};
use crate::{
    common::{Ran, Session, kernel, signal, until},
    fixture::{Oci, rootfs},
};

const PROGRAMS: [&str; 2] = ["podman", "conmon"];

/// Podman with storage of its own, set up by a containers.conf.
struct Podman {
    oci: Oci,
    config: String,
}

/// Besides what is documented: events in a file, an image for pods, and limits that a host without CAP_SYS_RESOURCE can set.
const CONFIG: &str = r#"
[containers]
default_ulimits = ["nofile=512:512", "nproc=500:500"]
[engine]
events_logger = "file"
infra_image = "localhost/lab"
"#;

/// Where `podman play kube` puts the control groups of its pods, whatever it is told.
const KUBE_GROUP: &str = "libpod_parent";

const OFFLINE: [&str; 2] = ["--network", "none"];

impl Podman {
    fn new() -> Podman {
        let oci = Oci::new();
        let text = documented("/etc/containers/containers.conf", &oci);
        let text = text.replace("[engine]\n", CONFIG);
        let config = oci.host.file("containers.conf", &text);
        Podman { oci, config }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        self.complete(&mut command, words);
        command
    }

    fn complete(&self, command: &mut Command, words: &[&str]) {
        let base = &self.oci.host.files;
        for (flag, folder) in [
            ("--root", "p-root"),
            ("--runroot", "p-run"),
            ("--tmpdir", "p-tmp"),
        ] {
            command.arg(flag).arg(base.join(folder));
        }
        command
            .args(["--storage-driver", "vfs"])
            .args(words)
            .env("CONTAINERS_CONF", &self.config)
            .stdin(Stdio::null());
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.oci.host.finish(self.command(words), words, b"")
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        self.run(words).ok()
    }

    /// The image `lab`, for what does not take a folder.
    fn import(&self) {
        let path = format!("ENV {PATH}");
        let program = r#"CMD ["sleep", "600"]"#;
        let words = ["import", "--change", &path, "--change", program, "-", "lab"];
        let imported = self
            .oci
            .host
            .finish(self.command(&words), &words, archive());
        imported.ok();
    }

    fn pid(&self, name: &str) -> i32 {
        let shown = self.ok(&["inspect", "--format", "{{.State.Pid}}", name]);
        shown.parse().unwrap()
    }

    fn parent(&self) -> String {
        format!("/{}", self.oci.host.mark())
    }

    /// Podman removes a pod's group from the hierarchies that it knows; `systemd` and `unified` are not among them.
    #[track_caller]
    fn remove_rest(group: &str) {
        kernel::remove_parent(group);
        assert!(!kernel::group_stands(group));
    }

    fn start(&self, flags: &[&str], words: &[&str]) -> Ran {
        let parent = self.parent();
        let root = rootfs().display().to_string();
        let own = ["--cgroup-parent", &parent];
        self.run(
            &[
                &["run"],
                &OFFLINE[..],
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
        let pods = self.run(&["pod", "ps", "-q", "--no-trunc"]).out;
        self.run(&["pod", "rm", "--all", "--force", "--time", "0"]);
        self.run(&["rm", "--all", "--force", "--time", "0"]);
        for pod in pods.lines() {
            for parent in [KUBE_GROUP, self.oci.host.mark()] {
                kernel::remove_parent(&format!("{parent}/{pod}"));
            }
        }
        // Podman leaves the group of its own conmon processes.
        let conmon = format!("{}/conmon", self.oci.host.mark());
        until("the end of conmon", || {
            kernel::remove_parent(&conmon);
            !kernel::group_stands(&conmon)
        });
    }
}

#[test]
fn podman_runs_and_ends_with_the_programs_code() {
    if !have(&PROGRAMS) {
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
    if !have(&PROGRAMS) {
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

#[test]
fn podman_plays_the_demo() {
    if !have(&PROGRAMS) {
        return;
    }
    let podman = Podman::new();
    let limits = ["-d", "--name", "c", "--init=false", "-m", "64m"];
    let health = ["--health-cmd", "test -d /", "--health-interval", "disable"];
    let started = podman.start(&[&limits[..], &health].concat(), &["sleep", "600"]);
    assert_eq!(started.code, 0, "{started}");
    let top = podman.ok(&["top", "c", "hpid", "pid", "args"]);
    let pid = podman.pid("c");
    assert!(
        top.contains(&pid.to_string()) && top.contains("sleep 600"),
        "{top}"
    );
    podman.ok(&["update", "--cpus", "0.5", "-m", "80m", "c"]);
    assert_eq!(kernel::number(pid, kernel::MEMORY), 80 << 20);
    assert_eq!(kernel::cpu_quota(pid), (50_000, 100_000));
    let groups = podman.oci.groups();
    for _ in 0..10 {
        podman.ok(&["healthcheck", "run", "c"]);
    }
    assert_eq!(podman.oci.groups(), groups);
    signal(pid, 9);
    until("its leaving the list", || {
        podman.ok(&["ps", "-q"]).is_empty()
    });
    let ended = podman.ok(&["inspect", "--format", "{{.State.ExitCode}}", "c"]);
    assert_eq!(ended, "137");
    podman.ok(&["start", "c"]);
    podman.ok(&["rm", "-f", "--time", "0", "c"]);
    let hog = podman.start(&["--rm", "-m", "32m"], &["saturate-mem"]);
    assert_eq!(hog.code, 137, "{hog}");
}

#[test]
fn podman_with_a_terminal() {
    if !have(&PROGRAMS) {
        return;
    }
    let podman = Podman::new();
    let parent = podman.parent();
    let root = rootfs().display().to_string();
    let base = ["run", "-it", "--name", "shell", "--cgroup-parent", &parent];
    let words = [&base[..], &OFFLINE, &["--rootfs", &root, "sh"]].concat();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "podman"]);
    podman.complete(&mut command, &words);
    command.env("TERM", "xterm");
    let mut session = Session::start(command, (33, 101));
    session.prompt();
    session.line("stty size; tty");
    session.expect("33 101");
    session.expect("/dev/pts/0");
    session.line("sleep 600");
    session.watch(std::time::Duration::from_millis(300));
    session.keys("\u{3}");
    session.line("echo status $?");
    session.expect("status 130");
    session.line("exit 7");
    assert_eq!(session.wait(), 7);
}

#[test]
fn podman_shares_namespaces_in_pods() {
    if !have(&PROGRAMS) {
        return;
    }
    let podman = Podman::new();
    podman.import();
    let parent = podman.parent();
    let create = ["pod", "create", "--share", "ipc,net,uts,pid"];
    let create = [&create[..], &OFFLINE, &["--cgroup-parent", &parent, "p"]].concat();
    let pod = podman.ok(&create);
    for name in ["one", "two"] {
        let base = ["run", "-d", "--pod", "p", "--name", name];
        podman.ok(&[&base[..], &["lab", "sh", "-c", "sleep 600; :"]].concat());
    }
    let seen = podman.ok(&["exec", "one", "ps", "-ef"]);
    assert_eq!(seen.matches("sleep 600; :").count(), 2, "{seen}");
    let [one, two] = ["one", "two"].map(|name| podman.pid(name));
    for (kind, shared) in [("pid", true), ("net", true), ("ipc", true), ("mnt", false)] {
        let namespace = |pid| kernel::namespace(pid, kind);
        assert_eq!(namespace(one) == namespace(two), shared, "{kind}");
    }
    podman.ok(&["pod", "pause", "p"]);
    podman.ok(&["pod", "unpause", "p"]);
    podman.ok(&["pod", "rm", "--force", "--time", "0", "p"]);
    assert!(!kernel::alive(one) && !kernel::alive(two));
    Podman::remove_rest(&format!("{}/{pod}", podman.oci.host.mark()));
}

#[test]
fn podman_plays_what_it_generates_for_kubernetes() {
    if !have(&PROGRAMS) {
        return;
    }
    let podman = Podman::new();
    podman.import();
    let parent = podman.parent();
    let base = ["create", "--name", "c", "--cgroup-parent", &parent];
    podman.ok(&[&base[..], &OFFLINE, &["lab", "sleep", "601"]].concat());
    let text = podman.ok(&["generate", "kube", "c"]);
    podman.ok(&["rm", "c"]);
    let file = podman.oci.host.file("pod.yaml", &text);
    podman.ok(&[&["play", "kube"], &OFFLINE[..], &[&file]].concat());
    let pod = podman.ok(&["pod", "ps", "-q", "--no-trunc"]);
    let shown = podman.ok(&["exec", "c-pod-c", "cat", "/proc/1/cmdline"]);
    assert_eq!(shown, "sleep\u{0}601\u{0}");
    podman.ok(&["play", "kube", "--down", &file]);
    assert_eq!(podman.ok(&["ps", "-aq"]), "");
    Podman::remove_rest(&format!("{KUBE_GROUP}/{pod}"));
    // Others may have theirs there.
    kernel::remove_parent(KUBE_GROUP);
}

#[test]
fn podman_maps_users() {
    if !have(&PROGRAMS) {
        return;
    }
    let podman = Podman::new();
    podman.import();
    let parent = podman.parent();
    let mapped = ["run", "-d", "--name", "c", "--cgroup-parent", &parent];
    let maps = ["--uidmap", "0:100000:1000", "--gidmap", "0:200000:1000"];
    podman.ok(&[&mapped[..], &OFFLINE, &maps, &["lab"]].concat());
    let pid = podman.pid("c");
    assert_eq!(
        kernel::status(pid, "Uid").split('\t').next(),
        Some("100000")
    );
    let shown = podman.ok(&[
        "exec",
        "c",
        "sh",
        "-c",
        "id -u; id -g; ls -d /sys/fs/cgroup/*",
    ]);
    assert!(shown.starts_with("0\n0\n/sys/fs/cgroup/"), "{shown}");
}
