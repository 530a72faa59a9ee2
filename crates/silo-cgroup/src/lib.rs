//! Control groups v1, v2 and hybrid: making and removing groups, limits, devices, statistics, events.
//!
//! Resources come in as OCI's `LinuxResources`; there is no second form of them. What a host cannot enforce is an error,
//! never skipped, and every limit is read back after it was set. The way of a group:
//!
//! ```text
//! Layout::detect ─ Cgroup::create ─ entry ─ (child) Entry::enter ─ StatsReader, OomWatch ─ freeze, kill_all ─ destroy
//!                  plan, then apply          update, attach
//! ```
//!
//! Where systemd is to make the groups, `systemd` asks it.
//!
//! A group has the same path in every hierarchy, from the hierarchy's root; the caller's own group is no base for it.
#![forbid(unsafe_code)]

mod cgroup;
mod destroy;
pub mod devices;
mod file;
mod layout;
pub mod limits;
mod make;
mod oom;
pub mod parse;
mod path;
mod stats;
pub mod systemd;
mod vacate;

pub use cgroup::{Cgroup, Entry, Existing};
pub use layout::{Controller, Controllers, Hierarchy, Layout, Mode, Version};
pub use oom::{OomCounters, OomEvent, OomWatch};
pub use path::CgroupPath;
pub use stats::{
    Counter, CpuStats, Figures, IoStats, MemoryStats, PidsStats, Pressure, Psi, Stall, Stats,
    StatsReader, Throttle,
};
