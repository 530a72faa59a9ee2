//! A hostile root file system beside a canary: whatever a container does, the canary must stay as it was.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    common::Ran,
    fixture::{Oci, add, rootfs},
};

/// Whether root of the container is root of the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    Root,
    /// In a user namespace.
    User,
}

/// First id of the user namespaces.
const HOST: u32 = 200_000;

/// Everybody, with the mounts made when the host's tree is gone, and (with hooks that see both) when it is still there.
pub const EVERY: [(Who, bool); 4] = [
    (Who::Root, false),
    (Who::Root, true),
    (Who::User, false),
    (Who::User, true),
];

pub struct Scene {
    pub oci: Oci,
    /// The image's files: everything in it may be hostile.
    pub root: PathBuf,
    /// A folder of the host that nothing inside may reach.
    pub canary: PathBuf,
    before: Vec<String>,
    /// Everybody may write to the image's files, and nobody is given them: somebody else works on them, too.
    is_shared: bool,
}

impl Scene {
    pub fn new() -> Scene {
        let oci = Oci::new();
        let root = oci.host.files.join("hostile");
        let canary = oci.host.files.join("canary");
        for folder in [
            "bin",
            "tmp",
            "etc",
            "proc",
            "sys",
            "dev/pts",
            "dev/shm",
            "dev/mqueue",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let lab = root.join("bin/silo-lab");
        fs::copy(rootfs().join("bin/silo-lab"), &lab).unwrap();
        for applet in [
            "sh", "true", "cat", "echo", "ls", "id", "sleep", "grep", "pwd", "mount",
        ] {
            symlink("silo-lab", root.join("bin").join(applet)).unwrap();
        }
        fs::create_dir_all(canary.join("deep")).unwrap();
        for name in ["canary", "ptmx", "null", "console", "deep/file"] {
            fs::write(canary.join(name), "whole").unwrap();
        }
        // What keeps a container out is not who it is.
        open(&canary);
        let before = listing(&canary);
        Scene {
            oci,
            root,
            canary,
            before,
            is_shared: false,
        }
    }

    /// A root that others work on meanwhile.
    pub fn shared() -> Scene {
        Scene {
            is_shared: true,
            ..Scene::new()
        }
    }

    /// Opens a folder of it, with all below, to everybody.
    pub fn open(&self) {
        open(&self.root);
    }

    /// Nothing of the canary was changed, made or removed.
    #[track_caller]
    pub fn is_whole(&self, ran: &dyn std::fmt::Display) {
        assert_eq!(listing(&self.canary), self.before, "{ran}");
    }

    /// A link of the image.
    pub fn link(&self, to: impl AsRef<Path>, name: &str) {
        let place = self.root.join(name);
        remove(&place);
        symlink(to, place).unwrap();
    }

    pub fn canary(&self, name: &str) -> String {
        self.canary.join(name).display().to_string()
    }

    /// A bundle of the hostile root.
    pub fn bundle(
        &self,
        name: &str,
        (who, hooks): (Who, bool),
        args: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> PathBuf {
        self.oci.bundle(name, args, |spec| {
            spec["root"] = json!({"path": self.root, "readonly": false});
            if hooks {
                spec["hooks"] = json!({"createContainer": [{"path": "/bin/true"}]});
            }
            if who == Who::User {
                let map = json!([{"containerID": 0, "hostID": HOST, "size": 65_536}]);
                spec["linux"]["uidMappings"] = map.clone();
                spec["linux"]["gidMappings"] = map;
                let namespaces = &mut spec["linux"]["namespaces"];
                add(namespaces, json!({"type": "user"}));
                let list = namespaces.as_array().unwrap();
                if !list.iter().any(|one| one["type"] == "cgroup") {
                    add(namespaces, json!({"type": "cgroup"}));
                }
            }
            if !self.is_shared {
                own(&self.root, if who == Who::User { HOST } else { 0 });
            }
            change(spec);
        })
    }

    pub fn run(&self, how: (Who, bool), args: &[&str], change: impl FnOnce(&mut Value)) -> Ran {
        let bundle = self.bundle("c", how, args, change);
        self.oci.run_in(&bundle, &["run", "c"])
    }
}

/// Takes the mount at a place out of a specification.
pub fn without_mount(spec: &mut Value, place: &str) {
    let mounts = spec["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != place);
}

/// A file of no file system, for mounts.
pub fn tmpfs(place: &str) -> Value {
    json!({"destination": place, "type": "tmpfs", "source": "t", "options": ["size=64k"]})
}

pub fn remove(place: &Path) {
    match fs::symlink_metadata(place) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(place).unwrap(),
        Ok(_) => fs::remove_file(place).unwrap(),
        Err(_) => {}
    }
}

fn open(path: &Path) {
    let meta = fs::symlink_metadata(path).unwrap();
    if !meta.is_symlink() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap().flatten() {
            open(&entry.path());
        }
    }
}

fn own(path: &Path, id: u32) {
    lchown(path, Some(id), Some(id)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap().flatten() {
            own(&entry.path(), id);
        }
    }
}

/// All that is below a folder: name, kind and mode, owner, time of the last change, text.
fn listing(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let text = match meta.is_file() {
            true => fs::read_to_string(&path).unwrap(),
            false => String::new(),
        };
        lines.push(format!(
            "{} {:o} {} {} {} {text}",
            path.display(),
            meta.permissions().mode(),
            meta.uid(),
            meta.gid(),
            meta.ctime_nsec(),
        ));
        if meta.is_dir() {
            lines.extend(listing(&path));
        }
    }
    lines.sort();
    lines
}
