//! The recorder, and what is told from it: stats, plot, what-if. Figures are held against the kernel's own, read by the test.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::common::{Host, kernel, signal, until};

const MIB: f64 = 1048576.0;

/// The lines of `plot --csv`, by column; times in seconds since the epoch.
fn recorded(host: &Host, name: &str) -> Vec<BTreeMap<String, f64>> {
    let ran = host.silo(&["plot", "--csv", name]);
    let mut lines = ran.out.lines();
    let Some(head) = lines.next() else {
        return Vec::new();
    };
    let head: Vec<&str> = head.split(',').collect();
    let value = |(column, cell): (&&str, &str)| {
        let value = match *column {
            "time" => cell.parse::<jiff_free::Moment>().unwrap().0,
            _ => cell.parse().unwrap(),
        };
        ((*column).to_owned(), value)
    };
    lines
        .map(|line| head.iter().zip(line.split(',')).map(value).collect())
        .collect()
}

/// `2026-01-02T03:04:05.678Z` of today or yesterday: the seconds of its day are all that is needed.
mod jiff_free {
    pub struct Moment(pub f64);

    impl std::str::FromStr for Moment {
        type Err = std::num::ParseFloatError;

        fn from_str(text: &str) -> Result<Moment, Self::Err> {
            let clock = text.split('T').nth(1).unwrap_or_default();
            let mut parts = clock.trim_end_matches('Z').split(':');
            let mut next = || parts.next().unwrap_or_default().parse::<f64>();
            Ok(Moment(next()? * 3600.0 + next()? * 60.0 + next()?))
        }
    }
}

/// Seconds of the day.
fn day_seconds() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64() % 86_400.0
}

fn recording(host: &Host, name: &str) -> PathBuf {
    let id = host.inspect(name)["Id"].as_str().unwrap().to_owned();
    host.root.join("containers").join(id).join("recording")
}

fn offline<'a>(flags: &[&'a str], words: &[&'a str]) -> Vec<&'a str> {
    [&["run", "-d", "--network", "none"], flags, &["lab"], words].concat()
}

#[test]
fn memory_is_what_was_allocated() {
    let host = Host::new();
    let words = ["saturate-mem", "--size", "100m"];
    host.ok(&offline(&["--name", "hungry", "-m", "400m"], &words));
    let held = |host: &Host| {
        recorded(host, "hungry")
            .last()
            .map_or(0.0, |m| m["held_bytes"])
    };
    until("its memory", || held(&host) >= 100.0 * MIB);
    let seen = held(&host);
    assert!((seen / (100.0 * MIB) - 1.0).abs() < 0.02, "{seen}");
    let last = recorded(&host, "hungry").pop().unwrap();
    assert_eq!(last["memory_limit_bytes"], 400.0 * MIB);
    assert!(last["usage_bytes"] >= last["held_bytes"]);
    // Docker's figure is the same at the same moment.
    let text = host.ok(&["stats", "--no-stream", "--format", "{{.MemPerc}}", "hungry"]);
    let share: f64 = text.trim_end_matches('%').parse().unwrap();
    assert!((share / 25.0 - 1.0).abs() < 0.03, "{text}");
    let drawn = host.ok(&["plot", "--mem", "hungry"]);
    assert!(drawn.starts_with("memory  last 10"), "{drawn}");
    assert!(
        drawn.contains("limit 400M") && drawn.contains('█'),
        "{drawn}"
    );
    assert!(!drawn.contains("cpu"), "{drawn}");
}

#[test]
fn processor_time_is_the_kernels() {
    let host = Host::new();
    host.ok(&offline(
        &["--name", "busy", "--cpus", "0.2"],
        &["saturate-cpu"],
    ));
    let pid = host.pid("busy");
    std::thread::sleep(Duration::from_millis(500));
    let (from, before) = (day_seconds(), kernel::cpu_used(pid));
    std::thread::sleep(Duration::from_secs(5));
    let (to, after) = (day_seconds(), kernel::cpu_used(pid));
    std::thread::sleep(Duration::from_millis(400));
    let moments = recorded(&host, "busy");
    let mut seen = 0.0;
    for pair in moments.windows(2) {
        let (start, end) = (pair[0]["time"], pair[1]["time"]);
        let inside = (end.min(to) - start.max(from)).max(0.0);
        seen += pair[1]["cpu"] * inside;
    }
    let truth = (after - before) as f64 / 1e9;
    assert!((seen / truth - 1.0).abs() < 0.03, "{seen} beside {truth}");
    let there = moments
        .iter()
        .filter(|m| (from..to).contains(&m["time"]))
        .count();
    assert!((40..=51).contains(&there), "{there} moments in 5 s");
    assert!(moments.iter().skip(5).any(|m| m["throttled"] > 0.0));
    assert_eq!(moments.last().unwrap()["cpu_limit"], 0.2);
    let shares = host.ok(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.CPUPerc}} {{.CPULimitPerc}}",
        "busy",
    ]);
    let shares: Vec<f64> = shares
        .split(' ')
        .map(|share| share.trim_end_matches('%').parse().unwrap())
        .collect();
    assert!((shares[1] / shares[0] - 5.0).abs() < 0.02, "{shares:?}");
}

#[test]
fn an_idle_container_is_left_alone() {
    let host = Host::new();
    host.idle("idle", &[]);
    host.ok(&offline(
        &["--name", "busy", "--cpus", "0.1"],
        &["saturate-cpu"],
    ));
    std::thread::sleep(Duration::from_secs(3));
    let wakes = |name: &str| -> u64 {
        let pid = host.monitor(name);
        kernel::status(pid, "voluntary_ctxt_switches")
            .parse()
            .unwrap()
    };
    let before = (wakes("idle"), wakes("busy"));
    std::thread::sleep(Duration::from_secs(4));
    let woken = (wakes("idle") - before.0, wakes("busy") - before.1);
    assert!(woken.0 <= 7, "{woken:?} in four seconds");
    assert!(woken.1 >= 25, "{woken:?} in four seconds");
    // Nothing is written down that says nothing.
    assert!(recorded(&host, "idle").len() < 8);
    let memory = |name: &str| fs::metadata(recording(&host, name)).unwrap().len();
    assert!(memory("busy") <= 129 * 4096 && memory("idle") <= 129 * 4096);
}

#[test]
fn stats_answers_at_once() {
    let host = Host::new();
    host.ok(&offline(
        &["--name", "busy", "--cpus", "0.3"],
        &["saturate-cpu"],
    ));
    std::thread::sleep(Duration::from_millis(1500));
    let median = |words: &[&str]| {
        let mut times: Vec<Duration> = (0..9)
            .map(|_| {
                let begin = Instant::now();
                host.ok(words);
                begin.elapsed()
            })
            .collect();
        times.sort();
        times[4]
    };
    let (list, stats) = (median(&["ps"]), median(&["stats", "--no-stream"]));
    // It used to wait for half a second, which is hundreds of lists.
    assert!(stats < list * 8, "{stats:?} beside {list:?}");
    // In the first tenth of a second there is no recording; the answer is there all the same.
    host.ok(&offline(&["--name", "young"], &["saturate-cpu"]));
    let text = host.ok(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.PIDs}} {{.MemUsage}}",
        "young",
    ]);
    assert!(!text.starts_with('0') && !text.contains(" 0B /"), "{text}");
}

#[test]
fn a_share_is_true_though_nobody_records() {
    let host = Host::new();
    host.ok(&offline(
        &["--name", "busy", "--cpus", "0.2"],
        &["saturate-cpu"],
    ));
    let pid = host.pid("busy");
    std::thread::sleep(Duration::from_millis(1500));
    let monitor = host.monitor("busy");
    // As on a machine that keeps it waiting for seconds.
    signal(monitor, 19);
    let stopped = day_seconds();
    let (from, before) = (Instant::now(), kernel::cpu_used(pid));
    std::thread::sleep(Duration::from_millis(2500));
    let text = host.ok(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.CPUPerc}} {{.Span}}",
        "busy",
    ]);
    let (length, after) = (from.elapsed(), kernel::cpu_used(pid));
    let drawn = recorded(&host, "busy").pop().unwrap();
    signal(monitor, 18);
    let (share, span) = text.split_once("% ").unwrap();
    let share: f64 = share.parse().unwrap();
    let truth = (after - before) as f64 / length.as_nanos() as f64 * 100.0;
    // The quota is given out ten times a second: a period at either end.
    assert!((share / truth - 1.0).abs() < 0.15, "{share} beside {truth}");
    let span: u64 = span.trim_end_matches("ms").parse().unwrap();
    assert!(span >= 2500, "{span}");
    // A curve goes up to now, too; its last step began some time before.
    assert!(drawn["time"] >= stopped + 2.5, "{drawn:?} {stopped}");
    let off = drawn["cpu"] * 100.0 / truth - 1.0;
    assert!(off.abs() < 0.3, "{drawn:?} beside {truth}");
}

#[test]
fn memory_is_of_now_though_nobody_records() {
    let host = Host::new();
    host.idle("box", &["-m", "400m"]);
    let share = || -> f64 {
        let text = host.ok(&["stats", "--no-stream", "--format", "{{.MemPerc}}", "box"]);
        text.trim_end_matches('%').parse().unwrap()
    };
    until("its recording", || recorded(&host, "box").len() > 1);
    assert!(share() < 5.0);
    let monitor = host.monitor("box");
    signal(monitor, 19);
    host.ok(&["exec", "-d", "box", "saturate-mem", "--size", "100m"]);
    let held = || kernel::number(host.pid("box"), kernel::MEMORY_USED) as f64;
    until("its memory", || held() >= 100.0 * MIB);
    std::thread::sleep(Duration::from_millis(200));
    let seen = share();
    signal(monitor, 18);
    let truth = held() / (400.0 * MIB) * 100.0;
    assert!((seen / truth - 1.0).abs() < 0.03, "{seen} beside {truth}");
}

#[test]
fn a_killed_monitor_leaves_a_readable_recording() {
    let host = Host::new();
    for round in 0..6u64 {
        let name = format!("victim{round}");
        host.ok(&offline(&["--name", &name], &["saturate-cpu"]));
        until("two moments", || recorded(&host, &name).len() >= 2);
        std::thread::sleep(Duration::from_millis(37 * round));
        let path = recording(&host, &name);
        signal(host.monitor(&name), 9);
        host.ended(&name);
        let moments = recorded(&host, &name);
        assert!(moments.len() >= 2, "{name}: {}", moments.len());
        assert!(
            moments
                .iter()
                .all(|m| m["cpu"] <= kernel::cpus() as f64 * 1.5)
        );
        assert!(path.exists());
        // It goes on in the same file.
        host.ok(&["start", &name]);
        until("more moments", || {
            recorded(&host, &name).len() > moments.len()
        });
        host.ok(&["rm", "-f", &name]);
    }
    // A monitor that was killed is the init process' to wait for.
    until("the end of all processes", || host.processes().is_empty());
}

#[test]
fn a_removed_container_is_remembered_for_an_hour() {
    let host = Host::new();
    host.ok(&offline(
        &["--name", "gone"],
        &["saturate-mem", "--size", "30m"],
    ));
    until("its memory", || {
        recorded(&host, "gone")
            .last()
            .is_some_and(|m| m["held_bytes"] >= 30.0 * MIB)
    });
    let id = host.inspect("gone")["Id"].as_str().unwrap().to_owned();
    host.ok(&["rm", "-f", "gone"]);
    for name in ["gone", &id, &id[..12]] {
        let drawn = host.ok(&["plot", "--mem", name]);
        assert!(
            drawn.contains("highest 30") || drawn.contains("highest 31"),
            "{drawn}"
        );
    }
    assert!(
        host.ok(&["doctor"])
            .contains("recordings of removed containers: 1")
    );
    // One that lived too short to be looked at leaves nothing.
    host.offline(&[], "true");
    let graveyard = host.root.join("graveyard");
    let graves = || fs::read_dir(&graveyard).unwrap().count();
    assert_eq!(graves(), 1);
    // An hour later.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let grave = fs::read_dir(&graveyard)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::rename(&grave, graveyard.join(format!("{}-{id}", now - 3601))).unwrap();
    host.fails(&["plot", "gone"], 1, "no such container: gone");
    host.ok(&["ps"]);
    assert_eq!(graves(), 0);
}

#[test]
fn other_limits_are_judged() {
    let host = Host::new();
    host.ok(&offline(
        &["--name", "box"],
        &["saturate-mem", "--size", "80m"],
    ));
    until("its memory, twice", || {
        let moments = recorded(&host, "box");
        let last = moments.last();
        moments.len() > 2 && last.is_some_and(|m| m["held_bytes"] >= 80.0 * MIB)
    });
    let ran = host.silo(&["what-if", "box", "-m", "60m", "--over", "1h"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.out.contains("with 60MiB killed once"), "{ran}");
    let text = host.ok(&["what-if", "box", "-m", "300m", "--cpus", "64"]);
    assert!(text.contains("nothing would have been killed"), "{text}");
    assert!(text.contains("never throttled"), "{text}");
    let json = host.ok(&["what-if", "box", "--format", "json"]);
    let facts: serde_json::Value = serde_json::from_str(&json).unwrap();
    let safe = facts["memorySafeBytes"].as_f64().unwrap() / MIB;
    assert!((86.0..=92.0).contains(&safe), "{safe}");
    host.fails(&["what-if", "box", "--cpus", "0"], 1, "processors");
    host.fails(&["what-if", "nosuch"], 1, "no such container: nosuch");
    host.ok(&["create", "--name", "made", "lab"]);
    host.fails(&["plot", "made"], 1, "never started");
}

#[test]
fn a_kill_for_memory_is_marked() {
    let host = Host::new();
    let script = "sleep 1; saturate-mem; sleep 600";
    host.ok(&offline(
        &["--name", "oom", "-m", "64m"],
        &["sh", "-c", script],
    ));
    until("the kill", || {
        recorded(&host, "oom")
            .last()
            .is_some_and(|m| m["oom_kills"] >= 1.0)
    });
    let drawn = host.ok(&["plot", "--mem", "oom"]);
    assert!(drawn.contains("out of memory once"), "{drawn}");
    assert!(
        drawn
            .lines()
            .any(|line| line.trim_start().starts_with("killed")),
        "{drawn}"
    );
    // The peak is known though it lasted for less than a tenth of a second.
    let peak = recorded(&host, "oom")
        .iter()
        .map(|m| m["held_high_bytes"])
        .fold(0.0, f64::max);
    assert!(peak > 60.0 * MIB && peak <= 64.0 * MIB, "{peak}");
    let file = host.files.join("oom.svg").display().to_string();
    host.ok(&["plot", "--svg", &file, "oom"]);
    let picture = fs::read_to_string(file).unwrap();
    assert!(picture.contains(">out of memory<") && picture.ends_with("</svg>\n"));
    let text = host.ok(&["what-if", "oom"]);
    assert!(text.contains("it wanted more than was seen"), "{text}");
}
