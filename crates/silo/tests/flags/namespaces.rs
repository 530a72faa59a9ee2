//! --pid --ipc --uts --cgroupns --userns: own by default, shared when asked.

use crate::common::{Host, kernel};

const KINDS: [&str; 6] = ["pid", "mnt", "net", "ipc", "uts", "cgroup"];

#[test]
fn everything_is_the_containers_own() {
    let host = Host::new();
    host.idle("own", &[]);
    host.idle("other", &[]);
    let own = std::process::id() as i32;
    for kind in KINDS {
        let inside = kernel::namespace(host.pid("own"), kind);
        assert_ne!(inside, kernel::namespace(own, kind), "{kind}");
        assert_ne!(inside, kernel::namespace(host.pid("other"), kind), "{kind}");
    }
    // An exec joins all of them.
    let seen = host.ok(&[
        "exec",
        "own",
        "sh",
        "-c",
        "for n in pid mnt net ipc uts cgroup; do readlink /proc/self/ns/$n; done",
    ]);
    let expected: Vec<String> = KINDS
        .iter()
        .map(|k| kernel::namespace(host.pid("own"), k))
        .collect();
    assert_eq!(seen.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn shared_with_the_host() {
    let host = Host::new();
    let own = std::process::id() as i32;
    let flags = [
        "--pid",
        "host",
        "--ipc",
        "host",
        "--uts",
        "host",
        "--cgroupns",
        "host",
        "--userns",
        "host",
    ];
    host.idle("guest", &flags);
    for kind in ["pid", "ipc", "uts", "cgroup"] {
        assert_eq!(
            kernel::namespace(host.pid("guest"), kind),
            kernel::namespace(own, kind),
            "{kind}"
        );
    }
    let sees = host.ok(&[
        "exec",
        "guest",
        "sh",
        "-c",
        &format!("test -d /proc/{own} && hostname"),
    ]);
    assert_eq!(sees, kernel::run("hostname", &[]).trim());
    // Its end takes everything with it, though the host's init would adopt what it leaves.
    host.ok(&[
        "run",
        "-d",
        "--name",
        "family",
        "--network",
        "none",
        "--pid",
        "host",
        "lab",
        "sh",
        "-c",
        "sleep 600 & sleep 600",
    ]);
    let main = host.pid("family");
    crate::common::until("a child", || !kernel::children(main).is_empty());
    let child = kernel::children(main)[0];
    host.ok(&["rm", "-f", "family"]);
    assert!(!kernel::alive(main) && !kernel::alive(child));
}

#[test]
fn shared_with_another_container() {
    let host = Host::new();
    host.idle("owner", &[]);
    let flags = ["--pid", "container:owner", "--ipc", "container:owner"];
    host.idle("guest", &flags);
    for kind in ["pid", "ipc"] {
        assert_eq!(
            kernel::namespace(host.pid("guest"), kind),
            kernel::namespace(host.pid("owner"), kind),
            "{kind}"
        );
    }
    host.ok(&["exec", "owner", "sh", "-c", "echo hello > /dev/shm/word"]);
    assert_eq!(host.ok(&["exec", "guest", "cat", "/dev/shm/word"]), "hello");
    let seen = host.ok(&["exec", "guest", "ps", "-ef"]);
    assert_eq!(
        seen.lines().filter(|l| l.contains("sleep 600")).count(),
        2,
        "{seen}"
    );
    // The owner's end is the end of all in its process namespace.
    host.ok(&["kill", "owner"]);
    host.ended("guest");
    host.fails(
        &["run", "--rm", "--pid", "container:owner", "lab", "true"],
        125,
        "owner",
    );
    host.fails(
        &["run", "--rm", "--pid", "container:nosuch", "lab", "true"],
        125,
        "nosuch",
    );
    for (flag, wrong) in [
        ("--pid", "nosuch"),
        ("--ipc", "container:"),
        ("--uts", "container:owner"),
        ("--cgroupns", "x"),
        ("--userns", "keep-id"),
    ] {
        host.fails(&["run", "--rm", flag, wrong, "lab", "true"], 125, "");
    }
}

#[test]
fn inter_process_communication_is_apart() {
    let host = Host::new();
    host.idle("one", &["--ipc", "shareable"]);
    host.idle("two", &["--ipc", "private"]);
    host.ok(&["exec", "one", "sh", "-c", "echo x > /dev/shm/word"]);
    assert_eq!(
        host.silo(&["exec", "two", "ls", "/dev/shm/word"]).code,
        2,
        "ls says so with 2"
    );
}
