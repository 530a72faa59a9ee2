//! Docker and Podman, asked about the same programs.

use std::process::Command;

use silo_types::Result;

use super::{
    CALLS, Of,
    kernel::Base,
    loads::Load,
    silo::{Started, await_ready, started, stats_line},
    table::Table,
};
use crate::{
    daemon::{Daemon, IMAGE, docker, import_lab, podman},
    measure::output,
    tools::Tools,
};

/// Their `stats` take seconds: fewer calls see the same span.
const FEWER: usize = CALLS.div_ceil(3);

type Engine = fn(&[&str]) -> Command;

/// Removes what was started when dropped.
struct Remove<'a> {
    engine: Engine,
    loads: &'a [Load],
}

impl Drop for Remove<'_> {
    fn drop(&mut self) {
        for load in self.loads {
            let _ = output(&mut (self.engine)(&["rm", "-f", &load.name]));
        }
    }
}

pub fn measure(tools: &Tools, loads: &[Load], base: &Base, table: &mut Table) -> Result<()> {
    let _daemon = Daemon::start(tools)?;
    import_lab(tools)?;
    one("Docker", docker, loads, base, table)?;
    one("Podman", podman, loads, base, table)
}

fn one(
    name: &'static str,
    engine: Engine,
    loads: &[Load],
    base: &Base,
    table: &mut Table,
) -> Result<()> {
    let remove = Remove { engine, loads };
    // A run that was stopped may have left them.
    drop(Remove { engine, loads });
    let say = |words: &[&str]| -> Result<String> {
        output(&mut engine(words)).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let begin = |load: &Load| -> Result<Started> {
        let words = load.words();
        let mut all = load.options();
        all.push(IMAGE);
        all.extend(words.iter().map(String::as_str));
        say(&all)?;
        await_ready(&load.name, || say(&["logs", &load.name]))?;
        started(&say(&[
            "inspect",
            "--format",
            "{{.State.Pid}}",
            &load.name,
        ])?)
    };
    let all: Vec<Started> = remove.loads.iter().map(begin).collect::<Result<_>>()?;
    let spent = || -> Result<Vec<f64>> { all.iter().map(|one| one.groups.cpu()).collect() };
    let (begun, before) = (std::time::Instant::now(), spent()?);
    let mut seen = Vec::new();
    let format = "{{.Name}} {{.CPUPerc}} {{.PIDs}} {{.MemUsage}}";
    for _ in 0..FEWER {
        seen.extend(
            say(&["stats", "--no-stream", "--format", format])?
                .lines()
                .filter_map(stats_line),
        );
    }
    let (length, after) = (begun.elapsed().as_secs_f64(), spent()?);
    for (at, load) in loads.iter().enumerate() {
        let mut stats = Of {
            engine: name,
            view: "stats",
            table,
        };
        let own: Vec<&[f64; 3]> = seen
            .iter()
            .filter(|(name, _)| *name == load.name)
            .map(|(_, figures)| figures)
            .collect();
        for [_, memory, pids] in &own {
            stats.memory("memory", *memory, base.held(load));
            stats.count("processes and threads", *pids as usize, load.tasks());
        }
        if load.cpus > 0.0 {
            let mean = own.iter().map(|f| f[0]).sum::<f64>() / own.len().max(1) as f64;
            stats.cpu("CPU", mean / 100.0, (after[at] - before[at]) / length);
        }
        let columns: &[&str] = match name {
            "Docker" => &["-eo", "pid,stat,rss,nlwp"],
            _ => &["hpid", "state", "rss"],
        };
        let words = [&["top", load.name.as_str()], columns].concat();
        top(&say(&words)?, load, &all[at], base, stats.engine, table);
    }
    Ok(())
}

/// Lines of host pid, state, memory in KiB, and with Docker threads.
fn top(
    text: &str,
    load: &Load,
    started: &Started,
    base: &Base,
    engine: &'static str,
    table: &mut Table,
) {
    let mut view = Of {
        engine,
        view: "top",
        table,
    };
    let lines: Vec<Vec<&str>> = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    let zombie = |line: &&Vec<&str>| line.get(1).is_some_and(|state| state.starts_with('Z'));
    let zombies = lines.iter().filter(zombie).count();
    view.count("processes", lines.len() - zombies, load.processes());
    view.count("zombies", zombies, load.zombies);
    let pid = started.pid.to_string();
    let Some(main) = lines
        .iter()
        .find(|line| line.first() == Some(&pid.as_str()))
    else {
        return;
    };
    let number = |at: usize| main.get(at).and_then(|cell| cell.parse::<f64>().ok());
    if let Some(kib) = number(2) {
        let made = (load.private + load.shared) as f64 + base.of(load).rss;
        view.memory("RSS", kib * 1024.0, made);
    }
    if let Some(threads) = number(3) {
        view.count("threads", threads as usize, load.threads);
    }
}
