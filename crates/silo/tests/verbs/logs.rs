//! logs and its flags.

use std::{process::Stdio, time::Duration};

use crate::common::{Host, until};

#[test]
fn which_lines() {
    let host = Host::new();
    let script = "echo one; echo two >&2; sleep 1; echo three; printf 'no newline'";
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
    host.ended("box");
    let ran = host.silo(&["logs", "box"]);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("one\nthree\nno newline", "two\n")
    );
    let both = |flags: &[&str]| {
        let ran = host.silo(&[&["logs"], flags, &["box"]].concat());
        assert_eq!(ran.code, 0, "{ran}");
        ran.out + &ran.err
    };
    assert_eq!(both(&["--tail", "2"]), "three\nno newline");
    assert_eq!(both(&["-n", "0"]), "");
    assert_eq!(both(&["--tail", "all"]), both(&[]));
    let timed = host.ok(&["logs", "-t", "box"]);
    let times: Vec<&str> = timed
        .lines()
        .map(|l| l.split(' ').next().unwrap())
        .collect();
    assert!(
        times.iter().all(|t| t.len() == 30 && t.ends_with('Z')),
        "{timed}"
    );
    // From the third line on, by its own time.
    assert_eq!(both(&["--since", times[1]]), "three\nno newline");
    assert_eq!(both(&["--until", times[0]]), "one\n");
    assert_eq!(both(&["--since", "1h"]), both(&[]));
    assert_eq!(both(&["--since", "0s"]), "");
    host.fails(
        &["logs", "--since", "yesterday-ish", "box"],
        1,
        "yesterday-ish",
    );
    host.fails(&["logs", "--tail", "x", "box"], 1, "x");
    host.fails(&["logs", "nosuch"], 1, "nosuch");
}

#[test]
fn followed_until_the_end() {
    let host = Host::new();
    let script = "n=0; while [ $n -lt 10 ]; do echo $n; n=$((n + 1)); sleep 0.05; done";
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
    let followed = host.ok(&["logs", "-f", "box"]);
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(followed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(host.status("box"), "exited");
}

/// Each line comes when it is written, not at the end, across rotations and restarts.
#[test]
fn followed_as_it_is_written() {
    let host = Host::new();
    let script = "n=0; while [ $n -lt 400 ]; do echo some line with number $n; n=$((n + 1)); done; sleep 600";
    let flags = ["--log-opt", "max-size=8k", "--log-opt", "max-file=5"];
    host.ok(&[
        &["create", "--name", "box", "--network", "none"],
        &flags[..],
        &["lab", "sh", "-c", script],
    ]
    .concat());
    let path = host.files.join("seen");
    host.ok(&["start", "box"]);
    let file = std::fs::File::create(&path).unwrap();
    let mut child = host
        .command(&["logs", "-f", "box"])
        .stdout(Stdio::from(file))
        .spawn()
        .unwrap();
    until("the last line", || {
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("number 399")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let mut follow = host
        .command(&["logs", "-f", "--tail", "0", "box"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    host.ok(&["stop", "-t", "0", "box"]);
    assert!(follow.wait().unwrap().success());
}

/// What a terminal shows is logged as it is; long lines come out whole.
#[test]
fn terminals_and_long_lines() {
    let host = Host::new();
    let mut session = host.terminal(&["run", "-it", "--name", "box", "lab", "echo", "shown"]);
    session.wait();
    assert_eq!(host.silo(&["logs", "box"]).out, "shown\r\n");
    let script = "head -c 100000 /dev/zero | tr '\\0' 'x'; echo";
    host.ok(&[
        "run",
        "--name",
        "long",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(host.ok(&["logs", "long"]).len(), 100_000);
}
