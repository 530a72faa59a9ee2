//! Who is not root: the runtime by itself and under Podman, as the user `u` of the machine with systemd (tests/vm/run --systemd), and
//! by itself on any other.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use crate::{
    common::{Ran, until},
    fixture::{Oci, is_silo, rootfs},
    systemd::is_booted,
};

const HOME: &str = "/home/u";
const PROGRAM: &str = "/usr/local/bin/silo-runtime";

/// The user, one test at a time: containers have names.
struct User {
    oci: Oci,
    _alone: MutexGuard<'static, ()>,
}

impl User {
    /// `None`: there is no such user with a manager of services here.
    fn new() -> Option<User> {
        static ALONE: Mutex<()> = Mutex::new(());
        if !is_booted() {
            return None;
        }
        if !Path::new("/run/user/1000/systemd/private").exists() || !Path::new(HOME).exists() {
            println!("skipped: there is no user u with a service manager");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let oci = Oci::new();
        install();
        Some(User { oci, _alone: alone })
    }

    /// A script of the user's, as a service of its manager: where a log-in would be.
    fn sh(&self, script: &str) -> Ran {
        let words = [
            "--reuid=1000",
            "--regid=1000",
            "--init-groups",
            "systemd-run",
            "--user",
            "--pipe",
            "--wait",
            "--collect",
            "--quiet",
            // A container without a control group of its own is in the service's, and stays.
            "--property=KillMode=process",
            "--working-directory=/home/u",
            "sh",
            "-c",
            script,
        ];
        let mut command = Command::new("setpriv");
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", HOME)
            .env("USER", "u")
            .env("XDG_RUNTIME_DIR", "/run/user/1000")
            .current_dir("/")
            .stdin(Stdio::null());
        self.oci.host.finish(command, &["u:", script], b"")
    }

    #[track_caller]
    fn ok(&self, script: &str) -> String {
        self.sh(script).ok()
    }

    /// Podman on this runtime, with one of its two ways to control groups.
    #[track_caller]
    fn podman(&self, manager: &str, words: &str) -> String {
        self.ok(&format!(
            "podman --runtime {PROGRAM} --cgroup-manager {manager} {words}"
        ))
    }
}

/// The program where every user finds it, and an image of Podman's for the user.
fn install() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        fs::copy(env!("CARGO_BIN_EXE_silo"), PROGRAM).unwrap();
        fs::set_permissions(PROGRAM, fs::Permissions::from_mode(0o755)).unwrap();
        let tar = Command::new("tar")
            .arg("-C")
            .arg(rootfs())
            .args(["-cf", "/tmp/lab.tar", "."])
            .status();
        assert!(tar.unwrap().success());
        let archive = Path::new("/tmp/lab.tar");
        fs::set_permissions(archive, fs::Permissions::from_mode(0o644)).unwrap();
    });
}

/// The control group of the process that a number in a text names.
#[track_caller]
fn group_of(pid: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", pid.trim())).unwrap();
    let path = text.trim().strip_prefix("0::/").unwrap().to_owned();
    Path::new("/sys/fs/cgroup").join(path)
}

#[track_caller]
fn read(group: &Path, file: &str) -> String {
    let text = fs::read_to_string(group.join(file));
    text.unwrap_or_else(|error| panic!("{}/{file}: {error}", group.display()))
        .trim()
        .to_owned()
}

#[test]
fn podman_with_systemd_has_limits() {
    let Some(user) = User::new() else {
        return;
    };
    let podman = |words: &str| user.podman("systemd", words);
    user.ok("podman import /tmp/lab.tar lab");
    let out =
        podman("run --rm --network none lab sh -c 'echo x > /dev/null && id -u && echo here'");
    assert_eq!(out, "0\nhere");
    podman("run -d --name a --network none -m 64m --pids-limit 50 --cpus 0.5 lab sleep 600");
    let pid = podman("inspect -f '{{.State.Pid}}' a");
    let group = group_of(&pid);
    assert!(
        group
            .to_string_lossy()
            .contains("/user@1000.service/user.slice/libpod-"),
        "{}",
        group.display()
    );
    assert_eq!(read(&group, "memory.max"), (64 << 20).to_string());
    assert_eq!(read(&group, "pids.max"), "50");
    assert_eq!(read(&group, "cpu.max"), "50000 100000");
    assert!(podman("exec a cat /proc/self/cgroup").contains("0::/"));
    let stats = podman("stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' a");
    assert!(stats.contains("1 ") && stats.contains("67.11MB"), "{stats}");
    podman("pause a");
    assert_eq!(read(&group, "cgroup.freeze"), "1");
    podman("unpause a");
    podman("kill a");
    until("the container to end", || {
        podman("inspect -f '{{.State.Status}}' a").trim() == "exited"
    });
    podman("rm -f -t 0 a");
    until("its group to go", || !group.exists());
}

#[test]
fn podman_with_cgroupfs_goes_without() {
    let Some(user) = User::new() else {
        return;
    };
    let podman = |words: &str| user.podman("cgroupfs", words);
    user.ok("podman import /tmp/lab.tar lab");
    let out =
        podman("run --rm --network none lab sh -c 'echo x > /dev/null && id -u && echo here'");
    assert_eq!(out, "0\nhere");
    podman("run -d --name b --network none lab sleep 600");
    assert_eq!(podman("exec b echo joined"), "joined");
    assert!(podman("ps --format '{{.Names}}'").contains('b'));
    podman("kill b");
    podman("rm -f -t 0 b");
}

#[test]
fn the_runtime_by_itself() {
    let Some(user) = User::new() else {
        return;
    };
    let root = rootfs().display();
    user.ok(&format!(
        "rm -rf bb && mkdir bb && cd bb && ln -s {root} rootfs && {PROGRAM} spec --rootless && \
         sed -i 's/\"terminal\": true/\"terminal\": false/; s/\"sh\"/\"sleep\", \"600\"/' config.json"
    ));
    // Its folder is below the user's own.
    user.ok(&format!("cd bb && {PROGRAM} run -d a > /dev/null 2>&1"));
    assert!(Path::new("/run/user/1000/silo/oci/a/state.json").exists());
    assert_eq!(user.ok(&format!("{PROGRAM} exec a id -u")), "0");
    let paused = user.sh(&format!("{PROGRAM} pause a"));
    assert!(
        paused.code != 0 && paused.err.contains("--systemd-cgroup"),
        "{paused}"
    );
    user.ok(&format!(
        "{PROGRAM} kill a KILL && sleep 0.3 && {PROGRAM} delete a"
    ));
    // A limit is not left out in silence.
    let limits = "\"linux\": {\"resources\": {\"pids\": {\"limit\": 30}},";
    user.ok(&format!(
        "cd bb && sed -i 's/\"linux\": {{/{limits}/' config.json"
    ));
    let refused = user.sh(&format!("cd bb && {PROGRAM} run b"));
    assert!(
        refused.code != 0 && refused.err.contains("pids limit"),
        "{refused}"
    );
    user.ok(&format!(
        "cd bb && {PROGRAM} --systemd-cgroup run -d c > /dev/null 2>&1"
    ));
    let state = user.ok(&format!("{PROGRAM} state c"));
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let group = group_of(&state["pid"].to_string());
    assert!(
        group.ends_with("user.slice/silo-c.scope"),
        "{}",
        group.display()
    );
    assert_eq!(read(&group, "pids.max"), "30");
    user.ok(&format!(
        "{PROGRAM} --systemd-cgroup update --pids-limit 20 c"
    ));
    assert_eq!(read(&group, "pids.max"), "20");
    let shown = user.ok("systemctl --user show --value -p TasksMax silo-c.scope");
    assert_eq!(shown.trim(), "20");
    user.ok(&format!("{PROGRAM} pause c && {PROGRAM} resume c"));
    user.ok(&format!("{PROGRAM} --systemd-cgroup delete --force c"));
    assert!(!group.exists());
    // By the session's bus, where the manager's own socket is not to be found.
    let bus = format!(
        "XDG_RUNTIME_DIR=/nowhere DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus {PROGRAM} --root /run/user/1000/d --systemd-cgroup"
    );
    user.ok(&format!(
        "cd bb && {bus} run -d d > /dev/null 2>&1 && systemctl --user is-active silo-d.scope && {bus} delete --force d"
    ));
    let none = user.sh(&format!(
        "cd bb && XDG_RUNTIME_DIR=/nowhere DBUS_SESSION_BUS_ADDRESS= {PROGRAM} --root /run/user/1000/d --systemd-cgroup run e"
    ));
    assert!(none.code != 0 && none.err.contains("cgroupfs"), "{none}");
    assert_eq!(user.ok(&format!("{PROGRAM} list -q")), "");
}

/// On any host, with control groups v1 as well: what `spec --rootless` writes runs as it is.
#[test]
fn the_example_for_a_user_runs() {
    let oci = Oci::new();
    if !is_silo() {
        return;
    }
    let home = oci.host.files.join("home");
    let (bundle, run) = (home.join("bundle"), home.join("run"));
    fs::create_dir_all(&bundle).unwrap();
    fs::create_dir_all(&run).unwrap();
    let program = home.join("silo-runtime");
    fs::copy(env!("CARGO_BIN_EXE_silo"), &program).unwrap();
    let shell = |script: String| Command::new("sh").args(["-ec", &script]).status().unwrap();
    let (root, at) = (rootfs().display(), home.display());
    let made = shell(format!(
        "cp -a {root} {at}/bundle/rootfs; chown -R 65500:65500 {at}"
    ));
    assert!(made.success());
    let as_user = |words: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(words)
            .uid(65_500)
            .gid(65_500)
            .current_dir(&bundle)
            .env("XDG_RUNTIME_DIR", &run)
            .env("SILO_TEST_HOST", oci.host.mark())
            .stdin(Stdio::null());
        oci.host.finish(command, words, b"")
    };
    as_user(&["spec", "--rootless"]).ok();
    let file = bundle.join("config.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    spec["process"]["terminal"] = serde_json::json!(false);
    // Control groups are those of the host: they are seen, and nobody makes any.
    let script = "id -u; ls /sys/kernel > /dev/null && echo seen; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x; echo end";
    spec["process"]["args"] = serde_json::json!(["sh", "-c", script]);
    fs::write(&file, spec.to_string()).unwrap();
    let ran = as_user(&["run", "a"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "0\nseen\nend\n"), "{ran}");
    assert!(ran.err.contains("Read-only file system"), "{ran}");
}
