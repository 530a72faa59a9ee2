//! Who the kernel's OOM killer chose: counters of the control group, names from the kernel's log.
//!
//! On v1 the notice comes before the kill: the container's pids are mapped then, and the counters looked at until they move.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use silo_cgroup::{Cgroup, CgroupPath, OomEvent};
use silo_observe::{Constraint, KernelLog, OomKill, Proc, ProcStatus, Want};
use silo_types::{ByteSize, Candidate, OomScope, ProcessId, Victim};

use super::run::Monitor;
use crate::{create::now, events::Event, protocol};

/// Victims kept in the state.
const MOST_VICTIMS: usize = 32;

/// Processes that are looked at for who would have been next.
const MOST_CANDIDATES: usize = 256;

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
            .map(|kill| self.victim(kill))
            .collect();
        // The kernel's log may be closed to us or have run over: the counter still says that it happened.
        if victims.len() < count {
            let unnamed = self.unnamed_victim();
            victims.resize(count, unnamed);
        }
        let available = Proc::host().and_then(|proc| proc.meminfo());
        let next = self.next_candidate(&victims);
        for mut victim in victims {
            victim.kills = self.oom.seen;
            victim.host_available_bytes = available.as_ref().map_or(0, |memory| memory.available);
            victim.next.clone_from(&next);
            self.tell_victim(&victim);
            self.state.victims.push(victim);
        }
        let surplus = self.state.victims.len().saturating_sub(MOST_VICTIMS);
        self.state.victims.drain(..surplus);
        let _ = self.locked.write_state(&self.state);
    }

    /// One that the kernel's log does not name. That no limit was hit, its own or of a group above, leaves the machine.
    fn unnamed_victim(&self) -> Victim {
        let limit_bytes = self.own_limit();
        let hits = || {
            let memory = self.main.as_ref()?.cgroup.stats().ok()?.memory?;
            memory.limit_hits
        };
        let group = self.state.cgroup.as_str();
        let mut above = group.match_indices('/').skip(1).map(|(at, _)| &group[..at]);
        let is_own = limit_bytes > 0 && hits() != Some(0);
        let is_machine = !is_own && !above.any(|group| self.limit_of(group).is_some());
        Victim {
            time: now(),
            limit_bytes: if is_machine { 0 } else { limit_bytes },
            scope: match is_machine {
                true => OomScope::Machine,
                false => OomScope::Unknown,
            },
            ..Victim::default()
        }
    }

    fn own_limit(&self) -> u64 {
        let resources = self.state.resources.as_ref();
        let limit = resources.unwrap_or(&self.config.resources).memory;
        limit
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0)
    }

    fn victim(&self, kill: OomKill) -> Victim {
        let scope = scope(&kill, &self.state.cgroup);
        let limit_bytes = match scope {
            OomScope::Machine => 0,
            OomScope::Above => self.limit_of(&kill.memcg).unwrap_or(0),
            OomScope::Own | OomScope::Unknown => self.own_limit(),
        };
        Victim {
            time: now(),
            host_pid: kill.pid,
            pid: self.oom.pids.get(&kill.pid).copied().unwrap_or(0),
            command: kill.command,
            anon_bytes: kill.anon_bytes,
            limit_bytes,
            scope,
            group: kill.memcg,
            ..Victim::default()
        }
    }

    /// The memory limit of a group above the container.
    fn limit_of(&self, group: &str) -> Option<u64> {
        let layout = self.main.as_ref()?.cgroup.layout();
        let group = Cgroup::at(layout, &CgroupPath::new(group).ok()?);
        group.stats().ok()?.memory?.limit
    }

    /// Who of those that lived on has the kernel's highest score.
    fn next_candidate(&self, victims: &[Victim]) -> Option<Candidate> {
        let mut pids = self.main.as_ref()?.cgroup.procs(false).ok()?;
        pids.retain(|pid| victims.iter().all(|victim| victim.host_pid != *pid));
        pids.truncate(MOST_CANDIDATES);
        let want = Want {
            status: true,
            oom_score: true,
            ..Want::default()
        };
        let living = Proc::host().ok()?.collect(&pids, want).into_iter();
        let next = living
            .filter(|process| !process.is_zombie() && process.rss > 0)
            .max_by_key(|process| (process.oom_score, process.rss))?;
        Some(Candidate {
            host_pid: next.host_pid,
            pid: next.innermost_pid(),
            rss_bytes: next.rss,
            command: next.comm,
        })
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

/// Whose limit it was, by the kernel's own words.
fn scope(kill: &OomKill, own: &str) -> OomScope {
    match kill.constraint {
        Constraint::Host | Constraint::Cpuset | Constraint::MemoryPolicy => OomScope::Machine,
        Constraint::Unknown => OomScope::Unknown,
        Constraint::Memcg if kill.memcg.is_empty() => OomScope::Unknown,
        Constraint::Memcg => {
            let inside = kill.memcg.strip_prefix(own);
            match inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                true => OomScope::Own,
                false => OomScope::Above,
            }
        }
    }
}

/// One line for an attached terminal.
fn notice(victim: &Victim, name: &str) -> String {
    let who = match (victim.pid, victim.host_pid, victim.command.as_str()) {
        (_, 0, _) => "a process".to_owned(),
        (0, host, command) => format!("host pid {host} ({command})"),
        (pid, _, command) => format!("pid {pid} ({command})"),
    };
    let why = match (victim.scope, victim.limit_bytes) {
        (OomScope::Machine, _) | (OomScope::Unknown, 0) => {
            "the machine ran out of memory".to_owned()
        }
        (OomScope::Above, 0) => format!("memory limit of {} reached", victim.group),
        (OomScope::Above, limit) => {
            format!(
                "memory limit {} of {} reached",
                ByteSize(limit),
                victim.group
            )
        }
        (OomScope::Own, 0) => "memory limit reached".to_owned(),
        (OomScope::Own | OomScope::Unknown, limit) => {
            format!("memory limit {} reached", ByteSize(limit))
        }
    };
    format!("silo: {who} was killed: {why}; see 'silo why {name}'")
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
            "silo: pid 7 (saturate-mem) was killed: memory limit 512MiB reached; see 'silo why hungry'"
        );
        let above = Victim {
            scope: OomScope::Above,
            group: "/batch".into(),
            ..victim
        };
        let said = notice(&above, "hungry");
        assert!(
            said.contains("memory limit 512MiB of /batch reached"),
            "{said}"
        );
    }

    #[test]
    fn whose_limit_it_was() {
        let kill = |constraint, memcg: &str| OomKill {
            constraint,
            memcg: memcg.to_owned(),
            ..OomKill::default()
        };
        for (kill, expected) in [
            (kill(Constraint::Memcg, "/silo/a"), OomScope::Own),
            (kill(Constraint::Memcg, "/silo/a/inner"), OomScope::Own),
            (kill(Constraint::Memcg, "/silo"), OomScope::Above),
            (kill(Constraint::Memcg, "/silo/ab"), OomScope::Above),
            (kill(Constraint::Memcg, ""), OomScope::Unknown),
            (kill(Constraint::Host, ""), OomScope::Machine),
            (kill(Constraint::Unknown, ""), OomScope::Unknown),
        ] {
            assert_eq!(scope(&kill, "/silo/a"), expected, "{kill:?}");
        }
    }
}
