//! The columns of ps(1) that Silo knows: name, usual title, what is read for it, its cell and its sort value.
//!
//! One table of names; the kinds of cell are an enum, so that a column without a cell cannot be written.

use silo_types::{Error, Result};

use super::{PsContext, Shown, format, near::hint};
use crate::{Process, Want};

/// What a cell shows. Numbers of processes are the host's unless both worlds are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Pid,
    HostPid,
    Ppid,
    Pgid,
    Sid,
    Tpgid,
    User,
    UserId,
    RealUser,
    RealUserId,
    Group,
    GroupId,
    RealGroup,
    RealGroupId,
    Tty,
    Stat,
    State,
    CpuPercent,
    CpuWhole,
    MemoryPercent,
    Vsz,
    Rss,
    Pages,
    Time,
    BsdTime,
    TimeSeconds,
    Elapsed,
    ElapsedSeconds,
    Started,
    StartTime,
    LongStart,
    Nice,
    Priority,
    OldPriority,
    KernelPriority,
    Processor,
    Threads,
    /// Where it waits in the kernel, or its address: never told, `-`.
    Hidden,
    Flags,
    Comm,
    Command,
    Private,
    Pss,
    Swap,
    OomScore,
    Exec,
    Container,
}

use Column::*;

/// Name, column, usual title. Names are those of ps(1), "STANDARD FORMAT SPECIFIERS"; the last block is Silo's own.
const NAMES: [(&str, Column, &str); 81] = [
    ("pid", Pid, "PID"),
    ("tgid", Pid, "TGID"),
    ("ppid", Ppid, "PPID"),
    ("pgid", Pgid, "PGID"),
    ("pgrp", Pgid, "PGRP"),
    ("sid", Sid, "SID"),
    ("sess", Sid, "SESS"),
    ("session", Sid, "SESS"),
    ("tpgid", Tpgid, "TPGID"),
    ("user", User, "USER"),
    ("uname", User, "USER"),
    ("euser", User, "EUSER"),
    ("uid", UserId, "UID"),
    ("euid", UserId, "EUID"),
    ("ruser", RealUser, "RUSER"),
    ("ruid", RealUserId, "RUID"),
    ("group", Group, "GROUP"),
    ("egroup", Group, "EGROUP"),
    ("gid", GroupId, "GID"),
    ("egid", GroupId, "EGID"),
    ("rgroup", RealGroup, "RGROUP"),
    ("rgid", RealGroupId, "RGID"),
    ("tty", Tty, "TT"),
    ("tt", Tty, "TT"),
    ("tname", Tty, "TTY"),
    ("stat", Stat, "STAT"),
    ("s", State, "S"),
    ("state", State, "S"),
    ("pcpu", CpuPercent, "%CPU"),
    ("%cpu", CpuPercent, "%CPU"),
    ("c", CpuWhole, "C"),
    ("pmem", MemoryPercent, "%MEM"),
    ("%mem", MemoryPercent, "%MEM"),
    ("vsz", Vsz, "VSZ"),
    ("vsize", Vsz, "VSZ"),
    ("rss", Rss, "RSS"),
    ("rssize", Rss, "RSS"),
    ("rsz", Rss, "RSZ"),
    ("sz", Pages, "SZ"),
    ("time", Time, "TIME"),
    ("cputime", Time, "TIME"),
    ("bsdtime", BsdTime, "TIME"),
    ("times", TimeSeconds, "TIME"),
    ("cputimes", TimeSeconds, "TIME"),
    ("etime", Elapsed, "ELAPSED"),
    ("etimes", ElapsedSeconds, "ELAPSED"),
    ("start", Started, "STARTED"),
    ("stime", StartTime, "STIME"),
    ("start_time", StartTime, "START"),
    ("bsdstart", StartTime, "START"),
    ("lstart", LongStart, "STARTED"),
    ("nice", Nice, "NI"),
    ("ni", Nice, "NI"),
    ("pri", Priority, "PRI"),
    ("opri", OldPriority, "PRI"),
    ("intpri", KernelPriority, "PRI"),
    ("priority", KernelPriority, "PRI"),
    ("psr", Processor, "PSR"),
    ("nlwp", Threads, "NLWP"),
    ("thcount", Threads, "THCNT"),
    ("wchan", Hidden, "WCHAN"),
    ("addr", Hidden, "ADDR"),
    ("f", Flags, "F"),
    ("flag", Flags, "F"),
    ("flags", Flags, "F"),
    ("comm", Comm, "COMMAND"),
    ("ucomm", Comm, "COMMAND"),
    ("ucmd", Comm, "CMD"),
    ("args", Command, "COMMAND"),
    ("command", Command, "COMMAND"),
    ("cmd", Command, "CMD"),
    ("hpid", HostPid, "HPID"),
    ("private", Private, "PRIVATE"),
    ("pss", Pss, "PSS"),
    ("swap", Swap, "SWAP"),
    ("oom", OomScore, "OOM"),
    ("oom_score", OomScore, "OOM"),
    ("threads", Threads, "THR"),
    ("exec", Exec, "EXEC"),
    ("container", Container, "CONTAINER"),
    ("host_pid", HostPid, "HPID"),
];

/// The column with this name, and its usual title.
pub fn by_name(name: &str) -> Result<(Column, &'static str)> {
    let lower = name.to_ascii_lowercase();
    let found = NAMES.iter().find(|(known, ..)| *known == lower);
    found
        .map(|(_, column, title)| (*column, *title))
        .ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let hint = hint(&shown, NAMES.iter().map(|(known, ..)| *known));
            Error::invalid(format!("unknown ps column {shown:?}{hint}"))
        })
}

/// Columns of a built-in set: words `name`, or `title:name` where the set has a title of its own.
pub fn built_in(set: &str) -> Vec<Shown> {
    let shown = |word: &str| {
        let (title, name) = match word.split_once(':') {
            Some((title, name)) => (Some(title), name),
            None => (None, word),
        };
        let (_, column, usual) = NAMES.iter().find(|(known, ..)| *known == name)?;
        Some(Shown {
            column: *column,
            title: title.map_or_else(|| (*usual).to_owned(), str::to_uppercase),
        })
    };
    set.split(' ').filter_map(shown).collect()
}

/// What rows are compared by: numbers before texts.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub enum SortValue {
    Number(i128),
    Text(String),
}

impl Column {
    /// The files that the cell comes from, besides `stat`.
    pub fn want(self) -> Want {
        let mut want = Want::default();
        match self {
            User | UserId | RealUser | RealUserId | Group | GroupId | RealGroup | RealGroupId
            | HostPid | Stat => want.status = true,
            Command => want.command_line = true,
            Private | Pss | Swap => want.memory = true,
            OomScore => want.oom_score = true,
            _ => {}
        }
        want
    }

    /// Carries the drawing of the forest.
    pub fn is_command(self) -> bool {
        matches!(self, Comm | Command)
    }

    /// The cell, never empty: `-` where there is nothing to say.
    pub fn text(self, process: &Process, inside: bool, context: &PsContext<'_>) -> String {
        let names = context.names;
        match self {
            User => names.user(process.uid[1]),
            RealUser => names.user(process.uid[0]),
            Group => names.group(process.gid[1]),
            RealGroup => names.group(process.gid[0]),
            Tty => format::terminal(process.tty),
            Stat => format::stat(process),
            State => process.state.to_string(),
            CpuPercent => format::percent(process.lifetime_cpu_percent(context.host), 999.0),
            MemoryPercent => format::percent(memory_percent(process, context), 100.0),
            Time => format::time(self.number(process, inside, context).unwrap_or(0)),
            BsdTime => format::bsd_time(self.number(process, inside, context).unwrap_or(0)),
            Elapsed => format::elapsed(self.number(process, inside, context).unwrap_or(0)),
            Started => format::started(started(process, context), now(context)),
            StartTime => format::start_time(started(process, context), now(context)),
            LongStart => format::long_start(started(process, context)),
            Nice if !matches!(process.policy, 0 | 3) => "-".to_owned(),
            Hidden => "-".to_owned(),
            Flags => format!("{}", process.flags >> 6 & 7),
            Comm => process.comm.clone(),
            Command => format::defunct(process.command(), process),
            Exec => known(context.execs.get(&process.host_pid)),
            Container => known(context.containers.get(&process.host_pid)),
            _ => match self.number(process, inside, context) {
                Some(number) => number.to_string(),
                None => "-".to_owned(),
            },
        }
    }

    /// The number behind the cell, for cells that show one. Memory is in KiB, times are in seconds.
    fn number(self, process: &Process, inside: bool, context: &PsContext<'_>) -> Option<i64> {
        let pick = |outer: i32, inner: i32| Some(i64::from(if inside { inner } else { outer }));
        let kib = |bytes: u64| Some((bytes / 1024) as i64);
        let host = context.host;
        match self {
            Pid => pick(process.host_pid, process.pid),
            Ppid => pick(process.host_ppid, process.ppid),
            Pgid => pick(process.host_pgid, process.pgid),
            Sid => pick(process.host_sid, process.sid),
            HostPid => Some(process.host_pid.into()),
            Tpgid => Some(process.tpgid.into()),
            UserId => Some(process.uid[1].into()),
            RealUserId => Some(process.uid[0].into()),
            GroupId => Some(process.gid[1].into()),
            RealGroupId => Some(process.gid[0].into()),
            CpuWhole => Some(process.lifetime_cpu_percent(host).min(99.0) as i64),
            Vsz => kib(process.vsize),
            Rss => kib(process.rss),
            Pages => Some((process.vsize / host.page_size.max(1)) as i64),
            Time | BsdTime | TimeSeconds => Some((process.cpu_ticks() / host.clock_ticks) as i64),
            Elapsed | ElapsedSeconds => {
                Some((host.age_ns(process.start_time) / 1_000_000_000) as i64)
            }
            Nice => Some(process.nice.into()),
            Priority => Some(39i64.saturating_sub(process.priority)),
            OldPriority => Some(process.priority.saturating_add(60)),
            KernelPriority => Some(process.priority),
            Processor => Some(process.processor.into()),
            Threads => Some(process.threads.into()),
            Private => kib(process.memory?.private),
            Pss => kib(process.memory?.pss),
            Swap => kib(process.memory?.swap),
            OomScore => process.oom_score.map(i64::from),
            _ => None,
        }
    }

    /// What `--sort` compares.
    pub fn sort_value(self, process: &Process, inside: bool, context: &PsContext<'_>) -> SortValue {
        let number = match self {
            CpuPercent | CpuWhole => {
                let percent = process.lifetime_cpu_percent(context.host);
                Some((percent * 1000.0) as i128)
            }
            MemoryPercent => Some(process.rss.into()),
            Vsz | Pages => Some(process.vsize.into()),
            Time | BsdTime | TimeSeconds => Some(process.cpu_ticks().into()),
            Started | StartTime | LongStart => Some(process.start_time.into()),
            Elapsed | ElapsedSeconds => Some(-i128::from(process.start_time)),
            Private | Pss | Swap | OomScore => {
                Some(self.number(process, inside, context).map_or(-1, i128::from))
            }
            _ => self.number(process, inside, context).map(i128::from),
        };
        match number {
            Some(number) => SortValue::Number(number),
            None => SortValue::Text(self.text(process, inside, context)),
        }
    }
}

fn memory_percent(process: &Process, context: &PsContext<'_>) -> f64 {
    process.rss as f64 * 100.0 / context.host.memory.max(1) as f64
}

fn known(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "-".to_owned())
}

/// Local seconds since the epoch.
fn started(process: &Process, context: &PsContext<'_>) -> i64 {
    context
        .host
        .epoch_seconds(process.start_time)
        .saturating_add(context.utc_offset_seconds.into())
}

fn now(context: &PsContext<'_>) -> i64 {
    context
        .host
        .now
        .saturating_add(context.utc_offset_seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_titled() {
        let mut names: Vec<_> = NAMES.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        assert_eq!(by_name("PID").unwrap(), (Pid, "PID"));
        assert_eq!(built_in("uid:user pri:opri")[0].title, "UID");
    }
}
