//! What a monitor costs while it records: beside a busy container, beside one whose memory moves, beside an idle one.

use std::time::Duration;

use silo_types::{Doing, Error, Result};

use super::title;
use crate::{
    Row, descendants,
    report::{Section, verdict},
    tools::Tools,
};

/// Microseconds that a look beside a busy container may cost, and the share of a processor at rest.
const BUSY_AT_MOST: f64 = 20.0;
const REST_AT_MOST: f64 = 0.1;

/// How long each is watched.
const WATCH: Duration = Duration::from_secs(10);

const LOADS: [(&str, &[&str]); 4] = [
    ("a processor in use", &["hold", "--cpus", "0.3"]),
    (
        "that, with 64 MiB",
        &["hold", "--cpus", "0.3", "--private", "64m"],
    ),
    (
        "memory that grows",
        &["saturate-mem", "--rate", "2m", "--size", "400m"],
    ),
    ("at rest", &["sleep", "1000000"]),
];

pub fn measure(tools: &Tools) -> Result<Section> {
    let mut section = Section::new(title(Row::Recorder));
    section.head = vec!["beside", "wakes in 10 s", "us each", "% of a processor"];
    let (mut busy, mut rest) = (0.0, 0.0);
    for (number, (name, words)) in LOADS.iter().enumerate() {
        let monitor = start(tools, number, words)?;
        // Until an idle one has come to rest.
        std::thread::sleep(Duration::from_secs(4));
        let before = spent(monitor)?;
        std::thread::sleep(WATCH);
        let after = spent(monitor)?;
        let (time, wakes) = (after.0 - before.0, after.1 - before.1);
        let each = time / wakes.max(1.0);
        let share = time / WATCH.as_secs_f64() / 1e4;
        match number {
            0 => busy = each,
            3 => rest = share,
            _ => {}
        }
        section.lines.push(vec![
            (*name).to_owned(),
            format!("{wakes:.0}"),
            format!("{each:.1}"),
            format!("{share:.3}"),
        ]);
        tools.silo.remove_all();
    }
    Ok(section
        .note(format!(
            "{}: a look beside a busy container costs {busy:.1} us (at most {BUSY_AT_MOST:.0})",
            verdict(busy <= BUSY_AT_MOST)
        ))
        .note(format!(
            "{}: beside one at rest {rest:.3} % of a processor (at most {REST_AT_MOST})",
            verdict(rest <= REST_AT_MOST)
        )))
}

/// Starts a container; its monitor's number.
fn start(tools: &Tools, number: usize, words: &[&str]) -> Result<i32> {
    let name = format!("bench-recorded-{number}");
    let flags = ["run", "-d", "--network", "none", "--name", &name, "lab"];
    tools.silo.output(&[&flags, words].concat())?;
    let all = descendants::all()?;
    let monitor = all.iter().find(|process| !process.inside);
    monitor
        .map(|process| process.pid)
        .ok_or_else(|| Error::conflict(format!("{name} has no monitor")))
}

/// Microseconds on a processor (sched-stats.rst) and wakes.
fn spent(pid: i32) -> Result<(f64, f64)> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::read_to_string(&path).doing_with(|| format!("read {path}"))
    };
    let number = |text: &str| text.trim().parse::<f64>().unwrap_or(0.0);
    let time = read("schedstat")?;
    let status = read("status")?;
    let wakes = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    let time = number(time.split(' ').next().unwrap_or_default());
    Ok((time / 1000.0, number(wakes.unwrap_or_default())))
}
