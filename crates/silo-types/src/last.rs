//! How a container's last run began and ended, as facts: what `why` draws its verdict from.
//!
//! Part of `state.json`, written by the monitor at the time. Opinions are not kept: they are formed when somebody asks.

use serde::{Deserialize, Serialize};

/// Facts of the last run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LastRun {
    /// The machine's life in which it began: /proc/sys/kernel/random/boot_id.
    pub boot: String,
    /// Host pid of the main process.
    pub host_pid: i32,
    /// Who started it; `None`: the restart policy.
    pub started_by: Option<Who>,
    /// Signal that ended the main process; 0: it ended by itself, or nobody saw the end.
    pub signal: i32,
    /// The kernel wrote an image of its memory.
    pub dumped: bool,
    /// What Silo was asked in this run that ends containers, the newest 8.
    pub asked: Vec<Asked>,
    /// It was asked to stop and did not until it was killed.
    pub ignored: Option<Ignored>,
    /// The kernel's line about a fault of the main process; empty: none was found.
    pub fault: String,
    /// The end was found by a later command.
    pub lost: Option<Lost>,
    /// The program never ran: the error of the state says why.
    pub failed: bool,
}

/// Who asked, as the kernel vouches for it (SO_PEERCRED, unix(7)); names are looked up when shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Who {
    pub pid: i32,
    pub uid: u32,
    /// Who logged in, whatever they became since (/proc/PID/loginuid); `None`: not known.
    pub login_uid: Option<u32>,
    /// What sudo(8) noted in the environment; a hint, not a proof.
    pub sudo_user: String,
}

/// One request that ends containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Asked {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// `kill`, `stop`, `restart`, `rm`; `monitor`: the monitor itself was sent TERM.
    pub what: String,
    /// 0: none was sent.
    pub signal: i32,
    /// Seconds until KILL; negative: never.
    pub timeout: Option<i64>,
    pub by: Who,
}

/// A stop signal that did not end the main process in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ignored {
    pub signal: i32,
    pub seconds: u64,
    pub handling: Handling,
}

/// What a process does about a signal: the masks in /proc/PID/status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Handling {
    #[default]
    Unknown,
    /// No handler: the kernel drops it for the first process of a pid namespace, pid_namespaces(7).
    None,
    Caught,
    Ignored,
    Blocked,
}

/// A run before the last one: what a container that was started again ended of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PastRun {
    /// Nanoseconds since the epoch.
    pub started: u64,
    pub finished: u64,
    pub exit_code: i32,
    pub oom_killed: bool,
    pub error: String,
    pub run: LastRun,
}

/// Why nobody saw the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lost {
    /// The monitor died first, and the kernel ended the container with it.
    #[default]
    Monitor,
    /// The same, and the kernel's log names the monitor as chosen for want of memory.
    MonitorOutOfMemory,
    /// The machine was restarted.
    Machine,
}
