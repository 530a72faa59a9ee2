//! Notices of the OOM killer's work in a group, for the monitor's poll loop.

use crate::cgroup::Cgroup;
use crate::file;
use crate::layout::{Controller, Version};
use crate::parse::flat_value;
use rustix::event::{EventfdFlags, PollFlags, eventfd};
use rustix::io::Errno;
use silo_types::{Doing, Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What the kernel has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomCounters {
    /// How often memory ran out. v2 only (v1 does not count it).
    pub oom: Option<u64>,
    /// Processes of the group that were killed for it; on v2 with those of groups below. `None` before Linux 4.13.
    pub oom_kill: Option<u64>,
    /// v1: its processes wait for memory, as the OOM killer is switched off for the group.
    pub under_oom: bool,
}

/// What made the watch ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomEvent {
    /// The counters as they are. v1 reports **before** it kills, so that `oom_kill` may grow a moment later: read again
    /// with [`OomWatch::counters`] when the victim is gone.
    Counters(OomCounters),
    /// The group was removed; there will be nothing more.
    Removed,
}

/// A watch on one group. Register [`OomWatch::fd`] for [`OomWatch::interest`], and call [`OomWatch::read`] when it is ready.
#[derive(Debug)]
pub struct OomWatch {
    /// v1 `memory.oom_control`, v2 `memory.events`.
    counters: OwnedFd,
    /// v1: the eventfd that the kernel writes to. v2 has the counters' file itself.
    event: Option<OwnedFd>,
}

impl OomWatch {
    /// Starts watching; what happened before is in [`OomWatch::counters`].
    ///
    /// # Errors
    /// `Unsupported` without a memory controller, `NotFound` without the group.
    pub fn new(group: &Cgroup) -> Result<OomWatch> {
        let layout = group.layout();
        let Some(place) = layout.place(Controller::Memory) else {
            return Err(Error::unsupported(format!(
                "out-of-memory events: this host has no memory controller ({layout})"
            )));
        };
        let (dir, version) = (group.dir(place), layout.version(place));
        let path = match version {
            Version::V1 => format!("{dir}/memory.oom_control"),
            Version::V2 => format!("{dir}/memory.events"),
        };
        let counters = match file::open_read(&path) {
            Err(Errno::NOENT) => {
                let text = format!("cgroup {dir} does not exist, or its memory is not controlled");
                return Err(Error::not_found(text));
            }
            opened => opened.doing_with(|| format!("open {path}"))?,
        };
        let event = match version {
            Version::V1 => Some(register(dir, &counters)?),
            Version::V2 => None,
        };
        let watch = OomWatch { counters, event };
        // On v2 a file must have been read for a change to make it ready
        watch.counters()?;
        Ok(watch)
    }

    /// What to poll.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_ref().unwrap_or(&self.counters).as_fd()
    }

    /// What to poll for: readable on v1, priority data on v2 (which comes with an error flag).
    pub fn interest(&self) -> PollFlags {
        match self.event {
            Some(_) => PollFlags::IN,
            None => PollFlags::PRI,
        }
    }

    /// Takes the notice away, and says what happened. Does not wait.
    pub fn read(&self) -> Result<OomEvent> {
        if let Some(event) = &self.event {
            match rustix::io::read(event, &mut [0; 8]) {
                Ok(_) | Err(Errno::AGAIN) => {}
                Err(errno) => return Err(Error::system("read the out-of-memory event", errno)),
            }
        }
        match file::reread_text(&self.counters) {
            Ok(text) => Ok(OomEvent::Counters(parse(&text))),
            // v1 makes the eventfd ready on removal as well (cgroup-v1/memory.rst, 10)
            Err(Errno::NODEV) => Ok(OomEvent::Removed),
            Err(errno) => Err(Error::system("read the out-of-memory counters", errno)),
        }
    }

    /// The counters as they are; all zero once the group is gone.
    pub fn counters(&self) -> Result<OomCounters> {
        match file::reread_text(&self.counters) {
            Ok(text) => Ok(parse(&text)),
            Err(Errno::NODEV) => Ok(OomCounters::default()),
            Err(errno) => Err(Error::system("read the out-of-memory counters", errno)),
        }
    }
}

/// v1: has the kernel write to a new eventfd when memory runs out (cgroup-v1/memory.rst, 10).
fn register(dir: &str, control: &OwnedFd) -> Result<OwnedFd> {
    let event =
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).doing("make an eventfd")?;
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    let path = format!("{dir}/cgroup.event_control");
    file::write(&path, &line).doing_with(|| format!("write {line:?} to {path}"))?;
    Ok(event)
}

/// Both versions' files are `KEY VALUE` lines.
fn parse(text: &str) -> OomCounters {
    let value = |key| flat_value(text.as_bytes(), key);
    OomCounters {
        oom: value("oom"),
        oom_kill: value("oom_kill"),
        under_oom: value("under_oom") == Some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_both_versions() {
        let v1 = parse("oom_kill_disable 0\nunder_oom 1\noom_kill 3\n");
        assert_eq!((v1.oom, v1.oom_kill, v1.under_oom), (None, Some(3), true));
        let v2 = parse("low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n");
        assert_eq!(
            (v2.oom, v2.oom_kill, v2.under_oom),
            (Some(2), Some(1), false)
        );
    }
}
