//! From `kill -9` of a container's main process until `ls` does not show it any more.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use silo_types::{Doing, Error, Result};

use super::title;
use crate::{
    Row,
    report::{Section, verdict},
    summary::{Millis, Summary},
    tools::Tools,
};

const ROUNDS: usize = 20;

const AT_MOST: Duration = Duration::from_millis(20);

pub fn measure(tools: &Tools) -> Result<Section> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(one(tools)?);
        tools.silo.remove_all();
    }
    let summary = Summary::of(times);
    Ok(Section::new(title(Row::Gone)).note(format!(
        "{}: {} ms (p10 {}, p90 {}; median of {ROUNDS}, at most {} ms), the last `ls -q` included",
        verdict(summary.median <= AT_MOST),
        Millis(summary.median),
        Millis(summary.p10),
        Millis(summary.p90),
        AT_MOST.as_millis()
    )))
}

fn one(tools: &Tools) -> Result<Duration> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let silo = &tools.silo;
    let id = silo.start_idle(&[])?;
    let pid = silo.output(&["inspect", "--format", "{{.State.Pid}}", &id])?;
    let pid = pid
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| Error::internal(format!("inspect tells no process: {pid:?}")))?;
    let start = Instant::now();
    kill_process(pid, Signal::KILL).doing("kill the main process")?;
    while start.elapsed() < PATIENCE {
        let listed = silo.output(&["ls", "-q", "--no-trunc"])?;
        if !listed.contains(&id) {
            return Ok(start.elapsed());
        }
    }
    Err(Error::conflict(format!(
        "{id} is still listed {} s after its death",
        PATIENCE.as_secs()
    )))
}
