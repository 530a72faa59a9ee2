//! Hooks: their order, what they see and what becomes of a container when one fails.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::fixture::{Oci, add, bind, is_silo};

/// A hook that notes that it ran, with the state that it got.
fn note(folder: &Path, name: &str) -> Value {
    let folder = folder.display();
    let script = format!("echo {name} >> {folder}/order; cat > {folder}/{name}.json");
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]})
}

fn read(folder: &Path, name: &str) -> Value {
    let text = fs::read(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn they_run_in_order_and_know_the_state() {
    let oci = Oci::new();
    let notes = oci.host.files.join("notes");
    fs::create_dir(&notes).unwrap();
    let bundle = oci.bundle("a", &["sh", "-c", "echo program >> /notes/order"], |spec| {
        add(&mut spec["mounts"], bind(&notes, "/notes"));
        spec["annotations"] = json!({"org.example": "yes"});
        spec["hooks"] = json!({
            "prestart": [note(&notes, "prestart")],
            "createRuntime": [note(&notes, "createRuntime"), note(&notes, "second")],
            "createContainer": [note(&notes, "createContainer")],
            "startContainer": [note(Path::new("/notes"), "startContainer")],
            "poststart": [note(&notes, "poststart")],
            "poststop": [note(&notes, "poststop")],
        });
    });
    assert_eq!(oci.leave(&bundle, &["create", "a"]).code, 0);
    let pid = oci.pid("a");
    oci.ok(&["start", "a"]);
    oci.becomes("a", "stopped");
    oci.ok(&["delete", "a"]);
    let order = fs::read_to_string(notes.join("order")).unwrap();
    let order: Vec<&str> = order.lines().filter(|name| *name != "program").collect();
    let expected = [
        "prestart",
        "createRuntime",
        "second",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ];
    if is_silo() {
        assert_eq!(order, expected);
    }
    for (name, status) in [
        ("prestart", if is_silo() { "created" } else { "creating" }),
        ("createRuntime", "creating"),
        ("createContainer", "creating"),
        ("startContainer", "created"),
        ("poststart", if is_silo() { "running" } else { "created" }),
        ("poststop", "stopped"),
    ] {
        let state = read(&notes, name);
        assert_eq!(
            (&state["id"], &state["status"]),
            (&json!("a"), &json!(status)),
            "{name}"
        );
        assert_eq!(state["bundle"].as_str(), bundle.to_str(), "{name}");
        assert_eq!(state["annotations"]["org.example"], "yes", "{name}");
    }
    assert_eq!(read(&notes, "createRuntime")["pid"], pid);
    assert_eq!(read(&notes, "poststart")["pid"], pid);
    assert_eq!(read(&notes, "startContainer")["pid"], 1);
}

/// What graphics drivers do: look into the root by its name on the host, from the container's mount namespace, and change it.
#[test]
fn before_the_root_is_entered_both_trees_are_there() {
    let oci = Oci::new();
    let notes = oci.host.files.join("notes");
    fs::create_dir(&notes).unwrap();
    let root = crate::fixture::rootfs().display().to_string();
    let script = format!(
        "test -e {root}/proc/self && echo proc > {0}/seen; readlink /proc/self/ns/mnt >> {0}/seen; echo x > {root}/dev/made",
        notes.display()
    );
    let bundle = oci.bundle("a", &["sh", "-c", "cat /dev/made; readlink /proc/self/ns/mnt"], |spec| {
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]});
        spec["hooks"] = json!({ "createContainer": [hook] });
    });
    let ran = oci.run_in(&bundle, &["run", "a"]);
    assert_eq!(ran.code, 0, "{ran}");
    let seen = fs::read_to_string(notes.join("seen")).unwrap();
    let namespace = ran.out.strip_prefix("x\n").unwrap();
    assert_eq!(seen, format!("proc\n{namespace}"));
}

#[test]
fn one_that_fails_ends_the_making() {
    let oci = Oci::new();
    let notes = oci.host.files.join("notes");
    fs::create_dir(&notes).unwrap();
    for point in ["prestart", "createRuntime", "createContainer"] {
        let bundle = oci.bundle(point, &["true"], |spec| {
            let bad = json!({"path": "/bin/sh", "args": ["sh", "-c", "echo because >&2; exit 3"]});
            spec["hooks"] =
                json!({ point: [{"path": "/bin/true"}, bad], "poststop": [note(&notes, point)] });
        });
        let ran = oci.leave(&bundle, &["create", point]);
        assert_ne!(ran.code, 0, "{ran}");
        let named = match is_silo() {
            true => format!("error running {point} hook #1"),
            false => "hook #1".to_owned(),
        };
        assert!(ran.err.contains(&named), "{ran}");
        assert!(
            ran.err.contains("exit status 3") && ran.err.contains("because"),
            "{ran}"
        );
        oci.fails(&["state", point], "does not exist");
        if is_silo() {
            assert_eq!(read(&notes, point)["status"], "stopped");
        }
    }
    assert!(oci.groups().is_empty());
}

#[test]
fn one_that_fails_at_the_start_ends_the_container() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    for point in ["startContainer", "poststart"] {
        let bundle = oci.bundle(point, &["sleep", "600"], |spec| {
            spec["hooks"] = json!({ point: [{"path": "/bin/false"}] });
        });
        assert_eq!(oci.leave(&bundle, &["create", point]).code, 0);
        oci.fails(&["start", point], &format!("error running {point} hook #0"));
        if point == "startContainer" {
            oci.becomes(point, "stopped");
        } else {
            oci.fails(&["state", point], "does not exist");
        }
    }
}

#[test]
fn one_that_fails_at_the_end_does_not_keep_the_others() {
    let oci = Oci::new();
    let notes = oci.host.files.join("notes");
    fs::create_dir(&notes).unwrap();
    let bundle = oci.bundle("a", &["true"], |spec| {
        spec["hooks"] = json!({"poststop": [{"path": "/bin/false"}, note(&notes, "last")]});
    });
    let ran = oci.run_in(&bundle, &["run", "a"]);
    if is_silo() {
        assert_eq!(ran.code, 0, "{ran}");
        assert!(
            ran.err.contains("level=warning") && ran.err.contains("poststop hook #0"),
            "{ran}"
        );
        assert_eq!(read(&notes, "last")["id"], "a");
    }
}

#[test]
fn each_has_its_time() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["true"], |spec| {
        let slow = json!({"path": "/bin/sleep", "args": ["sleep", "600"], "timeout": 1});
        spec["hooks"] = json!({ "createRuntime": [slow] });
    });
    let ran = oci.run_in(&bundle, &["run", "a"]);
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("timeout"), "{ran}");
}

/// A hook has its three streams and nothing of what the command has open, be it the caller's.
#[test]
fn descriptors_are_not_handed_on() {
    let oci = Oci::new();
    let notes = oci.host.files.join("notes");
    fs::create_dir(&notes).unwrap();
    let list = |point: &str| {
        let script = format!("ls -l /proc/self/fd >{}/{point}", notes.display());
        json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]})
    };
    let points = [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ];
    let bundle = oci.bundle("a", &["true"], |spec| {
        for point in points {
            spec["hooks"][point] = json!([list(point)]);
        }
    });
    let mut command = std::process::Command::new("bash");
    let script = "exec 7<\"$1\"; shift; exec \"$@\"";
    let run = oci.command(&bundle, &["run", "a"]);
    command
        .args(["-c", script, "bash"])
        .arg(bundle.join("config.json"))
        .arg(run.get_program())
        .args(run.get_args())
        .env("SILO_TEST_HOST", oci.host.mark())
        .current_dir(&bundle);
    let ran = oci.host.finish(command, &["run"], b"");
    assert_eq!(ran.code, 0, "{ran}");
    for point in points {
        let text = fs::read_to_string(notes.join(point)).unwrap();
        assert!(!text.contains("config.json"), "{point}: {text}");
        // Streams, the file of the list, and the folder that is listed.
        assert!(
            text.lines().filter(|line| line.contains("->")).count() <= 4,
            "{point}: {text}"
        );
    }
}
