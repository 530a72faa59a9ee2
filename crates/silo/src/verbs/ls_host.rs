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

/// Columns that the others take on a terminal, about.
const BESIDE_COMMAND: usize = 73;

/// The text of the whole list.
pub fn list(engine: &Engine, format: &str, quiet: bool, truncate: bool) -> Result<String> {
    let (processes, containers) = engine.host_processes(Want::PS)?;
    let (names, host) = (Names::host()?, HostFacts::now());
    let room = match (
        truncate && terminal::stdout_is_terminal(),
        terminal::size().1,
    ) {
        (false, _) => usize::MAX,
        (true, 0) => 80 - BESIDE_COMMAND,
        (true, columns) => usize::from(columns).saturating_sub(BESIDE_COMMAND).max(12),
    };
    let rows: Vec<Row> = processes
        .iter()
        .map(|process| {
            let container = containers.get(&process.host_pid).map_or("", String::as_str);
            let user = names.user(process.uid[1]);
            row(process, container, user, &host, format, room)
        })
        .collect();
    PROCESSES.render(format, quiet, &rows)
}

fn row(
    process: &Process,
    container: &str,
    user: String,
    host: &HostFacts,
    format: &str,
    room: usize,
) -> Row {
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
        ("command", ellipsis(&process.command(), room).into()),
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
