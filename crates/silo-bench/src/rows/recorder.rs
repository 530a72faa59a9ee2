//! What a monitor costs while it records: beside a busy container, beside one whose memory moves, beside an idle one. At the same
//! time a process that only wakes up and reads the same two counters shows what the machine asks for that.

use std::time::Duration;

use silo_types::{Error, Result};

use super::{title, truth::kernel::Groups};
use crate::{
    Row,
    bare::{Bare, spent},
    descendants,
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
    section.head = vec![
        "beside",
        "wakes in 10 s",
        "us each",
        "% of a processor",
        "us of a bare loop",
    ];
    let (mut busy, mut rest) = ((0.0, 0.0), 0.0);
    for (number, (name, words)) in LOADS.iter().enumerate() {
        let (monitor, groups) = start(tools, number, words)?;
        let bare = Bare::start(&groups.read_often())?;
        // Until an idle one has come to rest.
        std::thread::sleep(Duration::from_secs(4));
        let spent = || -> Result<_> { Ok((spent(monitor)?, spent(bare.pid()?)?)) };
        let before = spent()?;
        std::thread::sleep(WATCH);
        let after = spent()?;
        let (time, wakes) = (after.0.0 - before.0.0, after.0.1 - before.0.1);
        let each = time / wakes.max(1.0);
        let floor = (after.1.0 - before.1.0) / (after.1.1 - before.1.1).max(1.0);
        let share = time / WATCH.as_secs_f64() / 1e4;
        match number {
            0 => busy = (each, floor),
            3 => rest = share,
            _ => {}
        }
        section.lines.push(vec![
            (*name).to_owned(),
            format!("{wakes:.0}"),
            format!("{each:.1}"),
            format!("{share:.3}"),
            format!("{floor:.1}"),
        ]);
        drop(bare);
        tools.silo.remove_all();
    }
    Ok(section
        .note(format!(
            "{}: a look beside a busy container costs {:.1} us (at most {BUSY_AT_MOST:.0}); waking up and reading two counters alone {:.1} us, in the same seconds",
            verdict(busy.0 <= BUSY_AT_MOST),
            busy.0,
            busy.1
        ))
        .note(format!(
            "{}: beside one at rest {rest:.3} % of a processor (at most {REST_AT_MOST})",
            verdict(rest <= REST_AT_MOST)
        )))
}

/// Starts a container; its monitor's number, and its control groups.
fn start(tools: &Tools, number: usize, words: &[&str]) -> Result<(i32, Groups)> {
    let name = format!("bench-recorded-{number}");
    let flags = ["run", "-d", "--network", "none", "--name", &name, "lab"];
    tools.silo.output(&[&flags, words].concat())?;
    let main = tools
        .silo
        .output(&["inspect", "--format", "{{.State.Pid}}", &name])?;
    let groups = Groups::of(main.parse().unwrap_or(0))?;
    let all = descendants::all()?;
    let monitor = all.iter().find(|process| !process.inside);
    let monitor = monitor.ok_or_else(|| Error::conflict(format!("{name} has no monitor")))?;
    Ok((monitor.pid, groups))
}
