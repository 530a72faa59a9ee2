//! Users, groups and capabilities: exactly those asked for.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::{
    common::Host,
    scene::{Scene, Who, remove},
};

/// A field of /proc/self/status as a container prints it.
fn field(status: &str, name: &str) -> String {
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name}: {status}"))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Inheritable and ambient capabilities stay empty for everybody (2016-8867, 2022-24769, 2022-29162 and their kin).
#[test]
fn nothing_is_inherited() {
    let scene = Scene::new();
    let none = "0000000000000000";
    for uid in [0, 1000] {
        let user = |spec: &mut Value| spec["process"]["user"] = json!({"uid": uid, "gid": uid});
        for who in [Who::Root, Who::User] {
            // The caller's own sets must not shine through.
            let bundle = scene.bundle("c", (who, false), &["cat", "/proc/self/status"], user);
            let mut command = std::process::Command::new("setpriv");
            command
                .args([
                    "--inh-caps",
                    "+chown,+kill",
                    "--ambient-caps",
                    "+chown,+kill",
                    "--",
                ])
                .arg(scene.oci.program())
                .arg("--root")
                .arg(&scene.oci.state)
                .args(["run", "c"])
                .env("SILO_TEST_HOST", scene.oci.host.mark())
                .current_dir(&bundle);
            let ran = scene.oci.host.finish(command, &["run"], b"");
            assert_eq!(ran.code, 0, "{ran}");
            for name in ["CapInh", "CapAmb"] {
                assert_eq!(field(&ran.out, name), none, "{who:?} {uid}");
            }
        }
    }
    let bundle = scene.bundle("idle", (Who::Root, false), &["sleep", "600"], |_| {});
    assert_eq!(scene.oci.leave(&bundle, &["run", "-d", "idle"]).code, 0);
    for flags in [
        &["--cap", "CAP_CHOWN"][..],
        &["--cap", "CAP_CHOWN", "--user", "7"],
    ] {
        let status = scene
            .oci
            .ok(&[&["exec"], flags, &["idle", "cat", "/proc/self/status"]].concat());
        for name in ["CapInh", "CapAmb"] {
            assert_eq!(field(&status, name), none, "{flags:?}");
        }
    }
}

/// The caller's groups are not the container's, and those given are (2022-36109 and its kin).
#[test]
fn groups_are_exactly_those_given() {
    let scene = Scene::new();
    for (given, wanted) in [(json!(null), ""), (json!([]), ""), (json!([5, 6]), "5 6")] {
        for who in [Who::Root, Who::User] {
            let bundle = scene.bundle("c", (who, false), &["cat", "/proc/self/status"], |spec| {
                spec["process"]["user"] = json!({"uid": 3, "gid": 4, "additionalGids": given});
            });
            let mut command = std::process::Command::new("setpriv");
            command
                .args(["--groups", "77,78", "--"])
                .arg(scene.oci.program())
                .arg("--root")
                .arg(&scene.oci.state)
                .args(["run", "c"])
                .env("SILO_TEST_HOST", scene.oci.host.mark())
                .current_dir(&bundle);
            let ran = scene.oci.host.finish(command, &["run"], b"");
            assert_eq!(ran.code, 0, "{ran}");
            assert_eq!(field(&ran.out, "Groups"), wanted, "{who:?} {given}");
            assert_eq!(field(&ran.out, "Gid"), "4 4 4 4");
        }
    }
}

/// With the engine the primary group is among the others: what it is denied cannot be shaken off (2022-36109, 2022-2989,
/// 2022-2990, 2023-25173).
#[test]
fn the_primary_group_is_among_the_others() {
    let host = Host::new();
    let groups = |flags: &[&str]| field(&host.offline(flags, "cat /proc/self/status"), "Groups");
    assert_eq!(groups(&["-u", "1000:1000"]), "1000");
    assert_eq!(groups(&["-u", "4242:4343", "--group-add", "77"]), "77 4343");
    assert_eq!(groups(&["-u", "lab"]), "1000");
    host.idle("box", &["-u", "lab"]);
    let text = host.ok(&["exec", "-u", "5:6", "box", "cat", "/proc/self/status"]);
    assert_eq!(field(&text, "Groups"), "6");
}

/// /etc/passwd and /etc/group of an image that are pipes, links out or endless (2024-9676, 2023-25153, 2026-47262): nothing waits,
/// nothing of the host is read.
#[test]
fn lists_of_users_that_are_none() {
    let scene = Scene::new();
    let host = &scene.oci.host;
    fs::write(
        scene.canary.join("users"),
        "hosts:x:4711:4712::/of-the-host:/bin/sh\n",
    )
    .unwrap();
    let mode = Mode::from_raw_mode(0o644);
    for name in ["etc/passwd", "etc/group"] {
        let place = scene.root.join(name);
        for kind in ["pipe", "link", "long", "folder"] {
            remove(&place);
            match kind {
                "pipe" => mknodat(CWD, &place, FileType::Fifo, mode, 0).unwrap(),
                "link" => scene.link(scene.canary("users"), name),
                "long" => fs::write(&place, "x:x:1:1::/x:/x\n".repeat(200_000)).unwrap(),
                _ => fs::create_dir(&place).unwrap(),
            }
            let mut tar = std::process::Command::new("tar");
            tar.arg("-C").arg(&scene.root).args(["-cf", "-", "."]);
            let archive = host.finish(tar, &["tar"], b"").raw;
            assert_eq!(
                host.silo_with(&["import", "-", "hostile"], &archive).code,
                0
            );
            let run = [
                "run",
                "--rm",
                "--network",
                "none",
                "-u",
                "hosts",
                "hostile",
                "id",
                "-u",
            ];
            let ran = host.silo(&run);
            assert!(ran.code == 125 && ran.out.is_empty(), "{name} {kind} {ran}");
            // A runtime looks up where the user is at home.
            for who in [Who::Root, Who::User] {
                let ran = scene.run((who, false), &["sh", "-c", "echo $HOME"], |spec| {
                    spec["process"]["user"] = json!({"uid": 4711, "gid": 0});
                    spec["process"]["env"] = json!(["PATH=/bin"]);
                });
                assert_eq!(ran.out, "/\n", "{name} {kind} {ran}");
            }
        }
        remove(&place);
    }
    host.ok(&["rmi", "hostile"]);
}

/// Numbers are numbers, and one that is none is nobody's, least of all root's (2016-3697, 2024-40635, 2026-30892).
#[test]
fn users_are_numbers_and_none_is_root_by_mistake() {
    let scene = Scene::new();
    let bundle = scene.bundle("idle", (Who::Root, false), &["sleep", "600"], |_| {});
    assert_eq!(scene.oci.leave(&bundle, &["run", "-d", "idle"]).code, 0);
    // A name made of digits, that of root.
    std::fs::write(
        scene.root.join("etc/passwd"),
        "1000:x:0:0::/:/bin/sh\n1:x:0:0::/:/bin/sh\n",
    )
    .unwrap();
    for (text, uid, gid) in [
        ("1000", "1000", "0"),
        ("1", "1", "0"),
        ("1:2", "1", "2"),
        ("4294967294", "4294967294", "0"),
    ] {
        let status = scene
            .oci
            .ok(&["exec", "--user", text, "idle", "cat", "/proc/self/status"]);
        assert_eq!(field(&status, "Uid"), [uid; 4].join(" "), "{text}");
        assert_eq!(field(&status, "Gid"), [gid; 4].join(" "), "{text}");
    }
    for text in [
        "4294967295",
        "1:4294967295",
        "4294967296",
        "18446744073709551616",
        "-1",
        "root",
        "0x1",
        "1e1",
        " 0",
        "1:",
        ":1",
    ] {
        let ran = scene.oci.run(&["exec", "--user", text, "idle", "id", "-u"]);
        assert!(ran.code != 0 && ran.out.is_empty(), "{text:?} {ran}");
    }
    scene.oci.fails(
        &["exec", "--additional-gids", "4294967295", "idle", "id"],
        "out of range",
    );
    for user in [
        json!({"uid": u32::MAX, "gid": 0}),
        json!({"uid": 0, "gid": u32::MAX}),
        json!({"uid": 0, "gid": 0, "additionalGids": [u32::MAX]}),
        json!({"uid": 1u64 << 32, "gid": 0}),
        json!({"uid": -1, "gid": 0}),
        json!({"uid": "1000", "gid": 0}),
    ] {
        for who in [Who::Root, Who::User] {
            let ran = scene.run((who, false), &["id", "-u"], |spec| {
                spec["process"]["user"] = user.clone()
            });
            assert!(ran.code != 0 && ran.out.is_empty(), "{user} {ran}");
        }
    }
}
