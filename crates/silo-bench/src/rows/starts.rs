//! Does the five hundredth container start as fast as the first?

use std::time::{Duration, Instant};

use silo_types::Result;

use super::title;
use crate::{
    Options, Row,
    report::{Section, verdict},
    summary::{Millis, Summary},
    tools::Tools,
};

/// So many at each end are compared.
const END: usize = 50;

/// What the last may take, against the first.
const AT_MOST: f64 = 1.2;

pub fn measure(options: &Options, tools: &Tools, network: &str) -> Result<Section> {
    let words = ["run", "-d", "--network", network, "lab", "sleep", "1000000"];
    let start = tools.silo.candidate("silo run -d", &words);
    let end = END.min(options.starts / 2).max(1);
    // The bridge and the firewall table are made by the first container ever: not what is asked here.
    start.check()?;
    let begun = Instant::now();
    let times: Vec<Duration> = (0..options.starts)
        .map(|_| start.time())
        .collect::<Result<_>>()?;
    let took = begun.elapsed();
    let first = Summary::of(times[..end].to_vec());
    let last = Summary::of(times[times.len() - end..].to_vec());
    let begun = Instant::now();
    tools.silo.remove_all();
    let removed = begun.elapsed();
    let ratio = last.ratio(&first);
    let line = |name: String, s: &Summary| {
        let cells = [s.median, s.p10, s.p90, s.most].map(|time| Millis(time).to_string());
        [vec![name], cells.to_vec()].concat()
    };
    let mut section = Section::new(format!("{}, --network {network}", title(Row::Starts)));
    section.head = vec!["silo run -d", "median ms", "p10", "p90", "most"];
    section.lines = vec![
        line(format!("first {end}"), &first),
        line(format!("last {end}"), &last),
    ];
    Ok(section
        .note(format!(
            "{}: the last take {ratio:.2} × the first (at most {AT_MOST})",
            verdict(ratio <= AT_MOST)
        ))
        .note(format!(
            "{} started in {:.1} s, removed by one `rm -f` in {:.1} s",
            options.starts,
            took.as_secs_f64(),
            removed.as_secs_f64()
        )))
}
