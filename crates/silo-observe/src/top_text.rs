//! The view of both worlds as lines of text for a terminal or a pipe.
//!
//! Called by `top`. Pure: data and a width in, lines out. Colour only repeats what the words say.

use crate::{
    Namespace, TopFacts, TopProcess, TopView,
    text::{fit, printable, width},
};

/// With or without ANSI colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    Ansi,
}

const DIM: &str = "2";
const BOLD: &str = "1";
const RED: &str = "31";
const CYAN: &str = "36";

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Style::Ansi if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

const TITLES: [&str; 10] = [
    "HOST-PID", "PID", "USER", "%CPU", "TIME", "PRIVATE", "RSS", "OOM", "ST", "THR",
];
/// Widths below which a column does not shrink, so that a watched view does not jump.
const LEAST: [usize; 10] = [8, 5, 6, 5, 7, 8, 7, 4, 2, 3];
const USER: usize = 2;
/// Longer user names are cut.
const USER_CAP: usize = 12;
/// The command keeps this many cells: columns and the notes at its right give way.
const COMMAND_LEAST: usize = 16;
/// The same with notes, which say what is wrong: columns give way for them up to so many cells.
const NOTED_MOST: usize = 42;
/// Columns that a narrow terminal loses, the first first.
const SPARED: [&str; 5] = ["THR", "OOM", "TIME", "RSS", "ST"];

impl TopView {
    /// Header, titles, one line for each process, sums. No line is wider than `width` cells, unless that is less than the
    /// columns of numbers need.
    pub fn lines(&self, width: usize, style: Style) -> Vec<String> {
        let mut lines = joined(&self.header(style), width);
        lines.extend(self.rows(width, style));
        lines.extend(joined(&self.footer(style), width));
        lines
    }

    fn header(&self, style: Style) -> Vec<Piece> {
        let facts = &self.container;
        let mut pieces = vec![Piece::new(style, BOLD, printable(facts.name.as_bytes()))];
        if let Some(seconds) = facts.up_seconds {
            pieces.push(Piece::plain(format!("up {}", span(seconds))));
        }
        pieces.push(Piece::plain(cpus(facts)));
        pieces.push(Piece::plain(match facts.memory_limit_bytes {
            Some(bytes) => format!("{} limit", limit(bytes)),
            None => "no memory limit".to_owned(),
        }));
        pieces.extend(facts.namespaces.iter().filter_map(|n| namespace(n, style)));
        pieces
    }

    fn footer(&self, style: Style) -> Vec<Piece> {
        let totals = &self.totals;
        let mut count = plural(totals.processes, "process", "processes");
        if totals.zombies > 0 {
            count.push_str(", ");
            count.push_str(&plural(totals.zombies, "zombie", "zombies"));
        }
        let mut pieces = vec![Piece::plain(count)];
        let facts = &self.container;
        if let (Some(anon), Some(file)) = (facts.anon_bytes, facts.file_bytes) {
            pieces.push(Piece::plain(format!(
                "memory {} of programs, {} file cache",
                amount(anon),
                amount(file)
            )));
        }
        if let Some(percent) = facts.throttled_percent {
            let code = if percent >= 1.0 { RED } else { DIM };
            pieces.push(Piece::new(
                style,
                code,
                format!("CPU limit hit in {percent:.0} % of its periods"),
            ));
        }
        pieces
    }

    fn rows(&self, total: usize, style: Style) -> Vec<String> {
        let cells: Vec<[String; 10]> = self.processes.iter().map(numbers).collect();
        let noted = self.processes.iter().any(|p| !note(p).is_empty());
        let wanted = if noted {
            self.noted_least()
        } else {
            COMMAND_LEAST
        };
        let columns = columns(&cells, total.saturating_sub(wanted));
        let left = 2 + columns.iter().map(|column| column.width + 1).sum::<usize>();
        let commands = self.commands(total.saturating_sub(left).max(COMMAND_LEAST));
        let titles = line(&TITLES.map(str::to_owned), &columns);
        let mut lines = vec![style.paint(DIM, &format!("{titles} COMMAND"))];
        for ((process, row), (command, note)) in self.processes.iter().zip(&cells).zip(&commands) {
            let code = match process.zombie_of {
                Some(_) => RED,
                None => CYAN,
            };
            let text = format!(
                "{} {command}{}",
                line(row, &columns),
                style.paint(code, note)
            );
            lines.push(text.trim_end().to_owned());
        }
        lines
    }

    /// Cells that commands and their notes need to be read.
    fn noted_least(&self) -> usize {
        let noted = self.processes.iter().filter(|p| !note(p).is_empty());
        let cells = |p: &TopProcess| {
            let command = width(&p.tree) + width(&printable(p.command.as_bytes()));
            command.min(COMMAND_LEAST) + 2 + width(&note(p))
        };
        noted
            .map(cells)
            .max()
            .unwrap_or(0)
            .clamp(COMMAND_LEAST, NOTED_MOST)
    }

    /// (command padded or cut, note) of each process, the notes one below the other where there is room.
    fn commands(&self, room: usize) -> Vec<(String, String)> {
        let notes: Vec<String> = self.processes.iter().map(note).collect();
        let commands: Vec<String> = self
            .processes
            .iter()
            .map(|p| format!("{}{}", p.tree, printable(p.command.as_bytes())))
            .collect();
        let noted = commands
            .iter()
            .zip(&notes)
            .filter(|(_, note)| !note.is_empty());
        let longest = noted
            .clone()
            .map(|(command, _)| width(command))
            .max()
            .unwrap_or(0);
        let widest_note = noted.map(|(_, note)| width(note) + 2).max().unwrap_or(0);
        let column = longest.min(room.saturating_sub(widest_note).max(COMMAND_LEAST));
        commands
            .iter()
            .zip(notes)
            .map(|(command, note)| {
                if note.is_empty() {
                    return (fit(command, room).into_owned(), note);
                }
                let command = fit(command, column);
                let gap = column - width(&command) + 2;
                let note = fit(&note, room.saturating_sub(column + 2)).into_owned();
                (format!("{command}{}", " ".repeat(gap)), note)
            })
            .collect()
    }
}

/// A text with the cells that it takes without its colour.
struct Piece {
    text: String,
    width: usize,
}

impl Piece {
    fn plain(text: String) -> Piece {
        Piece::new(Style::Plain, "", text)
    }

    fn new(style: Style, code: &str, text: String) -> Piece {
        Piece {
            width: width(&text),
            text: style.paint(code, &text),
        }
    }
}

/// Pieces joined by ` · `, broken into lines between them.
fn joined(pieces: &[Piece], total: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if used + 3 + piece.width <= total => {
                line.push_str(" · ");
                line.push_str(&piece.text);
                used += 3 + piece.width;
            }
            _ => {
                lines.push(piece.text.clone());
                used = piece.width;
            }
        }
    }
    lines
}

/// The number columns of a process.
fn numbers(process: &TopProcess) -> [String; 10] {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
    let alive = process.zombie_of.is_none();
    [
        process.host_pid.to_string(),
        match process.pid {
            0 => "-".to_owned(),
            pid => pid.to_string(),
        },
        fit(&process.user, USER_CAP).into_owned(),
        format!("{:.1}", process.cpu_percent),
        if alive {
            time(process.time_ms)
        } else {
            "-".to_owned()
        },
        bytes(process.private_bytes),
        bytes(process.rss_bytes),
        match process.oom_score {
            Some(score) => score.to_string(),
            None => "-".to_owned(),
        },
        process.state.to_string(),
        process.threads.to_string(),
    ]
}

/// A column of numbers that is shown.
struct Column {
    at: usize,
    width: usize,
}

/// The columns that fit into `total` cells, as wide as their widest cell.
fn columns(cells: &[[String; 10]], total: usize) -> Vec<Column> {
    let widest = |at: usize| cells.iter().map(|row| width(&row[at])).max().unwrap_or(0);
    let mut columns: Vec<Column> = (0..TITLES.len())
        .map(|at| Column {
            at,
            width: LEAST[at].max(widest(at)),
        })
        .collect();
    for spared in SPARED {
        let used: usize = columns.iter().map(|column| column.width + 1).sum();
        if used + 2 <= total {
            break;
        }
        columns.retain(|column| TITLES[column.at] != spared);
    }
    columns
}

/// Numbers to the right, the user to the left.
fn line(cells: &[String; 10], columns: &[Column]) -> String {
    let mut text = String::from(" ");
    for column in columns {
        let cell = &cells[column.at];
        let pad = " ".repeat(column.width.saturating_sub(width(cell)));
        if column.at == USER {
            text.push_str(&format!("{cell}{pad} "));
        } else {
            text.push_str(&format!("{pad}{cell} "));
        }
    }
    text
}

fn note(process: &TopProcess) -> String {
    match (process.zombie_of, &process.exec) {
        (Some(0), _) => "zombie: its parent outside never waits".to_owned(),
        (Some(parent), _) => format!("zombie: {parent} never waits"),
        (None, Some(exec)) => {
            let id: String = exec.id.chars().take(4).collect();
            let by = match exec.by.as_str() {
                "" => String::new(),
                by => format!(" by {}", printable(by.as_bytes())),
            };
            format!("exec {id}{by}, {}", span(exec.age_seconds))
        }
        (None, None) => String::new(),
    }
}

/// The pid, net and user namespaces always; the others only when the host's is used, which is worth knowing. Time is left
/// out: sharing it is the rule.
fn namespace(namespace: &Namespace, style: Style) -> Option<Piece> {
    let kind = namespace.kind;
    if kind == "time" {
        return None;
    }
    if namespace.shared_with_host {
        return Some(Piece::new(
            style,
            RED,
            format!("{kind} ns shared with host"),
        ));
    }
    let shown = matches!(kind, "pid" | "net" | "user");
    shown.then(|| Piece::plain(format!("{kind} ns {}", namespace.inode)))
}

fn cpus(facts: &TopFacts) -> String {
    match facts.cpus {
        Some(1.0) => "1 CPU".to_owned(),
        Some(cpus) => {
            let text = format!("{cpus:.2}");
            format!("{} CPUs", text.trim_end_matches('0').trim_end_matches('.'))
        }
        None => "no CPU limit".to_owned(),
    }
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `0.6M`, `12.0M`, `1.5G`.
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / (1u64 << 20) as f64;
    match mib {
        m if m < 999.95 => format!("{m:.1}M"),
        m if m < 1_023_948.8 => format!("{:.1}G", m / 1024.0),
        m => format!("{:.1}T", m / 1_048_576.0),
    }
}

/// `0.6 MiB`: the same where there is no column that says what it is.
fn amount(bytes: u64) -> String {
    let text = size(bytes);
    let (number, unit) = text.split_at(text.len() - 1);
    format!("{number} {unit}iB")
}

/// A limit in the largest unit that keeps it whole: `256 MiB`.
fn limit(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in units {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} B")
}

/// `40s`, `3m`, `2h07m`, `5d03h`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `0.01s`, `3m05s`, `2h07m`.
fn time(ms: u64) -> String {
    match ms / 1000 {
        0..60 => format!("{}.{:02}s", ms / 1000, ms % 1000 / 10),
        seconds @ 60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds => span(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecNote, TopTotals};
    use proptest::prelude::*;

    fn namespace(kind: &'static str, inode: u64, shared: bool) -> Namespace {
        Namespace {
            kind,
            inode,
            shared_with_host: shared,
            shared_with_self: shared,
        }
    }

    fn process(host_pid: i32, pid: i32, command: &str) -> TopProcess {
        TopProcess {
            host_pid,
            pid,
            user: "root".to_owned(),
            time_ms: 10,
            private_bytes: Some(629_146),
            rss_bytes: Some(1_153_434),
            pss_bytes: Some(700_000),
            state: 'S',
            threads: 1,
            oom_score: Some(867),
            command: command.to_owned(),
            ..TopProcess::default()
        }
    }

    fn sketch() -> TopView {
        let exec = ExecNote {
            id: "4f1c99".to_owned(),
            by: "alice".to_owned(),
            age_seconds: 40,
        };
        TopView {
            container: TopFacts {
                name: "pinger".to_owned(),
                up_seconds: Some(200),
                cpus: Some(1.0),
                memory_limit_bytes: Some(256 << 20),
                anon_bytes: Some(3_565_158),
                file_bytes: Some(209_715),
                throttled_percent: Some(0.0),
                namespaces: vec![
                    namespace("mnt", 4026532400, false),
                    namespace("net", 4026532420, false),
                    namespace("pid", 4026532417, false),
                    namespace("time", 4026531834, true),
                    namespace("user", 4026531837, true),
                ],
                ..TopFacts::default()
            },
            processes: vec![
                process(74520, 1, "ping 10.88.0.1"),
                TopProcess {
                    exec: Some(exec),
                    time_ms: 0,
                    ..process(74611, 7, "sh")
                },
                TopProcess {
                    zombie_of: Some(7),
                    private_bytes: None,
                    rss_bytes: None,
                    oom_score: None,
                    state: 'Z',
                    tree: "└─ ".to_owned(),
                    ..process(74633, 12, "[sleep]")
                },
            ],
            totals: TopTotals {
                processes: 2,
                zombies: 1,
                ..TopTotals::default()
            },
        }
    }

    #[test]
    fn as_in_the_sketch() {
        let expected = "\
pinger · up 3m · 1 CPU · 256 MiB limit · net ns 4026532420 · pid ns 4026532417 · user ns shared with host
 HOST-PID   PID USER    %CPU    TIME  PRIVATE     RSS  OOM ST THR  COMMAND
    74520     1 root     0.0   0.01s     0.6M    1.1M  867  S   1  ping 10.88.0.1
    74611     7 root     0.0   0.00s     0.6M    1.1M  867  S   1  sh          exec 4f1c by alice, 40s
    74633    12 root     0.0       -        -       -    -  Z   1  └─ [sleep]  zombie: 7 never waits
2 processes, 1 zombie · memory 3.4 MiB of programs, 0.2 MiB file cache · CPU limit hit in 0 % of its periods";
        assert_eq!(sketch().lines(120, Style::Plain).join("\n"), expected);
    }

    #[test]
    fn colours_change_no_letter() {
        let plain = sketch().lines(100, Style::Plain);
        let coloured = sketch().lines(100, Style::Ansi).join("\n");
        let mut text = coloured.as_str();
        let mut bare = String::new();
        while let Some(escape) = text.find('\x1b') {
            bare.push_str(&text[..escape]);
            let end = text[escape..].find('m').unwrap();
            text = &text[escape + end + 1..];
        }
        assert_eq!(bare + text, plain.join("\n"));
    }

    #[test]
    fn units() {
        assert_eq!(
            (size(0), size(1 << 30)),
            ("0.0M".to_owned(), "1.0G".to_owned())
        );
        assert_eq!(
            (limit(4 << 30), limit(1500)),
            ("4 GiB".to_owned(), "1500 B".to_owned())
        );
        assert_eq!(
            (span(7600), span(90_000)),
            ("2h06m".to_owned(), "1d01h".to_owned())
        );
        assert_eq!(
            (time(59_999), time(185_000)),
            ("59.99s".to_owned(), "3m05s".to_owned())
        );
    }

    #[test]
    fn json_names_are_camel_case() {
        let json = serde_json::to_value(sketch()).unwrap();
        let process = &json["processes"][1];
        for key in [
            "hostPid",
            "pid",
            "user",
            "cpuPercent",
            "timeMs",
            "privateBytes",
            "rssBytes",
            "pssBytes",
            "state",
            "threads",
            "oomScore",
            "exec",
            "command",
        ] {
            assert!(process.get(key).is_some(), "{key}");
        }
        assert_eq!(process["exec"]["by"], "alice");
        assert_eq!(json["container"]["memoryLimitBytes"], 256 << 20);
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide(command in ".{0,80}", total in 80usize..200, ms in any::<u64>(), bytes in any::<u64>()) {
            let mut view = sketch();
            for process in &mut view.processes {
                process.command = command.clone();
                process.time_ms = ms / 1_000_000_000_000;
                process.private_bytes = Some(bytes >> 20);
                process.user = command.clone();
            }
            for line in view.lines(total, Style::Plain) {
                prop_assert!(width(&line) <= total, "{} > {total}: {line}", width(&line));
            }
        }
    }
}
