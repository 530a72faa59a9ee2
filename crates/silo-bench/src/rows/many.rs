//! `ls` and `top` beside many running containers, and the memory that Silo adds for each.

use std::time::Duration;

use silo_types::Result;

use super::title;
use crate::{
    Options, Row, descendants,
    measure::{Settle, interleave, reap_ended},
    report::{Section, verdict},
    summary::Millis,
    tools::Tools,
};

/// What `ls` and `top` may take.
const AT_MOST: Duration = Duration::from_millis(15);

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
    let candidates = [
        silo.candidate("silo ls", &["ls"]),
        silo.candidate("silo ls -q", &["ls", "-q"]),
        silo.candidate(
            "silo ls -a --format json",
            &["ls", "-a", "--format", "json"],
        ),
        silo.candidate("silo top NAME", &["top", "bench-many-1"]),
        silo.candidate("silo top NAME -ef", &["top", "bench-many-1", "-ef"]),
    ];
    let timed = interleave(&candidates, ROUNDS.min(options.rounds), Settle::No)?;
    section = section.times(&timed, 0, false);
    for one in &timed {
        let is_met = one.returned.median <= AT_MOST;
        section = section.note(format!(
            "{}: {} takes {} ms beside {} containers (at most {})",
            verdict(is_met),
            one.name,
            Millis(one.returned.median),
            options.containers,
            AT_MOST.as_millis()
        ));
    }
    Ok(memory.into_iter().fold(section, |section, (number, mib)| {
        section.note(memory_note(number, mib))
    }))
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
