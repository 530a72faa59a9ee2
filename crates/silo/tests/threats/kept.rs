//! What is kept on the host: whose it is, and what does not get into it or rule it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use serde_json::json;

use crate::{
    common::{Host, until},
    scene::{Scene, Who},
};

/// 2021-21284: to root of a user namespace nothing belongs of what is kept of its container.
#[test]
fn nothing_kept_belongs_to_a_mapped_root() {
    let scene = Scene::new();
    let bundle = scene.bundle("c", (Who::User, false), &["true"], |_| {});
    assert_eq!(scene.oci.leave(&bundle, &["create", "c"]).code, 0);
    let folder = scene.oci.state.join("c");
    let mut seen = 0;
    for path in fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .chain([folder.clone()])
    {
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (0, 0), "{}", path.display());
        // The socket lies in a folder that is closed.
        let is_closed = meta.permissions().mode() & 0o077 == 0;
        assert!(is_closed || path.ends_with("start"), "{}", path.display());
        seen += 1;
    }
    assert!(seen > 3, "{}", folder.display());
    scene.oci.ok(&["delete", "--force", "c"]);
}

/// 2019-13509: logs say what was done, and not with which secrets.
#[test]
fn secrets_are_in_no_log() {
    const SECRET: &str = "correct-horse-battery";
    let scene = Scene::new();
    let log = scene.oci.host.files.join("log");
    let bundle = scene.bundle("c", (Who::Root, true), &["true"], |spec| {
        let env = spec["process"]["env"].as_array_mut().unwrap();
        env.push(json!(format!("TOKEN={SECRET}")));
        spec["annotations"] = json!({"org.example.token": SECRET});
    });
    let words = ["--debug", "--log", log.to_str().unwrap(), "run", "c"];
    let ran = scene.oci.run_in(&bundle, &words);
    assert_eq!(ran.code, 0, "{ran}");
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.is_empty() && !text.contains(SECRET), "{text}");

    let host = Host::new();
    let pair = format!("TOKEN={SECRET}");
    host.ok(&[
        "run",
        "--name",
        "box",
        "--network",
        "none",
        "-e",
        &pair,
        "lab",
        "true",
    ]);
    let text = fs::read_to_string(host.root.join("events.log")).unwrap();
    assert!(text.contains("box") && !text.contains(SECRET), "{text}");
    // Where it is kept, nobody else reads it.
    let id = host.inspect("box")["Id"].as_str().unwrap().to_owned();
    let config = host.root.join("containers").join(id).join("config.json");
    assert!(fs::read_to_string(&config).unwrap().contains(SECRET));
    assert_eq!(mode(&config) & 0o077, 0);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode()
}

/// 2026-53488: what an image says of itself is told, and asks for nothing.
#[test]
fn labels_of_an_image_rule_nothing() {
    let host = Host::new();
    let canary = host.files.join("canary");
    host.ok(&["create", "--name", "maker", "lab"]);
    let files = host.silo(&["cp", "maker:/", "-"]);
    assert_eq!(files.code, 0, "{files}");
    let archive = host.files.join("files.tar");
    fs::write(&archive, files.raw).unwrap();
    let program = format!("binary:///bin/touch?{}", canary.display());
    let change = format!(
        "LABEL containerd.io/restart.loguri={program} containerd.io/restart.status=running restart=always privileged=true log-driver={program}"
    );
    host.ok(&[
        "import",
        "-c",
        &change,
        archive.to_str().unwrap(),
        "hostile",
    ]);
    let flags = ["create", "--network", "none", "--name"];
    for (name, image) in [("plain", "lab"), ("labelled", "hostile")] {
        host.ok(&[&flags[..], &[name, image, "true"]].concat());
    }
    let [plain, labelled] = ["plain", "labelled"].map(|name| host.inspect(name));
    assert_eq!(
        labelled["Config"]["Labels"]["restart"], "always",
        "{labelled}"
    );
    assert_eq!(plain["HostConfig"], labelled["HostConfig"]);
    host.ok(&["start", "-a", "labelled"]);
    assert_eq!(host.status("labelled"), "exited");
    assert!(!canary.exists());
}

/// 2022-31030, 2026-53495, 2025-64329: a session ends with its process, whatever still holds its output, and output of any length
/// takes no memory and leaves nothing.
#[test]
fn sessions_end_and_take_no_memory() {
    let host = Host::new();
    host.idle("box", &[]);
    let monitor = host.inspect("box")["Silo"]["MonitorPid"].as_i64().unwrap();
    let facts = || {
        let folder = format!("/proc/{monitor}");
        let text = fs::read_to_string(format!("{folder}/status")).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        (fs::read_dir(format!("{folder}/fd")).unwrap().count(), kib)
    };
    let (open, memory) = facts();
    for _ in 0..crate::exchange::rounds(30) {
        let ran = host.silo(&["exec", "box", "sh", "-c", "head -c 300000 /dev/zero"]);
        assert_eq!((ran.code, ran.raw.len()), (0, 300_000));
        assert_eq!(
            host.silo(&["exec", "-d", "box", "sh", "-c", "sleep 0.01 &"])
                .code,
            0
        );
    }
    // While it works some figures are kept open, none for a session.
    let mut then = facts();
    until("what was open to be closed", || {
        then = facts();
        then.0 < open + 20
    });
    assert!(then.1 < memory + 1024, "{memory} KiB, then {} KiB", then.1);
}
