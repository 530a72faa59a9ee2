//! `throttle`: what a CPU limit does to a container, and what would help.

use std::time::Duration;

use clap::Args;
use silo_engine::Throttling;
use silo_types::{Error, Result};

use crate::{
    cli::{Context, Run},
    output::{Sheet, json_line, print, wants_json},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct ThrottleVerb {
    /// json: all figures as a document
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Seconds to watch, such as 1 or 0.5
    #[arg(long, value_name = "SECONDS", default_value = "1")]
    over: String,
    /// Name or id
    #[arg(required = true, value_name = "CONTAINER", help_heading = "Arguments")]
    container: String,
}

impl Run for ThrottleVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let json = wants_json(self.format.as_deref())?;
        let watch = seconds(&self.over)?;
        let engine = context.engine()?;
        let found = engine.throttle(&engine.find(&self.container)?, watch)?;
        print(&match json {
            true => json_line(&found)?,
            false => sheet(&found).text(),
        })?;
        Ok(0)
    }
}

fn seconds(typed: &str) -> Result<Duration> {
    let parsed = typed
        .parse::<f64>()
        .ok()
        .filter(|s| (0.1..=3600.0).contains(s));
    parsed.map(Duration::from_secs_f64).ok_or_else(|| {
        Error::invalid(format!(
            "invalid number of seconds: '{typed:.40}': use 0.1 to 3600"
        ))
    })
}

fn sheet(found: &Throttling) -> Sheet {
    let name = &found.container;
    let mut sheet = Sheet::new(format!("{name}: what its CPU limit does"));
    let (quota, period) = (
        found.quota_us.map(milliseconds),
        milliseconds(found.period_us),
    );
    sheet.line(
        "limit",
        match (quota, found.cpus) {
            (Some(quota), Some(cpus)) => format!(
                "{} CPU: {quota} ms of CPU time in each {period} ms{}",
                short(cpus),
                burst(found)
            ),
            _ => "none: nothing can be throttled".to_owned(),
        },
    );
    sheet.line(
        "used",
        format!(
            "{:.2} CPU in the last {:.1} s · {:.2} CPU since its start",
            found.used_cpus, found.watched_seconds, found.mean_used_cpus
        ),
    );
    if found.cpus.is_none() {
        return sheet;
    }
    sheet.line("wanted", format!("up to {:.2} CPU", found.wanted_cpus));
    sheet.line(
        "stopped",
        format!(
            "in {} of {} periods ({:.0} %) · since its start in {} of {} ({:.0} %)",
            found.throttled,
            found.periods,
            found.throttled_percent,
            found.total_throttled,
            found.total_periods,
            found.total_throttled_percent
        ),
    );
    sheet.line("pause", pause(found));
    sheet.line("to do", advice(found));
    sheet
}

fn burst(found: &Throttling) -> String {
    match found.burst_us {
        Some(burst) if burst > 0 => format!(
            ", and up to {} ms more that it saved before",
            milliseconds(burst)
        ),
        _ => String::new(),
    }
}

fn pause(found: &Throttling) -> String {
    let most = found
        .pause_at_most_ms
        .map_or_else(String::new, |most| format!("at most {most:.0} ms"));
    match found.mean_pause_ms {
        None => "none".to_owned(),
        Some(mean) => format!("{mean:.0} ms on average; {}", longest(found, &most)),
    }
}

/// By the recording; the kernel does not count it.
fn longest(found: &Throttling, possible: &str) -> String {
    let bounds = found.longest_at_least_ms.zip(found.longest_at_most_ms);
    match (found.longest_pause_ms, bounds) {
        (Some(known), _) => format!("the longest that was recorded {known:.0} ms"),
        (None, Some((least, most))) => {
            format!("the longest that was recorded between {least:.0} and {most:.0} ms")
        }
        (None, None) => format!("the longest is unknown, {possible}"),
    }
}

fn advice(found: &Throttling) -> String {
    let name = &found.container;
    let Some(cpus) = found.advised_cpus else {
        return "nothing: the limit is hardly ever reached".to_owned();
    };
    let lift = match found.cpus.is_some_and(|now| now >= cpus) {
        true => "it uses all that the machine has".to_owned(),
        false => format!("'silo limit {name} --cpus {}' lifts it", short(cpus)),
    };
    match (found.advised_burst_us, found.burst_us) {
        (Some(burst), _) => format!(
            "{lift}; '--cpu-burst {burst}' keeps the mean and lets it spend what it saved before"
        ),
        (None, None) => format!("{lift}; --cpu-burst needs Linux 5.14"),
        (None, Some(_)) => format!(
            "{lift}; --cpu-burst would not help: it uses all that it may, and so saves nothing"
        ),
    }
}

fn milliseconds(microseconds: u64) -> String {
    short(microseconds as f64 / 1000.0)
}

/// At most three places, and no zeros behind.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_seconds() {
        assert_eq!(
            (short(0.5), short(2.0), milliseconds(50_000)),
            ("0.5".into(), "2".into(), "50".into())
        );
        assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
        for bad in ["", "0", "-1", "x", "1e9", "NaN"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
