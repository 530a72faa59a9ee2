//! Docker: a daemon whose default runtime is asked for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{PATH, apart, archive, documented, have, kill_and_wait};
use crate::{
    common::{Ran, Session, kernel, signal, until},
    fixture::{Oci, is_silo},
};

pub const PROGRAMS: [&str; 5] = [
    "dockerd",
    "docker",
    "containerd",
    "containerd-shim-runc-v2",
    "iptables",
];

/// A daemon, in the network namespace of the thread that starts it unless unshare's `flags` say otherwise.
pub struct Docker<'o> {
    pub oci: &'o Oci,
    pub daemon: Child,
    folder: PathBuf,
}

impl Docker<'_> {
    pub fn start(oci: &Oci) -> Docker<'_> {
        let docker = Docker::launch(oci, "docker", &[]);
        docker.becomes_ready();
        docker
    }

    /// One that is not waited for.
    pub fn launch<'o>(oci: &'o Oci, name: &str, flags: &[&str]) -> Docker<'o> {
        let folder = oci.host.files.join(name);
        fs::create_dir(&folder).unwrap();
        let text = documented("/etc/docker/daemon.json", oci);
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["hosts"] = json!([format!("unix://{}/sock", folder.display())]);
        config["data-root"] = json!(folder.join("data"));
        config["exec-root"] = json!(folder.join("exec"));
        config["pidfile"] = json!(folder.join("pid"));
        config["cgroup-parent"] = json!(format!("/{}", oci.host.mark()));
        fs::write(folder.join("daemon.json"), config.to_string()).unwrap();
        Docker {
            oci,
            daemon: spawn(oci, &folder, flags),
            folder,
        }
    }

    /// Another daemon on what one that was killed has left.
    pub fn launch_again(&mut self, flags: &[&str]) {
        self.daemon = spawn(self.oci, &self.folder, flags);
    }

    /// Waits until it answers, and gives it the image `lab`.
    pub fn becomes_ready(&self) {
        until("the Docker daemon", || self.run(&["version"]).code == 0);
        let change = format!("ENV {PATH}");
        let words = ["import", "--change", &change, "-", "lab"];
        let imported = self
            .oci
            .host
            .finish(self.command(&words), &words, archive());
        imported.ok();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        self.complete(&mut command, words);
        command
    }

    fn complete(&self, command: &mut Command, words: &[&str]) {
        command
            .arg("--host")
            .arg(format!("unix://{}/sock", self.folder.display()))
            .args(words)
            .env("DOCKER_CONFIG", &self.folder)
            .stdin(Stdio::null());
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        self.oci.host.finish(self.command(words), words, b"")
    }

    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        self.run(words).ok()
    }

    /// On a terminal that controls it.
    fn terminal(&self, words: &[&str]) -> Session {
        let mut command = Command::new("setsid");
        command.args(["--ctty", "docker"]);
        self.complete(&mut command, words);
        command.env("TERM", "xterm");
        Session::start(command, (24, 80))
    }

    /// A script in a fresh container without a network.
    #[track_caller]
    fn script(&self, flags: &[&str], script: &str) -> String {
        let base = ["run", "--rm", "--network", "none"];
        self.ok(&[&base[..], flags, &["lab", "sh", "-c", script]].concat())
    }

    #[track_caller]
    fn idle(&self, name: &str, flags: &[&str]) {
        let base = ["run", "-d", "--name", name, "--network", "none"];
        self.ok(&[&base[..], flags, &["lab", "sleep", "600"]].concat());
    }

    #[track_caller]
    pub fn inspect(&self, name: &str) -> Value {
        let list: Value = serde_json::from_str(&self.ok(&["inspect", name])).unwrap();
        list[0].clone()
    }

    #[track_caller]
    fn state(&self, name: &str) -> Value {
        self.inspect(name)["State"].clone()
    }

    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        let pid = self.state(name)["Pid"].as_i64().unwrap() as i32;
        assert!(pid > 0, "{name} does not run");
        pid
    }

    fn ended(&self, name: &str) {
        until(&format!("the end of {name}"), || {
            self.state(name)["Status"] == "exited"
        });
    }

    /// Folders in which the runtime holds the state of this daemon's containers.
    pub fn held(&self) -> Vec<PathBuf> {
        let entries = |folder: PathBuf| {
            let found = fs::read_dir(folder).into_iter().flatten().flatten();
            found.map(|entry| entry.path())
        };
        entries(self.folder.join("exec"))
            .filter(|path| path.to_string_lossy().contains("/runtime-"))
            .flat_map(|root| entries(root.join("moby")))
            .collect()
    }

    /// Ends the daemon as its service does.
    fn stop(&mut self) {
        signal(self.daemon.id() as i32, 15);
        let gone = (0..500).any(|_| {
            thread::sleep(Duration::from_millis(20));
            self.daemon.try_wait().is_ok_and(|status| status.is_some())
        });
        if !gone {
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        let ids = self.run(&["ps", "-aq"]).out;
        let ids: Vec<&str> = ids.lines().collect();
        if !ids.is_empty() {
            self.run(&[&["rm", "-f", "-v"], ids.as_slice()].concat());
        }
        if thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let notable = log.lines().filter(|line| !line.contains("level=info"));
            notable.for_each(|line| eprintln!("{line}"));
        }
        self.stop();
        // What a daemon leaves that was killed.
        for held in self.held() {
            let root = held.parent().unwrap().display().to_string();
            let id = held.file_name().unwrap().to_string_lossy().into_owned();
            let words = ["--root", &root, "delete", "--force", &id];
            self.oci.run(&words);
        }
        if thread::panicking() {
            for process in self.oci.host.processes() {
                let pid = process.split(' ').next().unwrap();
                signal(pid.parse().unwrap(), 9);
            }
        }
        for link in kernel::links() {
            if link.starts_with("docker") {
                kernel::run("ip", &["link", "delete", &link]);
            }
        }
    }
}

fn spawn(oci: &Oci, folder: &Path, flags: &[&str]) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"));
    apart(oci, flags)
        .args(["dockerd", "--config-file"])
        .arg(folder.join("daemon.json"))
        .stderr(log.unwrap())
        .spawn()
        .unwrap()
}

#[test]
fn docker_plays_the_demo() {
    if !have(&PROGRAMS) {
        return;
    }
    let oci = Oci::new();
    let docker = Docker::start(&oci);
    let ran = docker.run(&["run", "--rm", "lab", "sh", "-c", "echo out; id -u; exit 5"]);
    assert_eq!((ran.code, ran.out.as_str()), (5, "out\n0\n"), "{ran}");
    let run = |program| docker.run(&["run", "--rm", "lab", program]).code;
    assert_eq!((run("nonesuch"), run("/etc/passwd")), (127, 126));

    // On the default bridge.
    let ticking = "while :; do echo tick; sleep 0.2; done";
    docker.ok(&["run", "-d", "--name", "ticker", "lab", "sh", "-c", ticking]);
    let gateway = docker.inspect("ticker")["NetworkSettings"]["Gateway"].clone();
    let ping = ["exec", "ticker", "ping", "-c", "1", "-W", "5"];
    docker.ok(&[&ping[..], &[gateway.as_str().unwrap()]].concat());
    let ran = docker.run(&["exec", "ticker", "sh", "-c", "echo in; exit 9"]);
    assert_eq!((ran.code, ran.out.as_str()), (9, "in\n"), "{ran}");
    let missing = docker.run(&["exec", "ticker", "nonesuch"]);
    assert!(matches!(missing.code, 126 | 127), "{missing}");
    let pid = docker.pid("ticker").to_string();
    let top = docker.ok(&["top", "ticker"]);
    assert!(top.contains(&pid) && top.contains("echo tick"), "{top}");

    docker.ok(&["pause", "ticker"]);
    assert!(docker.ok(&["ps"]).contains("(Paused)"));
    docker.ok(&["unpause", "ticker"]);
    let limits = [
        "update",
        "-m",
        "64m",
        "--memory-swap",
        "64m",
        "--cpus",
        "0.5",
        "ticker",
    ];
    docker.ok(&limits);
    let pid = docker.pid("ticker");
    assert_eq!(kernel::number(pid, kernel::MEMORY), 64 << 20);
    assert_eq!(kernel::cpu_quota(pid), (50_000, 100_000));
    let shape = "{{.Name}} {{.MemUsage}}";
    let stats = docker.ok(&["stats", "--no-stream", "--format", shape, "ticker"]);
    assert!(
        stats.starts_with("ticker ") && stats.contains("/ 64MiB"),
        "{stats}"
    );
    assert!(!stats.contains(" 0B"), "{stats}");
    assert!(docker.ok(&["logs", "ticker"]).starts_with("tick\ntick"));

    docker.ok(&["kill", "-s", "TERM", "ticker"]);
    docker.ended("ticker");
    assert_eq!(docker.state("ticker")["ExitCode"], 143);
    docker.ok(&["start", "ticker"]);
    docker.ok(&["restart", "-t", "0", "ticker"]);
    docker.ok(&["rm", "-f", "ticker"]);

    let stubborn = ["sh", "-c", "trap '' TERM; sleep 600"];
    let base = [
        "run",
        "-d",
        "--name",
        "stubborn",
        "--network",
        "none",
        "lab",
    ];
    docker.ok(&[&base[..], &stubborn].concat());
    docker.ok(&["stop", "-t", "1", "stubborn"]);
    assert_eq!(docker.state("stubborn")["ExitCode"], 137);
    docker.ok(&["start", "stubborn"]);
    signal(docker.pid("stubborn"), 9);
    until("its leaving the list", || {
        docker.ok(&["ps", "-q"]).is_empty()
    });
    assert_eq!(docker.state("stubborn")["ExitCode"], 137);
    docker.ok(&["rm", "stubborn"]);
    assert_eq!(docker.held(), Vec::<PathBuf>::new());
    assert_eq!(oci.groups(), Vec::<PathBuf>::new());
}

#[test]
fn docker_with_a_terminal() {
    if !have(&PROGRAMS) {
        return;
    }
    let oci = Oci::new();
    let docker = Docker::start(&oci);
    let words = [
        "run",
        "-it",
        "--name",
        "shell",
        "-m",
        "32m",
        "--network",
        "none",
        "lab",
        "sh",
    ];
    let mut session = docker.terminal(&words);
    session.prompt();
    // Docker tells the size a moment after the start.
    for (rows, columns) in [(24, 80), (50, 132)] {
        session.resize(rows, columns);
        until("the size", || {
            session.line("stty size");
            session.watch(Duration::from_millis(200));
            session.screen.contains(&format!("{rows} {columns}"))
        });
    }
    session.line("sleep 600");
    session.watch(Duration::from_millis(300));
    session.keys("\u{3}");
    session.line("echo status $?");
    session.expect("status 130");
    // The hog dies, the shell lives.
    session.line("saturate-mem; echo status $?");
    session.expect("status 137");
    let mut inner = docker.terminal(&["exec", "-it", "shell", "sh"]);
    inner.prompt();
    inner.line("tty; exit 4");
    inner.expect("/dev/pts/");
    assert_eq!(inner.wait(), 4);
    session.line("exit 7");
    assert_eq!(session.wait(), 7);
    assert_eq!(docker.state("shell")["ExitCode"], 7);
}

#[test]
fn docker_tells_what_memory_did() {
    if !have(&PROGRAMS) {
        return;
    }
    let oci = Oci::new();
    let docker = Docker::start(&oci);
    let words = [
        "run",
        "--name",
        "hog",
        "-m",
        "32m",
        "--network",
        "none",
        "lab",
        "saturate-mem",
    ];
    let ran = docker.run(&words);
    assert_eq!(ran.code, 137, "{ran}");
    assert_eq!(docker.state("hog")["ExitCode"], 137);
    // Told by an event of its own, which may come after that of the end.
    until("what memory did", || {
        docker.state("hog")["OOMKilled"] == true
    });

    // Restart policies.
    let failing = ["sh", "-c", "exit 3"];
    let base = ["run", "-d", "--network", "none"];
    let flags = ["--name", "failing", "--restart", "on-failure:2", "lab"];
    docker.ok(&[&base[..], &flags, &failing].concat());
    until("two further tries", || {
        let shown = docker.inspect("failing");
        shown["RestartCount"] == 2 && shown["State"]["Status"] == "exited"
    });
    assert_eq!(docker.state("failing")["ExitCode"], 3);
    docker.idle("always", &["--restart", "always"]);
    let first = docker.pid("always");
    signal(first, 9);
    until("its coming back", || {
        let state = docker.state("always");
        state["Status"] == "running" && state["Pid"] != first
    });
}

#[test]
fn docker_isolates_as_asked() {
    if !have(&PROGRAMS) {
        return;
    }
    let oci = Oci::new();
    let docker = Docker::start(&oci);
    let status = "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | tr -d '\\t' | tr '\\n' ' '";
    let shown = docker.script(&[], status);
    let default = "CapInh:0000000000000000 CapPrm:00000000a80425fb CapEff:00000000a80425fb CapBnd:00000000a80425fb CapAmb:0000000000000000 NoNewPrivs:0 Seccomp:2";
    assert_eq!(shown.trim(), default);
    let none = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    let shown = docker.script(&none, status);
    assert!(
        shown.contains("CapBnd:0000000000000000 CapAmb:0000000000000000 NoNewPrivs:1"),
        "{shown}"
    );
    let shown = docker.script(
        &["--user", "1000:1001"],
        "id -u; id -g; grep CapEff /proc/self/status",
    );
    assert_eq!(shown, "1000\n1001\nCapEff:\t0000000000000000");
    // The default profile: no new user namespace, and a keyring neither.
    docker.script(&[], "! unshare --user true 2>&1");
    let shown = docker.script(&["--init"], "cat /proc/1/cmdline | tr '\\0' ' '");
    assert!(shown.contains("docker-init --"), "{shown}");
    let places = ["--read-only", "--tmpfs", "/t:size=1m", "-v", "kept:/kept"];
    docker.script(
        &places,
        "! touch /x 2>&1 && touch /t/x && echo word > /kept/file",
    );
    let shared = oci.host.folder("shared");
    fs::write(Path::new(&shared).join("file"), "of the host").unwrap();
    let bound = format!("{shared}:/host:ro");
    let shown = docker.script(
        &["-v", "kept:/kept:ro", "-v", &bound],
        "cat /kept/file /host/file; ! touch /kept/x /host/x 2>&1",
    );
    assert!(shown.starts_with("word\nof the host"), "{shown}");
    docker.ok(&["volume", "rm", "kept"]);
    let crowd = "i=0; while [ $i -lt 30 ]; do sleep 5 & i=$((i+1)); done";
    let limited = ["run", "--rm", "--network", "none", "--pids-limit", "20"];
    let ran = docker.run(&[&limited[..], &["lab", "sh", "-c", crowd]].concat());
    assert!(ran.err.contains("temporarily unavailable"), "{ran}");
    let shown = docker.script(&["--ulimit", "nofile=99:99"], "ulimit -n");
    assert_eq!(shown, "99");
    let shown = docker.script(
        &["--sysctl", "net.core.somaxconn=77", "--hostname", "named"],
        "cat /proc/sys/net/core/somaxconn; hostname",
    );
    assert_eq!(shown, "77\nnamed");
    docker.idle("other", &[]);
    let joined = ["--pid", "container:other", "--ipc", "host", "--uts", "host"];
    let shown = docker.script(&joined, "ps -ef");
    assert!(shown.contains("sleep 600"), "{shown}");
    // runc wants all capabilities for it, which a host may not have.
    if is_silo() {
        let shown = docker.script(
            &["--privileged"],
            "ls /dev/mem /dev/null; grep Seccomp: /proc/self/status",
        );
        assert!(shown.contains("Seccomp:\t0"), "{shown}");
    }
}

#[test]
fn docker_asks_often_and_for_many() {
    if !have(&PROGRAMS) {
        return;
    }
    let oci = Oci::new();
    let docker = Docker::start(&oci);
    // As many as in a minute with Docker's shortest usual interval.
    let health = [
        "--health-cmd",
        "echo x >> /count",
        "--health-interval",
        "100ms",
    ];
    docker.idle("healthy", &health);
    let pid = docker.pid("healthy");
    let groups = oci.groups().len();
    let files = || {
        let held = docker.held().into_iter();
        let names = held.flat_map(|folder| fs::read_dir(folder).unwrap());
        let mut all: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    };
    let before = files();
    let count = Path::new("/proc").join(pid.to_string()).join("root/count");
    for looks in [20, 40, 60] {
        until(&format!("{looks} looks"), || {
            fs::read(&count).is_ok_and(|text| text.len() >= 2 * looks)
        });
    }
    assert_eq!(docker.state("healthy")["Health"]["Status"], "healthy");
    let shim: i32 = kernel::status(pid, "PPid").parse().unwrap();
    until("the end of the last look", || {
        kernel::children(shim) == [pid]
    });
    assert_eq!(files(), before);
    assert_eq!(oci.groups().len(), groups);
    docker.ok(&["rm", "-f", "healthy"]);

    let names: Vec<String> = (0..20).map(|number| format!("many-{number}")).collect();
    let words = |name| ["run", "-d", "--name", name, "lab", "sleep", "600"];
    let started: Vec<(Child, &String)> = names
        .iter()
        .map(|name| {
            let mut command = docker.command(&words(name));
            command.stdout(Stdio::null());
            (command.spawn().unwrap(), name)
        })
        .collect();
    for (mut child, name) in started {
        assert!(child.wait().unwrap().success(), "{name}");
    }
    assert_eq!(docker.ok(&["ps", "-q"]).lines().count(), 20);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    docker.ok(&[&["rm", "-f"], names.as_slice()].concat());
    assert_eq!(docker.held(), Vec::<PathBuf>::new());
    assert_eq!(oci.groups(), Vec::<PathBuf>::new());
}

#[test]
fn docker_finds_its_containers_again() {
    if !have(&PROGRAMS) {
        return;
    }
    let oci = Oci::new();
    let mut docker = Docker::start(&oci);
    let file = docker.folder.join("daemon.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["live-restore"] = json!(true);
    fs::write(&file, config.to_string()).unwrap();
    signal(docker.daemon.id() as i32, 1);
    until("the other configuration", || {
        docker.ok(&["info", "--format", "{{.LiveRestoreEnabled}}"]) == "true"
    });
    docker.idle("lives", &[]);
    docker.idle("ends", &[]);
    let [lives, ends] = ["lives", "ends"].map(|name| docker.pid(name));
    let containerd = docker.folder.join("exec/containerd/containerd.pid");
    let containerd = fs::read_to_string(containerd).unwrap();
    docker.daemon.kill().unwrap();
    docker.daemon.wait().unwrap();
    kill_and_wait(&[containerd.parse().unwrap()]);
    signal(ends, 9);
    docker.launch_again(&[]);
    docker.becomes_ready();
    assert_eq!(docker.pid("lives"), lives);
    docker.ended("ends");
    // 28.5 does not know with what, whatever the runtime.
    assert_ne!(docker.state("ends")["ExitCode"], 0);
    docker.ok(&["exec", "lives", "true"]);
    docker.ok(&["rm", "-f", "lives", "ends"]);
    assert_eq!(docker.held(), Vec::<PathBuf>::new());
}
