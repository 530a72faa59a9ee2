//! Row 9: a program that wants every CPU gets exactly what it was given.

use std::time::{Duration, Instant};

use crate::common::{Host, kernel};

#[test]
fn one_cpu_is_one_cpu() {
    let host = Host::alone();
    let mut session = host.terminal(&[
        "container",
        "run",
        "-it",
        "--name",
        "busy",
        "--cpus=1",
        "lab",
    ]);
    session.prompt();
    kernel::prefer(&host.group());
    session.line("saturate-cpu");
    session.watch(Duration::from_millis(700));
    let pid = host.pid("busy");
    // A machine that is busy with something else may take a part away; it can never give more.
    let mut seen = Vec::new();
    for _ in 0..3 {
        let used = measure(&mut session, pid);
        assert!(used <= 1.03, "{used}");
        seen.push(used);
        if used >= 0.97 {
            break;
        }
    }
    assert!(seen.iter().any(|used| *used >= 0.97), "{seen:?}");
    throttling_is_shown(&host);
    session.keys("\u{3}");
    session.prompt();
    session.line("exit");
    session.wait();
}

/// CPUs used over ten seconds.
fn measure(session: &mut crate::common::Session, pid: i32) -> f64 {
    let (time, before) = (Instant::now(), kernel::cpu_used(pid));
    session.watch(Duration::from_secs(10));
    let spent = kernel::cpu_used(pid) - before;
    spent as f64 / time.elapsed().as_nanos() as f64
}

fn throttling_is_shown(host: &Host) {
    let text = host.ok(&["stats", "--no-stream", "busy"]);
    let head = text.lines().next().unwrap();
    assert!(head.contains("THROTTLED"), "{text}");
    let json = host.ok(&["stats", "--no-stream", "--format", "json", "busy"]);
    let facts: serde_json::Value = serde_json::from_str(&json).unwrap();
    let share = facts["Throttled"].as_str().unwrap_or_default();
    let share: f64 = share
        .trim()
        .trim_end_matches('%')
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{json}"));
    assert!(kernel::cpus() < 2 || share > 50.0, "{json}");
    let used: f64 = facts["CPUPerc"]
        .as_str()
        .unwrap()
        .trim_end_matches('%')
        .parse()
        .unwrap();
    assert!((80.0..=120.0).contains(&used), "{json}");
}
