//! --restart --stop-signal --stop-timeout --rm.

use std::time::{Duration, Instant};

use crate::common::{Host, patient, until};

#[test]
fn restart_policies() {
    let host = Host::new();
    host.ok(&[
        "run",
        "-d",
        "--name",
        "thrice",
        "--network",
        "none",
        "--restart",
        "on-failure:3",
        "lab",
        "sh",
        "-c",
        "echo go; exit 5",
    ]);
    until("three restarts", || {
        let facts = host.inspect("thrice");
        facts["RestartCount"] == 3 && facts["State"]["Status"] == "exited"
    });
    assert_eq!(host.ok(&["logs", "thrice"]).lines().count(), 4);
    assert_eq!(host.inspect("thrice")["State"]["ExitCode"], 5);

    // No failure, no restart.
    host.ok(&[
        "run",
        "-d",
        "--name",
        "fine",
        "--network",
        "none",
        "--restart",
        "on-failure",
        "lab",
        "true",
    ]);
    host.ended("fine");
    assert_eq!(host.inspect("fine")["RestartCount"], 0);

    for policy in ["always", "unless-stopped"] {
        host.ok(&[
            "run",
            "-d",
            "--name",
            policy,
            "--network",
            "none",
            "--restart",
            policy,
            "lab",
            "sh",
            "-c",
            "echo go; sleep 0.05",
        ]);
        until("a restart", || {
            host.inspect(policy)["RestartCount"].as_i64() >= Some(2)
        });
        host.ok(&["stop", "-t", "0", policy]);
        assert_eq!(host.status(policy), "exited");
        let runs = host.ok(&["logs", policy]).lines().count();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(host.ok(&["logs", policy]).lines().count(), runs);
    }
    for wrong in ["sometimes", "on-failure:x", "always:3", "on-failure:-1"] {
        host.fails(&["run", "--restart", wrong, "lab", "true"], 125, "");
    }
}

#[test]
fn the_stop_signal_and_its_patience() {
    let host = Host::new();
    let script = "trap 'echo usr1; exit 11' USR1; trap 'echo term' TERM; echo ready; while true; do sleep 0.05; done";
    let start = |name: &str, flags: &[&str]| {
        let words = [
            &["run", "-d", "--name", name, "--network", "none"],
            flags,
            &["lab", "sh", "-c", script],
        ];
        host.ok(&words.concat());
        host.logged(name, "ready");
    };
    start("asked", &["--stop-signal", "SIGUSR1"]);
    host.ok(&["stop", "asked"]);
    assert_eq!(host.inspect("asked")["State"]["ExitCode"], 11);
    host.logged("asked", "usr1");

    start("deaf", &["--stop-timeout", "1"]);
    let began = Instant::now();
    host.ok(&["stop", "deaf"]);
    let took = began.elapsed();
    assert!(
        (Duration::from_millis(950)..patient(Duration::from_secs(5))).contains(&took),
        "{took:?}"
    );
    assert_eq!(host.inspect("deaf")["State"]["ExitCode"], 137);
    host.logged("deaf", "term");

    start("over", &["--stop-timeout", "600"]);
    host.ok(&["stop", "-s", "USR1", "over"]);
    assert_eq!(host.inspect("over")["State"]["ExitCode"], 11);
    for wrong in ["NOSUCH", "0", "99"] {
        host.fails(&["run", "--stop-signal", wrong, "lab", "true"], 125, "");
    }
}

/// `run` without a terminal hands signals on.
#[test]
fn signals_of_the_command_reach_the_program() {
    let host = Host::new();
    let script = "trap 'exit 21' TERM; trap 'exit 22' INT; while true; do sleep 0.05; done";
    for (name, number, code) in [("term", 15, 21), ("int", 2, 22)] {
        let running = host.spawn(&[
            "run",
            "--name",
            name,
            "--network",
            "none",
            "lab",
            "sh",
            "-c",
            script,
        ]);
        until("its start", || host.silo(&["exec", name, "true"]).code == 0);
        std::thread::sleep(Duration::from_millis(200));
        crate::common::signal(running.pid(), number);
        assert_eq!(running.wait(), code);
    }
    // Unless told not to: then the signal is the command's own and the container runs on.
    let running = host.spawn(&[
        "run",
        "--sig-proxy=false",
        "--name",
        "kept",
        "--network",
        "none",
        "lab",
        "sleep",
        "600",
    ]);
    until("its start", || {
        host.silo(&["exec", "kept", "true"]).code == 0
    });
    crate::common::signal(running.pid(), 15);
    assert_eq!(running.wait(), 143);
    assert_eq!(host.status("kept"), "running");
}
