//! `silo exec C true` against a bare runtime's exec.

use std::process::Command;

use silo_types::Result;

use super::title;
use crate::{
    Options, Row,
    measure::{Candidate, Settle, interleave, output},
    report::{Promise, Section},
    tools::Tools,
};

/// A container of crun's that sleeps; killed and deleted when dropped.
struct Sleeper(&'static str);

impl Sleeper {
    fn start(tools: &Tools, id: &'static str, seccomp: bool) -> Result<Sleeper> {
        let bundle = tools.bundle(id, &["sleep", "1000000"], seccomp)?;
        // A run that was stopped may have left one.
        delete(id);
        let mut words = tools.runtime(id, "crun", &bundle, id);
        words.words.insert(2, "--detach".into());
        // Not with pipes: crun's container keeps them, and their end would never come.
        words.time()?;
        Ok(Sleeper(id))
    }

    fn exec(&self, name: &str) -> Candidate {
        Candidate::new(name, ["crun", "exec", self.0, "true"])
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        delete(self.0);
    }
}

fn delete(id: &str) {
    // There may be none.
    let _ = output(Command::new("crun").args(["delete", "-f", id]));
}

pub fn measure(options: &Options, tools: &Tools) -> Result<Section> {
    let plain = Sleeper::start(tools, "bench-sleep", false)?;
    let filtered = Sleeper::start(tools, "bench-sleep-seccomp", true)?;
    tools
        .silo
        .start_idle(&["--network", "none", "--name", "bench-exec"])?;
    tools.silo.start_idle(&[
        "--network",
        "none",
        "--security-opt",
        "seccomp=unconfined",
        "--name",
        "bench-exec-open",
    ])?;
    let candidates = [
        plain.exec("crun exec, its default spec: no filter"),
        filtered.exec("crun exec, Docker's seccomp filter"),
        tools
            .silo
            .candidate("silo exec", &["exec", "bench-exec", "true"]),
        tools
            .silo
            .candidate("silo exec, no filter", &["exec", "bench-exec-open", "true"]),
    ];
    let timed = interleave(&candidates, options.rounds, Settle::No)?;
    let promise = Promise {
        of: 2,
        against: 0,
        at_most: 1.0,
    };
    Ok(Section::new(title(Row::Exec))
        .times(&timed, 0, false)
        .promises(&timed, &[promise])
        .note(format!(
            "{} runs each, in turn; ratio to the first line",
            options.rounds
        )))
}
