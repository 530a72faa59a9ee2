//! Questions about what was: the curves of a container, all containers at one moment, the log up to a moment.

use serde_json::{Value, json};
use silo_engine::{Container, Engine, Event, EventOptions, Moment, Series, Step};
use silo_types::Result;

use super::{
    picture::{add_figures, facts},
    routes::Question,
};
use crate::{
    output::now,
    plot::{Curve, Kind},
};

/// Lines of a log at once, and letters of one line.
const MOST_LINES: usize = 400;
const LONGEST_LINE: usize = 4096;

/// Nobody wrote down when an earlier run ended: it is taken to have lasted so long behind its last moment, milliseconds.
const AFTERMATH: u64 = 2000;

/// What is worth a mark.
const MARKED: [&str; 9] = [
    "start", "die", "oom", "restart", "kill", "pause", "unpause", "update", "stop",
];

pub fn answer(engine: &Engine, question: &Question) -> Result<Value> {
    match question {
        Question::Timeline {
            container,
            span,
            until,
            columns,
        } => timeline(engine, container, *span, *until, *columns),
        Question::At { time } => at(engine, *time),
        Question::Logs { container, until } => logs(engine, container, *until),
    }
}

fn timeline(
    engine: &Engine,
    name: &str,
    span: u64,
    until: Option<u64>,
    columns: usize,
) -> Result<Value> {
    let recording = engine.recording(name)?;
    let to = until.unwrap_or_else(|| now() / 1_000_000);
    let from = to.saturating_sub(span);
    let moments = &recording.series.moments;
    let first = moments.first().map(|moment| moment.time);
    if first.is_none_or(|first| first > to) {
        return Ok(json!({"of": recording.id, "from": from, "to": to, "first": first}));
    }
    let mut series = recording.series.since(from);
    // One that idles is written down seldom: what it held last it still holds.
    let runs = recording
        .container
        .as_ref()
        .is_some_and(|c| c.state.status.is_up());
    if let (true, Some(last)) = (runs, series.moments.last().copied())
        && last.time < to
    {
        series.moments.push(Moment {
            time: to.min(now() / 1_000_000),
            held_high: last.held,
            usage_high: last.usage,
            cpu_high: 0,
            ..last
        });
    }
    let memory = Curve::new(Kind::Memory, &series, from, to, columns);
    let cpu = Curve::new(Kind::Cpu, &series, from, to, columns);
    let held = memory.columns.iter().map(|c| c.map(|c| c.value));
    let usage = memory.columns.iter().map(|c| c.map(|c| c.whole));
    let busy = cpu.columns.iter().map(|c| c.map(|c| c.value.round()));
    Ok(json!({
        "of": recording.id,
        "from": from,
        "to": to,
        "first": first,
        "held": held.collect::<Vec<_>>(),
        "usage": usage.collect::<Vec<_>>(),
        "cpu": busy.collect::<Vec<_>>(),
        "memoryLimit": memory.limit,
        "cpuLimit": cpu.limit,
        "kills": memory.kills,
        "events": marks(engine, &recording.id, from, to)?,
    }))
}

fn marks(engine: &Engine, id: &str, from: u64, to: u64) -> Result<Vec<Value>> {
    let options = EventOptions {
        since: Some(from * 1_000_000),
        // What comes meanwhile is not waited for.
        until: Some((to * 1_000_000).min(now())),
    };
    let mut marks = Vec::new();
    engine.events(&options, &mut |event: &Event| {
        if event.id == id && MARKED.contains(&event.action.as_str()) {
            let said = ["exitCode", "signal"].into_iter();
            let said = said.filter_map(|key| event.attributes.get(key));
            let words: Vec<&str> = said.map(String::as_str).collect();
            marks.push(json!({
                "time": event.time / 1_000_000,
                "action": event.action,
                "text": visible(&words.join(" ")),
            }));
        }
        true
    })?;
    Ok(marks)
}

fn at(engine: &Engine, time: u64) -> Result<Value> {
    let mut containers = Vec::new();
    for container in engine.list()? {
        if container.config.created / 1_000_000 > time {
            continue;
        }
        let mut value = facts(&container, time);
        let series = engine.recording(container.id().as_str())?.series;
        let found = moment_at(&series, &container, time);
        // Nobody counts how many there had been by then.
        value["restarts"] = Value::Null;
        value["up"] = found.is_some().into();
        value["state"] = if found.is_some() {
            "running"
        } else {
            "not running"
        }
        .into();
        if let Some((moment, step)) = found {
            add_figures(&mut value, &moment, &step);
        }
        containers.push(value);
    }
    Ok(json!({"time": time, "containers": containers}))
}

/// What a container did at a moment; `None`: it did not run.
fn moment_at(series: &Series, container: &Container, time: u64) -> Option<(Moment, Step)> {
    let count = series.moments.partition_point(|moment| moment.time <= time);
    let moments = &series.moments[..count];
    let moment = moments.last()?;
    let state = &container.state;
    let is_this_run = moment.run == state.started / 1_000_000;
    let ran = match is_this_run {
        true => state.status.is_up() || time <= state.finished / 1_000_000,
        false => {
            let next = series.moments.get(count);
            next.is_some_and(|next| next.run == moment.run) || time <= moment.time + AFTERMATH
        }
    };
    ran.then(|| (*moment, Step::glance_at(moments, time).unwrap_or_default()))
}

/// The last lines up to a moment.
pub fn logs(engine: &Engine, name: &str, until: Option<u64>) -> Result<Value> {
    let container = engine.find(name)?;
    let until = until.map(|time| time.saturating_mul(1_000_000));
    let lines = engine.log_before(&container, until, MOST_LINES)?;
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            let text = line.log.strip_suffix('\n').unwrap_or(&line.log);
            let text: String = text.chars().take(LONGEST_LINE).collect();
            json!({"time": line.time, "stream": line.stream, "text": visible(&text)})
        })
        .collect();
    Ok(json!({"of": container.id().as_str(), "lines": lines}))
}

/// A container's text with what is not to be seen written out: control characters, and marks that change the order of letters.
pub fn visible(text: &str) -> String {
    let hidden = |letter: char| {
        (letter.is_control() && letter != '\t')
            || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match hidden(letter) {
            true if u32::from(letter) < 0x100 => shown += &format!("\\x{:02x}", u32::from(letter)),
            true => shown += &format!("\\u{:04x}", u32::from(letter)),
            false => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        for (text, shown) in [
            ("plain ü 漢\ttab", "plain ü 漢\ttab"),
            ("\x1b[31mred\r\n", "\\x1b[31mred\\x0d\\x0a"),
            ("a\u{202e}b\u{200b}\u{9b}", "a\\u202eb\\u200b\\x9b"),
            ("<b>&amp;", "<b>&amp;"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }
}
