//! What a container is now: `state.json`, small, replaced atomically, written by its monitor while that lives.

use serde::{Deserialize, Serialize};

use crate::{LastRun, PastRun, Resources, RestartPolicy};

/// The mutable half of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerState {
    /// The present name, without a slash.
    pub name: String,
    pub status: Status,
    /// The main process, while it runs.
    pub main: Option<ProcessId>,
    /// The monitor, while it lives.
    pub monitor: Option<ProcessId>,
    /// Nanoseconds since the epoch; 0: never.
    pub started: u64,
    pub finished: u64,
    /// Of the last run: 0–255, 128 + signal when killed.
    pub exit_code: i32,
    /// Why the last start failed or the last run ended in a way of Silo's own; empty: no error.
    pub error: String,
    /// True only when the kernel's OOM killer ended the main process.
    pub oom_killed: bool,
    /// Every process that the OOM killer chose, the newest 32.
    pub victims: Vec<Victim>,
    pub restart_count: u32,
    /// Stopped by `stop` or `kill`: `unless-stopped` does not start it again.
    pub stopped_by_user: bool,
    /// `--limits` as changed by `update`; `None`: as created.
    pub resources: Option<Resources>,
    /// Restart policy as changed by `update`; `None`: as created.
    pub restart: Option<RestartPolicy>,
    /// Control group path below each hierarchy, while it runs.
    pub cgroup: String,
    /// IPv4 address on the bridge while it runs; empty: none.
    pub ip: String,
    /// How the last run began and ended, in facts.
    pub last: LastRun,
    /// The run before it.
    pub earlier: Option<PastRun>,
    /// Limits before each change, the newest 8 last: what `limit --undo` goes back to.
    pub limits_before: Vec<Resources>,
}

/// Docker's container states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl Status {
    /// Docker's word: `created`, `running`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Removing => "removing",
            Status::Exited => "exited",
            Status::Dead => "dead",
        }
    }

    /// Has a main process.
    pub fn is_up(self) -> bool {
        matches!(self, Status::Running | Status::Paused)
    }
}

/// A process of the host that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessId {
    pub pid: i32,
    /// Clock ticks after boot: field 22 of /proc/PID/stat, proc_pid_stat(5).
    pub start_time: u64,
}

/// A process killed by the kernel for want of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Victim {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// 0 where it could not be known.
    pub host_pid: i32,
    /// Its number inside the container; 0 where it could not be known.
    pub pid: i32,
    /// Its name of at most 15 characters.
    pub command: String,
    /// Anonymous memory that it held, bytes.
    pub anon_bytes: u64,
    /// The limit that was hit, bytes; 0: the host ran out, not the container.
    pub limit_bytes: u64,
    /// Whose limit that was.
    pub scope: OomScope,
    /// Control group with that limit; empty: not known.
    pub group: String,
    /// The kernel's counter of kills in the container's control group after this one.
    pub kills: u64,
    /// What the machine still had to give at that time, bytes.
    pub host_available_bytes: u64,
    /// Who would have been chosen next.
    pub next: Option<Candidate>,
}

/// Where memory ran out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OomScope {
    /// The kernel's log did not say.
    #[default]
    Unknown,
    /// At the container's own limit.
    Own,
    /// At the limit of a control group above it.
    Above,
    /// In the whole machine.
    Machine,
}

/// A process that lived on, with the kernel's highest score for being killed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Candidate {
    pub host_pid: i32,
    pub pid: i32,
    pub command: String,
    pub rss_bytes: u64,
}
