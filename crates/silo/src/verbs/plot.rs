//! `plot`: what a container used, drawn; also of one that was removed within the hour.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use silo_engine::{Moment, Recording, Series, Step};
use silo_types::{Doing, Error, Result};

use crate::{
    cli::{Context, Run},
    output::{Style, print, rfc3339, since},
    plot::{Curve, Face, Kind, legend, svg, text},
    terminal,
};

/// Lines of a curve.
const HEIGHT: usize = 9;

/// Columns of a picture.
const FINE: usize = 450;

/// Its flags.
#[derive(Args, Debug)]
pub struct Plot {
    /// Memory; with neither --mem nor --cpu: both
    #[arg(long)]
    mem: bool,
    /// Processors
    #[arg(long)]
    cpu: bool,
    /// From then on: a duration such as 10m, or a moment
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Write a picture
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    svg: Option<PathBuf>,
    /// Print a line of figures for each moment
    #[arg(long)]
    csv: bool,
    /// json: the same figures as one document
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true,
        conflicts_with_all = ["csv", "svg"]
    )]
    format: String,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Run for Plot {
    fn run(self, context: &Context) -> Result<i32> {
        if !matches!(self.format.as_str(), "" | "json") {
            return Err(Error::invalid(format!(
                "unknown format '{:.80}': use json, or --csv",
                self.format
            )));
        }
        let recording = context.engine()?.recording(&self.container)?;
        let (from, to) = self.window(&recording)?;
        let mut series = recording.series.since(from);
        series.moments.retain(|moment| moment.time <= to);
        if series.moments.is_empty() {
            return Err(nothing(&recording));
        }
        if self.csv {
            print(&csv(&series, from))?;
            return Ok(0);
        }
        if self.format == "json" {
            print(&format!("{}\n", document(&recording, &series, (from, to))))?;
            return Ok(0);
        }
        let both = self.mem == self.cpu;
        let kinds = [(Kind::Memory, self.mem), (Kind::Cpu, self.cpu)];
        let wanted = kinds.into_iter().filter(|(_, asked)| both || *asked);
        let columns = match self.svg {
            Some(_) => FINE,
            None => width(),
        };
        let curves: Vec<Curve> = wanted
            .map(|(kind, _)| Curve::new(kind, &series, from, to, columns))
            .collect();
        if let Some(path) = &self.svg {
            let picture = svg(&recording.name, &curves);
            std::fs::write(path, picture).doing_with(|| format!("write {}", path.display()))?;
            return Ok(0);
        }
        let face = match Style::of_stdout() {
            Style::Plain => Face::Plain,
            Style::Coloured => Face::Coloured,
        };
        let drawn: Vec<String> = curves.iter().map(|c| text(c, HEIGHT, face)).collect();
        print(&(drawn.join("\n") + &legend(&curves)))?;
        Ok(0)
    }
}

impl Plot {
    /// From and to, milliseconds since the epoch: what was asked for, cut to what is there.
    fn window(&self, recording: &Recording) -> Result<(u64, u64)> {
        let moments = &recording.series.moments;
        let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
            return Err(nothing(recording));
        };
        let from = match &self.since {
            Some(text) => since("since", text)? / 1_000_000,
            None => 0,
        };
        let end = match &self.until {
            Some(text) => since("until", text)? / 1_000_000,
            None => last.time,
        };
        let end = end.min(last.time);
        Ok((from.max(first.time).min(end), end))
    }
}

fn nothing(recording: &Recording) -> Error {
    let started = recording.state().is_some_and(|state| state.started > 0);
    Error::conflict(match started {
        true => format!(
            "nothing was recorded of {} in that time: recording begins a tenth of a second after the start",
            recording.name
        ),
        false => format!(
            "nothing was recorded of {}: it was never started",
            recording.name
        ),
    })
}

/// Columns for the curve.
fn width() -> usize {
    let columns = match terminal::size().1 {
        0 => 80,
        columns => usize::from(columns),
    };
    columns.clamp(30, 240) - crate::plot::LABELS - 2
}

/// The moments from then on with the steps that led to them; the very first has none.
fn steps(series: &Series, from: u64) -> impl Iterator<Item = (&Moment, Step)> {
    let before = series.moments.first().filter(|first| first.time >= from);
    let first = before.map(|first| (first, Step::default()));
    let all = first.into_iter().chain(series.steps());
    all.filter(move |(moment, _)| moment.time >= from)
}

fn document(recording: &Recording, series: &Series, (from, to): (u64, u64)) -> Value {
    let time = |milliseconds: u64| rfc3339(milliseconds * 1_000_000);
    let limit = |limit: u64| (limit > 0).then_some(limit);
    let thousandths = |value: f64| (value * 1000.0).round() / 1e6;
    let moment = |(m, step): (&Moment, Step)| {
        json!({
            "time": time(m.time),
            "seconds": step.length as f64 / 1000.0,
            "heldBytes": m.held,
            "heldHighBytes": m.held_high,
            "usageBytes": m.usage,
            "usedBytes": m.used(),
            "cacheBytes": m.cache(),
            "swapBytes": m.swap,
            "memoryLimitBytes": limit(m.memory_limit),
            "cpus": thousandths(step.cpu),
            "cpusHigh": thousandths(step.cpu_high),
            "cpuLimit": limit(m.cpu_limit).map(|limit| limit as f64 / 1000.0),
            "throttled": step.throttled,
            "pids": m.pids,
            "receivedBytes": m.received,
            "sentBytes": m.sent,
            "readBytes": m.read,
            "writtenBytes": m.written,
            "cpuPressure": step.cpu_pressure,
            "memoryPressure": step.memory_pressure,
            "ioPressure": step.io_pressure,
            "oomKills": m.oom_kills,
        })
    };
    json!({
        "container": recording.name,
        "id": recording.id,
        "removed": recording.grave.as_ref().map(|grave| rfc3339(grave.removed)),
        "from": time(from),
        "to": time(to),
        "moments": steps(series, from).map(moment).collect::<Vec<Value>>(),
    })
}

/// A header, and a line for each moment that has a step before it.
fn csv(series: &Series, from: u64) -> String {
    let mut out = String::from(
        "time,held_bytes,held_high_bytes,usage_bytes,used_bytes,cache_bytes,swap_bytes,memory_limit_bytes,cpu,cpu_high,cpu_limit,throttled,pids,received_bytes,sent_bytes,read_bytes,written_bytes,cpu_pressure,memory_pressure,io_pressure,oom_kills\n",
    );
    for (m, step) in steps(series, from) {
        out += &format!(
            "{},{},{},{},{},{},{},{},{:.3},{:.3},{:.3},{:.4},{},{},{},{},{},{:.4},{:.4},{:.4},{}\n",
            rfc3339(m.time * 1_000_000),
            m.held,
            m.held_high,
            m.usage,
            m.used(),
            m.cache(),
            m.swap,
            m.memory_limit,
            step.cpu / 1000.0,
            step.cpu_high / 1000.0,
            m.cpu_limit as f64 / 1000.0,
            step.throttled,
            m.pids,
            m.received,
            m.sent,
            m.read,
            m.written,
            step.cpu_pressure,
            step.memory_pressure,
            step.io_pressure,
            m.oom_kills
        );
    }
    out
}
