//! A runtime with a state folder of its own, and bundles on one read-only root.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::common::{Host, Ran, kernel, until};

/// A runtime of its own; when it is dropped, nothing of its containers may be left.
pub struct Oci {
    pub host: Host,
    program: PathBuf,
    pub state: PathBuf,
}

/// Whether the runtime that is asked is Silo's.
pub fn is_silo() -> bool {
    std::env::var_os("SILO_OCI_RUNTIME").is_none()
}

/// The built-in image's files, unpacked once: bundles use them read-only.
pub fn rootfs() -> &'static Path {
    static ROOTFS: OnceLock<PathBuf> = OnceLock::new();
    ROOTFS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        forget_old(folder);
        let root = folder.join(format!("oci-rootfs-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let host = Host::new();
        host.ok(&[
            "create",
            "--name",
            "files",
            "--network",
            "none",
            "lab",
            "true",
        ]);
        let archive = host.silo(&["cp", "files:/", "-"]).raw;
        host.ok(&["rm", "files"]);
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).args(["-xf", "-"]);
        assert_eq!(host.finish(tar, &["tar"], &archive).code, 0);
        root
    })
}

/// Roots of test programs that have ended.
fn forget_old(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(pid) = name.strip_prefix("oci-rootfs-")
            && !Path::new("/proc").join(pid).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Oci {
    pub fn new() -> Oci {
        // First, since it has a host of its own.
        rootfs();
        // On a disk where there is one: a file system in memory knows no id-mapped mounts before Linux 6.3.
        let host = Host::below(&std::env::temp_dir());
        let program = match std::env::var_os("SILO_OCI_RUNTIME") {
            Some(program) => PathBuf::from(program),
            None => {
                let link = host.files.join("silo-runtime");
                symlink(env!("CARGO_BIN_EXE_silo"), &link).unwrap();
                link
            }
        };
        let state = host.files.join("state");
        Oci {
            host,
            program,
            state,
        }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The runtime with its global options, in the folder of a bundle.
    pub fn command(&self, bundle: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--root")
            .arg(&self.state)
            .args(words)
            .env("SILO_TEST_HOST", self.host.mark())
            .current_dir(bundle)
            .stdin(std::process::Stdio::null());
        command
    }

    pub fn run_in(&self, bundle: &Path, words: &[&str]) -> Ran {
        self.host.finish(self.command(bundle, words), words, b"")
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        self.run_in(&self.host.files, words)
    }

    /// `create` and `run -d` leave processes behind that hold the command's output open: to a file with it.
    #[track_caller]
    pub fn leave(&self, bundle: &Path, words: &[&str]) -> Ran {
        let [out, err] = ["out", "err"].map(|name| bundle.join(name));
        let mut command = self.command(bundle, words);
        command
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap());
        let code = command.status().unwrap().code().unwrap_or(-1);
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        Ran {
            words: words.join(" "),
            code,
            out: read(&out),
            err: read(&err),
            raw: Vec::new(),
        }
    }

    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        self.run(words).ok()
    }

    /// Must fail and say this.
    #[track_caller]
    pub fn fails(&self, words: &[&str], text: &str) -> Ran {
        let ran = self.run(words);
        assert_ne!(ran.code, 0, "{ran}");
        assert!(ran.err.contains(text), "{text:?} is not said: {ran}");
        ran
    }

    /// A bundle whose specification is the runtime's own example, changed.
    pub fn bundle(&self, name: &str, args: &[&str], change: impl FnOnce(&mut Value)) -> PathBuf {
        let bundle = self.host.files.join(format!("bundle-{name}"));
        fs::create_dir_all(&bundle).unwrap();
        let file = bundle.join("config.json");
        let _ = fs::remove_file(&file);
        let made = self.run_in(&bundle, &["spec"]);
        assert_eq!(made.code, 0, "{made}");
        let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(args);
        spec["root"]["path"] = json!(rootfs());
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/{name}", self.host.mark()));
        change(&mut spec);
        fs::write(&file, spec.to_string()).unwrap();
        bundle
    }

    /// A container in the background that waits to be told to end.
    #[track_caller]
    pub fn idle(&self, id: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let bundle = self.bundle(id, &["sleep", "600"], change);
        let ran = self.leave(&bundle, &["run", "-d", id]);
        assert_eq!(ran.code, 0, "{ran}");
        bundle
    }

    #[track_caller]
    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    #[track_caller]
    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn pid(&self, id: &str) -> i32 {
        self.state(id)["pid"].as_i64().unwrap() as i32
    }

    #[track_caller]
    pub fn becomes(&self, id: &str, status: &str) {
        until(&format!("{id} to be {status}"), || {
            self.status(id) == status
        });
    }

    /// Control groups of its containers that are there.
    pub fn groups(&self) -> Vec<PathBuf> {
        kernel::groups_below(self.host.mark())
            .into_iter()
            .filter(|group| group.file_name() != Some(self.host.mark().as_ref()))
            .collect()
    }
}

impl Drop for Oci {
    fn drop(&mut self) {
        let ids = self.run(&["list", "-q"]).out;
        for id in ids.lines() {
            self.run(&["delete", "--force", id]);
        }
        let left: Vec<_> = fs::read_dir(&self.state)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .chain(self.groups())
            .collect();
        kernel::remove_parent(self.host.mark());
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

/// A mount of a folder of the host, to be written to.
pub fn bind(source: &Path, target: &str) -> Value {
    json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", "rw"]})
}

pub fn add(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}
