//! Two commands at once: one wins, the other says why not.

use crate::common::{Host, Running, until};

fn codes(running: Vec<Running>) -> Vec<i32> {
    let mut codes: Vec<i32> = running.into_iter().map(Running::wait).collect();
    codes.sort_unstable();
    codes
}

#[test]
fn two_want_one_name() {
    let host = Host::new();
    host.offline(&[], "true");
    for round in 0..10 {
        let words: &[&str] = match round % 2 {
            0 => &["create", "--name", "box", "lab"],
            _ => &[
                "run",
                "-d",
                "--name",
                "box",
                "--network",
                "none",
                "lab",
                "sleep",
                "600",
            ],
        };
        let running = (0..3).map(|_| host.spawn(words)).collect();
        assert_eq!(codes(running), [0, 125, 125], "round {round}");
        assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 1);
        host.ok(&["rm", "-f", "box"]);
    }
}

#[test]
fn two_rename_to_one_name() {
    let host = Host::new();
    for round in 0..5 {
        host.ok(&["create", "--name", "one", "lab"]);
        host.ok(&["create", "--name", "two", "lab"]);
        let running = ["one", "two"].map(|n| host.spawn(&["rename", n, "box"]));
        assert_eq!(codes(running.into()), [0, 1], "round {round}");
        let names = host.ok(&["ps", "-a", "--format", "{{.Names}}"]);
        assert!(
            names.contains("box") && names.lines().count() == 2,
            "{names}"
        );
        let ids = host.ok(&["ps", "-aq"]);
        host.ok(&[&["rm"], ids.lines().collect::<Vec<_>>().as_slice()].concat());
    }
}

#[test]
fn two_start_and_two_remove() {
    let host = Host::new();
    for round in 0..10 {
        host.waiting("box");
        let running = (0..2).map(|_| host.spawn(&["start", "box"])).collect();
        assert_eq!(codes(running), [0, 0], "round {round}");
        assert_eq!(host.status("box"), "running");
        let monitors = host
            .processes()
            .iter()
            .filter(|p| p.contains("monitor of"))
            .count();
        assert_eq!(monitors, 1);
        let running = (0..2).map(|_| host.spawn(&["rm", "-f", "box"])).collect();
        assert_eq!(codes(running)[0], 0, "round {round}");
        until("its removal", || host.ok(&["ps", "-aq"]).is_empty());
    }
}

/// Removed by two hands at once, an image is gone once.
#[test]
fn an_image_in_use_stays() {
    let host = Host::new();
    host.ok(&["create", "--name", "source", "lab"]);
    let tar = host.silo(&["cp", "source:/", "-"]).raw;
    for round in 0..5 {
        assert_eq!(host.silo_with(&["import", "-", "own"], &tar).code, 0);
        let run = host.spawn(&["run", "--name", "box", "--network", "none", "own", "true"]);
        let remove = host.spawn(&["rmi", "own"]);
        let (ran, removed) = (run.wait(), remove.wait());
        assert!(
            matches!((ran, removed), (0, 1) | (125, 0) | (0, 0)),
            "round {round}: {ran} {removed}"
        );
        // A container that was made keeps its files.
        if ran == 0 {
            host.ok(&["start", "-a", "box"]);
            host.ok(&["rm", "box"]);
        }
        let _ = host.silo(&["rmi", "own"]);
    }
}

/// Whoever is first: what was started meanwhile is ended, and not waited for.
#[test]
fn a_start_and_a_forced_removal() {
    let host = Host::new();
    for round in 0..20 {
        host.waiting("box");
        let started = host.spawn(&["start", "box"]);
        std::thread::sleep(std::time::Duration::from_millis(round));
        assert_eq!(host.spawn(&["rm", "-f", "box"]).wait(), 0, "round {round}");
        started.wait();
        assert_eq!(host.ok(&["ps", "-aq"]), "", "round {round}");
    }
}
