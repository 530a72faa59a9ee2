//! Facts of a process of the host from /proc/PID/stat: is it still the same, has it ended, did it ever execute a program; and what
//! others read of the own one.

use std::os::{
    fd::{AsRawFd, BorrowedFd},
    unix::fs::FileExt,
};

use silo_types::{Doing, Error, ProcessId, Result};

/// Set from fork to the first exec: `PF_FORKNOEXEC` of linux/sched.h.
const PF_FORKNOEXEC: u64 = 0x40;

/// Fields of proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) state: u8,
    pub(crate) flags: u64,
    /// Clock ticks after boot.
    pub(crate) start_time: u64,
}

impl Facts {
    /// `None`: there is no such process, or it cannot be seen.
    pub(crate) fn of(pid: i32) -> Option<Facts> {
        parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Zombies have ended; so have those that the kernel is about to take away.
    pub(crate) fn has_ended(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    pub(crate) fn executed(self) -> bool {
        self.flags & PF_FORKNOEXEC == 0
    }
}

/// A process by number and start time.
pub(crate) fn identify(pid: i32) -> Result<ProcessId> {
    let facts = Facts::of(pid).ok_or_else(|| Error::internal(format!("process {pid} vanished")))?;
    Ok(ProcessId {
        pid,
        start_time: facts.start_time,
    })
}

/// The number of a process that is held by a pidfd, as the caller's /proc has it.
pub(crate) fn pid_of(pidfd: BorrowedFd<'_>) -> Result<u32> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let facts = std::fs::read_to_string(&path).doing(path)?;
    facts
        .lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
        .ok_or_else(|| Error::internal("a pidfd without a pid"))
}

/// The facts of exactly this process, unless it has gone.
pub(crate) fn same(process: ProcessId) -> Option<Facts> {
    Facts::of(process.pid).filter(|facts| facts.start_time == process.start_time)
}

/// Overwrites the words that the calling process was started with where the kernel reads them (proc_pid_cmdline(5)), as far as they
/// have room.
pub fn retitle(title: &str) -> Result<()> {
    let [words, _] = start_of_memory()?;
    overwrite(words, title)
}

/// The same and with its environment: for one that lives on among others, whom it tells nothing of its start. Nobody may want the
/// environment afterwards.
pub(crate) fn forget_start(title: &str) -> Result<()> {
    let [words, environment] = start_of_memory()?;
    overwrite(words, title)?;
    overwrite(environment, "")
}

/// Where the words and the environment lie: first address, and the one behind the last.
fn start_of_memory() -> Result<[(u64, u64); 2]> {
    let stat = std::fs::read_to_string("/proc/self/stat").doing("read /proc/self/stat")?;
    let rest = stat.rsplit(')').next().unwrap_or_default();
    // `arg_start` is field 48, followed by `arg_end`, `env_start` and `env_end`; the rest begins with field 3.
    let fields = rest.split_ascii_whitespace().skip(45).take(4);
    match fields.map_while(|f| f.parse().ok()).collect::<Vec<u64>>()[..] {
        [a, b, c, d] if a <= b && c <= d => Ok([(a, b), (c, d)]),
        _ => Err(Error::internal("no place of the words in /proc/self/stat")),
    }
}

fn overwrite((start, end): (u64, u64), text: &str) -> Result<()> {
    let room = (end - start) as usize;
    let mut bytes = text.as_bytes()[..text.len().min(room)].to_vec();
    bytes.resize(room, 0);
    std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/mem")
        .and_then(|memory| memory.write_all_at(&bytes, start))
        .doing("overwrite the words")
}

/// The name may hold anything, also `)`: fields are counted behind the last one.
fn parse(stat: &str) -> Option<Facts> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
    Some(Facts {
        state: *fields.first()?.as_bytes().first()?,
        flags: fields.get(6)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) Z 0 1) S 1 7 7 0 -1 4194368 1 0 0 0 0 0 0 0 20 0 1 0 12345 6 7\n";
        let facts = parse(stat).unwrap();
        assert_eq!((facts.state, facts.start_time), (b'S', 12345));
        assert!(!facts.executed() && !facts.has_ended());
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn this_process_is_itself() {
        let own = identify(std::process::id() as i32).unwrap();
        assert!(same(own).is_some());
        let other = ProcessId {
            start_time: own.start_time + 1,
            ..own
        };
        assert!(same(other).is_none());
    }
}
