//! Whole engines beside Silo: run, exec, list and top of Docker and podman, and a bare `runc run`; their views also beside some
//! containers, as many of each engine.

use silo_types::Result;

use super::title;
use crate::{
    Options, Row,
    daemon::{Daemon, IMAGE, SOCKET, docker, import_lab, podman},
    measure::{Candidate, Settle, Timed, interleave, output, reap_ended},
    report::Section,
    summary::Millis,
    tools::Tools,
};

/// The slow ones take most of the time of a round.
const ROUNDS: usize = 20;

/// Views beside so many containers of each engine: theirs take a while to start.
const CROWD: usize = 20;

/// Their `stats` watch for seconds.
const FEW_ROUNDS: usize = 6;

/// The container that `exec` and `top` look into.
const IDLE: &str = "bench-idle";

/// Removes the idle ones when dropped; there may be none, and then nothing is wrong.
struct Idle;

impl Drop for Idle {
    fn drop(&mut self) {
        let names: Vec<String> = (0..CROWD).map(name_of).collect();
        let names = names.iter().map(String::as_str);
        let all: Vec<&str> = names.chain([IDLE]).collect();
        let _ = output(&mut docker(&[&["rm", "-f"], all.as_slice()].concat()));
        let _ = output(&mut podman(
            &[&["rm", "-f", "-t", "0", "-i"], all.as_slice()].concat(),
        ));
    }
}

pub fn measure(options: &Options, tools: &Tools) -> Result<Section> {
    let _daemon = Daemon::start(tools)?;
    // A run that was stopped may have left them.
    drop(Idle);
    let _idle = Idle;
    import_lab(tools)?;
    start_idle(tools, IDLE)?;
    let timed = interleave(&candidates(tools)?, ROUNDS.min(options.rounds), Settle::No)?;
    reap_ended();
    let mut section = Section::new(title(Row::Engines));
    section.head = vec![
        "action",
        "Silo ms",
        "Docker ms",
        "Podman ms",
        "Docker / Silo",
        "Podman / Silo",
    ];
    section.lines = timed.chunks_exact(3).map(line).collect();
    let crowd = options.containers.min(CROWD);
    for number in 1..crowd {
        start_idle(tools, &name_of(number))?;
    }
    let views = of_three(tools, &views(crowd));
    let beside = interleave(&views, FEW_ROUNDS.min(options.rounds), Settle::No)?;
    section.lines.extend(beside.chunks_exact(3).map(line));
    if let Some(runc) = timed.last() {
        section = section.note(format!(
            "{}: {} ms",
            runc.name,
            Millis(runc.returned.median)
        ));
    }
    Ok(section
        .note("medians of interleaved runs; `ps` and `top` beside one running container, unless it says beside how many")
        .note("`why` has no partner: the others' `inspect` tells the most of what they know about an end"))
}

fn name_of(number: usize) -> String {
    format!("{IDLE}-{number}")
}

/// One of each engine.
fn start_idle(tools: &Tools, name: &str) -> Result<()> {
    let flags = ["run", "-d", "--network", "none", "--name", name];
    let words = [&flags[..], &[IMAGE, "sleep", "1000000"]].concat();
    output(&mut docker(&words))?;
    output(&mut podman(&words))?;
    let own = ["--network", "none", "--name", name];
    tools.silo.start_idle(&own).map(drop)
}

/// What it is called, Silo's words and the others'.
type Action = (String, Vec<&'static str>, Vec<&'static str>);

fn same(name: impl Into<String>, words: &[&'static str]) -> Action {
    (name.into(), words.to_vec(), words.to_vec())
}

fn views(crowd: usize) -> [Action; 4] {
    let beside = |view: &str| format!("{view}, beside {crowd}");
    [
        same(beside("ps"), &["ps"]),
        same(beside("top"), &["top", IDLE]),
        same(beside("stats --no-stream"), &["stats", "--no-stream"]),
        (
            beside("why (inspect)"),
            vec!["why", IDLE],
            vec!["inspect", IDLE],
        ),
    ]
}

/// The three engines' times for one action.
fn line(timed: &[Timed]) -> Vec<String> {
    let silo = &timed[0].returned;
    let times = timed
        .iter()
        .map(|one| Millis(one.returned.median).to_string());
    let ratios = timed[1..]
        .iter()
        .map(|one| format!("{:.1}", one.returned.ratio(silo)));
    [timed[0].name.clone()]
        .into_iter()
        .chain(times)
        .chain(ratios)
        .collect()
}

/// Silo, Docker and Podman for each action; then the bare runtime that Docker and containerd use.
fn candidates(tools: &Tools) -> Result<Vec<Candidate>> {
    let actions = [
        same("run --rm, bridge", &["run", "--rm", IMAGE, "true"]),
        same(
            "run --rm --network none",
            &["run", "--rm", "--network", "none", IMAGE, "true"],
        ),
        same("exec", &["exec", IDLE, "true"]),
        same("top", &["top", IDLE]),
        same("ps", &["ps"]),
    ];
    let mut candidates = of_three(tools, &actions);
    let bundle = tools.bundle("bundle-runc", &["true"], true)?;
    candidates.push(tools.runtime(
        "runc run, Docker's seccomp filter",
        "runc",
        &bundle,
        "bench-runc",
    ));
    Ok(candidates)
}

fn of_three(tools: &Tools, actions: &[Action]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (name, own, theirs) in actions {
        let own: Vec<&str> = own
            .iter()
            .map(|word| if *word == IMAGE { "lab" } else { word })
            .collect();
        candidates.push(tools.silo.candidate(name, &own));
        let theirs = || theirs.iter().copied();
        let docker = ["docker", "-H", SOCKET].into_iter().chain(theirs());
        candidates.push(Candidate::new(format!("docker {name}"), docker));
        let podman = ["podman"].into_iter().chain(theirs());
        candidates.push(Candidate::new(format!("podman {name}"), podman));
    }
    candidates
}
