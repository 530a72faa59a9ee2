//! What a group uses: one struct for all layouts, `None` where a layout has no such figure.
//!
//! Called by `stats`, `top`, the recorder and the web page. [`StatsReader`] keeps the files open and is made for sampling,
//! [`Counter`] for one number that is read most often.

mod counter;
mod reader;
mod text;

pub use counter::Counter;
pub use reader::{Figures, StatsReader};

/// A sample. Counters grow from the group's start; rates are the caller's to compute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    pub cpu: Option<CpuStats>,
    pub memory: Option<MemoryStats>,
    pub pids: Option<PidsStats>,
    pub io: Option<IoStats>,
    pub pressure: Pressure,
}

/// CPU time, in nanoseconds of one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// User and system together.
    pub total_ns: u64,
    pub user_ns: u64,
    pub system_ns: u64,
    /// `None` where the kernel has no CPU quotas.
    pub throttle: Option<Throttle>,
}

/// How a CPU quota bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Quota periods in which the group wanted to run.
    pub periods: u64,
    /// Those of them in which the quota was used up.
    pub throttled: u64,
    /// How long CPUs stood still for it, summed over the CPUs.
    pub throttled_ns: u64,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// All that is charged to the group and those below it: anonymous memory, file cache, kernel memory.
    pub usage: u64,
    /// `usage` less `inactive_file`: what the kernel cannot simply drop; Docker's figure.
    pub used: u64,
    /// Memory that programs allocated (v1 `total_rss`, v2 `anon`).
    pub anon: u64,
    /// File cache, with `shmem` (v1 `total_cache`, v2 `file`).
    pub file: u64,
    /// File cache that has not been used for a while.
    pub inactive_file: u64,
    /// tmpfs, shared memory.
    pub shmem: u64,
    /// Kernel memory: stacks, page tables, slabs, sockets. `None` on old kernels.
    pub kernel: Option<u64>,
    /// The part of `kernel` that can be dropped. v2 only.
    pub slab_reclaimable: u64,
    /// `None` when unlimited. On v1 the group's own; a group above may have a lower one.
    pub limit: Option<u64>,
    /// The highest `usage` ever. On v2 since Linux 5.19.
    pub peak: Option<u64>,
    /// Swapped out; `None` when swap is not counted.
    pub swap: Option<u64>,
    /// How often the limit was hit (v1 `memory.failcnt`, v2 `max` of `memory.events`).
    pub limit_hits: Option<u64>,
    /// Processes of this group that the OOM killer killed; on v2 with those of groups below.
    pub oom_kills: Option<u64>,
}

impl MemoryStats {
    /// What cannot be dropped: memory of programs, shared memory, kernel memory without caches (on v1 with them, as it does
    /// not tell them apart).
    pub fn held(&self) -> u64 {
        let kernel = self.kernel.unwrap_or(0);
        let kernel = kernel.saturating_sub(self.slab_reclaimable);
        let held = self.anon.saturating_add(self.shmem).saturating_add(kernel);
        held.min(self.usage)
    }
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidsStats {
    pub current: u64,
    /// `None` when unlimited.
    pub limit: Option<u64>,
}

/// Block I/O that reached the disks, summed over them. v1 counts only disks that have a throttle somewhere (since Linux
/// 6.10) and hides itself before the first transfer: `None` there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStats {
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub read_ops: u64,
    pub write_ops: u64,
}

/// Time that processes lost by waiting for a resource (Documentation/accounting/psi.rst); only from a v2 hierarchy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    pub cpu: Option<Psi>,
    pub memory: Option<Psi>,
    pub io: Option<Psi>,
}

/// One pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Psi {
    /// Some processes waited.
    pub some: Stall,
    /// All waited; `None` for CPU on kernels before 5.13.
    pub full: Option<Stall>,
}

/// One line of a pressure file: shares of time in percent, and the total in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stall {
    pub avg10: f32,
    pub avg60: f32,
    pub avg300: f32,
    pub total_us: u64,
}
