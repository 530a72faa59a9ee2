//! A bundle for a test: a folder with a root file system that holds the probe alone, and the way to run it.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};

/// Removed with everything in it when it is dropped.
pub struct Bundle {
    pub folder: PathBuf,
    pub config: Value,
    caller: Option<u32>,
}

/// What a run said.
pub struct Said {
    pub code: i32,
    pub answers: Value,
    pub errors: String,
}

impl Bundle {
    /// As root, with all namespaces but user and time of its own, and the mounts that everybody has.
    pub fn new() -> Bundle {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("silo-spec-{}-{count}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for below in ["rootfs", "stage", "host"] {
            fs::create_dir_all(folder.join(below)).unwrap();
        }
        for program in ["bundle", "probe"] {
            let to = match program {
                "probe" => folder.join("rootfs/probe"),
                _ => folder.join(program),
            };
            // A copy may be held open for writing by a process that another test forks just now, and then cannot be executed.
            let from = examples().join(program);
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).unwrap();
            }
        }
        Bundle {
            folder,
            config: config(),
            caller: None,
        }
    }

    /// Another user calls the runtime, and owns the bundle.
    pub fn called_by(mut self, uid: u32) -> Bundle {
        self.caller = Some(uid);
        self
    }

    pub fn rootfs(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// A folder of the host for bind mounts.
    pub fn host(&self) -> PathBuf {
        self.folder.join("host")
    }

    /// Sets the value at a JSON pointer, whose parents are made.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Bundle {
        let mut at = &mut self.config;
        for part in pointer.trim_start_matches('/').split('/') {
            if at.is_null() {
                *at = json!({});
            }
            at = &mut at[part];
        }
        *at = value;
        self
    }

    pub fn namespace(&mut self, namespace: Value) -> &mut Bundle {
        self.push("/linux/namespaces", namespace)
    }

    pub fn mount(&mut self, mount: Value) -> &mut Bundle {
        self.push("/mounts", mount)
    }

    fn push(&mut self, pointer: &str, value: Value) -> &mut Bundle {
        let list = self.config.pointer_mut(pointer).unwrap();
        list.as_array_mut().unwrap().push(value);
        self
    }

    pub fn without_namespace(&mut self, kind: &str) -> &mut Bundle {
        let list = self.config.pointer_mut("/linux/namespaces").unwrap();
        list.as_array_mut().unwrap().retain(|n| n["type"] != kind);
        self
    }

    /// A new user namespace: ids from 0 on are those from `host` on.
    pub fn user_namespace(&mut self, host: u32, size: u32) -> &mut Bundle {
        let map = json!([{"containerID": 0, "hostID": host, "size": size}]);
        self.set("/linux/uidMappings", map.clone());
        self.set("/linux/gidMappings", map);
        own(&self.rootfs(), host);
        self.namespace(json!({"type": "user"}))
    }

    /// Runs the probe with these questions and expects answers.
    #[track_caller]
    pub fn ask(&mut self, questions: &[&str]) -> Value {
        let said = self.run(questions);
        assert_eq!(said.code, 0, "{}", said.errors);
        said.answers
    }

    /// Runs the probe and expects that it cannot be: returns why.
    #[track_caller]
    pub fn refused(&mut self) -> String {
        let said = self.run(&["pid"]);
        assert_ne!(said.code, 0, "ran: {}", said.answers);
        said.errors
    }

    pub fn run(&mut self, questions: &[&str]) -> Said {
        self.set_args("/process/args", questions);
        let command = self.command(&[]);
        said(run(command))
    }

    /// Runs a first process, and asks one that enters beside it; `process` is changed for that one.
    #[track_caller]
    pub fn ask_beside(&mut self, questions: &[&str], process: impl FnOnce(&mut Value)) -> Value {
        self.set_args("/process/args", &["wait"]);
        let mut second = self.config["process"].clone();
        second["args"] = args(questions);
        process(&mut second);
        let path = self.folder.join("process.json");
        fs::write(&path, second.to_string()).unwrap();
        let mut command = self.command(&[&path]);
        command.stdin(Stdio::piped());
        let said = said(run(command));
        assert_eq!(said.code, 0, "{}", said.errors);
        said.answers
    }

    /// Lets a first process watch while others enter, and returns what it saw.
    #[track_caller]
    pub fn spied_on(&mut self, rounds: usize) -> Value {
        self.set_args("/process/args", &["spy"]);
        let mut second = self.config["process"].clone();
        // Its program is looked for in a great many places: that long it has given up its rights and is not yet the program.
        second["args"] = json!(["probe", "nap"]);
        second["env"] = json!([format!("PATH={}/", "/none:".repeat(4000))]);
        let path = self.folder.join("process.json");
        fs::write(&path, second.to_string()).unwrap();
        let paths = vec![path.as_path(); rounds];
        let said = said(run(self.command(&paths)));
        assert_eq!(said.code, 0, "{}", said.errors);
        let seen = fs::read_to_string(self.rootfs().join("seen")).unwrap();
        serde_json::from_str(&seen).unwrap()
    }

    fn set_args(&mut self, pointer: &str, questions: &[&str]) {
        self.set(pointer, args(questions));
    }

    pub fn command(&self, more: &[&Path]) -> Command {
        let config = self.folder.join("config.json");
        fs::write(&config, self.config.to_string()).unwrap();
        if let Some(uid) = self.caller {
            own(&self.folder, uid);
        }
        let mut command = Command::new(self.folder.join("bundle"));
        command
            .arg(config)
            .arg(self.rootfs())
            .arg(self.folder.join("stage"))
            .args(more)
            .stdin(Stdio::null());
        if let Some(uid) = self.caller {
            command.uid(uid).gid(uid);
        }
        command
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn args(questions: &[&str]) -> Value {
    let words = ["/probe"].iter().chain(questions);
    json!(words.collect::<Vec<_>>())
}

fn run(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Kept open until the end: what waits for the end of its input lives as long as the test wants.
    let _input = child.stdin.take();
    child.wait_with_output().unwrap()
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        answers: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Gives a folder with all in it to a user, but for the programs, which are not the bundle's alone, and what is exchanged meanwhile.
pub fn own(path: &Path, uid: u32) {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    if meta.is_dir() || meta.nlink() == 1 {
        let _ = std::os::unix::fs::lchown(path, Some(uid), Some(uid));
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            own(&entry.path(), uid);
        }
    }
}

/// A file of the host with an owner.
pub fn file(path: &Path, text: &str, uid: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::lchown(path, Some(uid), Some(uid)).unwrap();
}

fn config() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [],
            "env": ["PATH=/"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}, {"type": "cgroup"},
            ],
            "maskedPaths": ["/proc/version", "/proc/sysrq-trigger", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}

/// Where cargo puts the examples, after it has brought them up to date. With `SILO_TEST_BUILT` they are taken as they are: where the
/// tests run there may be no cargo.
fn examples() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        let profile = own.parent().and_then(Path::parent).unwrap();
        if std::env::var_os("SILO_TEST_BUILT").is_some() {
            return profile.join("examples");
        }
        let name = match profile.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            name => name,
        };
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--offline",
                "--package",
                "silo-runtime",
                "--examples",
            ])
            .args(["--profile", name])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "the examples cannot be built");
        profile.join("examples")
    })
}
