//! Views beside many running containers, and the memory that Silo adds for each.

use std::time::Duration;

use silo_types::Result;

use super::title;
use crate::{
    Options, Row, descendants,
    measure::{Candidate, Settle, interleave, reap_ended},
    report::{Section, verdict},
    summary::Millis,
    tools::Tools,
};

/// What a view may take, in milliseconds, and its words: of one container, of all of them, of two hundred processes.
const VIEWS: [(u64, &[&str]); 9] = [
    (15, &["ls"]),
    (15, &["ls", "-q"]),
    (15, &["ls", "-a", "--format", "json"]),
    (5, &["top", "bench-many-1"]),
    (5, &["top", "bench-many-1", "-ef"]),
    (25, &["top", CROWDED]),
    (10, &["why", ENDED]),
    (30, &["stats", "--no-stream"]),
    (50, &["dash", "--format", "json"]),
];

/// One with 200 processes, and one that has ended.
const CROWDED: &str = "bench-crowded";
const ENDED: &str = "bench-ended";

/// What Silo may add for an idle container.
const MEMORY_AT_MOST: f64 = 1.0;

/// With so many containers the memory is measured.
const CROWD: usize = 50;

/// Runs of each command: what is read does not change, so a few suffice.
const ROUNDS: usize = 60;

pub fn measure(options: &Options, tools: &Tools) -> Result<Section> {
    let mut section = Section::new(title(Row::Many));
    let mut memory = Vec::new();
    for number in 1..=options.containers {
        let name = format!("bench-many-{number}");
        tools
            .silo
            .start_idle(&["--network", "none", "--name", &name])?;
        if number == 1 || number == CROWD || number == options.containers {
            memory.push((number, added_memory(number)?));
        }
    }
    let silo = &tools.silo;
    others(tools)?;
    let candidates: Vec<Candidate> = VIEWS
        .iter()
        .map(|(_, words)| silo.candidate(&format!("silo {}", words.join(" ")), words))
        .collect();
    let timed = interleave(&candidates, ROUNDS.min(options.rounds), Settle::No)?;
    section = section.times(&timed, 0, false);
    for (one, (at_most, _)) in timed.iter().zip(VIEWS) {
        let is_met = one.returned.median <= Duration::from_millis(at_most);
        section = section.note(format!(
            "{}: {} takes {} ms beside {} containers (at most {})",
            verdict(is_met),
            one.name,
            Millis(one.returned.median),
            options.containers,
            at_most
        ));
    }
    Ok(memory.into_iter().fold(section, |section, (number, mib)| {
        section.note(memory_note(number, mib))
    }))
}

fn others(tools: &Tools) -> Result<()> {
    let script = "i=0; while [ $i -lt 199 ]; do sleep 1000000 & i=$((i+1)); done; wait";
    let run = |name: &str, words: &[&str]| -> Result<String> {
        let flags = ["run", "--network", "none", "--name", name];
        tools.silo.output(&[&flags, words].concat())
    };
    run(CROWDED, &["-d", "lab", "sh", "-c", script])?;
    run(ENDED, &["lab", "true"]).map(drop)
}

/// One container alone bears all that the monitors of many share (the program's text): told, and not judged.
fn memory_note(number: usize, mib: f64) -> String {
    let told = format!("{mib:.2} MiB (PSS) of Silo's own for each of {number} idle containers");
    match number {
        1 => format!(
            "with a single container: {mib:.2} MiB (PSS) of Silo's own, shared pages included"
        ),
        _ => format!(
            "{}: {told} (at most {MEMORY_AT_MOST:.1})",
            verdict(mib <= MEMORY_AT_MOST)
        ),
    }
}

/// MiB for each of `number` containers: the proportional memory of all processes that run for them outside.
fn added_memory(number: usize) -> Result<f64> {
    // A monitor that has just told that it started still tidies up.
    std::thread::sleep(Duration::from_millis(300));
    reap_ended();
    let mut sum = 0;
    for process in descendants::all()?.iter().filter(|process| !process.inside) {
        sum += descendants::pss(process.pid)?;
    }
    Ok(sum as f64 / number as f64 / f64::from(1 << 20))
}
