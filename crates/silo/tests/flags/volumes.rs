//! -v --mount: host folders, named and anonymous volumes.

use std::{fs, os::unix::fs::MetadataExt};

use crate::common::{Host, kernel};

#[test]
fn folders_of_the_host() {
    let host = Host::new();
    let folder = host.folder("shared");
    host.file("shared/from-host", "hello");
    let mount = format!("{folder}:/data");
    assert_eq!(
        host.offline(
            &["-v", &mount],
            "cat /data/from-host; echo back > /data/from-inside"
        ),
        "hello"
    );
    assert_eq!(
        fs::read_to_string(format!("{folder}/from-inside")).unwrap(),
        "back\n"
    );
    let read_only = format!("{folder}:/data:ro");
    assert_eq!(
        host.offline(
            &["-v", &read_only],
            "echo x 2>/dev/null > /data/y || echo refused"
        ),
        "refused"
    );
    let long = format!("type=bind,source={folder},target=/data,readonly");
    assert_eq!(
        host.offline(
            &["--mount", &long],
            "cat /data/from-host; echo x 2>/dev/null > /data/y || echo refused"
        ),
        "hellorefused"
    );
    let file = format!("{folder}/from-host:/etc/one:ro");
    assert_eq!(host.offline(&["-v", &file], "cat /etc/one"), "hello");
    // -v makes what is missing, --mount refuses.
    let fresh = format!("{folder}/fresh:/data");
    host.offline(&["-v", &fresh], "true");
    assert!(fs::metadata(format!("{folder}/fresh")).unwrap().is_dir());
    let missing = format!("type=bind,source={folder}/missing,target=/data");
    host.fails(
        &["run", "--rm", "--mount", &missing, "lab", "true"],
        125,
        "missing",
    );
    assert!(!fs::exists(format!("{folder}/missing")).unwrap());
    // A path may be written relative to where one stands.
    assert_eq!(
        host.offline(&["-v", "./shared:/data"], "cat /data/from-host"),
        "hello"
    );
    for wrong in [
        "/a:relative",
        "/a:/",
        "/a:/b:nosuch",
        "/a:/b:ro,rw",
        "a/b:/c",
        ":/c",
        "/a:/proc",
        "/a:/proc/sys",
    ] {
        host.fails(&["run", "--rm", "-v", wrong, "lab", "true"], 125, "");
    }
    for wrong in [
        "type=nosuch,target=/a",
        "type=bind,target=/a",
        "type=volume",
        "target=/a,nosuch=1",
        "type=tmpfs,source=/x,target=/a",
    ] {
        host.fails(&["run", "--rm", "--mount", wrong, "lab", "true"], 125, "");
    }
    host.fails(
        &[
            "run", "--rm", "-v", "/tmp:/a", "-v", "/tmp:/a", "lab", "true",
        ],
        125,
        "duplicate mount point",
    );
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

/// Read-only means everything below, too.
#[test]
fn mounts_below_a_mount() {
    let host = Host::new();
    let folder = host.folder("outer");
    let inner = host.folder("outer/inner");
    // A mount of the host below the folder, in a mount namespace of the test's own.
    let silo = env!("CARGO_BIN_EXE_silo");
    let base = format!(
        "{silo} --root {} --run {}",
        host.root.display(),
        host.run.display()
    );
    let script = format!(
        "mount -t tmpfs none {inner} && echo deep > {inner}/file && \
         {base} run --rm --network none -v {folder}:/data:ro lab sh -c 'cat /data/inner/file; echo x 2>/dev/null > /data/inner/y || echo refused' && \
         {base} run --rm --network none --mount type=bind,source={folder},target=/data,bind-recursive=disabled lab ls /data/inner"
    );
    assert_eq!(
        kernel::run("unshare", &["--mount", "sh", "-c", &script]),
        "deep\nrefused\n"
    );
}

#[test]
fn propagation_is_what_was_asked() {
    let host = Host::new();
    let folder = host.folder("spread");
    host.idle("usual", &["-v", &format!("{folder}:/data")]);
    host.idle("slave", &["-v", &format!("{folder}:/data:rslave")]);
    let optional = |name: &str| {
        let text = fs::read_to_string(format!("/proc/{}/mountinfo", host.pid(name))).unwrap();
        let line = text
            .lines()
            .find(|l| l.split(' ').nth(4) == Some("/data"))
            .unwrap()
            .to_owned();
        line.split(" - ")
            .next()
            .unwrap()
            .split(' ')
            .skip(6)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(optional("usual"), "");
    let parent = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let shared = parent
        .lines()
        .find(|l| l.split(' ').nth(4) == Some("/"))
        .unwrap()
        .contains("shared:");
    assert_eq!(optional("slave").starts_with("master:"), shared);
}

#[test]
fn named_volumes_live_on() {
    let host = Host::new();
    host.offline(&["-v", "kept:/data"], "echo one > /data/file");
    assert_eq!(
        host.offline(
            &["--mount", "type=volume,source=kept,target=/other"],
            "cat /other/file"
        ),
        "one"
    );
    assert_eq!(
        host.offline(
            &["-v", "kept:/data:ro"],
            "echo x 2>/dev/null > /data/y || echo refused"
        ),
        "refused"
    );
    assert_eq!(host.ok(&["volume", "ls", "-q"]), "kept");
    let facts = host.inspect("kept");
    let place = facts["Mountpoint"].as_str().unwrap();
    assert_eq!(
        fs::read_to_string(format!("{place}/file")).unwrap(),
        "one\n"
    );
    // Closed to other users of the host: CVE-2021-41091.
    let root = fs::metadata(&host.root).unwrap();
    assert_eq!(root.mode() & 0o777, 0o700);
}

#[test]
fn an_empty_volume_is_filled_from_the_image() {
    let host = Host::new();
    let files = host.offline(&["-v", "filled:/etc"], "ls /etc");
    assert!(files.lines().any(|f| f == "passwd"), "{files}");
    assert_eq!(
        host.offline(&["-v", "filled:/data"], "cat /data/os-release | head -n 1"),
        "NAME=\"Silo lab\""
    );
    // Owner and mode of the folder come along.
    assert_eq!(
        host.offline(
            &["-v", "home:/home/lab", "-u", "lab"],
            "echo mine > ~/file; stat -c '%u:%g' ~"
        ),
        "1000:1000"
    );
    assert_eq!(
        host.offline(
            &[
                "--mount",
                "type=volume,source=bare,target=/etc,volume-nocopy"
            ],
            "ls /etc | grep -c passwd || true"
        ),
        "0"
    );
    // What is there already is left alone: CVE-2020-1726.
    host.offline(&["-v", "own:/data"], "echo own > /data/passwd");
    assert_eq!(host.offline(&["-v", "own:/etc"], "cat /etc/passwd"), "own");
    assert_eq!(host.offline(&["-v", "emptied:/etc:ro"], "true"), "");
}

#[test]
fn volumes_without_a_name() {
    let host = Host::new();
    host.ok(&[
        "run",
        "--name",
        "holder",
        "--network",
        "none",
        "-v",
        "/data",
        "lab",
        "sh",
        "-c",
        "echo x > /data/y",
    ]);
    let mounts = host.inspect("holder")["Mounts"].clone();
    assert_eq!(mounts[0]["Type"], "volume", "{mounts}");
    assert_eq!(mounts[0]["Destination"], "/data");
    let name = mounts[0]["Name"].as_str().unwrap();
    assert_eq!(name.len(), 64);
    assert_eq!(host.ok(&["volume", "ls", "-q"]), name);
    host.ok(&["rm", "holder"]);
    assert_eq!(
        host.ok(&["volume", "ls", "-q"]),
        name,
        "without -v it stays"
    );
    host.idle("other", &["-v", "/data", "-v", "named:/more"]);
    host.ok(&["rm", "-f", "-v", "other"]);
    let left = host.ok(&["volume", "ls", "-q"]);
    assert_eq!(left.lines().count(), 2, "{left}");
    assert!(left.contains("named") && left.contains(name));
}

#[test]
fn a_folder_of_a_volume() {
    let host = Host::new();
    host.offline(
        &["-v", "big:/data"],
        "mkdir -p /data/part && echo x > /data/part/file && ln -s / /data/out",
    );
    let mount = |path: &str| format!("type=volume,source=big,target=/p,volume-subpath={path}");
    assert_eq!(host.offline(&["--mount", &mount("part")], "ls /p"), "file");
    for wrong in ["../..", "out", "nosuch", "/etc"] {
        host.fails(
            &["run", "--rm", "--mount", &mount(wrong), "lab", "true"],
            125,
            "",
        );
    }
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

/// A link of the image leads nowhere but into the container: CVE-2021-30465 and its kin.
#[test]
fn targets_are_found_inside() {
    let host = Host::new();
    let canary = host.folder("canary");
    let folder = host.folder("given");
    host.file("given/file", "inside");
    host.ok(&[
        "run",
        "--name",
        "made",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        &format!("mkdir -p /x && ln -s {canary} /x/link && ln -s ../../../../.. /x/up"),
    ]);
    let tar = host.silo(&["cp", "made:/", "-"]).raw;
    assert_eq!(host.silo_with(&["import", "-", "linked"], &tar).code, 0);
    let run = |target: &str| {
        let mount = format!("{folder}:{target}");
        host.ok(&[
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            &mount,
            "linked",
            "cat",
            &format!("{target}/file"),
        ])
    };
    assert_eq!(run("/x/link/deep"), "inside");
    assert_eq!(run("/x/up/data"), "inside");
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 0);
}
