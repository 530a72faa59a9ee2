//! `silo run --rm lab true`, a whole engine, against a bare runtime on the same root.

use silo_types::Result;

use super::title;
use crate::{
    Options, Row,
    measure::{Settle, interleave},
    report::{Promise, Section},
    tools::Tools,
};

pub fn measure(options: &Options, tools: &Tools) -> Result<Section> {
    let plain = tools.bundle("bundle-true", &["true"], false)?;
    let filtered = tools.bundle("bundle-true-seccomp", &["true"], true)?;
    let silo = &tools.silo;
    let candidates = [
        tools.runtime(
            "crun run, its default spec: no filter",
            "crun",
            &plain,
            "bench-plain",
        ),
        tools.runtime(
            "crun run, Docker's seccomp filter",
            "crun",
            &filtered,
            "bench-filtered",
        ),
        silo.candidate(
            "silo run --network none",
            &["run", "--rm", "--network", "none", "lab", "true"],
        ),
        silo.candidate(
            "silo run --network none, no filter",
            &[
                "run",
                "--rm",
                "--network",
                "none",
                "--security-opt",
                "seccomp=unconfined",
                "lab",
                "true",
            ],
        ),
        silo.candidate("silo run, default bridge", &["run", "--rm", "lab", "true"]),
        tools.own_runtime("silo oci run, crun's default spec", &plain, "bench-own"),
    ];
    let timed = interleave(&candidates, options.rounds, Settle::Wait)?;
    let promises = [
        Promise {
            of: 2,
            against: 0,
            at_most: 1.0,
        },
        Promise {
            of: 4,
            against: 0,
            at_most: 1.3,
        },
        Promise {
            of: 5,
            against: 0,
            at_most: 0.6,
        },
    ];
    Ok(Section::new(title(Row::Run))
        .times(&timed, 0, true)
        .promises(&timed, &promises)
        .note(format!("{} runs each, in turn; ratio to the first line", options.rounds))
        .note(
            "Silo also mounts an overlay, keeps a log, records events and has a monitor; crun works on a plain folder, read-only",
        )
        .note("*all gone*: until the last process that the command left behind has ended"))
}
