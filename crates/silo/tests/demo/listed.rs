//! Rows 5 and 6: the list of containers, and how soon a killed one leaves it.

use std::time::{Duration, Instant};

use crate::common::{Host, kernel, patient, signal};

/// Row 5.
#[test]
fn the_list_has_dockers_columns_and_flags() {
    let host = Host::new();
    host.idle("first", &["--label", "colour=red"]);
    host.ok(&["create", "--name", "second", "lab", "true"]);
    host.idle("third", &[]);

    let text = host.ok(&["container", "ls"]);
    let head = text.lines().next().unwrap();
    for column in [
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ] {
        assert!(head.contains(column), "{text}");
    }
    assert_eq!(text.lines().count(), 3, "{text}");
    let row = text.lines().nth(1).unwrap();
    assert!(
        row.contains("third") && row.contains("Up ") && row.contains("\"sleep 600\""),
        "{row}"
    );

    assert_eq!(host.ok(&["ps", "-a"]).lines().count(), 4);
    let ids = host.ok(&["ps", "-q"]);
    assert!(
        ids.lines().count() == 2 && ids.lines().all(|id| id.len() == 12),
        "{ids}"
    );
    assert!(
        host.ok(&["ps", "-aq", "--no-trunc"])
            .lines()
            .all(|id| id.len() == 64)
    );
    let names = |flags: &[&str]| {
        host.ok(&[&["ps", "--format", "{{.Names}}"], flags].concat())
            .replace('\n', " ")
    };
    assert_eq!(names(&[]), "third first");
    assert_eq!(names(&["-l"]), "third");
    assert_eq!(names(&["-n", "2"]), "third second");
    assert_eq!(names(&["-a", "--filter", "status=created"]), "second");
    assert_eq!(names(&["--filter", "label=colour"]), "first");
    assert_eq!(names(&["--filter", "label=colour=blue"]), "");
    assert_eq!(names(&["-a", "--filter", "name=^sec"]), "second");
    assert_eq!(names(&["-a", "--filter", "before=second"]), "first");
    assert_eq!(names(&["-a", "--filter", "since=first"]), "third second");
    assert_eq!(
        names(&["-a", "--filter", "ancestor=lab"]),
        "third second first"
    );
    let id = host.inspect("first")["Id"].as_str().unwrap().to_owned();
    assert_eq!(names(&["--filter", &format!("id={}", &id[..6])]), "first");
    host.fails(&["ps", "--filter", "nosuch=1"], 1, "nosuch");

    let text = host.ok(&["ps", "-s"]);
    assert!(text.lines().next().unwrap().contains("SIZE"), "{text}");
    assert!(text.contains("(virtual"), "{text}");
}

/// Row 6: the time from the kill until a list says so, the list's own time included.
#[test]
fn a_killed_container_leaves_the_list_at_once() {
    let host = Host::alone();
    let (mut lists, mut times): (Vec<Duration>, Vec<Duration>) =
        (0..20).map(|_| kill_and_time(&host)).unzip();
    lists.sort();
    times.sort();
    // On a machine that is busy with other work four lists, each as long as it takes there.
    let most = patient(Duration::from_millis(20)).max(lists[10] * 4);
    assert!(times[10] <= most, "{times:?}, and of a list {lists:?}");
}

/// How long a list takes, and how long a killed container stays there.
fn kill_and_time(host: &Host) -> (Duration, Duration) {
    host.ok(&["run", "-d", "--name", "pinger", "lab", "ping", "127.0.0.1"]);
    let pid = host.pid("pinger");
    let asked = Instant::now();
    assert!(!host.ok(&["container", "ls", "-q"]).is_empty());
    let list = asked.elapsed();
    let killed = Instant::now();
    let raw = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    let end = killed + patient(Duration::from_secs(10));
    while !host.ok(&["container", "ls", "-q"]).is_empty() {
        assert!(Instant::now() < end, "it stays in the list");
    }
    let time = killed.elapsed();
    let all = host.ok(&["ls", "-a"]);
    assert!(all.contains("Exited (137)"), "{all}");
    assert!(kernel::groups_below(&host.group()).is_empty());
    host.ok(&["rm", "pinger"]);
    (list, time)
}

/// A kill by pid is nobody's wish to stop it: a restart policy brings it back.
#[test]
fn what_is_killed_from_outside_may_come_back() {
    let host = Host::new();
    host.idle("stubborn", &["--restart", "always"]);
    let before = host.pid("stubborn");
    signal(before, 9);
    crate::common::until("another process", || {
        let state = host.inspect("stubborn")["State"].clone();
        state["Running"] == true && state["Pid"] != before
    });
    assert_eq!(host.inspect("stubborn")["RestartCount"], 1);
    host.ok(&["stop", "-t", "0", "stubborn"]);
    assert_eq!(host.status("stubborn"), "exited");
}
