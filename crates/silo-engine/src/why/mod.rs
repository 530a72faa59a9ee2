//! Why a container ended: facts from its state and the kernel, and the verdict that follows from them.
//!
//! Called by `why`. The monitor notes facts when they happen (`monitor/cause.rs`); [`verdict`] is pure and graded: what the
//! kernel or the monitor itself has seen is certain, what fits but was seen by nobody is likely.

mod history;
mod removed;
mod verdict;

use serde::Serialize;
use silo_observe::{KernelLog, Names, ps::near};
use silo_types::{
    ContainerState, Kind, Lost, OomScope, PastRun, Result, Signal, Status, Victim, Who,
};

use crate::{Engine, container::Container, time_text};

pub use history::{History, Shape};
pub use removed::Removed;
pub use verdict::{Cause, Grade, Verdict};
use verdict::{Facts, Run};

/// Names that are looked at for what was meant.
const MOST_NAMES: usize = 20_000;

/// Everything that `why` tells. Times are RFC 3339 in UTC; empty: never.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    pub container: String,
    pub id: String,
    pub status: &'static str,
    pub exit_code: i32,
    /// Name of the signal that ended the main process, `SIGKILL`; empty: none did.
    pub signal: String,
    pub started_at: String,
    pub finished_at: String,
    pub restarts: u32,
    pub verdict: Verdict,
    /// Processes of this run that the kernel killed for want of memory, the oldest first.
    pub victims: Vec<OomVictim>,
    /// How memory grew before the last of them; none: there was none, or too little was recorded.
    pub history: Option<History>,
    /// How the run before this one ended; none: there was none.
    pub before: Option<Before>,
}

/// A process killed for want of memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OomVictim {
    pub time: String,
    /// 0: not known.
    pub pid: i32,
    pub host_pid: i32,
    pub command: String,
    /// Memory that it had allocated, bytes.
    pub memory_bytes: u64,
    /// 0: none, or not known.
    pub limit_bytes: u64,
    pub scope: OomScope,
    pub group: String,
    pub kills: u64,
    pub host_available_bytes: u64,
    pub next: Option<silo_types::Candidate>,
}

/// An earlier end.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    pub exit_code: i32,
    pub finished_at: String,
    pub verdict: Verdict,
}

impl Engine {
    /// Why the container ended, or what happened to it while it runs.
    pub fn why(&self, container: &Container) -> Result<Why> {
        let state = &container.state;
        let names = Names::host()?;
        let name = |uid| names.user(uid);
        let near = match state.last.failed
            && state.exit_code == i32::from(Kind::CommandNotFound.exit_code())
        {
            true => self.near_programs(container),
            false => Vec::new(),
        };
        let facts = Facts {
            name: container.name(),
            config: &container.config,
            victims: &state.victims,
            near: &near,
            user: &name,
            run: Run::of_state(state),
        };
        let before = state.earlier.as_ref().map(|past| Before {
            exit_code: past.exit_code,
            finished_at: moment(past.finished),
            verdict: verdict::judge(&Facts {
                run: Run::of_past(past),
                ..facts
            }),
        });
        Ok(Why {
            container: container.name().to_owned(),
            id: container.id().to_string(),
            status: state.status.as_str(),
            exit_code: state.exit_code,
            signal: signal_name(state.last.signal),
            started_at: moment(state.started),
            finished_at: match state.status.is_up() {
                true => String::new(),
                false => moment(state.finished),
            },
            restarts: state.restart_count,
            verdict: verdict::judge(&facts),
            victims: victims_of(state),
            history: self.history_of(container),
            before,
        })
    }

    /// How memory grew before the last kill of this run.
    fn history_of(&self, container: &Container) -> Option<History> {
        let state = &container.state;
        let of_run = |victim: &&Victim| !state.last.failed && victim.time >= state.started;
        let victim = state.victims.iter().rev().find(of_run)?;
        let moments = self.recording(container.id().as_str()).ok()?.series.moments;
        history::history(&moments, victim.time / 1_000_000, victim.kills)
    }

    /// Programs of the container whose names are like the one that was not found.
    fn near_programs(&self, container: &Container) -> Vec<String> {
        let Some(program) = container.config.process.args.first() else {
            return Vec::new();
        };
        let (folders, word) = match program.rsplit_once('/') {
            Some((folder, word)) => (vec![folder.to_owned()], word),
            None => (search_path(&container.config.process.env), program.as_str()),
        };
        let Ok(root) = self.open_view(container) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for folder in folders {
            list(&root, &folder, &mut names);
        }
        names.sort_unstable();
        names.dedup();
        near(word, names.iter().map(String::as_str))
            .into_iter()
            .map(|name| silo_observe::printable(name.as_bytes()))
            .collect()
    }
}

/// What became of a container whose monitor is gone.
pub(crate) fn lost(state: &ContainerState) -> Lost {
    let boot = crate::monitor::boot_id();
    if !state.last.boot.is_empty() && !boot.is_empty() && state.last.boot != boot {
        return Lost::Machine;
    }
    let Some(monitor) = state.monitor else {
        return Lost::Monitor;
    };
    let kills = KernelLog::open_at_start().and_then(|mut log| log.read_new());
    // By number and name: numbers are used again.
    let chosen = |kill: &silo_observe::OomKill| {
        kill.pid == monitor.pid && kill.command.starts_with("silo-monitor")
    };
    match kills.is_ok_and(|kills| kills.iter().any(chosen)) {
        true => Lost::MonitorOutOfMemory,
        false => Lost::Monitor,
    }
}

fn victims_of(state: &ContainerState) -> Vec<OomVictim> {
    let victims = state.victims.iter();
    victims
        .filter(|victim| !state.last.failed && victim.time >= state.started)
        .map(|victim: &Victim| OomVictim {
            time: moment(victim.time),
            pid: victim.pid,
            host_pid: victim.host_pid,
            command: victim.command.clone(),
            memory_bytes: victim.anon_bytes,
            limit_bytes: victim.limit_bytes,
            scope: victim.scope,
            group: victim.group.clone(),
            kills: victim.kills,
            host_available_bytes: victim.host_available_bytes,
            next: victim.next.clone(),
        })
        .collect()
}

fn moment(time: u64) -> String {
    match time {
        0 => String::new(),
        time => time_text(time),
    }
}

/// `SIGKILL`; empty for 0.
fn signal_name(number: i32) -> String {
    Signal::from_number(number).map_or_else(|_| String::new(), |signal| signal.to_string())
}

fn search_path(env: &[String]) -> Vec<String> {
    let path = env.iter().rev().find_map(|v| v.strip_prefix("PATH="));
    let path = path.unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(':').map(str::to_owned).collect()
}

/// Names in a folder of the container, found inside its root only.
fn list(root: &std::os::fd::OwnedFd, folder: &str, names: &mut Vec<String>) {
    use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat2};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(root, folder, flags, Mode::empty(), resolve);
    let Ok(entries) = opened.and_then(Dir::new) else {
        return;
    };
    for entry in entries.flatten().take(MOST_NAMES) {
        if let Ok(name) = entry.file_name().to_str()
            && !name.starts_with('.')
        {
            names.push(name.to_owned());
        }
    }
}

/// `alice`, `root (alice by sudo)`, `root (logged in as alice)`.
pub(crate) fn who_text(who: &Who, user: &dyn Fn(u32) -> String) -> String {
    let name = user(who.uid);
    match (who.login_uid, who.sudo_user.as_str()) {
        (Some(login), _) if login != who.uid => format!("{name} (logged in as {})", user(login)),
        (_, sudo) if !sudo.is_empty() && sudo != name => format!("{name} ({sudo} by sudo)"),
        _ => name,
    }
}

impl<'a> Run<'a> {
    fn of_state(state: &'a ContainerState) -> Run<'a> {
        Run {
            status: state.status,
            started: state.started,
            finished: state.finished,
            exit_code: state.exit_code,
            oom_killed: state.oom_killed,
            error: &state.error,
            last: &state.last,
        }
    }

    fn of_past(past: &'a PastRun) -> Run<'a> {
        Run {
            status: Status::Exited,
            started: past.started,
            finished: past.finished,
            exit_code: past.exit_code,
            oom_killed: past.oom_killed,
            error: &past.error,
            last: &past.run,
        }
    }
}

#[cfg(test)]
mod tests;
