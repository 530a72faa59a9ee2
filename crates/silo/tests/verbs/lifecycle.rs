//! create start stop restart kill pause unpause rename wait rm.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use crate::common::{Host, kernel, patient, signal, soon, until};

#[test]
fn from_create_to_remove() {
    let host = Host::new();
    let id = host.ok(&[
        "container",
        "create",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        "echo run; sleep 600",
    ]);
    assert_eq!(id.len(), 64);
    assert_eq!(host.status("box"), "created");
    host.fails(&["exec", "box", "true"], 1, "not running");
    host.fails(&["kill", "box"], 1, "not running");
    host.fails(&["pause", "box"], 1, "not running");
    assert_eq!(host.ok(&["start", "box"]), "box");
    assert_eq!(host.status("box"), "running");
    let first = host.pid("box");
    assert_eq!(
        host.ok(&["start", "box"]),
        "box",
        "as Docker: it runs already"
    );
    assert_eq!(host.pid("box"), first);
    host.logged("box", "run");
    assert_eq!(host.ok(&["restart", "-t", "0", "box"]), "box");
    assert_ne!(host.pid("box"), first);
    until("both runs in the log", || {
        host.ok(&["logs", "box"]) == "run\nrun"
    });
    assert_eq!(host.ok(&["stop", "-t", "0", &id[..8]]), id[..8]);
    assert_eq!(host.status("box"), "exited");
    assert_eq!(host.ok(&["stop", "box"]), "box", "stopped already");
    host.ok(&["start", "box"]);
    let said = host.fails(&["rm", "box"], 1, "running");
    assert!(said.contains("force"), "{said}");
    assert_eq!(host.ok(&["kill", "box"]), "box");
    host.ended("box");
    assert_eq!(host.inspect("box")["State"]["ExitCode"], 137);
    assert_eq!(host.ok(&["rm", "box"]), "box");
    host.fails(&["start", "box"], 1, "no such container: box");
    host.fails(&["rm", "box"], 1, "no such container: box");
    assert_eq!(
        host.ok(&["rm", "-f", "box"]),
        "",
        "as Docker: forced, it is no error"
    );
}

#[test]
fn several_at_once() {
    let host = Host::new();
    for name in ["one", "two"] {
        host.idle(name, &[]);
    }
    let ran = host.silo(&["stop", "-t", "0", "one", "nosuch", "two"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "one\ntwo\n"), "{ran}");
    assert!(ran.err.contains("nosuch"), "{ran}");
    assert_eq!(host.ok(&["start", "one", "two"]), "one\ntwo");
    assert_eq!(host.ok(&["kill", "-s", "KILL", "one", "two"]), "one\ntwo");
    host.ended("one");
    host.ended("two");
    assert_eq!(host.ok(&["rm", "one", "two"]), "one\ntwo");
}

#[test]
fn signals_by_name_and_number() {
    let host = Host::new();
    let script =
        "trap 'echo hup' HUP; trap 'echo usr2' USR2; echo ready; while true; do sleep 0.05; done";
    host.ok(&[
        "run",
        "-d",
        "--name",
        "ears",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    host.logged("ears", "ready");
    host.ok(&["kill", "-s", "HUP", "ears"]);
    host.logged("ears", "hup");
    host.ok(&["kill", "--signal=12", "ears"]);
    host.logged("ears", "usr2");
    host.fails(&["kill", "-s", "NOSUCH", "ears"], 1, "NOSUCH");
    assert_eq!(host.status("ears"), "running");
}

#[test]
fn frozen_and_thawed() {
    let host = Host::new();
    let script = "n=0; while true; do n=$((n + 1)); echo $n; sleep 0.02; done";
    host.ok(&[
        "run",
        "-d",
        "--name",
        "busy",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    host.logged("busy", "2");
    assert_eq!(host.ok(&["pause", "busy"]), "busy");
    assert_eq!(host.status("busy"), "paused");
    assert!(host.ok(&["ps"]).contains("(Paused)"));
    let before = host.ok(&["logs", "busy"]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(host.ok(&["logs", "busy"]), before);
    host.fails(&["pause", "busy"], 1, "already paused");
    host.fails(&["exec", "busy", "true"], 1, "paused");
    assert_eq!(host.ok(&["unpause", "busy"]), "busy");
    until("it goes on", || {
        host.ok(&["logs", "busy"]).len() > before.len()
    });
    host.fails(&["unpause", "busy"], 1, "not paused");
    // A frozen one can be stopped, killed and removed.
    host.ok(&["pause", "busy"]);
    host.ok(&["stop", "-t", "0", "busy"]);
    assert_eq!(host.status("busy"), "exited");
    for last in [&["kill", "busy"][..], &["rm", "-f", "busy"]] {
        host.ok(&["start", "busy"]);
        host.ok(&["pause", "busy"]);
        let began = Instant::now();
        host.ok(last);
        assert!(began.elapsed() < soon());
        if last[0] == "kill" {
            host.ended("busy");
        }
    }
}

#[test]
fn other_names() {
    let host = Host::new();
    host.idle("old", &[]);
    host.ok(&["create", "--name", "taken", "lab"]);
    host.ok(&["rename", "old", "new"]);
    host.fails(&["inspect", "old"], 1, "old");
    assert_eq!(host.inspect("new")["Name"], "/new");
    host.fails(&["rename", "new", "taken"], 1, "already in use");
    host.fails(&["rename", "new", "b/ad"], 1, "name");
    assert_eq!(host.status("new"), "running");
    host.ok(&["rename", "taken", "other"]);
    assert_eq!(
        host.ok(&["ps", "-a", "--format", "{{.Names}}"]),
        "other\nnew"
    );
    // Free again.
    host.ok(&["create", "--name", "old", "lab"]);
    host.ok(&["create", "--name", "taken", "lab"]);
    host.ok(&["stop", "-t", "0", "new"]);
    host.ok(&["start", "new"]);
    assert_eq!(host.inspect("new")["Name"], "/new");
}

#[test]
fn waiting_for_the_end() {
    let host = Host::new();
    host.ok(&[
        "run",
        "-d",
        "--name",
        "brief",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        "sleep 0.5; exit 6",
    ]);
    let began = Instant::now();
    assert_eq!(host.ok(&["wait", "brief"]), "6");
    assert!(began.elapsed() < patient(Duration::from_secs(5)));
    assert_eq!(host.ok(&["wait", "brief", "brief"]), "6\n6");
    host.fails(&["wait", "nosuch"], 1, "nosuch");
}

/// `stop` waits no longer than it must.
#[test]
fn a_polite_program_ends_at_once() {
    let host = Host::new();
    host.idle("polite", &[]);
    let began = Instant::now();
    host.ok(&["stop", "polite"]);
    assert!(
        began.elapsed() < patient(Duration::from_secs(3)),
        "{:?}",
        began.elapsed()
    );
    let code = host.inspect("polite")["State"]["ExitCode"]
        .as_i64()
        .unwrap();
    assert!(code == 143 || code == 0, "{code}");
}

#[test]
fn started_in_the_foreground() {
    let host = Host::new();
    host.ok(&[
        "create",
        "--name",
        "echo",
        "-i",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        "cat; echo err >&2; exit 5",
    ]);
    let ran = host.silo_with(&["start", "-a", "-i", "echo"], b"typed\n");
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (5, "typed\n", "err\n")
    );
    let ran = host.silo_with(&["start", "--attach", "--interactive", "echo"], b"");
    assert_eq!(ran.err, "err\n", "{ran}");
    host.fails(&["start", "-a", "echo", "other"], 1, "");
}

/// Each container has a monitor, and it goes with it.
#[test]
fn one_monitor_each() {
    let host = Host::new();
    host.idle("one", &[]);
    host.idle("two", &[]);
    let monitors = |host: &Host| {
        let all = host.processes();
        all.into_iter()
            .filter(|p| p.contains("silo: monitor"))
            .collect::<Vec<_>>()
    };
    let found = monitors(&host);
    assert_eq!(found.len(), 2, "{found:?}");
    host.ok(&["kill", "one"]);
    host.ended("one");
    until("its monitor's end", || monitors(&host).len() == 1);
    let pid: i32 = monitors(&host)[0]
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let rss = kernel::status(pid, "Threads");
    assert_eq!(rss, "1", "nothing that clones has threads");
}

#[test]
fn twenty_starts_leave_nothing() {
    let host = Host::new();
    for _ in 0..20 {
        host.ok(&["run", "--rm", "--network", "none", "lab", "true"]);
    }
    assert!(kernel::groups_below(&host.group()).is_empty());
    let report = host.ok(&["doctor"]);
    assert!(report.contains("nothing"), "{report}");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

/// Two that run, of which the monitor of the first stands still: it cannot end.
fn one_stuck(host: &Host, names: [&str; 2]) -> i32 {
    for name in names {
        host.idle(name, &[]);
    }
    let monitor = host.monitor(names[0]);
    signal(monitor, 19);
    monitor
}

#[test]
fn those_that_are_removed_together_end_together() {
    let host = Host::new();
    let monitor = one_stuck(&host, ["first", "second"]);
    let second = host.pid("second");
    let words = ["rm", "-f", "first", "second", "first", "nosuch"];
    let mut command = host.command(&words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let removing = command.spawn().unwrap();
    until("the end of the second", || !kernel::alive(second));
    assert_eq!(host.status("first"), "running");
    signal(monitor, 18);
    let ran = removing.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "first\nsecond\n");
    let complaints = String::from_utf8_lossy(&ran.stderr);
    let gone = ["first", "nosuch"].map(|name| format!("no such container: {name}"));
    let lines: Vec<&str> = complaints.lines().collect();
    assert_eq!(lines.len(), 2, "{complaints}");
    assert!(
        lines
            .iter()
            .zip(&gone)
            .all(|(line, gone)| line.contains(gone.as_str())),
        "{complaints}"
    );
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    assert!(host.processes().is_empty());
}

#[test]
fn a_removal_of_many_that_is_killed_leaves_nothing() {
    let host = Host::new();
    let monitor = one_stuck(&host, ["first", "second"]);
    let second = host.pid("second");
    let mut removing = host.spawn(&["rm", "-f", "first", "second"]);
    until("the end of the second", || !kernel::alive(second));
    removing.kill();
    signal(monitor, 18);
    for name in ["first", "second"] {
        host.ended(name);
        assert_eq!(host.inspect(name)["State"]["ExitCode"], 137);
    }
    until("the end of all processes", || host.processes().is_empty());
    assert!(kernel::groups_below(&host.group()).is_empty());
    assert_eq!(host.ok(&["rm", "first", "second"]), "first\nsecond");
}
