//! attach: joining and leaving the streams of a container.

use std::process::Stdio;

use crate::common::{Host, until};

#[test]
fn what_is_written_from_now_on() {
    let host = Host::new();
    let script =
        "echo early; while ! test -e /tmp/go; do sleep 0.02; done; echo late; echo err >&2; exit 4";
    host.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    host.logged("box", "early");
    let mut command = host.command(&["attach", "box"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    // Its end may come before that of the program which brings it about.
    host.silo(&["exec", "box", "touch", "/tmp/go"]);
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "late\n");
    assert_eq!(String::from_utf8_lossy(&out.stderr), "err\n");
    host.fails(&["attach", "box"], 1, "not running");
    host.fails(&["attach", "nosuch"], 1, "nosuch");
}

#[test]
fn several_see_the_same() {
    let host = Host::new();
    let mut first = host.terminal(&["run", "-it", "--name", "box", "lab"]);
    first.prompt();
    let mut second = host.terminal(&["attach", "box"]);
    second.line("echo $((40 + 2))");
    second.expect("42");
    first.expect("42");
    first.line("exit 3");
    assert_eq!((first.wait(), second.wait()), (3, 3));
}

/// A terminal that goes away without a word leaves the container as it is.
#[test]
fn a_lost_terminal() {
    let host = Host::new();
    let mut session = host.terminal(&["run", "-it", "--name", "box", "lab"]);
    session.prompt();
    session.kill();
    drop(session);
    until("it runs on", || host.status("box") == "running");
    let mut again = host.terminal(&["attach", "box"]);
    again.line("echo $((40 + 2))");
    again.expect("42");
    again.line("exit");
    again.wait();
}

#[test]
fn input_only_when_asked() {
    let host = Host::new();
    host.ok(&[
        "run",
        "-d",
        "-i",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "cat",
    ]);
    let mut command = host.command(&["attach", "--no-stdin", "box"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _ = std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"unheard\n");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let _ = child.kill();
    let _ = child.wait();
    let mut command = host.command(&["attach", "box"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"heard\n").unwrap();
    let log = host.logged("box", "heard");
    assert!(!log.contains("unheard"), "{log}");
    let _ = child.kill();
    let _ = child.wait();
}
