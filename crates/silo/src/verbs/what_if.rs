//! `what-if`: what other limits would have done, judged over the recording.

use clap::Args;
use serde_json::json;
use silo_engine::{Asked, Outcome, Recording, what_if};
use silo_types::{ByteSize, Error, Result};

use crate::{
    cli::{Context, Run},
    output::{Style, duration, now, print, rfc3339, since},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct WhatIf {
    /// A memory limit such as 300m
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// A limit of processors such as 0.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<f64>,
    /// Judge so much of the recording: a duration such as 1h, or a moment since when; all of it without
    #[arg(long, value_name = "TIME")]
    over: Option<String>,
    /// json
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Name or id; one that was removed within the hour, too
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Run for WhatIf {
    /// 1 when something would have been killed.
    fn run(self, context: &Context) -> Result<i32> {
        let asked = Asked {
            memory: self.memory.map(|size| size.0),
            cpu: self.cpus.map(thousandths).transpose()?,
        };
        let recording = context.engine()?.recording(&self.container)?;
        let from = match &self.over {
            Some(text) => since("over", text)? / 1_000_000,
            None => 0,
        };
        let series = recording.series.since(from);
        if series.moments.len() < 2 {
            return Err(Error::conflict(format!(
                "too little was recorded of {} in that time to judge from",
                recording.name
            )));
        }
        let verdict = what_if(&series, asked);
        match self.format.as_str() {
            "json" => print(&format!("{}\n", document(&recording, asked, &verdict)))?,
            "" => print(&told(&recording, asked, &verdict))?,
            other => {
                return Err(Error::invalid(format!(
                    "unknown format '{other:.80}': use json"
                )));
            }
        }
        Ok(i32::from(!verdict.kills.is_empty()))
    }
}

fn thousandths(cpus: f64) -> Result<u64> {
    match cpus.is_finite() && (0.01..=10_000.0).contains(&cpus) {
        true => Ok((cpus * 1000.0).round() as u64),
        false => Err(Error::invalid(format!(
            "invalid number of processors: {cpus}: use one from 0.01 on, such as 0.5"
        ))),
    }
}

fn processors(thousandths: u64) -> String {
    format!("{:.2}", thousandths as f64 / 1000.0)
}

fn told(recording: &Recording, asked: Asked, verdict: &Outcome) -> String {
    let style = Style::of_stdout();
    let length = std::time::Duration::from_millis(verdict.length);
    let mut text = format!(
        "{}  judged over {} of recording, {} moments\n",
        style.bold(&recording.name),
        duration(length).to_lowercase(),
        verdict.moments
    );
    text += &memory_line(asked, verdict, style);
    if verdict.killed_in_truth > 0 {
        text += &format!(
            "         under its own limit {} killed: it wanted more than was seen\n",
            match verdict.killed_in_truth {
                1 => "a process was".to_owned(),
                n => format!("{n} processes were"),
            }
        );
    }
    text += &cpu_line(asked, verdict, style);
    if verdict.throttled_in_truth {
        text += "         it was throttled by its own limit: it wanted more than was seen\n";
    }
    text
}

fn memory_line(asked: Asked, verdict: &Outcome, style: Style) -> String {
    let safe = format!(
        "highest {}, safe from {} on (-m {}m)",
        ByteSize(verdict.memory_high),
        ByteSize(verdict.memory_safe),
        verdict.memory_safe >> 20
    );
    let Some(limit) = asked.memory else {
        return format!("memory   {safe}\n");
    };
    let limit = ByteSize(limit);
    let what = match (verdict.kills.len(), verdict.squeezed) {
        (0, 0) => style.green(&format!("with {limit} nothing would have been killed")),
        (0, squeezed) => format!(
            "with {limit} nothing would have been killed, but its file cache squeezed for {}",
            seconds(squeezed)
        ),
        (1, _) => style.red(&format!("with {limit} killed once")),
        (n, _) => style.red(&format!("with {limit} killed {n} times")),
    };
    let when = match verdict.kills.first() {
        Some(first) => {
            let ago = (now() / 1_000_000).saturating_sub(*first);
            format!(", first {} ago", seconds(ago))
        }
        None => String::new(),
    };
    format!("memory   {what}{when}\n         {safe}\n")
}

fn cpu_line(asked: Asked, verdict: &Outcome, style: Style) -> String {
    let safe = format!(
        "busiest {}, mean {}, never throttled from {} on",
        processors(verdict.cpu_high),
        processors(verdict.cpu_mean),
        processors(verdict.cpu_safe)
    );
    let Some(limit) = asked.cpu else {
        return format!("cpu      {safe}\n");
    };
    let limit = processors(limit);
    let what = match verdict.throttled {
        0.0 => style.green(&format!("with {limit} never throttled")),
        share => style.red(&format!(
            "with {limit} throttled in {:.1} % of its periods, work waits up to {}",
            share * 100.0,
            seconds(verdict.pause)
        )),
    };
    format!("cpu      {what}\n         {safe}\n")
}

fn seconds(milliseconds: u64) -> String {
    match milliseconds {
        0..10_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        _ => duration(std::time::Duration::from_millis(milliseconds)).to_lowercase(),
    }
}

fn document(recording: &Recording, asked: Asked, verdict: &Outcome) -> serde_json::Value {
    let times: Vec<String> = verdict
        .kills
        .iter()
        .map(|time| rfc3339(time * 1_000_000))
        .collect();
    json!({
        "container": recording.name,
        "id": recording.id,
        "asked": {"memoryBytes": asked.memory, "cpus": asked.cpu.map(|cpu| cpu as f64 / 1000.0)},
        "seconds": verdict.length as f64 / 1000.0,
        "moments": verdict.moments,
        "kills": times,
        "squeezedSeconds": verdict.squeezed as f64 / 1000.0,
        "memoryHighBytes": verdict.memory_high,
        "usageHighBytes": verdict.usage_high,
        "memorySafeBytes": verdict.memory_safe,
        "killedInTruth": verdict.killed_in_truth,
        "throttled": verdict.throttled,
        "pauseSeconds": verdict.pause as f64 / 1000.0,
        "cpuHigh": verdict.cpu_high as f64 / 1000.0,
        "cpuMean": verdict.cpu_mean as f64 / 1000.0,
        "cpuSafe": verdict.cpu_safe as f64 / 1000.0,
        "throttledInTruth": verdict.throttled_in_truth,
    })
}
