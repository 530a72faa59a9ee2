//! exec and its flags.

use crate::common::{Host, kernel, until};

#[test]
fn flags_of_exec() {
    let host = Host::new();
    let file = host.file("env", "FROM_FILE=f\n");
    host.idle("box", &["-e", "OWN=1", "-w", "/tmp"]);
    assert_eq!(host.ok(&["exec", "box", "pwd"]), "/tmp");
    assert_eq!(host.ok(&["exec", "-w", "/etc", "box", "pwd"]), "/etc");
    let env = host.ok(&["exec", "-e", "MORE=2", "--env-file", &file, "box", "env"]);
    for line in ["OWN=1", "MORE=2", "FROM_FILE=f", "HOME=/root"] {
        assert!(env.lines().any(|l| l == line), "{line}: {env}");
    }
    assert!(!env.contains("SILO_"), "{env}");
    assert_eq!(
        host.ok(&["exec", "-u", "lab", "box", "sh", "-c", "whoami; echo $HOME"]),
        "lab\n/home/lab"
    );
    assert_eq!(
        host.silo_with(&["exec", "-i", "box", "cat"], b"typed").out,
        "typed"
    );
    assert_eq!(host.silo_with(&["exec", "box", "cat"], b"unread").out, "");
    let ran = host.silo(&["exec", "box", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("out\n", "err\n"));
    host.fails(&["exec", "box"], 1, "");
    host.fails(
        &["exec", "-w", "relative", "box", "pwd"],
        126,
        "absolute path",
    );
    host.fails(&["exec", "-w", "/nosuch", "box", "pwd"], 126, "/nosuch");
    host.fails(&["exec", "-u", "nosuch", "box", "id"], 126, "nosuch");
    host.fails(&["exec", "-it", "box", "true"], 1, "TTY");
}

#[test]
fn in_the_background() {
    let host = Host::new();
    host.idle("box", &[]);
    assert_eq!(
        host.ok(&[
            "exec",
            "-d",
            "box",
            "sh",
            "-c",
            "echo $$ > /tmp/pid; exec sleep 500"
        ]),
        ""
    );
    until("its file", || {
        host.silo(&["exec", "box", "cat", "/tmp/pid"]).code == 0
    });
    assert!(host.ok(&["top", "box", "-o", "cmd"]).contains("sleep 500"));
    // It ends with the container.
    let pids: Vec<i32> = host
        .ok(&["top", "box", "-o", "hpid"])
        .lines()
        .skip(1)
        .map(|l| l.trim().parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 2);
    host.ok(&["rm", "-f", "box"]);
    assert!(pids.iter().all(|pid| !kernel::alive(*pid)));
}

#[test]
fn the_end_of_the_container_ends_its_sessions() {
    let host = Host::new();
    host.idle("box", &[]);
    let running = host.spawn(&["exec", "box", "sleep", "500"]);
    until("the session", || {
        host.ok(&["top", "box", "-o", "cmd"]).contains("sleep 500")
    });
    host.ok(&["kill", "box"]);
    assert_eq!(running.wait(), 137);
}

#[test]
fn many_at_once() {
    let host = Host::new();
    host.idle("box", &[]);
    let running: Vec<_> = (0..12)
        .map(|n| host.spawn(&["exec", "box", "sh", "-c", &format!("exit {n}")]))
        .collect();
    for (n, running) in running.into_iter().enumerate() {
        assert_eq!(running.wait(), n as i32);
    }
    let inside = host.ok(&["exec", "box", "ps", "aux"]);
    assert_eq!(inside.lines().count(), 3, "{inside}");
}

/// A process of the container cannot look into the one that joins it: CVE-2016-9962, CVE-2019-5736.
#[test]
fn the_program_that_joins_is_sealed() {
    let host = Host::new();
    host.idle("box", &[]);
    let script = "cat /proc/self/exe > /dev/null && echo read; echo x 2>/dev/null > /proc/self/exe || echo refused";
    assert_eq!(
        host.ok(&["exec", "box", "sh", "-c", script]),
        "read\nrefused"
    );
    // `/proc/self/exe` as the program: at the moment of exec it is Silo itself.
    let before = std::fs::metadata(env!("CARGO_BIN_EXE_silo")).unwrap();
    let _ = host.silo(&["exec", "box", "/proc/self/exe", "--version"]);
    let _ = host.silo(&[
        "run",
        "--rm",
        "--network",
        "none",
        "lab",
        "/proc/self/exe",
        "--version",
    ]);
    let after = std::fs::metadata(env!("CARGO_BIN_EXE_silo")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}
