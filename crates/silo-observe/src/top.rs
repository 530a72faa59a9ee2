//! Both worlds at once, as data: each process of a container with its number outside and inside, and what it costs.
//!
//! Called by `top` and the dashboard. What /proc does not know (limits, memory of the whole, who started an exec) is given by
//! the caller. The same structure is the answer of `--format json`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{CpuSample, HostFacts, Names, Namespace, Process, forest};

/// Facts of the container that the caller knows; what is `None` is not shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopFacts {
    pub name: String,
    pub id: String,
    pub up_seconds: Option<u64>,
    /// Processors that it may use; `None`: no limit.
    pub cpus: Option<f64>,
    /// `None`: no limit.
    pub memory_limit_bytes: Option<u64>,
    /// Anonymous memory of its control group.
    pub anon_bytes: Option<u64>,
    /// Page cache of its control group.
    pub file_bytes: Option<u64>,
    /// Share of the periods in which it hit its CPU limit.
    pub throttled_percent: Option<f64>,
    /// Of the main process: [`Proc::namespaces`](crate::Proc::namespaces).
    pub namespaces: Vec<Namespace>,
}

/// Says that a process is not the container's own but came by `exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExecNote {
    pub id: String,
    /// User of the host who started it; empty: unknown.
    pub by: String,
    pub age_seconds: u64,
}

/// One process. Sizes are bytes; `None` where the kernel has no number (a zombie has no memory).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopProcess {
    pub host_pid: i32,
    /// In the container; 0: it is still on its way in.
    pub pid: i32,
    /// In the container; 0: its parent is outside.
    pub ppid: i32,
    pub user: String,
    /// Of one processor, one decimal.
    pub cpu_percent: f64,
    pub time_ms: u64,
    pub private_bytes: Option<u64>,
    pub rss_bytes: Option<u64>,
    pub pss_bytes: Option<u64>,
    pub swap_bytes: Option<u64>,
    pub state: char,
    pub threads: i32,
    pub oom_score: Option<i32>,
    pub exec: Option<ExecNote>,
    pub command: String,
    /// For a zombie: the number in the container of the parent that does not wait for it, 0 when that is outside.
    pub zombie_of: Option<i32>,
    /// Guide lines of the tree, such as `│  └─ `.
    #[serde(skip)]
    pub tree: String,
}

/// Sums. Zombies are not counted as processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopTotals {
    pub processes: usize,
    pub zombies: usize,
    pub threads: u64,
    pub cpu_percent: f64,
    pub private_bytes: u64,
    pub pss_bytes: u64,
}

/// The view: parents before children, siblings by age.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopView {
    pub container: TopFacts,
    pub processes: Vec<TopProcess>,
    pub totals: TopTotals,
}

/// What the view is made from.
pub struct TopInputs<'a> {
    /// Read with [`Want::TOP`](crate::Want::TOP).
    pub processes: &'a [Process],
    /// The moment at which they were read.
    pub host: &'a HostFacts,
    /// The container's names.
    pub names: &'a Names,
    /// (earlier, later); without them, and for processes that are new, %CPU is the mean of the whole life.
    pub cpu: Option<(&'a CpuSample, &'a CpuSample)>,
    /// By host pid.
    pub execs: &'a HashMap<i32, ExecNote>,
}

impl TopView {
    pub fn build(container: TopFacts, inputs: &TopInputs<'_>) -> TopView {
        let processes: Vec<TopProcess> = forest(inputs.processes)
            .iter()
            .map(|placed| {
                let tree = placed.prefix("│  ", "   ", "├─ ", "└─ ");
                inputs.process(&inputs.processes[placed.index], tree)
            })
            .collect();
        TopView {
            container,
            totals: totals(&processes),
            processes,
        }
    }
}

impl TopInputs<'_> {
    fn process(&self, process: &Process, tree: String) -> TopProcess {
        let memory = process.memory;
        let zombie = process.is_zombie();
        TopProcess {
            host_pid: process.host_pid,
            pid: process.pid,
            ppid: process.ppid,
            user: self.names.user(process.uid[1]),
            cpu_percent: (self.cpu_percent(process) * 10.0).round() / 10.0,
            time_ms: self.time_ms(process),
            private_bytes: memory.map(|m| m.private),
            rss_bytes: (!zombie).then(|| memory.map_or(process.rss, |m| m.rss)),
            pss_bytes: memory.map(|m| m.pss),
            swap_bytes: memory.map(|m| m.swap),
            state: process.state,
            threads: process.threads,
            oom_score: process.oom_score,
            exec: self.execs.get(&process.host_pid).cloned(),
            command: process.command(),
            zombie_of: zombie.then_some(process.ppid),
            tree,
        }
    }

    fn cpu_percent(&self, process: &Process) -> f64 {
        if process.is_zombie() {
            return 0.0;
        }
        let between =
            |(earlier, later): (&CpuSample, &CpuSample)| later.percent_since(earlier, process.id());
        self.cpu
            .and_then(between)
            .unwrap_or_else(|| process.lifetime_cpu_percent(self.host))
    }

    fn time_ms(&self, process: &Process) -> u64 {
        let precise = process.precise_cpu_ns.unwrap_or(0) / 1_000_000;
        // Threads that have ended are counted in ticks only.
        precise.max(process.cpu_ms(self.host))
    }
}

fn totals(processes: &[TopProcess]) -> TopTotals {
    let mut totals = TopTotals::default();
    for process in processes {
        if process.zombie_of.is_some() {
            totals.zombies += 1;
            continue;
        }
        totals.processes += 1;
        totals.threads += u64::try_from(process.threads).unwrap_or(0);
        totals.cpu_percent += process.cpu_percent;
        totals.private_bytes += process.private_bytes.unwrap_or(0);
        totals.pss_bytes += process.pss_bytes.unwrap_or(0);
    }
    totals.cpu_percent = (totals.cpu_percent * 10.0).round() / 10.0;
    totals
}
