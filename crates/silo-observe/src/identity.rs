//! Is this still the same process? (pid, start time) against /proc/PID/stat: one open and one read, no allocation.
//!
//! Called by `ls` for every container and by everything that signals a pid it has read from a file.

use std::{
    io::{self, Write},
    os::fd::AsFd,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};
use silo_types::{Error, ProcessId, Result};

use crate::{Proc, Stat};

/// Start time of a process of the host in clock ticks after boot; `None`: there is no such process (a zombie has one).
pub fn start_time(pid: i32) -> Result<Option<u64>> {
    let found = with_stat(CWD, "/proc/", pid, |stat| stat.start_time);
    found.map_err(|e| unreadable(pid, e))
}

/// True while exactly this process of the host exists and has not ended: a zombie is not alive, nor is a later process
/// with the same number. What cannot be read (a hidden process, hidepid of proc(5)) counts as not alive.
pub fn is_alive(process: ProcessId) -> bool {
    matches_alive(with_stat(CWD, "/proc/", process.pid, |s| alive(s, process)))
}

impl Proc {
    /// [`start_time`] in this procfs.
    pub fn start_time(&self, pid: i32) -> Result<Option<u64>> {
        let found = with_stat(self, "", pid, |stat| stat.start_time);
        found.map_err(|e| unreadable(pid, e))
    }

    /// [`is_alive`] in this procfs.
    pub fn is_alive(&self, process: ProcessId) -> bool {
        matches_alive(with_stat(self, "", process.pid, |s| alive(s, process)))
    }

    /// The identity of a running process, to be kept: `None` when it does not exist.
    pub fn identify(&self, pid: i32) -> Result<Option<ProcessId>> {
        let start_time = self.start_time(pid)?;
        Ok(start_time.map(|start_time| ProcessId { pid, start_time }))
    }
}

fn alive(stat: &Stat<'_>, process: ProcessId) -> bool {
    stat.start_time == process.start_time && !stat.is_zombie()
}

fn matches_alive(found: rustix::io::Result<Option<bool>>) -> bool {
    matches!(found, Ok(Some(true)))
}

fn unreadable(pid: i32, errno: Errno) -> Error {
    Error::system(
        format!("read the start time of process {pid}"),
        io::Error::from(errno),
    )
}

fn with_stat<T>(
    root: impl AsFd,
    prefix: &str,
    pid: i32,
    use_it: impl FnOnce(&Stat<'_>) -> T,
) -> rustix::io::Result<Option<T>> {
    if pid <= 0 {
        return Ok(None);
    }
    let mut path = [0u8; 32];
    let room = path.len();
    let mut rest = &mut path[..];
    // "/proc/" and ten digits and "/stat" always fit.
    let _ = write!(rest, "{prefix}{pid}/stat");
    let length = room - rest.len();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match openat(root, &path[..length], flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
        other => other?,
    };
    let mut line = [0u8; 2048];
    let length = match rustix::io::read(file, &mut line) {
        Err(Errno::SRCH) => return Ok(None),
        other => other?,
    };
    let stat = Stat::parse(&line[..length]).ok_or(Errno::INVAL)?;
    Ok(Some(use_it(&stat)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn living_then_zombie_then_gone() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = child.id() as i32;
        let start_time = start_time(pid).unwrap().unwrap();
        let process = ProcessId { pid, start_time };
        assert!(is_alive(process));
        assert!(!is_alive(ProcessId {
            start_time: start_time + 1,
            ..process
        }));
        let proc = Proc::host().unwrap();
        assert!(proc.is_alive(process));
        assert_eq!(proc.identify(pid).unwrap(), Some(process));
        child.kill().unwrap();
        rustix::process::waitid(
            rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&child)),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        )
        .unwrap();
        assert!(!is_alive(process), "a zombie is not alive");
        assert_eq!(super::start_time(pid).unwrap(), Some(start_time));
        child.wait().unwrap();
        assert!(!is_alive(process));
        assert_eq!(super::start_time(pid).unwrap(), None);
    }

    #[test]
    fn impossible_pids() {
        for pid in [0, -1, i32::MIN, i32::MAX] {
            assert_eq!(start_time(pid).unwrap(), None);
        }
    }
}
