//! Silo's own views.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use silo_types::{Error, Result};

use super::{
    CALLS, Of,
    kernel::{Bare, Base, Groups},
    loads::{CACHED, CPU_LIMIT, Load, MEMORY_LIMIT, PIDS_LIMIT},
    table::Table,
    watch::{Answer, Watch},
};
use crate::tools::{Silo, Tools};

/// A load's main process, and its control groups.
pub struct Started {
    pub pid: i32,
    pub groups: Groups,
}

/// Starts a load and waits until it has all that it was told to take.
pub fn start(silo: &Silo, load: &Load) -> Result<Started> {
    let words = load.words();
    let mut all = load.options();
    all.push("lab");
    all.extend(words.iter().map(String::as_str));
    silo.output(&all)?;
    await_ready(&load.name, || silo.output(&["logs", &load.name]))?;
    let pid = silo.output(&["inspect", "--format", "{{.State.Pid}}", &load.name])?;
    started(&pid)
}

pub fn started(pid: &str) -> Result<Started> {
    let pid = pid.trim().parse();
    let pid = pid.map_err(|_| Error::internal("inspect tells no process"))?;
    Ok(Started {
        pid,
        groups: Groups::of(pid)?,
    })
}

pub fn await_ready(name: &str, mut log: impl FnMut() -> Result<String>) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(120);
    while !log()?.contains("ready") {
        if Instant::now() > patience {
            return Err(Error::conflict(format!("{name} does not become ready")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What those have that hold nothing: without and with a second process, and with cache alone. All run at once, since the text
/// of a program is private while one process has it.
pub fn base(tools: &Tools) -> Result<Base> {
    let loads = [
        Load::nothing("truth-alone", 0, 0),
        Load::nothing("truth-both", 4096, 0),
        Load::nothing("truth-cache", 0, CACHED),
    ];
    let start = |load: &Load| start(&tools.silo, load);
    let started: Vec<Started> = loads.iter().map(start).collect::<Result<_>>()?;
    // The second process is still on its way.
    std::thread::sleep(Duration::from_millis(500));
    let of = |at: usize| Bare::of(started[at].pid);
    let (alone, cached) = (of(0)?, of(2)?);
    let base = Base {
        per_cached: (cached.held - alone.held) / CACHED as f64,
        bare: [alone, of(1)?],
    };
    for load in &loads {
        tools.silo.output(&["rm", "-f", &load.name])?;
    }
    Ok(base)
}

pub fn measure(tools: &Tools, loads: &[Load], base: &Base, table: &mut Table) -> Result<()> {
    let silo = &tools.silo;
    let started: Vec<Started> = loads
        .iter()
        .map(|load| start(silo, load))
        .collect::<Result<_>>()?;
    // The recording has all of it after its next whole look.
    std::thread::sleep(Duration::from_secs(2));
    let spent =
        |all: &[Started]| -> Result<Vec<f64>> { all.iter().map(|one| one.groups.cpu()).collect() };
    let watch = Watch::start(&started, loads);
    let (from, before) = (seconds(), spent(&started)?);
    let mut stats: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
    std::thread::sleep(Duration::from_secs(2));
    for _ in 0..CALLS {
        for (name, shown) in stats_of(silo)? {
            stats.entry(name).or_default().push(shown);
        }
        std::thread::sleep(Duration::from_millis(960));
    }
    // The ends of spans lie between two reads.
    std::thread::sleep(Duration::from_millis(20));
    let (to, after) = (seconds(), spent(&started)?);
    let asked = seconds();
    let dash = json(&silo.output(&["dash", "--format", "json"])?)?;
    let came = seconds();
    let watched = watch.end();
    let everywhere = silo.output(&["ps", "--host", "--format", "{{.container}}"])?;
    let list = silo.output(&["ps", "--format", "{{.Names}} {{.State}}"])?;
    let runs = list
        .lines()
        .filter(|line| line.ends_with(" running"))
        .count();
    own("ps", table).count("running containers", runs, loads.len());
    for (at, load) in loads.iter().enumerate() {
        let name = &load.name;
        let used = (after[at] - before[at]) / (to - from);
        let made = base.held(load);
        let seen = stats.remove(name).unwrap_or_default();
        let mut view = own("stats", table);
        let recording = Rows::of(&silo.output(&["plot", "--csv", name])?);
        for shown in &seen {
            let [cpu, memory, pids] = shown.figures;
            view.memory("memory", memory, made);
            view.count("processes and threads", pids as usize, load.tasks());
            if let Some(truth) = watched.over(name, shown.until, shown.span) {
                view.cpu_of_a_second(cpu / 100.0, &truth);
            }
        }
        let here = everywhere.lines().filter(|line| line == name).count();
        own("ps --host", table).count(
            "processes, zombies too",
            here,
            load.processes() + load.zombies,
        );
        top(
            silo,
            load,
            &started[at],
            base.of(load),
            &mut own("top", table),
        )?;
        let cache = started[at].groups.cache()?;
        let mut view = own("dash", table);
        if let Some(seen) = dash_entry(&dash, load, (made, cache), &mut view) {
            let answer = Answer { asked, came, seen };
            if let Some(truth) = watched.second(name, &recording.times, &answer) {
                view.cpu_of_a_second(seen, &truth);
            }
        }
        plot(
            &recording,
            load,
            (made, cache),
            (from, to, used),
            &mut own("plot --csv", table),
        )?;
        limits(silo, load, &mut own("limit", table))?;
    }
    Ok(())
}

fn own<'a>(view: &'static str, table: &'a mut Table) -> Of<'a> {
    Of {
        engine: "Silo",
        view,
        table,
    }
}

/// What `stats` showed of a container.
struct Shown {
    /// Percent of a processor, bytes, processes.
    figures: [f64; 3],
    /// What the percent are of: the end of the span, in seconds of the day, and its length.
    until: f64,
    span: f64,
}

/// By name.
fn stats_of(silo: &Silo) -> Result<Vec<(String, Shown)>> {
    let format = "{{.Name}} {{.CPUPerc}} {{.PIDs}} {{.MemUsage}} {{.Until}} {{.Span}}";
    let text = silo.output(&["stats", "--no-stream", "--format", format])?;
    Ok(text.lines().filter_map(shown).collect())
}

fn shown(line: &str) -> Option<(String, Shown)> {
    let (name, figures) = stats_line(line)?;
    let mut last = line.split_whitespace().rev();
    let span: f64 = last.next()?.strip_suffix("ms")?.parse().ok()?;
    let shown = Shown {
        figures,
        until: day_time(last.next()?),
        span: span / 1000.0,
    };
    Some((name, shown))
}

/// A line of `NAME CPU% PIDS USED / LIMIT`, as all three engines can write it.
pub fn stats_line(line: &str) -> Option<(String, [f64; 3])> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let cpu = words.next()?.trim_end_matches('%').parse().ok()?;
    let pids = words.next()?.parse().ok()?;
    Some((name, [cpu, bytes(words.next()?)?, pids]))
}

/// `45.2MiB`, or Podman's `47.4MB`.
fn bytes(text: &str) -> Option<f64> {
    let at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let number: f64 = text[..at].parse().ok()?;
    let unit = match &text[at..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1048576.0,
        "GiB" => 1073741824.0,
        _ => return None,
    };
    Some(number * unit)
}

fn top(silo: &Silo, load: &Load, started: &Started, base: &Bare, view: &mut Of<'_>) -> Result<()> {
    let early = started.groups.cpu()?;
    let top = json(&silo.output(&["top", "--format", "json", &load.name])?)?;
    let late = started.groups.cpu()?;
    let totals = &top["totals"];
    let count = |value: &Value| value.as_u64().unwrap_or(0) as usize;
    view.count("processes", count(&totals["processes"]), load.processes());
    view.count("zombies", count(&totals["zombies"]), load.zombies);
    let processes = top["processes"].as_array().cloned().unwrap_or_default();
    let Some(main) = processes.iter().find(|p| p["hostPid"] == started.pid) else {
        return Err(Error::conflict(format!(
            "top of {} has no process {}",
            load.name, started.pid
        )));
    };
    view.count("its own number", count(&main["pid"]), 1);
    view.count("threads", count(&main["threads"]), load.threads);
    let figure = |name: &str| main[name].as_f64().unwrap_or(0.0);
    let (private, shared) = (load.private as f64, load.shared as f64);
    view.memory("PRIVATE", figure("privateBytes"), private + base.private);
    view.memory("RSS", figure("rssBytes"), private + shared + base.rss);
    if load.cpus > 0.0 {
        let spent: f64 = processes
            .iter()
            .map(|p| p["timeMs"].as_f64().unwrap_or(0.0) / 1000.0)
            .sum();
        view.cpu("TIME", spent, (early + late) / 2.0);
    }
    Ok(())
}

/// Processors that it says.
fn dash_entry(
    dash: &Value,
    load: &Load,
    (made, cache): (f64, f64),
    view: &mut Of<'_>,
) -> Option<f64> {
    let list = dash["containers"].as_array().cloned().unwrap_or_default();
    let entry = list
        .iter()
        .find(|entry| entry["name"] == load.name.as_str());
    let entry = entry.cloned().unwrap_or_default();
    let figure = |name: &str| entry[name].as_f64().unwrap_or(0.0);
    view.memory("memory", figure("memoryBytes"), made);
    view.count(
        "processes and threads",
        figure("pids") as usize,
        load.tasks(),
    );
    view.count(
        "memory limit",
        figure("memoryLimitBytes") as usize,
        MEMORY_LIMIT.1 as usize,
    );
    view.cpu("CPU limit", figure("cpus"), CPU_LIMIT.1);
    if load.cache > 0 {
        view.memory("cache", figure("cacheBytes"), cache);
    }
    entry["usedCpus"].as_f64()
}

/// What `plot --csv` says.
struct Rows {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Seconds of the day.
    times: Vec<f64>,
}

impl Rows {
    fn of(text: &str) -> Rows {
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines();
        let head = cells(lines.next().unwrap_or_default());
        let rows: Vec<Vec<String>> = lines.map(cells).collect();
        Rows {
            times: rows.iter().map(|row| day_time(&row[0])).collect(),
            head,
            rows,
        }
    }

    fn figure(&self, row: usize, name: &str) -> f64 {
        let place = self.head.iter().position(|column| column == name);
        let cell = place.and_then(|place| self.rows.get(row)?.get(place));
        cell.and_then(|cell| cell.parse().ok()).unwrap_or(0.0)
    }
}

/// The recording: its last moment, and the mean over the span in which the kernel's counter was read.
fn plot(
    rows: &Rows,
    load: &Load,
    (made, cache): (f64, f64),
    (from, to, used): (f64, f64, f64),
    view: &mut Of<'_>,
) -> Result<()> {
    let Some(last) = rows.rows.len().checked_sub(1) else {
        return Err(Error::conflict(format!(
            "nothing is recorded of {}",
            load.name
        )));
    };
    view.memory("held_bytes", rows.figure(last, "held_bytes"), made);
    view.count("pids", rows.figure(last, "pids") as usize, load.tasks());
    if load.cache > 0 {
        view.memory("cache_bytes", rows.figure(last, "cache_bytes"), cache);
    }
    if load.cpus > 0.0 {
        let mut spent = 0.0;
        for (at, pair) in rows.times.windows(2).enumerate() {
            let inside = pair[1].min(to) - pair[0].max(from);
            spent += rows.figure(at + 1, "cpu") * inside.max(0.0);
        }
        view.cpu("cpu", spent / (to - from), used);
    }
    Ok(())
}

fn limits(silo: &Silo, load: &Load, view: &mut Of<'_>) -> Result<()> {
    let limits = json(&silo.output(&["limit", "--format", "json", &load.name])?)?;
    let before = &limits["before"];
    let count = |name: &str| before[name].as_u64().unwrap_or(0) as usize;
    view.count("memory", count("memory"), MEMORY_LIMIT.1 as usize);
    view.count("nano CPUs", count("nanoCpus"), (CPU_LIMIT.1 * 1e9) as usize);
    view.count("processes", count("pidsLimit"), PIDS_LIMIT.1 as usize);
    Ok(())
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| Error::internal(format!("a document is none: {e}")))
}

/// Seconds of the day, UTC.
pub fn seconds() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64() % 86_400.0)
}

/// The same of `2026-01-02T03:04:05.678Z`.
fn day_time(text: &str) -> f64 {
    let clock = text.split('T').nth(1).unwrap_or_default();
    let parts = clock.trim_end_matches('Z').split(':');
    parts.fold(0.0, |sum, part| {
        sum * 60.0 + part.parse::<f64>().unwrap_or(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_three_engines() {
        let silo = stats_line("truth-1 12.34% 7 49.5MiB / 512MiB");
        assert_eq!(
            silo,
            Some(("truth-1".to_owned(), [12.34, 49.5 * 1048576.0, 7.0]))
        );
        let (_, own) =
            shown("truth-1 12.34% 7 49.5MiB / 512MiB 2026-01-02T01:02:03.500Z 1003ms").unwrap();
        assert_eq!(
            (own.figures[0], own.until, own.span),
            (12.34, 3723.5, 1.003)
        );
        let podman = stats_line("truth-1 0.31% 7 51.9MB / 536.9MB");
        assert_eq!(podman.map(|(_, [_, memory, _])| memory), Some(51.9e6));
        assert_eq!(stats_line("truth-1 -- -- --"), None);
        assert_eq!(day_time("2026-01-02T01:02:03.500Z"), 3723.5);
    }
}
