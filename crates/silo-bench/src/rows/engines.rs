//! Whole engines beside Silo: run, exec, list and top of Docker and podman, and a bare `runc run`.

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

/// The container that `exec` and `top` look into.
const IDLE: &str = "bench-idle";

/// Removes the idle ones when dropped; there may be none, and then nothing is wrong.
struct Idle;

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = output(&mut docker(&["rm", "-f", IDLE]));
        let _ = output(&mut podman(&["rm", "-f", "-t", "0", IDLE]));
    }
}

pub fn measure(options: &Options, tools: &Tools) -> Result<Section> {
    let _daemon = Daemon::start(tools)?;
    // A run that was stopped may have left them.
    drop(Idle);
    let _idle = Idle;
    import_lab(tools)?;
    let idle = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        IDLE,
        IMAGE,
        "sleep",
        "1000000",
    ];
    output(&mut docker(&idle))?;
    output(&mut podman(&idle))?;
    tools
        .silo
        .start_idle(&["--network", "none", "--name", IDLE])?;
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
    if let Some(runc) = timed.last() {
        section = section.note(format!(
            "{}: {} ms",
            runc.name,
            Millis(runc.returned.median)
        ));
    }
    Ok(section.note("medians of interleaved runs; `ps` and `top` beside one running container"))
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
    let actions: [(&str, &[&str]); 6] = [
        ("run --rm, bridge", &["run", "--rm", IMAGE, "true"]),
        (
            "run --rm --network none",
            &["run", "--rm", "--network", "none", IMAGE, "true"],
        ),
        ("exec", &["exec", IDLE, "true"]),
        ("top", &["top", IDLE]),
        ("ps", &["ps"]),
        ("stats --no-stream", &["stats", "--no-stream"]),
    ];
    let mut candidates = Vec::new();
    for (name, words) in actions {
        let own: Vec<&str> = words
            .iter()
            .map(|w| if *w == IMAGE { "lab" } else { w })
            .collect();
        candidates.push(tools.silo.candidate(name, &own));
        let docker = ["docker", "-H", SOCKET]
            .into_iter()
            .chain(words.iter().copied());
        candidates.push(Candidate::new(format!("docker {name}"), docker));
        let podman = ["podman"].into_iter().chain(words.iter().copied());
        candidates.push(Candidate::new(format!("podman {name}"), podman));
    }
    let bundle = tools.bundle("bundle-runc", &["true"], true)?;
    candidates.push(tools.runtime(
        "runc run, Docker's seccomp filter",
        "runc",
        &bundle,
        "bench-runc",
    ));
    Ok(candidates)
}
