//! Before a limit is changed: what the kernel would have to take back, and who would be killed for it. And the way back after.
//!
//! Called by `limit`. [`foresee`] is pure. What can be dropped is counted by the kernel; whom it would kill is its own score's
//! order at this moment, so that a preview is a forecast and no promise.

use std::time::Duration;

use serde::Serialize;
use silo_cgroup::{Controller, Layout, MemoryStats, Version};
use silo_observe::{Proc, Want};
use silo_types::{Candidate, Resources, Result};

use crate::{Engine, container::Container, monitor, protocol::Request, resources};

/// What a change would do. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    pub container: String,
    /// False: the new limits hold from the next start on.
    pub running: bool,
    pub before: Resources,
    pub after: Resources,
    pub memory: Option<MemoryPreview>,
    pub cpu: Option<CpuPreview>,
    pub pids: Option<PidsPreview>,
}

/// A new memory limit against what is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryPreview {
    pub limit: u64,
    pub usage: u64,
    /// Cached files that the kernel would drop.
    pub reclaimed: u64,
    /// What is above the limit even then.
    pub beyond: u64,
    /// Whom the kernel would kill for it, in its order; more than one when one is not enough.
    pub victims: Vec<Candidate>,
    /// A limit that slows and never kills.
    pub soft: bool,
    /// Groups v1: the kernel refuses a limit that it cannot reach, and kills nobody.
    pub refused: bool,
}

/// A new CPU limit against what is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuPreview {
    pub cpus: f64,
    /// In a short look.
    pub used_cpus: f64,
}

/// A new number of processes against what there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PidsPreview {
    pub limit: u64,
    pub current: u64,
}

/// How long CPU time is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Processes that are looked at.
const MOST_CANDIDATES: usize = 1024;

impl Engine {
    /// What these limits would do to a container.
    pub fn preview_limits(&self, container: &Container, asked: &Resources) -> Result<Preview> {
        let before = container.resources().clone();
        let mut preview = Preview {
            container: container.name().to_owned(),
            running: container.state.status.is_up(),
            after: resources::overlay(&before, asked),
            before,
            ..Preview::default()
        };
        if !preview.running {
            return Ok(preview);
        }
        let mut sampler = self.sampler(container)?;
        let first = sampler.sample()?;
        let is_v2 = self.slows_memory()?;
        let soft = asked.memory.is_none();
        let limit = asked
            .memory
            .or(asked.memory_high)
            .or(asked.memory_reservation);
        let limit = limit.and_then(|bytes| u64::try_from(bytes).ok());
        if let (Some(limit), Some(memory)) = (limit, first.stats.memory) {
            let candidates = self.candidates(container)?;
            preview.memory = Some(foresee(limit, &memory, &candidates, soft, is_v2));
        }
        if let Some(cpus) = cpus(asked) {
            std::thread::sleep(LOOK);
            let second = sampler.sample()?;
            let used = |sample: &crate::Sample| sample.stats.cpu.map_or(0, |cpu| cpu.total_ns);
            let nanoseconds = second.time.saturating_sub(first.time).max(1);
            preview.cpu = Some(CpuPreview {
                cpus,
                used_cpus: used(&second).saturating_sub(used(&first)) as f64 / nanoseconds as f64,
            });
        }
        if let (Some(limit), Some(pids)) = (
            asked.pids_limit.and_then(|n| u64::try_from(n).ok()),
            first.stats.pids,
        ) {
            preview.pids = Some(PidsPreview {
                limit,
                current: pids.current,
            });
        }
        Ok(preview)
    }

    /// Whether this host has a limit that slows and does not kill (`memory.high` of groups v2).
    pub fn slows_memory(&self) -> Result<bool> {
        let layout = Layout::detect()?;
        let place = layout.place(Controller::Memory);
        Ok(place.is_some_and(|place| layout.hierarchies()[place].version == Version::V2))
    }

    /// Sets the limits before the last change again; they are returned.
    pub fn undo_limits(&self, container: &Container) -> Result<Resources> {
        let Some(before) = container.state.limits_before.last().cloned() else {
            return Err(monitor::nothing_to_undo(container.name()));
        };
        if container.state.monitor.is_some() {
            self.ask(container, &Request::UndoUpdate)?;
        } else {
            self.change(container, |state| {
                state.resources = state.limits_before.pop();
                Ok(())
            })?;
        }
        Ok(before)
    }

    /// Processes of a container in the order in which the kernel would kill them.
    fn candidates(&self, container: &Container) -> Result<Vec<Candidate>> {
        let mut pids = self.processes(container)?;
        pids.truncate(MOST_CANDIDATES);
        let want = Want {
            status: true,
            oom_score: true,
            ..Want::default()
        };
        let mut living = Proc::host()?.collect(&pids, want);
        living.retain(|process| !process.is_zombie());
        living.sort_by_key(|process| std::cmp::Reverse((process.oom_score, process.rss_anon)));
        let candidate = |process: silo_observe::Process| Candidate {
            host_pid: process.host_pid,
            pid: process.innermost_pid(),
            rss_bytes: process.rss_anon,
            command: process.comm,
        };
        Ok(living.into_iter().map(candidate).collect())
    }
}

/// The CPUs that were asked for; none: they stay.
fn cpus(asked: &Resources) -> Option<f64> {
    let quota = asked.cpu_quota.filter(|quota| *quota > 0);
    let by_quota =
        quota.map(|quota| quota as f64 / asked.cpu_period.unwrap_or(100_000).max(1) as f64);
    asked.nano_cpus.map(|nano| nano as f64 / 1e9).or(by_quota)
}

fn foresee(
    limit: u64,
    memory: &MemoryStats,
    candidates: &[Candidate],
    soft: bool,
    is_v2: bool,
) -> MemoryPreview {
    let above = memory.usage.saturating_sub(limit);
    // Shared memory is counted as cache, but there is nothing behind it that it could be read from again.
    let droppable = memory.file.saturating_sub(memory.shmem);
    let reclaimed = above.min(droppable);
    let beyond = above - reclaimed;
    let mut victims = Vec::new();
    let mut left = beyond;
    if !soft && is_v2 {
        for candidate in candidates {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(candidate.rss_bytes);
            victims.push(candidate.clone());
        }
    }
    MemoryPreview {
        limit,
        usage: memory.usage,
        reclaimed,
        beyond,
        victims,
        soft,
        refused: !soft && !is_v2 && beyond > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn memory() -> MemoryStats {
        MemoryStats {
            usage: 100 * MIB,
            anon: 60 * MIB,
            file: 40 * MIB,
            shmem: 10 * MIB,
            ..MemoryStats::default()
        }
    }

    fn candidates() -> Vec<Candidate> {
        [(7, 30), (8, 20), (1, 10)]
            .map(|(pid, mib)| Candidate {
                pid,
                rss_bytes: mib * MIB,
                ..Candidate::default()
            })
            .to_vec()
    }

    #[test]
    fn what_a_memory_limit_takes() {
        for (limit, reclaimed, beyond, victims) in [
            (200, 0, 0, &[][..]),
            (100, 0, 0, &[]),
            (80, 20, 0, &[]),
            (70, 30, 0, &[]),
            (60, 30, 10, &[7]),
            (30, 30, 40, &[7, 8]),
            (1, 30, 69, &[7, 8, 1]),
        ] {
            let found = foresee(limit * MIB, &memory(), &candidates(), false, true);
            assert_eq!(
                (found.reclaimed, found.beyond),
                (reclaimed * MIB, beyond * MIB),
                "{limit}"
            );
            let pids: Vec<i32> = found.victims.iter().map(|v| v.pid).collect();
            assert_eq!(pids, victims, "{limit}");
            assert!(!found.refused);
        }
    }

    #[test]
    fn soft_limits_and_v1_kill_nobody() {
        let soft = foresee(30 * MIB, &memory(), &candidates(), true, true);
        assert!(soft.victims.is_empty() && !soft.refused && soft.beyond > 0);
        let v1 = foresee(30 * MIB, &memory(), &candidates(), false, false);
        assert!(v1.victims.is_empty() && v1.refused);
        assert!(!foresee(80 * MIB, &memory(), &candidates(), false, false).refused);
    }

    #[test]
    fn cpus_that_are_asked_for() {
        let asked = Resources {
            cpu_quota: Some(50_000),
            ..Resources::default()
        };
        assert_eq!(cpus(&asked), Some(0.5));
        assert_eq!(cpus(&Resources::default()), None);
    }
}
