//! Containers without a mount namespace of their own: in their maker's, or in one that is joined by path. Nothing is mounted there for
//! them, and nothing is left.

use std::{
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    common::Ran,
    fixture::{Oci, is_silo, rootfs},
};

/// A mount namespace that is only this test's.
struct Space(Child);

impl Space {
    /// Made by a shell that runs `script` in it first.
    fn new(script: &str) -> Space {
        let mut child = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-ec"])
            .arg(format!("{script}\necho\nexec sleep 600"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = child.stdout.as_mut().unwrap().read(&mut [0]);
        assert_eq!(ready.unwrap(), 1, "the namespace was not made");
        Space(child)
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/mnt", self.0.id())
    }

    fn mounts(&self) -> String {
        fs::read_to_string(format!("/proc/{}/mountinfo", self.0.id())).unwrap()
    }

    fn joined(&self) -> Option<String> {
        Some(self.file())
    }

    /// The runtime, called by somebody in there.
    fn run(&self, oci: &Oci, bundle: &Path, words: &[&str]) -> Ran {
        let asked = oci.command(bundle, words);
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount={}", self.file()))
            .arg(format!("--wd={}", bundle.display()))
            .arg("--")
            .arg(oci.program())
            .args(asked.get_args())
            .env("SILO_TEST_HOST", oci.host.mark())
            .stdin(Stdio::null());
        // What the container's process holds open must not be a pipe of the test's.
        let [out, err] = ["out", "err"].map(|name| bundle.join(name));
        let file = |path: &PathBuf| fs::File::create(path).unwrap();
        let status = command.stdout(file(&out)).stderr(file(&err)).status();
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
        Ran {
            words: words.join(" "),
            code: status.unwrap().code().unwrap_or(-1),
            out: read(&out),
            err: read(&err),
            raw: Vec::new(),
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Without a mount namespace, or with this one, and without what needs one.
fn share(spec: &mut Value, path: Option<String>) {
    let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "mount");
    if let Some(path) = path {
        namespaces.push(json!({"type": "mount", "path": path}));
    }
    for field in ["maskedPaths", "readonlyPaths"] {
        spec["linux"][field] = json!([]);
    }
}

#[test]
fn nothing_is_mounted_in_somebodys_namespace() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let space = Space::new("true");
    let before = space.mounts();
    let names = || fs::read_dir(rootfs().join("dev")).unwrap().count();
    let nodes = names();
    let script = "readlink /proc/self/ns/mnt || echo no proc; test -e /etc/passwd && echo in the root; sleep 600";
    for (id, joined) in [("inherited", None), ("joined", space.joined())] {
        let bundle = oci.bundle(id, &["sh", "-c", script], |spec| {
            share(spec, joined.clone())
        });
        let made = match joined {
            None => space.run(&oci, &bundle, &["create", id]),
            Some(_) => oci.leave(&bundle, &["create", id]),
        };
        assert_eq!(made.code, 0, "{made}");
        for text in ["level=warning", "/dev/shm", "a read-only root", "chroot"] {
            assert!(made.err.contains(text), "{text}: {made}");
        }
        assert_eq!(space.mounts(), before, "{id}: made");
        let seen = fs::read_link(format!("/proc/{}/ns/mnt", oci.pid(id))).unwrap();
        assert_eq!(seen, fs::read_link(space.file()).unwrap(), "{id}");
        let root = fs::read_link(format!("/proc/{}/root", oci.pid(id))).unwrap();
        assert_eq!(root, rootfs(), "{id}");
        oci.ok(&["start", id]);
        let out = bundle.join("out");
        crate::common::until("the script to speak", || {
            fs::read_to_string(&out).unwrap().contains("in the root")
        });
        assert!(fs::read_to_string(&out).unwrap().starts_with("no proc"));
        oci.ok(&["delete", "--force", id]);
        assert_eq!(space.mounts(), before, "{id}: removed");
        // Nothing was made in the folder that is its root either.
        assert_eq!(names(), nodes);
    }
}

#[test]
fn who_enters_has_the_containers_root() {
    // Others mount in the namespace that they are called in, which here is the host's.
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let space = Space::new("true");
    for (id, joined) in [("inherited", None), ("joined", space.joined())] {
        let root = oci.host.files.join(id);
        copy_root(&root);
        fs::write(root.join("whose"), id).unwrap();
        // A name that only the host has.
        let canary = oci.host.files.join("canary");
        fs::write(&canary, "").unwrap();
        oci.idle(id, |spec| {
            share(spec, joined.clone());
            spec["root"]["path"] = json!(root);
        });
        let script = format!(
            "cat /whose; test -e {} && echo ' out'; pwd",
            canary.display()
        );
        let said = oci.ok(&["exec", id, "sh", "-c", &script]);
        assert_eq!(said, format!("{id}/"), "{id}");
        let on_terminal = oci.ok(&["exec", "-t", id, "sh", "-c", "test -t 1 && cat /whose"]);
        assert_eq!(on_terminal, id);
    }
}

fn copy_root(to: &Path) {
    let copied = Command::new("cp")
        .args(["-a", "--"])
        .args([rootfs(), to])
        .status();
    assert!(copied.unwrap().success());
}

#[test]
fn a_root_is_reached_through_no_link_of_the_namespace() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let folder = oci.host.files.join("folder");
    fs::create_dir(&folder).unwrap();
    copy_root(&folder.join("root"));
    // Whose namespace it is has put something else at that place: a link to its own root, or to nothing.
    let place = folder.display();
    for target in ["/", "../..", "/proc/1/root"] {
        let space = Space::new(&format!(
            "mount -t tmpfs none {place}; ln -s {target} {place}/root"
        ));
        let before = space.mounts();
        let bundle = oci.bundle("a", &["true"], |spec| {
            share(spec, space.joined());
            spec["root"]["path"] = json!(folder.join("root"));
        });
        let ran = oci.run_in(&bundle, &["run", "a"]);
        assert_ne!(ran.code, 0, "{ran}");
        assert!(ran.err.contains("through no link"), "{ran}");
        oci.fails(&["state", "a"], "does not exist");
        assert_eq!(space.mounts(), before);
    }
    // In the caller's own the caller's link is one like any other: what it leads to is the root.
    let link = oci.host.files.join("link");
    symlink(folder.join("root"), &link).unwrap();
    fs::write(folder.join("root/whose"), "the root's").unwrap();
    let bundle = oci.bundle("b", &["cat", "/whose"], |spec| {
        share(spec, None);
        spec["root"]["path"] = json!(link);
    });
    assert_eq!(oci.run_in(&bundle, &["run", "b"]).ok().trim(), "the root's");
}

#[test]
fn what_hides_or_protects_is_refused() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    for (field, value) in [
        ("maskedPaths", json!(["/proc/kcore"])),
        ("readonlyPaths", json!(["/proc/sys"])),
        ("rootfsPropagation", json!("shared")),
    ] {
        let bundle = oci.bundle("a", &["true"], |spec| {
            share(spec, None);
            spec["linux"][field] = value;
        });
        let ran = oci.run_in(&bundle, &["run", "a"]);
        assert_ne!(ran.code, 0, "{ran}");
        assert!(
            ran.err.contains(field) && ran.err.contains("mount namespace of the container's own"),
            "{ran}"
        );
    }
}

#[test]
fn hooks_and_terminals_are_as_elsewhere() {
    let oci = Oci::new();
    if !is_silo() {
        return;
    }
    let space = Space::new("true");
    let before = space.mounts();
    let notes = oci.host.files.join("notes");
    let bundle = oci.bundle("a", &["sh", "-c", "test -t 0 && echo on a terminal"], |spec| {
        share(spec, None);
        spec["process"]["terminal"] = json!(true);
        let note = |name: &str| {
            let script = format!("echo {name} >> {}; pwd -P >> {0}", notes.display());
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
        };
        spec["hooks"] = json!({
            "createRuntime": note("createRuntime"), "createContainer": note("createContainer"), "poststop": note("poststop"),
        });
    });
    let ran = space.run(&oci, &bundle, &["run", "a"]);
    assert_eq!((ran.code, ran.out.trim()), (0, "on a terminal"), "{ran}");
    let notes = fs::read_to_string(notes).unwrap();
    let lines: Vec<&str> = notes.lines().collect();
    let (here, root) = (bundle.to_str().unwrap(), rootfs().to_str().unwrap());
    let expected = [
        "createRuntime",
        here,
        "createContainer",
        root,
        "poststop",
        here,
    ];
    assert_eq!(lines, expected);
    assert_eq!(space.mounts(), before);
}

/// Who has a namespace may put any program at a hook's path, which is then run with all privileges: so it is not.
#[test]
fn no_hook_is_looked_for_in_a_namespace_of_others() {
    let oci = Oci::new();
    if !is_silo() {
        return;
    }
    let folder = oci.host.files.join("hooks");
    fs::create_dir(&folder).unwrap();
    let (hook, canary) = (folder.join("hook"), oci.host.files.join("canary"));
    let program = |text: &str| format!("#!/bin/sh\n{text}\n");
    fs::write(&hook, program("true")).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let place = folder.display();
    let space = Space::new(&format!(
        "mount -t tmpfs none {place}; printf '{}' > {place}/hook; chmod 755 {place}/hook",
        program(&format!("touch {}", canary.display()))
    ));
    for point in ["createContainer", "createRuntime"] {
        let bundle = oci.bundle(point, &["true"], |spec| {
            share(spec, space.joined());
            spec["hooks"] = json!({ point: [{"path": hook}] });
        });
        let ran = oci.run_in(&bundle, &["run", point]);
        if point == "createContainer" {
            assert!(
                ran.code != 0 && ran.err.contains("cannot run in a mount namespace"),
                "{ran}"
            );
        } else {
            assert_eq!(ran.code, 0, "{ran}");
        }
        assert!(!canary.exists(), "{point}: {ran}");
    }
}

/// A container whose user has no rights on the host, in the host's mounts.
#[test]
fn with_users_of_its_own() {
    let oci = Oci::new();
    if !is_silo() {
        return;
    }
    let script =
        "id -u; test -r /etc/passwd && echo read; mount -t tmpfs none /tmp || echo refused";
    let bundle = oci.bundle("a", &["sh", "-c", script], |spec| {
        share(spec, None);
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
    });
    let ran = oci.run_in(&bundle, &["run", "a"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "0\nread\nrefused\n"),
        "{ran}"
    );
}
