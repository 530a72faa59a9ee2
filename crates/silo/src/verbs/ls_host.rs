//! `ps --host`: the whole process list of the host, with the container of each.

use serde_json::{Map, Value};
use silo_engine::Engine;
use silo_observe::{HostFacts, Names, Process, Want};
use silo_types::Result;

use crate::{
    output::{Listing, Row, ellipsis},
    terminal,
};

const PROCESSES: Listing = Listing {
    table: "{{.hostPid}}\t{{.pid}}\t{{.container}}\t{{.user}}\t{{.state}}\t{{.time}}\t{{.command}}",
    quiet: "{{.hostPid}}",
    headers: &[
        ("hostPid", "HOST-PID"),
        ("pid", "PID"),
        ("container", "CONTAINER"),
        ("user", "USER"),
        ("state", "STATE"),
        ("time", "TIME"),
        ("rssBytes", "RSS"),
        ("command", "COMMAND"),
    ],
};

/// The columns of a terminal, in this order.
const COLUMNS: [&str; 7] = [
    "hostPid",
    "pid",
    "container",
    "user",
    "state",
    "time",
    "command",
];

/// Names of containers and users are cut there, and the command is never shorter.
const NAME_MOST: usize = 16;
const COMMAND_LEAST: usize = 12;

/// The text of the whole list.
pub fn list(engine: &Engine, format: &str, quiet: bool, truncate: bool) -> Result<String> {
    let (processes, containers) = engine.host_processes(Want::PS)?;
    let (names, host) = (Names::host()?, HostFacts::now());
    let for_people = matches!(format.trim(), "" | "table") && !quiet;
    let fits = for_people && truncate && terminal::stdout_is_terminal();
    let rows: Vec<Row> = processes
        .iter()
        .map(|process| {
            let container = containers.get(&process.host_pid).map_or("", String::as_str);
            let user = names.user(process.uid[1]);
            row(process, container, user, &host, format)
        })
        .collect();
    match fits {
        true => Ok(fitting(&rows, terminal::size().1.into())),
        false => PROCESSES.render(format, quiet, &rows),
    }
}

/// Columns as wide as what is in them, the command as long as there is room.
fn fitting(rows: &[Row], width: usize) -> String {
    let header = |name: &str| {
        let found = PROCESSES.headers.iter().find(|(field, _)| *field == name);
        found.map_or(String::new(), |(_, header)| (*header).to_owned())
    };
    let cell = |row: &Row, name: &str| match &row.fields[name] {
        Value::String(text) if name == "command" => text.clone(),
        Value::String(text) => ellipsis(text, NAME_MOST),
        other => other.to_string(),
    };
    let mut lines: Vec<Vec<String>> = vec![COLUMNS.iter().map(|name| header(name)).collect()];
    lines.extend(
        rows.iter()
            .map(|row| COLUMNS.iter().map(|name| cell(row, name)).collect()),
    );
    let last = COLUMNS.len() - 1;
    let widths: Vec<usize> = (0..last)
        .map(|at| {
            lines
                .iter()
                .map(|line| line[at].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let taken: usize = widths.iter().map(|width| width + 2).sum();
    let room = if width == 0 { 80 } else { width };
    let room = room.saturating_sub(taken).max(COMMAND_LEAST);
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            text += cell;
            text += &" ".repeat(width + 2 - cell.chars().count());
        }
        text += &ellipsis(&line[last], room);
        text.push('\n');
    }
    text
}

fn row(process: &Process, container: &str, user: String, host: &HostFacts, format: &str) -> Row {
    let for_people = matches!(format.trim(), "" | "table");
    let inside = match container {
        "" => String::new(),
        _ => process.innermost_pid().to_string(),
    };
    let fields: [(&str, Value); 8] = [
        ("hostPid", process.host_pid.into()),
        (
            "pid",
            match (inside.parse::<i32>(), for_people) {
                (Ok(pid), _) => pid.into(),
                (Err(_), true) => "-".into(),
                (Err(_), false) => Value::Null,
            },
        ),
        (
            "container",
            match (container, for_people) {
                ("", true) => "-".into(),
                ("", false) => Value::Null,
                (name, _) => name.into(),
            },
        ),
        ("user", user.into()),
        ("state", process.state.to_string().into()),
        ("time", time(process.cpu_ms(host)).into()),
        ("rssBytes", process.rss.into()),
        ("command", process.command().into()),
    ];
    Row {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<_, _>>(),
        ..Row::default()
    }
}

/// Processor time as ps(1) shows it: `1:02:03`, `2:03`.
fn time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times() {
        assert_eq!(time(0), "0:00");
        assert_eq!(time(123_000), "2:03");
        assert_eq!(time(3_723_000), "1:02:03");
    }
}
