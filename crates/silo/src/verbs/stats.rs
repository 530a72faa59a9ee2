//! `stats`: what containers use, live. The first answer comes at once, from the recordings: nothing has to be watched for it.
//!
//! Scripts get Docker's columns and fields, and `THROTTLED`: the share of CPU periods in which the limit was used up. A terminal
//! also gets the share of the CPU limit, the peak, the cache and the pressure.

use std::time::Duration;

use clap::Args;
use silo_engine::{Container, Engine, Glance};
use silo_types::{ByteSize, Result};

use crate::{
    cli::{Context, Run},
    output::{Listing, Row, print, rfc3339, size},
    terminal::{self, stdout_is_terminal},
};

const HEADERS: &[(&str, &str)] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("CPULimitPerc", "OF LIMIT"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("MemPeak", "PEAK"),
    ("MemCache", "CACHE"),
    ("Pressure", "PRESSURE"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
    ("Throttled", "THROTTLED"),
    ("Until", "UNTIL"),
    ("Span", "SPAN"),
];

const STATS: Listing = Listing {
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}\t{{.Throttled}}",
    quiet: "{{.ID}}",
    headers: HEADERS,
};

/// On a terminal, with what Silo knows beside; the first that fits its width is taken.
const WATCHING: [&str; 5] = [
    "{{.Name}}\t{{.CPUPerc}}\t{{.CPULimitPerc}}\t{{.Throttled}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.MemPeak}}\t{{.MemCache}}\t{{.Pressure}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    "{{.Name}}\t{{.CPUPerc}}\t{{.CPULimitPerc}}\t{{.Throttled}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.MemPeak}}\t{{.Pressure}}\t{{.PIDs}}",
    "{{.Name}}\t{{.CPUPerc}}\t{{.Throttled}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.Pressure}}\t{{.PIDs}}",
    "{{.Name}}\t{{.CPUPerc}}\t{{.Throttled}}\t{{.MemUsage}}\t{{.PIDs}}",
    "{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}",
];

/// Between two pictures of a live view.
const LIVE: Duration = Duration::from_secs(1);

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
        let memory = host_memory();
        let on_terminal = stdout_is_terminal() && self.format.is_empty();
        let listing = match on_terminal || !is_json(&self.format) {
            true => Extent::All,
            false => Extent::Docker,
        };
        let mut first = true;
        loop {
            let rows: Vec<Row> = self
                .watched(&engine, first)?
                .iter()
                .map(|container| row(&engine, container, memory, !self.no_trunc, listing))
                .collect();
            let text = match on_terminal {
                true => self.fitting(&rows)?,
                false => STATS.render(&self.format, false, &rows)?,
            };
            match on_terminal && !self.no_stream {
                // Home, the lines, and nothing of what stood below.
                true => print(&format!("\x1b[2J\x1b[H{text}"))?,
                false => print(&text)?,
            }
            if self.no_stream {
                return Ok(0);
            }
            first = false;
            std::thread::sleep(LIVE);
        }
    }
}

impl StatsVerb {
    /// The widest table that the terminal has room for: a line that is broken at the edge cannot be read.
    fn fitting(&self, rows: &[Row]) -> Result<String> {
        let room = match terminal::size().1 {
            0 => 80,
            columns => usize::from(columns),
        };
        let mut text = String::new();
        for table in WATCHING {
            let listing = Listing { table, ..STATS };
            text = listing.render("", false, rows)?;
            if self.no_trunc
                || text
                    .lines()
                    .all(|line| line.trim_end().chars().count() <= room)
            {
                break;
            }
        }
        Ok(text)
    }

    /// Those that were named, or all that run. A name must be known at first; what is removed later is left out.
    fn watched(&self, engine: &Engine, first: bool) -> Result<Vec<Container>> {
        if !first && !self.containers.is_empty() {
            let names = self.containers.iter();
            return Ok(names.filter_map(|name| engine.find(name).ok()).collect());
        }
        if !self.containers.is_empty() {
            return self
                .containers
                .iter()
                .map(|name| engine.find(name))
                .collect();
        }
        let mut all = engine.list()?;
        all.retain(|container| self.all || container.state.status.is_up());
        Ok(all)
    }
}

/// How much a row says.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// What scripts know.
    Docker,
    All,
}

fn is_json(format: &str) -> bool {
    matches!(format.trim(), "json" | "{{json .}}")
}

/// A container's line; of one that does not run, or that ends meanwhile, with nothing in it.
fn row(
    engine: &Engine,
    container: &Container,
    host_memory: u64,
    truncate: bool,
    extent: Extent,
) -> Row {
    let glance = match container.state.status.is_up() {
        true => engine.glance(container).unwrap_or_default(),
        false => Glance::default(),
    };
    let (moment, step) = (&glance.moment, &glance.step);
    let id = match truncate {
        true => container.id().short(),
        false => container.id().as_str(),
    };
    let used = moment.used();
    // Docker shows the host's memory where there is no limit.
    let limit = match (moment.time, moment.memory_limit) {
        (0, _) => 0,
        (_, 0) => host_memory,
        (_, limit) => limit.min(host_memory),
    };
    let of = |part: f64, whole: f64| {
        if whole > 0.0 {
            part * 100.0 / whole
        } else {
            0.0
        }
    };
    let mut row = Row::new([
        ("Container", id.to_owned()),
        ("ID", id.to_owned()),
        ("Name", container.name().to_owned()),
        ("CPUPerc", percent(step.cpu / 10.0)),
        (
            "MemUsage",
            format!("{} / {}", ByteSize(used), ByteSize(limit)),
        ),
        ("MemPerc", percent(of(used as f64, limit as f64))),
        ("NetIO", both((moment.received, moment.sent))),
        ("BlockIO", both((moment.read, moment.written))),
        ("PIDs", moment.pids.to_string()),
        ("Throttled", percent(step.throttled * 100.0)),
    ]);
    if extent == Extent::All {
        let of_limit = match moment.cpu_limit {
            0 => "-".to_owned(),
            limit => percent(of(step.cpu, limit as f64)),
        };
        let pressures = [step.cpu_pressure, step.memory_pressure, step.io_pressure];
        let pressure = pressures.into_iter().fold(0.0, f64::max);
        let more = [
            ("CPULimitPerc", of_limit),
            ("MemPeak", ByteSize(moment.peak).to_string()),
            ("MemCache", ByteSize(moment.cache()).to_string()),
            ("Pressure", percent(pressure * 100.0)),
            // What shares are of: so long before that moment.
            (
                "Until",
                match moment.time {
                    0 => String::new(),
                    time => rfc3339(time * 1_000_000),
                },
            ),
            ("Span", format!("{}ms", step.length)),
        ];
        let more = more.map(|(name, value)| (name.to_owned(), value.into()));
        row.fields.extend(more);
    }
    row
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
