//! Who the kernel's OOM killer chose: counters of the control group, names from the kernel's log.
//!
//! On v1 the notice comes before the kill: the container's pids are mapped then, and the counters looked at until they move.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use silo_cgroup::OomEvent;
use silo_observe::{KernelLog, OomKill, ProcStatus};
use silo_types::{ByteSize, ProcessId, Victim};

use super::run::Monitor;
use crate::{create::now, events::Event, protocol};

/// Victims kept in the state.
const MOST_VICTIMS: usize = 32;

/// How often, and at what distance, the counters are looked at after a notice.
const LOOKS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(5);

/// What is known of the container's troubles with memory since it was started.
#[derive(Debug)]
pub(super) struct OomState {
    /// Kills before this moment are of an earlier run: microseconds of the kernel log's clock.
    since_us: u64,
    /// Kills that have been recorded.
    pub(super) seen: u64,
    /// When to look again.
    pub(super) look_at: Option<Instant>,
    pub(super) looks_left: u32,
    /// Host pid → pid inside, taken when the kernel gave notice.
    pids: BTreeMap<i32, i32>,
}

impl OomState {
    /// From now on.
    pub(super) fn new() -> OomState {
        OomState {
            since_us: log_clock_us(),
            seen: 0,
            look_at: None,
            looks_left: 0,
            pids: BTreeMap::new(),
        }
    }
}

/// The clock that stamps the kernel's log (Documentation/ABI/testing/dev-kmsg): close to CLOCK_MONOTONIC.
fn log_clock_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

/// The kernel's records of kills in the control group since a moment.
fn kills_of(cgroup: &str, since_us: u64) -> Vec<OomKill> {
    let kills = KernelLog::open_at_start().and_then(|mut log| log.read_new());
    let ours = |path: &str| {
        path.strip_prefix(cgroup)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    kills
        .unwrap_or_default()
        .into_iter()
        // A second of slack: the two clocks drift apart.
        .filter(|k| k.time_us + 1_000_000 >= since_us && ours(&k.task_memcg))
        .collect()
}

/// Its number in the innermost pid namespace.
fn inner_pid(pid: i32) -> Option<i32> {
    let status = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    ProcStatus::parse(&status).ns_pids.last().copied()
}

impl Monitor<'_> {
    /// The kernel says that memory has run out in the container's control group.
    pub(super) fn oom_event(&mut self) {
        let Some(main) = &mut self.main else { return };
        let Some(watch) = &main.oom else { return };
        match watch.read() {
            Ok(OomEvent::Counters(_)) => {
                for pid in main.cgroup.procs(false).unwrap_or_default() {
                    if let Some(inside) = inner_pid(pid) {
                        self.oom.pids.insert(pid, inside);
                    }
                }
                self.oom.looks_left = LOOKS;
                self.oom_look();
            }
            Ok(OomEvent::Removed) | Err(_) => main.oom = None,
        }
    }

    /// Compares the counter with what was recorded; looks again later when it has not moved yet.
    pub(super) fn oom_look(&mut self) {
        let counters = self
            .main
            .as_ref()
            .and_then(|m| m.oom.as_ref())
            .and_then(|w| w.counters().ok());
        let killed = counters.and_then(|c| c.oom_kill).unwrap_or(0);
        if killed > self.oom.seen {
            let fresh = killed - self.oom.seen;
            self.oom.seen = killed;
            self.record_victims(fresh as usize);
        }
        self.oom.looks_left = self.oom.looks_left.saturating_sub(1);
        self.oom.look_at = (self.oom.looks_left > 0).then(|| Instant::now() + BETWEEN);
    }

    fn record_victims(&mut self, count: usize) {
        let limit = self
            .state
            .resources
            .as_ref()
            .unwrap_or(&self.config.resources)
            .memory
            .and_then(|limit| u64::try_from(limit).ok())
            .unwrap_or(0);
        let known: Vec<i32> = self
            .state
            .victims
            .iter()
            .filter(|v| v.time >= self.state.started)
            .map(|v| v.host_pid)
            .collect();
        let mut named = kills_of(&self.state.cgroup, self.oom.since_us);
        named.retain(|kill| !known.contains(&kill.pid));
        let skip = named.len().saturating_sub(count);
        let mut victims: Vec<Victim> = named
            .into_iter()
            .skip(skip)
            .map(|kill| Victim {
                time: now(),
                host_pid: kill.pid,
                pid: self.oom.pids.get(&kill.pid).copied().unwrap_or(0),
                command: kill.command,
                anon_bytes: kill.anon_bytes,
                limit_bytes: limit,
            })
            .collect();
        // The kernel's log may be closed to us or have run over: the counter still says that it happened.
        while victims.len() < count {
            victims.push(Victim {
                time: now(),
                limit_bytes: limit,
                ..Victim::default()
            });
        }
        for victim in victims {
            self.tell_victim(&victim);
            self.state.victims.push(victim);
        }
        let surplus = self.state.victims.len().saturating_sub(MOST_VICTIMS);
        self.state.victims.drain(..surplus);
        let _ = self.locked.write_state(&self.state);
    }

    fn tell_victim(&mut self, victim: &Victim) {
        let event = Event::of_container(&self.config, &self.state.name, "oom");
        self.engine.record(
            event
                .with("hostPid", victim.host_pid)
                .with("command", &victim.command),
        );
        let text = notice(victim, &self.state.name);
        for client in self.clients.iter_mut().filter(|c| c.attached) {
            client.send(protocol::packet(b'N', text.as_bytes()));
        }
    }

    /// Whether the main process was the OOM killer's choice: by name in the log; where that is silent, by a kill counted and a
    /// KILL that nobody asked for.
    pub(super) fn main_was_victim(&self, main: ProcessId, code: i32) -> bool {
        let victims = &self.state.victims;
        let since = self.state.started;
        let mut recent = victims.iter().filter(|v| v.time >= since);
        let named = recent.clone().any(|v| v.host_pid == main.pid);
        let unnamed = recent.any(|v| v.host_pid == 0);
        named || (unnamed && code == 137 && !self.state.stopped_by_user)
    }
}

/// One line for an attached terminal.
fn notice(victim: &Victim, name: &str) -> String {
    let who = match (victim.pid, victim.host_pid, victim.command.as_str()) {
        (_, 0, _) => "a process".to_owned(),
        (0, host, command) => format!("host pid {host} ({command})"),
        (pid, _, command) => format!("pid {pid} ({command})"),
    };
    let why = match victim.limit_bytes {
        0 => "the machine ran out of memory".to_owned(),
        limit => format!("memory limit {} reached", ByteSize(limit)),
    };
    format!("silo: {who} was killed: {why}; see 'silo inspect {name}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_names_who_and_why() {
        let victim = Victim {
            pid: 7,
            host_pid: 4711,
            command: "saturate-mem".into(),
            limit_bytes: 512 << 20,
            ..Victim::default()
        };
        assert_eq!(
            notice(&victim, "hungry"),
            "silo: pid 7 (saturate-mem) was killed: memory limit 512MiB reached; see 'silo inspect hungry'"
        );
    }
}
