//! `stats`: what containers use, live. `THROTTLED` is Silo's: the share of CPU periods in which the limit was used up.

use std::time::Duration;

use clap::Args;
use silo_engine::{Container, Engine, Sample, Sampler};
use silo_types::{ByteSize, Result};

use super::complain;
use crate::{
    cli::{Context, Run},
    output::{Listing, Row, print, size},
    terminal::stdout_is_terminal,
};

const STATS: Listing = Listing {
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}\t{{.Throttled}}",
    quiet: "{{.ID}}",
    headers: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
        ("Throttled", "THROTTLED"),
    ],
};

/// Between two samples of a live view, and of a single one: many of the kernel's quota periods of 100 ms.
const LIVE: Duration = Duration::from_secs(1);
const ONCE: Duration = Duration::from_millis(500);

/// Its flags.
#[derive(Args, Debug)]
pub struct StatsVerb {
    /// Show those that do not run, too
    #[arg(short, long)]
    all: bool,
    /// table, json, or a Go template
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Show one sample and end
    #[arg(long)]
    no_stream: bool,
    /// Cut nothing short
    #[arg(long)]
    no_trunc: bool,
    /// Names or ids; all that run, when none are given
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Run for StatsVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let mut watched = Vec::new();
        for name in &self.containers {
            watched.push(Watched::new(&engine, engine.find(name)?));
        }
        let memory = host_memory();
        loop {
            if self.containers.is_empty() {
                self.look_for_others(&engine, &mut watched)?;
            }
            watched.iter_mut().for_each(|w| w.take());
            std::thread::sleep(if self.no_stream { ONCE } else { LIVE });
            let rows: Vec<Row> = watched
                .iter_mut()
                .map(|watched| watched.row(memory, !self.no_trunc))
                .collect();
            let text = STATS.render(&self.format, false, &rows)?;
            match !self.no_stream && stdout_is_terminal() && self.format.is_empty() {
                // Home, the lines, and nothing of what stood below.
                true => print(&format!("\x1b[2J\x1b[H{text}"))?,
                false => print(&text)?,
            }
            if self.no_stream {
                return Ok(0);
            }
            if !self.containers.is_empty() {
                continue;
            }
            watched.retain(|watched| watched.sampler.is_some() || self.all);
        }
    }
}

impl StatsVerb {
    fn look_for_others(&self, engine: &Engine, watched: &mut Vec<Watched>) -> Result<()> {
        for container in engine.list()? {
            let known = watched.iter().any(|w| w.container.id() == container.id());
            if !known && (self.all || container.state.status.is_up()) {
                watched.push(Watched::new(engine, container));
            }
        }
        Ok(())
    }
}

/// A container with its open files; without a sampler it does not run.
struct Watched {
    container: Container,
    sampler: Option<Sampler>,
    before: Option<Sample>,
}

impl Watched {
    fn new(engine: &Engine, container: Container) -> Watched {
        let sampler = match container.state.status.is_up() {
            true => engine.sampler(&container).map_err(|e| complain(&e)).ok(),
            false => None,
        };
        Watched {
            container,
            sampler,
            before: None,
        }
    }

    fn take(&mut self) {
        if self.before.is_none() {
            self.before = self.sampler.as_mut().and_then(|s| s.sample().ok());
        }
    }

    fn row(&mut self, host_memory: u64, truncate: bool) -> Row {
        let now = self.sampler.as_mut().and_then(|s| s.sample().ok());
        if now.is_none() {
            // It has ended.
            self.sampler = None;
        }
        let figures = match (&self.before, &now) {
            (Some(before), Some(now)) => Figures::between(before, now, host_memory),
            _ => Figures::default(),
        };
        self.before = now;
        let id = match truncate {
            true => self.container.id().short(),
            false => self.container.id().as_str(),
        };
        Row::new([
            ("Container", id.to_owned()),
            ("ID", id.to_owned()),
            ("Name", self.container.name().to_owned()),
            ("CPUPerc", percent(figures.cpu)),
            (
                "MemUsage",
                format!("{} / {}", ByteSize(figures.memory), ByteSize(figures.limit)),
            ),
            (
                "MemPerc",
                percent(match figures.limit {
                    0 => 0.0,
                    limit => figures.memory as f64 * 100.0 / limit as f64,
                }),
            ),
            ("NetIO", both(figures.network)),
            ("BlockIO", both(figures.blocks)),
            ("PIDs", figures.pids.to_string()),
            ("Throttled", percent(figures.throttled)),
        ])
    }
}

/// What a row shows.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    /// Percent of one processor.
    cpu: f64,
    memory: u64,
    limit: u64,
    network: (u64, u64),
    blocks: (u64, u64),
    pids: u64,
    /// Percent of the periods since the sample before.
    throttled: f64,
}

impl Figures {
    fn between(before: &Sample, now: &Sample, host_memory: u64) -> Figures {
        let elapsed = now.time.saturating_sub(before.time).max(1);
        let (old, new) = (
            before.stats.cpu.unwrap_or_default(),
            now.stats.cpu.unwrap_or_default(),
        );
        let memory = now.stats.memory.unwrap_or_default();
        let io = now.stats.io.unwrap_or_default();
        let throttled = match (old.throttle, new.throttle) {
            (Some(old), Some(new)) if new.periods > old.periods => {
                let share = new.throttled.saturating_sub(old.throttled) as f64;
                share * 100.0 / (new.periods - old.periods) as f64
            }
            _ => 0.0,
        };
        Figures {
            cpu: new.total_ns.saturating_sub(old.total_ns) as f64 * 100.0 / elapsed as f64,
            memory: memory.used,
            // Docker shows the host's memory where there is no limit.
            limit: memory.limit.unwrap_or(host_memory).min(host_memory),
            network: now.network.unwrap_or_default(),
            blocks: (io.read_bytes, io.write_bytes),
            pids: now.stats.pids.map_or(0, |pids| pids.current),
            throttled,
        }
    }
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

fn both((first, second): (u64, u64)) -> String {
    format!("{} / {}", size(first, 3), size(second, 3))
}

fn host_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}
