//! `ps`, `ps aux`, `ps -ef`, `ps -o pid,ppid,…`, with procps's columns.

use std::collections::HashMap;

use super::reader::{self, Process};
use crate::{cli, own};

pub fn main(args: &[String]) -> i32 {
    cli::answer("ps", table(args))
}

/// What is shown.
struct Choice {
    columns: Vec<(String, String)>,
    everyone: bool,
    without_terminal: bool,
    pids: Vec<i32>,
}

/// Name for `-o`, heading, right-aligned.
const COLUMNS: &[(&str, &str, bool)] = &[
    ("user", "USER", false),
    ("uid", "UID", true),
    ("pid", "PID", true),
    ("ppid", "PPID", true),
    ("pgid", "PGID", true),
    ("sid", "SID", true),
    ("%cpu", "%CPU", true),
    ("%mem", "%MEM", true),
    ("vsz", "VSZ", true),
    ("rss", "RSS", true),
    ("tty", "TTY", false),
    ("stat", "STAT", false),
    ("s", "S", false),
    ("start", "START", false),
    ("stime", "STIME", false),
    ("time", "TIME", true),
    ("etime", "ELAPSED", true),
    ("c", "C", true),
    ("ni", "NI", true),
    ("pri", "PRI", true),
    ("nlwp", "NLWP", true),
    ("comm", "COMMAND", false),
    ("args", "COMMAND", false),
];

fn alias(name: &str) -> &str {
    match name {
        "pcpu" => "%cpu",
        "pmem" => "%mem",
        "cmd" | "command" => "args",
        "ucmd" | "ucomm" => "comm",
        "tt" | "tname" => "tty",
        "state" => "s",
        "euser" | "uname" => "user",
        "euid" => "uid",
        "start_time" | "bsdstart" => "start",
        "cputime" => "time",
        "vsize" => "vsz",
        "rssize" => "rss",
        "pgrp" => "pgid",
        "sess" | "session" => "sid",
        "nice" => "ni",
        "thcount" => "nlwp",
        other => other,
    }
}

fn columns(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, title)| ((*name).to_string(), (*title).to_string()))
        .collect()
}

const USUAL: &[(&str, &str)] = &[
    ("pid", "PID"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("comm", "CMD"),
];
const FULL: &[(&str, &str)] = &[
    ("user", "UID"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("c", "C"),
    ("stime", "STIME"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("args", "CMD"),
];
const USER: &[(&str, &str)] = &[
    ("user", "USER"),
    ("pid", "PID"),
    ("%cpu", "%CPU"),
    ("%mem", "%MEM"),
    ("vsz", "VSZ"),
    ("rss", "RSS"),
    ("tty", "TTY"),
    ("stat", "STAT"),
    ("start", "START"),
    ("bsdtime", "TIME"),
    ("args", "COMMAND"),
];
const BSD: &[(&str, &str)] = &[
    ("pid", "PID"),
    ("tty", "TTY"),
    ("stat", "STAT"),
    ("bsdtime", "TIME"),
    ("args", "COMMAND"),
];

fn choice(args: &[String]) -> Result<Choice, String> {
    let mut chosen = Choice {
        columns: columns(USUAL),
        everyone: false,
        without_terminal: false,
        pids: Vec::new(),
    };
    let mut words = args.iter();
    let mut own_columns = Vec::new();
    while let Some(word) = words.next() {
        let bsd = !word.starts_with('-');
        if bsd && word.starts_with(|c: char| c.is_ascii_digit()) {
            chosen.pids.extend(pids(word)?);
            continue;
        }
        let letters = word.trim_start_matches('-');
        for (at, letter) in letters.char_indices() {
            match (letter, bsd) {
                ('e' | 'A', false) => (chosen.everyone, chosen.without_terminal) = (true, true),
                ('a', _) => chosen.everyone = true,
                ('x', _) => chosen.without_terminal = true,
                ('u', true) => chosen.columns = columns(USER),
                ('f' | 'F', false) => chosen.columns = columns(FULL),
                ('w' | 'H' | 'h' | 'e' | 'f' | 'l' | 'j', _) => {}
                ('o' | 'O' | 'p', _) => {
                    let attached = &letters[at + 1..];
                    let value = if attached.is_empty() {
                        words.next().cloned()
                    } else {
                        Some(attached.to_string())
                    };
                    let value = value.ok_or(format!("option {letter} needs a value"))?;
                    if letter == 'p' {
                        chosen.pids.extend(pids(&value)?);
                    } else {
                        own_columns.extend(parse_columns(&value)?);
                    }
                    break;
                }
                _ => return Err(format!("no such option: {word}")),
            }
        }
        if bsd
            && !letters.contains(['u', 'o'])
            && own_columns.is_empty()
            && chosen.columns == columns(USUAL)
        {
            chosen.columns = columns(BSD);
        }
    }
    if !own_columns.is_empty() {
        chosen.columns = own_columns;
    }
    Ok(chosen)
}

fn pids(list: &str) -> Result<Vec<i32>, String> {
    list.split([',', ' '])
        .map(|p| p.parse().map_err(|_| format!("{p}: not a process id")))
        .collect()
}

/// `pid,user=NAME,rss=`: columns, with titles of their own.
fn parse_columns(list: &str) -> Result<Vec<(String, String)>, String> {
    let column = |word: &str| {
        let (name, title) = word
            .split_once('=')
            .map_or((word, None), |(n, t)| (n, Some(t)));
        let known = COLUMNS
            .iter()
            .find(|c| c.0 == alias(&name.to_lowercase()))
            .ok_or(format!("no such column: {name}"))?;
        Ok((known.0.to_string(), title.unwrap_or(known.1).to_string()))
    };
    list.split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(column)
        .collect()
}

fn table(args: &[String]) -> Result<String, String> {
    let chosen = choice(args)?;
    if !std::path::Path::new("/proc/self/stat").exists() {
        return Err("/proc is not mounted; try 'mount -t proc proc /proc'".into());
    }
    let mut all = reader::processes();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let (uid, tty) = all
        .iter()
        .find(|p| p.pid == me)
        .map_or((0, 0), |p| (p.uid, p.tty));
    all.retain(|p| {
        if !chosen.pids.is_empty() {
            return chosen.pids.contains(&p.pid);
        }
        let ours = chosen.everyone || p.uid == uid;
        let here = chosen.without_terminal
            || (if chosen.everyone {
                p.tty != 0
            } else {
                p.tty == tty
            });
        ours && here
    });
    let mut facts = Facts::new();
    let mut rows: Vec<Vec<String>> = vec![chosen.columns.iter().map(|c| c.1.clone()).collect()];
    rows.extend(all.iter().map(|p| {
        chosen
            .columns
            .iter()
            .map(|c| facts.cell(p, &c.0))
            .collect::<Vec<_>>()
    }));
    if rows[0].iter().all(String::is_empty) {
        rows.remove(0);
    }
    Ok(aligned(&rows, &chosen.columns))
}

fn aligned(rows: &[Vec<String>], columns: &[(String, String)]) -> String {
    let minimum = |name: &str| match name {
        "pid" | "ppid" | "pgid" | "sid" => 7,
        "user" => 8,
        "vsz" | "rss" => 6,
        "tty" => 8,
        _ => 1,
    };
    let width = |i: usize| {
        rows.iter()
            .map(|r| r[i].chars().count())
            .max()
            .unwrap_or(0)
            .max(minimum(&columns[i].0))
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let name = columns[i].0.as_str();
            let right = name == "bsdtime" || COLUMNS.iter().any(|c| c.0 == name && c.2);
            let width = widths[i];
            line.push_str(if i > 0 { " " } else { "" });
            line.push_str(&if right {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// What cells need besides the process itself.
struct Facts {
    hertz: f64,
    uptime: f64,
    now: i64,
    total_memory: f64,
    users: HashMap<u32, String>,
}

impl Facts {
    fn new() -> Self {
        let memory = reader::meminfo().map_or(0, |m| reader::memory(&m, "MemTotal"));
        Self {
            hertz: rustix::param::clock_ticks_per_second() as f64,
            uptime: reader::uptime(),
            now: jiff::Timestamp::now().as_second(),
            total_memory: (memory as f64).max(1.0),
            users: HashMap::new(),
        }
    }

    fn cell(&mut self, p: &Process, column: &str) -> String {
        let elapsed = (self.uptime - p.start as f64 / self.hertz).max(0.0);
        let seconds = p.ticks as f64 / self.hertz;
        let share = if elapsed > 0.0 {
            100.0 * seconds / elapsed
        } else {
            0.0
        };
        match column {
            "user" => self
                .users
                .entry(p.uid)
                .or_insert_with(|| own::id::user_name(p.uid))
                .clone(),
            "uid" => p.uid.to_string(),
            "pid" => p.pid.to_string(),
            "ppid" => p.parent.to_string(),
            "pgid" => p.group.to_string(),
            "sid" => p.session.to_string(),
            "%cpu" => format!("{share:.1}"),
            "%mem" => format!("{:.1}", 100.0 * p.resident as f64 / self.total_memory),
            "vsz" => (p.virtual_size / 1024).to_string(),
            "rss" => (p.resident / 1024).to_string(),
            "tty" => p.tty_name(),
            "stat" => p.marks(),
            "s" => p.state.to_string(),
            "start" | "stime" => start_text(self.now - elapsed as i64, self.now),
            "time" => clock(seconds as u64),
            "bsdtime" => format!("{}:{:02}", seconds as u64 / 60, seconds as u64 % 60),
            "etime" => elapsed_text(elapsed as u64),
            "c" => (share as u64).min(99).to_string(),
            "ni" => p.nice.to_string(),
            "pri" => (39 - p.priority).to_string(),
            "nlwp" => p.threads.to_string(),
            "comm" if p.state == 'Z' => format!("{} <defunct>", p.name),
            "comm" => p.name.clone(),
            _ => p.command(),
        }
    }
}

/// `00:01:05`, with days `1-02:03:04`.
pub fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 {
        format!("{days}-{time}")
    } else {
        time
    }
}

fn elapsed_text(seconds: u64) -> String {
    let text = clock(seconds);
    text.strip_prefix("00:")
        .map_or(text.clone(), str::to_string)
}

/// The time of day within the last 24 hours, else the day.
fn start_text(start: i64, now: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(start) else {
        return "?".into();
    };
    let time = time.to_zoned_datetime(jiff::tz::TimeZone::system());
    let format = if now - start < 86400 { "%H:%M" } else { "%b%d" };
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_choose_columns() {
        let titles = |words: &[&str]| {
            let chosen = choice(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>()).unwrap();
            chosen
                .columns
                .iter()
                .map(|c| c.1.clone())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            titles(&["aux"]),
            "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"
        );
        assert_eq!(titles(&["-ef"]), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(titles(&[]), "PID TTY TIME CMD");
        assert_eq!(titles(&["ax"]), "PID TTY STAT TIME COMMAND");
        assert_eq!(titles(&["-eo", "pid,cmd=WHAT"]), "PID WHAT");
        assert!(choice(&["-o".into(), "nope".into()]).is_err() && choice(&["-Q".into()]).is_err());
    }

    #[test]
    fn times() {
        assert_eq!(clock(65), "00:01:05");
        assert_eq!(clock(93784), "1-02:03:04");
        assert_eq!(elapsed_text(65), "01:05");
    }
}
