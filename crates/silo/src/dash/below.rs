//! What lies below the containers: processes, namespaces, timeline, logs of the chosen one, as lines.

use ratatui_core::text::{Line, Span};
use silo_engine::{Container, Engine, LogOptions, Step};
use silo_observe::{TopProcess, TopView};
use silo_types::Result;

use super::{
    app::{App, SPANS},
    draw::{ALERT, BOLD, Below, FAINT},
};
use crate::{
    live::{Data, Entry},
    output::{clock, now},
    plot::{Curve, Face, Kind, LABELS, memory, text},
};

/// Log lines that are read back.
const LOG: usize = 200;

/// Processes, and what they were chosen from.
pub fn processes(data: &mut Data<'_>, container: &Container) -> Result<(Below, Vec<TopProcess>)> {
    let view: TopView = data.processes(container, usize::MAX)?;
    let mut lines = vec![Line::styled(
        " HOST-PID   PID USER     %CPU    TIME PRIVATE    RSS  OOM S COMMAND",
        BOLD,
    )];
    lines.extend(view.processes.iter().map(process));
    let count = view.processes.len();
    let below = Below {
        heading: format!(
            "{} processes, {} zombies (a: all)",
            view.totals.processes, view.totals.zombies
        ),
        lines,
        choosable: count,
    };
    Ok((below, view.processes))
}

/// The same of the whole host, busiest first, with the container of each.
pub fn everywhere(data: &mut Data<'_>) -> Result<(Below, Vec<TopProcess>)> {
    let all = data.everywhere()?;
    let heading = format!("all of the host: {} (a)", all.len());
    let mut lines = vec![Line::styled(
        " HOST-PID   PID CONTAINER        USER     %CPU    TIME    RSS S COMMAND",
        BOLD,
    )];
    lines.extend(all.iter().map(|(p, container)| {
        let rss = p.rss_bytes.map_or("-".to_owned(), |b| memory(b as f64));
        let pid = match container.as_str() {
            "" => "-".to_owned(),
            _ => p.pid.to_string(),
        };
        let text = format!(
            " {:>8} {pid:>5} {:<16} {:<7} {:>5.1} {:>6.1}s {rss:>6} {} {}",
            p.host_pid,
            crate::output::ellipsis(container, 16),
            crate::output::ellipsis(&p.user, 7),
            p.cpu_percent,
            p.time_ms as f64 / 1000.0,
            p.state,
            p.command
        );
        match p.zombie_of {
            Some(_) => Line::styled(text, ALERT),
            None => Line::raw(text),
        }
    }));
    let below = Below {
        heading,
        choosable: all.len(),
        lines,
    };
    Ok((below, all.into_iter().map(|(process, _)| process).collect()))
}

fn process(p: &TopProcess) -> Line<'static> {
    let size = |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| memory(bytes as f64));
    let score = p
        .oom_score
        .map_or("-".to_owned(), |score| score.to_string());
    let seconds = p.time_ms as f64 / 1000.0;
    let text = format!(
        " {:>8} {:>5} {:<7} {:>5.1} {seconds:>6.1}s {:>7} {:>6} {score:>4} {} {}{}",
        p.host_pid,
        p.pid,
        crate::output::ellipsis(&p.user, 7),
        p.cpu_percent,
        size(p.private_bytes),
        size(p.rss_bytes),
        p.state,
        p.tree,
        p.command
    );
    match p.zombie_of {
        Some(parent) => Line::styled(format!("{text}  zombie: {parent} never waits"), ALERT),
        None => Line::raw(text),
    }
}

/// A grid: containers downwards, kinds of namespaces to the right.
pub fn namespaces(data: &mut Data<'_>, shown: &[Container]) -> Below {
    const KINDS: [&str; 8] = ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user", "time"];
    let mut head = format!(" {:<16}", "NAME");
    for kind in KINDS {
        head += &format!(" {kind:>6}");
    }
    let mut lines = vec![Line::styled(head, BOLD)];
    for container in shown {
        let Some(namespaces) = data.namespaces(container) else {
            continue;
        };
        let name = crate::output::ellipsis(container.name(), 16);
        let mut spans = vec![Span::raw(format!(" {name:<16}"))];
        for kind in KINDS {
            let found = namespaces.iter().find(|namespace| namespace.kind == kind);
            spans.push(match found {
                Some(namespace) if namespace.shared_with_host => {
                    Span::styled(format!(" {:>6}", "SHARED"), ALERT)
                }
                Some(_) => Span::raw(format!(" {:>6}", "own")),
                None => Span::styled(format!(" {:>6}", "-"), FAINT),
            });
        }
        lines.push(Line::from(spans));
    }
    Below {
        heading: "SHARED: the host's".to_owned(),
        lines,
        choosable: 0,
    }
}

/// The limits of the order in which they can be chosen, and the curve of the chosen one over the last minute.
pub fn limits(
    engine: &Engine,
    entry: &Entry,
    app: &App,
    (width, height): (u16, u16),
) -> Result<Below> {
    let moment = entry.glance.unwrap_or_default().moment;
    let bytes = |bytes: u64| memory(bytes as f64);
    let limit = |limit: u64, text: String| match limit {
        0 => "none".to_owned(),
        _ => text,
    };
    let cpus = |thousandths: f64| format!("{:.2}", thousandths / 1000.0);
    let row =
        |name: &str, limit: String, used: String| format!(" {name:<12} {limit:>10} {used:>10}");
    let mut lines = vec![
        Line::styled(row("LIMIT", "SET".to_owned(), "USED".to_owned()), BOLD),
        Line::raw(row(
            "memory",
            limit(moment.memory_limit, bytes(moment.memory_limit)),
            bytes(moment.held),
        )),
        Line::raw(row(
            "processors",
            limit(moment.cpu_limit, cpus(moment.cpu_limit as f64)),
            cpus(entry.cpu()),
        )),
    ];
    let kind = match app.line {
        0 => Kind::Memory,
        _ => Kind::Cpu,
    };
    let recording = engine.recording(entry.container.id().as_str())?;
    if let Some(last) = recording.series.moments.last() {
        let columns = usize::from(width).saturating_sub(LABELS + 3).max(10);
        let from = last.time.saturating_sub(60_000);
        let curve = Curve::new(kind, &recording.series, from, last.time, columns);
        let rows = usize::from(height).saturating_sub(8).max(2);
        let drawn = text(&curve, rows, Face::Plain);
        lines.extend(drawn.lines().map(|line| Line::raw(line.to_owned())));
    }
    Ok(Below {
        heading: "+ more  - less  u undo".to_owned(),
        lines,
        choosable: 2,
    })
}

/// Memory and processor over the recording, with a cursor that goes back.
pub fn timeline(
    engine: &Engine,
    entry: &Entry,
    app: &mut App,
    (width, height): (u16, u16),
) -> Result<Below> {
    let recording = engine.recording(entry.container.id().as_str())?;
    let moments = &recording.series.moments;
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
        return Ok(Below {
            heading: "nothing is recorded yet".to_owned(),
            ..Below::default()
        });
    };
    let to = match entry.glance {
        Some(_) => now() / 1_000_000,
        None => last.time,
    };
    let (minutes, span) = SPANS[app.span];
    let from = first.time.max(to.saturating_sub(minutes * 60_000)).min(to);
    let columns = usize::from(width).saturating_sub(LABELS + 3).max(10);
    app.back = app.back.min(columns - 1);
    let column = columns - 1 - app.back;
    let each = usize::from(height).saturating_sub(7) / 2;
    let mut lines = Vec::new();
    for kind in [Kind::Memory, Kind::Cpu] {
        let curve = Curve::new(kind, &recording.series, from, to, columns);
        lines.extend(
            text(&curve, each.max(1), Face::Plain)
                .lines()
                .map(|l| Line::raw(l.to_owned())),
        );
    }
    let length = to.saturating_sub(from).max(1);
    let at = from + length * (column as u64 + 1) / columns as u64;
    let place = moments.partition_point(|m| m.time <= at);
    let there = match place.checked_sub(1).map(|n| (n, &moments[n])) {
        None => String::new(),
        Some((n, moment)) => {
            let before = n.checked_sub(1).map(|n| &moments[n]);
            let step = before.and_then(|before| Step::between(before, moment));
            let step = step.unwrap_or_default();
            format!(
                "{}  {}  cpu {:.2}",
                clock(at * 1_000_000, minutes > 600),
                memory(moment.held as f64),
                step.cpu / 1000.0
            )
        }
    };
    lines.insert(0, Line::raw(cursor(&there, LABELS + 2 + column)));
    Ok(Below {
        heading: format!("{span} (z)"),
        lines,
        choosable: 0,
    })
}

/// The mark above a column, and what was there beside it, on the side that has room.
fn cursor(there: &str, column: usize) -> String {
    let length = there.chars().count() + 1;
    match column.checked_sub(length) {
        Some(gap) => format!("{:gap$}{there} ▼", ""),
        None => format!("{:column$}▼ {there}", ""),
    }
}

/// The newest lines, with their times.
pub fn logs(engine: &Engine, container: &Container, height: u16) -> Result<Below> {
    let options = LogOptions {
        tail: Some(LOG.min(usize::from(height).max(1))),
        ..LogOptions::default()
    };
    let mut lines = Vec::new();
    engine.logs(container, &options, &mut |line| {
        let text: String = line
            .log
            .chars()
            .filter(|letter| !letter.is_control())
            .collect();
        let time = line.time.get(11..19).unwrap_or_default().to_owned();
        lines.push(Line::from(vec![
            Span::styled(format!(" {time} "), FAINT),
            Span::raw(text),
        ]));
        true
    })?;
    Ok(Below {
        heading: "times are UTC".to_owned(),
        lines,
        choosable: 0,
    })
}
