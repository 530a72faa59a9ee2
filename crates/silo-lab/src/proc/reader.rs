//! One look at /proc: processes, memory, CPU time. Parsers are pure; a process that vanishes while it is read is left
//! out. Field numbers are those of proc(5).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::text;

/// A process as `ps` and `top` show it. Times in clock ticks, memory in bytes.
#[derive(Clone, Debug, Default)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    /// The words of the command line; empty for kernel threads and zombies.
    pub words: Vec<String>,
    pub state: char,
    pub tty: u32,
    pub foreground: i32,
    pub ticks: u64,
    pub nice: i64,
    pub priority: i64,
    pub threads: u64,
    /// Since boot.
    pub start: u64,
    pub virtual_size: u64,
    pub resident: u64,
    pub locked: bool,
}

impl Process {
    /// The command line; `[name]` when there is none.
    pub fn command(&self) -> String {
        match (self.words.is_empty(), self.state) {
            (true, 'Z') => format!("[{}] <defunct>", self.name),
            (true, _) => format!("[{}]", self.name),
            _ => self.words.join(" "),
        }
    }

    /// procps's STAT: the state and its marks.
    pub fn marks(&self) -> String {
        let mut marks = String::from(self.state);
        let all = [
            (self.nice < 0, '<'),
            (self.nice > 0, 'N'),
            (self.locked, 'L'),
            (self.session == self.pid, 's'),
            (self.threads > 1, 'l'),
            (self.tty != 0 && self.foreground == self.group, '+'),
        ];
        marks.extend(all.iter().filter(|m| m.0).map(|m| m.1));
        marks
    }

    /// `pts/0`, `tty1`, `?`
    pub fn tty_name(&self) -> String {
        let major = (self.tty >> 8) & 0xfff;
        let minor = (self.tty & 0xff) | ((self.tty >> 12) & 0xfff00);
        match major {
            136..=143 => format!("pts/{}", minor + (major - 136) * 256),
            4 if minor < 64 => format!("tty{minor}"),
            4 => format!("ttyS{}", minor - 64),
            5 if minor == 1 => "console".into(),
            _ => "?".into(),
        }
    }
}

/// Parses /proc/PID/stat.
pub fn parse_stat(line: &str, page: u64) -> Option<Process> {
    // The name may hold blanks and parentheses: only the last one ends it.
    let (open, close) = (line.find('(')?, line.rfind(')')?);
    let fields: Vec<&str> = line.get(close + 2..)?.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let count = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        pid: line[..open].trim().parse().ok()?,
        name: line[open + 1..close].to_string(),
        state: fields.first()?.chars().next()?,
        parent: number(4)? as i32,
        group: number(5)? as i32,
        session: number(6)? as i32,
        tty: number(7)? as u32,
        foreground: number(8)? as i32,
        ticks: count(14)? + count(15)?,
        priority: number(18)?,
        nice: number(19)?,
        threads: count(20)?,
        start: count(22)?,
        virtual_size: count(23)?,
        resident: count(24)? * page,
        ..Process::default()
    })
}

/// All processes, by pid.
pub fn processes() -> Vec<Process> {
    let page = rustix::param::page_size() as u64;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let mut all: Vec<Process> = pids.filter_map(|pid| process(pid, page)).collect();
    all.sort_by_key(|p| p.pid);
    all
}

fn process(pid: i32, page: u64) -> Option<Process> {
    let folder = format!("/proc/{pid}");
    let folder = Path::new(&folder);
    let stat = text::from_bytes(&std::fs::read(folder.join("stat")).ok()?);
    let mut process = parse_stat(stat.trim_end(), page)?;
    let owner = folder.metadata().ok()?;
    (process.uid, process.gid) = (owner.uid(), owner.gid());
    let command = std::fs::read(folder.join("cmdline")).unwrap_or_default();
    let end = command.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    if end > 0 {
        process.words = command[..end]
            .split(|b| *b == 0)
            .map(text::from_bytes)
            .collect();
    }
    Some(process)
}

/// Seconds since boot (or, in a time namespace, since its own).
pub fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|t| t.parse().ok())
        .unwrap_or(0.0)
}

/// The value of a line of /proc/meminfo, in bytes.
pub fn memory(meminfo: &str, key: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Memory of the whole host; `None` when /proc is not there.
pub fn meminfo() -> Option<String> {
    std::fs::read_to_string("/proc/meminfo").ok()
}

/// (busy, total) ticks of all CPUs from /proc/stat.
pub fn cpu_ticks(stat: &str) -> Option<(u64, u64)> {
    let numbers: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    // Guest time is part of user time already.
    let total: u64 = numbers.iter().take(8).sum();
    Some((total - numbers.get(3)? - numbers.get(4)?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "42 (a) b (c) S 1 42 42 34816 42 4194560 100 0 0 0 150 50 0 0 20 0 3 0 12345 8192000 256 18446744073709551615";

    #[test]
    fn names_with_parentheses() {
        let process = parse_stat(LINE, 4096).unwrap();
        assert_eq!(
            (
                process.pid,
                process.name.as_str(),
                process.state,
                process.parent
            ),
            (42, "a) b (c", 'S', 1)
        );
        assert_eq!(
            (process.ticks, process.threads, process.start),
            (200, 3, 12345)
        );
        assert_eq!(
            (process.virtual_size, process.resident),
            (8_192_000, 1 << 20)
        );
        assert_eq!(process.tty_name(), "pts/0");
        assert_eq!(process.marks(), "Ssl+");
        assert_eq!(process.command(), "[a) b (c]");
    }

    #[test]
    fn broken_lines_are_refused() {
        for line in ["", "1", "1 (x", "1 (x)", "1 (x) S 1", "x (y) S 1 2 3"] {
            assert!(parse_stat(line, 4096).is_none(), "{line}");
        }
    }

    #[test]
    fn memory_and_cpu() {
        assert_eq!(
            memory("MemTotal:       100 kB\nMemFree: 7 kB\n", "MemFree"),
            7168
        );
        assert_eq!(memory("", "MemFree"), 0);
        assert_eq!(cpu_ticks("cpu  10 0 5 80 5 0 0 0 3 0\n"), Some((15, 100)));
    }
}
