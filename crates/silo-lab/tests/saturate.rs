//! The saturators, with small sizes: what they take, what they say, and that they give it back when told to.

mod common;
use common::{Ran, applet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn run(name: &str, args: &[&str]) -> Ran {
    applet(name).args(args).output().unwrap().into()
}

/// Starts one and waits for a line that contains `text`.
fn start(name: &str, args: &[&str], text: &str) -> Child {
    let mut child = applet(name)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines
        .next()
        .expect("it ended too early")
        .unwrap()
        .contains(text)
    {}
    // What it says at its end must find a reader.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Sends SIGTERM and gives how long the end took.
fn end(mut child: Child) -> Duration {
    let before = Instant::now();
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
    before.elapsed()
}

#[test]
fn memory_is_really_there_and_private() {
    let child = start("saturate-mem", &["--size", "32MiB"], "holding");
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id())).unwrap();
    let private: u64 = rollup
        .lines()
        .find_map(|l| l.strip_prefix("Private_Dirty:"))
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(private >= 32 * 1024, "{rollup}");
    assert!(end(child) < Duration::from_secs(2));
}

#[test]
fn memory_options() {
    let ran = run("saturate-mem", &["--size", "1m", "--hold", "0"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.out.contains("1.00 MiB allocated, holding") && ran.out.contains("1.00 MiB freed"),
        "{ran:?}"
    );
    let before = Instant::now();
    run(
        "saturate-mem",
        &["--size", "4m", "--rate", "8m", "--hold", "0"],
    );
    assert!(before.elapsed() >= Duration::from_millis(400));
    assert_eq!(run("saturate-mem", &["--size", "lots"]).code, Some(1));
}

#[test]
fn refused_memory_is_said() {
    let script = "ulimit -v 100000; saturate-mem --size 1g --hold 0";
    let ran: Ran = applet("sh").args(["-c", script]).output().unwrap().into();
    assert!(ran.out.contains("Cannot allocate memory"), "{ran:?}");
}

#[test]
fn cpu_ends_in_time_and_says_what_it_got() {
    let before = Instant::now();
    let ran = run("saturate-cpu", &["--threads", "1", "--for", "0.5"]);
    assert!(before.elapsed() < Duration::from_secs(5));
    assert!(
        ran.out.contains("1 thread, used") && ran.out.contains("CPUs"),
        "{ran:?}"
    );
    assert!(end(start("saturate-cpu", &["--threads", "2"], "using")) < Duration::from_secs(2));
}

#[test]
fn forks_are_reaped() {
    let child = start("saturate-fork", &["--max", "8"], "stopped by --max");
    let children =
        || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let pids: Vec<String> = children().split_whitespace().map(str::to_string).collect();
    assert_eq!(pids.len(), 8);
    assert!(end(child) < Duration::from_secs(2));
    let left = |pid: &String| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|c| c.starts_with("saturate-fork"))
    };
    assert!(!pids.iter().any(left));
}

#[test]
fn forks_die_with_a_killed_parent() {
    let mut child = start("saturate-fork", &["--max", "3"], "stopped by --max");
    let pids = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    let running = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
    };
    while pids.split_whitespace().any(running) {
        assert!(Instant::now() < deadline, "children outlive their parent");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn io_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    for more in [&["--read"][..], &[]] {
        let args = [&["--size", "1m", "--path", path, "--for", "0.3"][..], more].concat();
        let ran = run("saturate-io", &args);
        assert!(ran.code == Some(0) && ran.out.contains("/s"), "{ran:?}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
    let ran = run("saturate-io", &["--path", "/no/such/folder"]);
    assert!(
        ran.code == Some(1) && ran.err.contains("/no/such/folder"),
        "{ran:?}"
    );
}

/// A figure of /proc in KiB.
fn kib(pid: u32, file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn what_is_held_is_what_was_asked_for() {
    let words = [
        "--private",
        "12m",
        "--shared",
        "8m",
        "--cpus",
        "0.2",
        "--threads",
        "5",
        "--zombies",
        "3",
    ];
    let child = start("hold", &words, "ready");
    let pid = child.id();
    assert_eq!(kib(pid, "status", "Threads:"), 5);
    assert_eq!(kib(pid, "status", "RssShmem:"), 8 << 10);
    // Not by "private": the text of a program that was just built is private and dirty, too.
    let private = kib(pid, "smaps_rollup", "Anonymous:");
    assert!((12 << 10..13 << 10).contains(&private), "{private}");
    let children =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let zombies = || {
        let is_zombie = |child: &&str| {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            stat.contains(") Z ")
        };
        children.split_whitespace().filter(is_zombie).count()
    };
    let patience = Instant::now() + Duration::from_secs(20);
    while zombies() < 3 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(
        (zombies(), children.split_whitespace().count()),
        (3, 4),
        "one more shares the memory"
    );
    assert!(end(child) < Duration::from_secs(2));
    let bad = run("hold", &["--cpus", "2", "--threads", "2"]);
    assert_eq!(bad.code, Some(1));
    assert!(bad.err.contains("between 3 and"), "{}", bad.err);
}
