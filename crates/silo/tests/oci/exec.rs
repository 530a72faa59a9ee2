//! Further processes in a container.

use std::fs;

use serde_json::json;

use crate::{
    common::{kernel, until},
    fixture::{Oci, is_silo},
};

#[test]
fn a_process_has_the_containers_settings_and_what_is_typed() {
    let oci = Oci::new();
    oci.idle("a", |spec| {
        add_env(spec, "FROM=spec");
        spec["process"]["cwd"] = json!("/etc");
    });
    let script = "echo $FROM $TYPED; pwd; id -u; id -g";
    let words = ["exec", "-e", "TYPED=yes", "a", "sh", "-c", script];
    assert_eq!(oci.ok(&words), "spec yes\n/etc\n0\n0");
    let words = [
        "exec",
        "--user",
        "5:6",
        "--additional-gids",
        "77",
        "--cwd",
        "/tmp",
        "a",
    ];
    let words = [
        &words[..],
        &["sh", "-c", "pwd; id -u; id -g; id -G; echo $HOME"],
    ]
    .concat();
    assert_eq!(oci.ok(&words), "/tmp\n5\n6\n6 77\n/");
    assert_eq!(
        oci.ok(&["exec", "a", "sh", "-c", "echo $HOME; cat /proc/1/comm"]),
        "/root\nsleep"
    );
    assert_eq!(oci.run(&["exec", "a", "sh", "-c", "exit 9"]).code, 9);
    // Options behind the container are the program's.
    assert_eq!(oci.ok(&["exec", "a", "echo", "-d", "--tty"]), "-d --tty");
}

fn add_env(spec: &mut serde_json::Value, variable: &str) {
    crate::fixture::add(&mut spec["process"]["env"], json!(variable));
}

#[test]
fn capabilities_are_added_and_privileges_are_not_gained() {
    let oci = Oci::new();
    oci.idle("a", |spec| {
        spec["process"]["noNewPrivileges"] = json!(false)
    });
    let status = |flags: &[&str], field: &str| {
        let words = [&["exec"], flags, &["a", "grep", field, "/proc/self/status"]].concat();
        oci.ok(&words).split_whitespace().nth(1).unwrap().to_owned()
    };
    let bits = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let (before, with) = (
        status(&[], "CapEff"),
        status(&["--cap", "CAP_SYS_TIME"], "CapEff"),
    );
    assert_eq!(bits(&with), bits(&before) | 1 << 25);
    assert_eq!(status(&[], "NoNewPrivs"), "0");
    assert_eq!(status(&["--no-new-privs"], "NoNewPrivs"), "1");
}

#[test]
fn a_process_of_a_file_is_as_it_says() {
    let oci = Oci::new();
    oci.idle("a", |_| {});
    let process = json!({
        "terminal": false,
        "user": {"uid": 3, "gid": 4},
        "args": ["sh", "-c", "id -u; pwd; echo $A; ls /nonesuch"],
        "env": ["PATH=/bin", "A=b"],
        "cwd": "/tmp",
    });
    let file = oci.host.file("process.json", &process.to_string());
    let ran = oci.run(&["exec", "-p", &file, "a"]);
    assert_ne!(ran.code, 0);
    assert_eq!(ran.out, "3\n/tmp\nb\n");
}

#[test]
fn a_detached_process_lives_on() {
    let oci = Oci::new();
    let bundle = oci.idle("a", |_| {});
    let words = ["exec", "-d", "--pid-file", "pid", "a", "sleep", "500"];
    assert_eq!(oci.leave(&bundle, &words).code, 0);
    let pid: i32 = fs::read_to_string(bundle.join("pid"))
        .unwrap()
        .parse()
        .unwrap();
    assert!(kernel::alive(pid));
    let main = oci.pid("a");
    for kind in ["pid", "mnt", "net", "ipc", "uts"] {
        assert_eq!(
            kernel::namespace(pid, kind),
            kernel::namespace(main, kind),
            "{kind}"
        );
    }
    let listed = oci.ok(&["ps", "a"]);
    assert!(
        listed.contains("sleep 500") && listed.contains("sleep 600"),
        "{listed}"
    );
    oci.ok(&["delete", "-f", "a"]);
    until("its end", || !kernel::alive(pid));
}

#[test]
fn what_cannot_be_executed_is_told() {
    let oci = Oci::new();
    oci.idle("a", |_| {});
    let missing = oci.fails(
        &["exec", "a", "nonesuch"],
        "executable file not found in $PATH",
    );
    let denied = oci.fails(&["exec", "a", "/etc/passwd"], "permission denied");
    if is_silo() {
        assert_eq!((missing.code, denied.code), (255, 255));
    }
    oci.fails(&["exec", "nonesuch", "true"], "does not exist");
    oci.fails(&["exec", "--user", "root", "a", "true"], "");
    oci.ok(&["kill", "a", "KILL"]);
    oci.becomes("a", "stopped");
    oci.fails(&["exec", "a", "true"], "stopped container");
}

#[test]
fn a_paused_container_takes_nobody_in() {
    let oci = Oci::new();
    oci.idle("a", |_| {});
    oci.ok(&["pause", "a"]);
    oci.fails(&["exec", "a", "true"], "paused");
    oci.ok(&["resume", "a"]);
    oci.ok(&["exec", "a", "true"]);
}

#[test]
fn a_process_can_be_in_a_group_below() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    oci.idle("a", |_| {});
    oci.fails(
        &["exec", "--cgroup", "below", "a", "true"],
        "does not exist",
    );
    let places: Vec<_> = kernel::hierarchies().into_iter().map(|h| h.place).collect();
    for place in &places {
        fs::create_dir(place.join(oci.host.mark()).join("a/below")).unwrap();
    }
    let main = kernel::group_of(oci.pid("a"), "pids");
    let shown = oci.ok(&["exec", "--cgroup", "below", "a", "cat", "/proc/self/cgroup"]);
    assert!(
        shown.lines().any(|line| line.ends_with("/below")),
        "{shown} in {main:?}"
    );
}
