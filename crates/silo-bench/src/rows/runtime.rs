//! `silo oci` against crun, bare runtime against bare runtime on the same bundles: every verb that an engine waits for.

use std::{path::Path, process::Command};

use silo_types::Result;

use super::title;
use crate::{
    Options, Row,
    measure::{Candidate, Settle, interleave, output, reap_all},
    report::{Promise, Section, verdict},
    tools::{Runtime, Tools},
};

/// What is compared: crun, then Silo.
struct Pair {
    runtimes: [(&'static str, Runtime); 2],
}

/// Each pair of candidates: the peer's, then ours.
const fn pair(first: usize, at_most: f64) -> Promise {
    Promise {
        of: first + 1,
        against: first,
        at_most,
    }
}

pub fn measure(options: &Options, tools: &Tools) -> Result<Vec<Section>> {
    let pair = Pair {
        runtimes: [
            ("crun", Runtime::peer("crun")),
            ("silo oci", tools.silo.as_runtime()),
        ],
    };
    pair.remove_all();
    // What waits until nothing is left comes before the containers that run until the end.
    let measure = || {
        Ok(vec![
            pair.lives(options, tools)?,
            pair.peaks(tools)?,
            pair.execs(options, tools)?,
        ])
    };
    let measured = measure();
    pair.remove_all();
    measured
}

const LIFE: &str = "bench-life";
const FILTERED: &str = "bench-life-filtered";
const EXEC: &str = "bench-bare-exec";
const EXEC_FILTERED: &str = "bench-bare-exec-filtered";

impl Pair {
    fn each(&self, candidate: impl Fn(&str, &Runtime) -> Candidate) -> Vec<Candidate> {
        self.runtimes
            .iter()
            .map(|(name, runtime)| candidate(name, runtime))
            .collect()
    }

    /// A run that was stopped may have left some.
    fn remove_all(&self) {
        for (_, runtime) in &self.runtimes {
            for id in [LIFE, FILTERED, EXEC, EXEC_FILTERED] {
                let words = runtime.words(["delete", "--force", id]);
                // There may be none.
                let _ = output(Command::new(&words[0]).args(&words[1..]));
            }
        }
    }

    /// Whole lives: `run`, and `create`, `start`, `delete` one after another.
    fn lives(&self, options: &Options, tools: &Tools) -> Result<Section> {
        let mut candidates = Vec::new();
        for (seccomp, id, filter) in [
            (false, LIFE, "no filter"),
            (true, FILTERED, "Docker's seccomp filter"),
        ] {
            let short = tools.bundle(&format!("{id}-true"), &["true"], seccomp)?;
            let long = tools.bundle(&format!("{id}-sleep"), &["sleep", "1000000"], seccomp)?;
            candidates.extend(self.each(|name, runtime| {
                Candidate::new(
                    format!("{name} run, {filter}"),
                    runtime.on("run", &short, id),
                )
            }));
            candidates.extend(self.each(|name, runtime| {
                Candidate::new(
                    format!("{name} create, start, delete, {filter}"),
                    runtime.on("create", &long, id),
                )
                .then(runtime.words(["start", id]))
                .then(runtime.words(["delete", "--force", id]))
            }));
        }
        let timed = interleave(&candidates, options.rounds, Settle::Wait)?;
        let promises = [pair(0, 0.6), pair(2, 0.7), pair(4, 0.6), pair(6, 0.7)];
        Ok(
            Section::new(format!("{}: whole lives", title(Row::Runtime)))
                .times(&timed, 0, true)
                .promises(&timed, &promises)
                .note(format!("{} of each, in turn", options.rounds)),
        )
    }

    /// Processes in running containers.
    fn execs(&self, options: &Options, tools: &Tools) -> Result<Section> {
        let mut candidates = Vec::new();
        for (seccomp, id, filter) in [
            (false, EXEC, "no filter"),
            (true, EXEC_FILTERED, "Docker's seccomp filter"),
        ] {
            let bundle = tools.bundle(id, &["sleep", "1000000"], seccomp)?;
            for (name, runtime) in &self.runtimes {
                start(name, runtime, &bundle, id)?;
            }
            candidates.extend(self.each(|name, runtime| {
                Candidate::new(
                    format!("{name} exec, {filter}"),
                    runtime.words(["exec", id, "true"]),
                )
            }));
        }
        let timed = interleave(&candidates, options.rounds, Settle::No)?;
        Ok(Section::new(format!("{}: exec", title(Row::Runtime)))
            .times(&timed, 0, false)
            .promises(&timed, &[pair(0, 0.7), pair(2, 0.7)])
            .note(format!("{} of each, in turn", options.rounds)))
    }

    /// Memory of the largest process of a run.
    fn peaks(&self, tools: &Tools) -> Result<Section> {
        const ROUNDS: usize = 10;
        let bundle = tools.bundle("bench-peak", &["true"], true)?;
        let mut largest = [0; 2];
        for _ in 0..ROUNDS {
            for ((name, runtime), largest) in self.runtimes.iter().zip(&mut largest) {
                let run = Candidate::new(*name, runtime.on("run", &bundle, LIFE));
                *largest = run.peak()?.max(*largest);
                reap_all()?;
            }
        }
        let [peer, own] = largest.map(|bytes| bytes as f64 / f64::from(1 << 20));
        Ok(Section::new(format!("{}: memory", title(Row::Runtime)))
            .note(format!(
                "{}: `silo oci run` has at most {own:.1} MiB resident, `crun run` {peer:.1} MiB (Docker's seccomp filter; the largest of {ROUNDS})",
                verdict(own <= peer),
            )))
    }
}

/// A container that runs until it is deleted.
fn start(name: &str, runtime: &Runtime, bundle: &Path, id: &str) -> Result<()> {
    let mut words = runtime.words(["run", "--detach", "--bundle"]);
    words.extend([bundle.into(), id.into()]);
    // Not with pipes: the container keeps them, and their end would never come.
    Candidate::new(format!("{name} run --detach"), words)
        .time()
        .map(drop)
}
