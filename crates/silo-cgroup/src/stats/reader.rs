//! Samples a group through files that stay open: one pread(2) a file and sample.

use super::text;
use super::{CpuStats, IoStats, MemoryStats, PidsStats, Psi, Stats};
use crate::cgroup::Cgroup;
use crate::file;
use crate::layout::{Controller, Version};
use crate::parse::{flat_value, limit, number};
use rustix::io::Errno;
use silo_types::{Error, Result};
use std::os::fd::OwnedFd;

/// Which figures to read: each costs its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Total, user and system time.
    pub cpu: bool,
    /// Total time alone: the cheapest figure.
    pub cpu_total: bool,
    /// Throttling; on v1 a file more, on v2 it comes with `cpu`.
    pub throttle: bool,
    /// `usage` alone: the cheapest memory figure (the others are 0 or `None`).
    pub memory_usage: bool,
    /// What memory is made of, on v1 without `kernel`, and without `usage`: the dearest file of all.
    pub memory_stat: bool,
    /// Both.
    pub memory_kinds: bool,
    /// Limit, peak, swap, on v1 `kernel`: what changes seldom.
    pub memory_bounds: bool,
    /// All of memory.
    pub memory: bool,
    pub pids: bool,
    /// How many processes there are, without their limit.
    pub pids_current: bool,
    pub io: bool,
    /// Bytes alone, without the number of transfers; on v2 it comes with `io`.
    pub io_bytes: bool,
    pub pressure: bool,
}

impl Figures {
    pub const ALL: Figures = Figures {
        cpu: true,
        cpu_total: true,
        throttle: true,
        memory_usage: true,
        memory_stat: true,
        memory_kinds: true,
        memory_bounds: true,
        memory: true,
        pids: true,
        pids_current: true,
        io: true,
        io_bytes: true,
        pressure: true,
    };
    pub const NONE: Figures = Figures {
        cpu: false,
        cpu_total: false,
        throttle: false,
        memory_usage: false,
        memory_stat: false,
        memory_kinds: false,
        memory_bounds: false,
        memory: false,
        pids: false,
        pids_current: false,
        io: false,
        io_bytes: false,
        pressure: false,
    };
    /// CPU time and memory usage, for one who samples often.
    pub const LITTLE: Figures = Figures {
        cpu: true,
        memory_usage: true,
        ..Figures::NONE
    };
}

/// What an open file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    CpuStatV2,
    CpuStatV1,
    CpuUserV1,
    CpuSystemV1,
    CpuTotalV1,
    MemoryUsage,
    MemoryStatV1,
    MemoryStatV2,
    MemoryKernelV1,
    MemoryLimit,
    MemoryPeak,
    MemoryHitsV1,
    MemorySwapV2,
    MemoryOomV1,
    MemoryEventsV2,
    PidsCurrent,
    PidsLimit,
    IoBytesV1,
    IoOpsV1,
    IoStatV2,
    CpuPressure,
    MemoryPressure,
    IoPressure,
}

/// Files of one part of the figures, in one hierarchy.
type Files = &'static [(Source, &'static str)];

/// In this order: the last of them settles the two before.
const CPU_TIME_V1: Files = &[
    (Source::CpuTotalV1, "cpuacct.usage"),
    (Source::CpuUserV1, "cpuacct.usage_user"),
    (Source::CpuSystemV1, "cpuacct.usage_sys"),
];
const CPU_TOTAL_V1: Files = &[(Source::CpuTotalV1, "cpuacct.usage")];
const CPU_STAT_V1: Files = &[(Source::CpuStatV1, "cpu.stat")];
const CPU_STAT_V2: Files = &[(Source::CpuStatV2, "cpu.stat")];
const USAGE_V1: Files = &[(Source::MemoryUsage, "memory.usage_in_bytes")];
const USAGE_V2: Files = &[(Source::MemoryUsage, "memory.current")];
const KINDS_V1: Files = &[(Source::MemoryStatV1, "memory.stat")];
const KINDS_V2: Files = &[(Source::MemoryStatV2, "memory.stat")];
const BOUNDS_V1: Files = &[
    (Source::MemoryKernelV1, "memory.kmem.usage_in_bytes"),
    (Source::MemoryLimit, "memory.limit_in_bytes"),
    (Source::MemoryPeak, "memory.max_usage_in_bytes"),
];
const BOUNDS_V2: Files = &[
    (Source::MemoryLimit, "memory.max"),
    (Source::MemoryPeak, "memory.peak"),
    (Source::MemorySwapV2, "memory.swap.current"),
];
const MEMORY_V1: Files = &[
    (Source::MemoryHitsV1, "memory.failcnt"),
    (Source::MemoryOomV1, "memory.oom_control"),
];
const MEMORY_V2: Files = &[(Source::MemoryEventsV2, "memory.events")];
const PIDS: Files = &[(Source::PidsCurrent, "pids.current")];
const PIDS_LIMIT: Files = &[(Source::PidsLimit, "pids.max")];
const IO_BYTES_V1: Files = &[(
    Source::IoBytesV1,
    "blkio.throttle.io_service_bytes_recursive",
)];
const IO_OPS_V1: Files = &[(Source::IoOpsV1, "blkio.throttle.io_serviced_recursive")];
const IO_V2: Files = &[(Source::IoStatV2, "io.stat")];
const PRESSURE: Files = &[
    (Source::CpuPressure, "cpu.pressure"),
    (Source::MemoryPressure, "memory.pressure"),
    (Source::IoPressure, "io.pressure"),
];

/// A group's statistics files, open.
#[derive(Debug)]
pub struct StatsReader {
    sources: Vec<(Source, OwnedFd)>,
    buffer: Vec<u8>,
    name: String,
}

impl StatsReader {
    /// Opens the files for `figures` that this host has.
    ///
    /// # Errors
    /// `NotFound` when the group does not exist.
    pub fn open(group: &Cgroup, figures: Figures) -> Result<StatsReader> {
        let mut reader = StatsReader {
            sources: Vec::with_capacity(20),
            buffer: Vec::with_capacity(4096),
            name: group.path().to_string(),
        };
        for (place, files) in choose(group, figures) {
            for (source, name) in files {
                let path = format!("{}/{name}", group.dir(place));
                match file::open_read(&path) {
                    Ok(fd) => reader.sources.push((*source, fd)),
                    // Files come and go with kernel versions and options; pressure is refused when it is off
                    Err(Errno::NOENT | Errno::OPNOTSUPP) => {}
                    Err(errno) => return Err(Error::system(format!("open {path}"), errno)),
                }
            }
        }
        if reader.sources.is_empty() && !group.exists() {
            return Err(gone(&reader.name));
        }
        Ok(reader)
    }

    /// Reads everything once.
    ///
    /// # Errors
    /// `NotFound` when the group has been removed.
    pub fn sample(&mut self) -> Result<Stats> {
        let mut stats = Stats::default();
        for (source, fd) in &self.sources {
            match file::reread(fd, &mut self.buffer) {
                Ok(()) => source.take(&self.buffer, &mut stats),
                // Pressure accounting is off
                Err(Errno::OPNOTSUPP) => {}
                Err(Errno::NODEV) => return Err(gone(&self.name)),
                Err(errno) => {
                    let doing = format!("read {source:?} of cgroup {}", self.name);
                    return Err(Error::system(doing, errno));
                }
            }
        }
        if let Some(memory) = &mut stats.memory {
            memory.used = memory.usage.saturating_sub(memory.inactive_file);
        }
        Ok(stats)
    }
}

pub(super) fn gone(name: &str) -> Error {
    Error::not_found(format!("cgroup {name} does not exist"))
}

impl Cgroup {
    /// One sample of everything: opens, reads, closes. Who samples again and again keeps a [`StatsReader`].
    pub fn stats(&self) -> Result<Stats> {
        StatsReader::open(self, Figures::ALL)?.sample()
    }
}

/// The files to open, by hierarchy.
fn choose(group: &Cgroup, figures: Figures) -> Vec<(usize, Files)> {
    let layout = group.layout();
    let mut chosen: Vec<(usize, Files)> = Vec::with_capacity(8);
    let mut add = |controller, wanted: bool, v1: Files, v2: Files| {
        if let (true, Some(place)) = (wanted, layout.place(controller)) {
            let files = match layout.version(place) {
                Version::V1 => v1,
                Version::V2 => v2,
            };
            chosen.push((place, files));
        }
    };
    let v1_time = layout.place(Controller::Cpuacct).is_some();
    add(Controller::Cpuacct, figures.cpu, CPU_TIME_V1, &[]);
    // On v2 one file says all of it
    let total = figures.cpu_total && !figures.cpu;
    add(Controller::Cpuacct, total, CPU_TOTAL_V1, &[]);
    let stat = figures.throttle || ((figures.cpu || figures.cpu_total) && !v1_time);
    add(Controller::Cpu, stat, CPU_STAT_V1, CPU_STAT_V2);
    let kinds = figures.memory_kinds || figures.memory;
    let usage = figures.memory_usage || kinds;
    add(Controller::Memory, usage, USAGE_V1, USAGE_V2);
    let stat = figures.memory_stat || kinds;
    add(Controller::Memory, stat, KINDS_V1, KINDS_V2);
    let bounds = figures.memory_bounds || figures.memory;
    add(Controller::Memory, bounds, BOUNDS_V1, BOUNDS_V2);
    add(Controller::Memory, figures.memory, MEMORY_V1, MEMORY_V2);
    let pids = figures.pids || figures.pids_current;
    add(Controller::Pids, pids, PIDS, PIDS);
    add(Controller::Pids, figures.pids, PIDS_LIMIT, PIDS_LIMIT);
    let bytes = figures.io || figures.io_bytes;
    add(Controller::Io, bytes, IO_BYTES_V1, IO_V2);
    add(Controller::Io, figures.io, IO_OPS_V1, &[]);
    if let (true, Some(place)) = (figures.pressure, layout.unified()) {
        chosen.push((place, PRESSURE));
    }
    chosen
}

/// The total by the shares of its parts. The kernel counts the parts of cpuacct in whole ticks, which a quota meets in step: of
/// a container that is held to one processor they said 1.07. The total is exact.
fn split(total: u64, user: u64, system: u64) -> (u64, u64) {
    let ticks = u128::from(user) + u128::from(system);
    let user = match ticks {
        0 => total,
        _ => (u128::from(total) * u128::from(user) / ticks) as u64,
    };
    (user, total - user)
}

impl Source {
    /// Adds what `text` says to `stats`; what cannot be understood is left out.
    fn take(self, text: &[u8], stats: &mut Stats) {
        use Source::*;
        match self {
            CpuStatV2 => text::cpu_stat_v2(text, stats),
            CpuStatV1 => text::cpu_stat_v1(text, stats),
            CpuUserV1 | CpuSystemV1 | CpuTotalV1 => {
                self.take_cpu(text, stats.cpu.get_or_insert_default())
            }
            PidsCurrent | PidsLimit => self.take_pids(text, stats.pids.get_or_insert_default()),
            IoBytesV1 | IoOpsV1 => {
                if let Some(sums) = text::blkio(text) {
                    self.take_blkio(sums, stats.io.get_or_insert_default());
                }
            }
            IoStatV2 => stats.io = Some(text::io_stat_v2(text)),
            CpuPressure => put(&mut stats.pressure.cpu, text::pressure(text)),
            MemoryPressure => put(&mut stats.pressure.memory, text::pressure(text)),
            IoPressure => put(&mut stats.pressure.io, text::pressure(text)),
            _ => self.take_memory(text, stats.memory.get_or_insert_default()),
        }
    }

    fn take_cpu(self, text: &[u8], cpu: &mut CpuStats) {
        let time = number(text).unwrap_or(0);
        match self {
            Source::CpuTotalV1 => cpu.total_ns = time,
            Source::CpuUserV1 => cpu.user_ns = time,
            _ => (cpu.user_ns, cpu.system_ns) = split(cpu.total_ns, cpu.user_ns, time),
        }
    }

    fn take_pids(self, text: &[u8], pids: &mut PidsStats) {
        match self {
            Source::PidsCurrent => pids.current = number(text).unwrap_or(0),
            _ => pids.limit = limit(text).flatten(),
        }
    }

    fn take_blkio(self, (read, write): (u64, u64), io: &mut IoStats) {
        match self {
            Source::IoBytesV1 => (io.read_bytes, io.write_bytes) = (read, write),
            _ => (io.read_ops, io.write_ops) = (read, write),
        }
    }

    fn take_memory(self, text: &[u8], memory: &mut MemoryStats) {
        match self {
            Source::MemoryUsage => memory.usage = number(text).unwrap_or(0),
            Source::MemoryStatV1 => text::memory_stat_v1(text, memory),
            Source::MemoryStatV2 => text::memory_stat_v2(text, memory),
            Source::MemoryKernelV1 => memory.kernel = number(text),
            Source::MemoryLimit => memory.limit = limit(text).flatten(),
            Source::MemoryPeak => memory.peak = number(text),
            Source::MemoryHitsV1 => memory.limit_hits = number(text),
            Source::MemorySwapV2 => memory.swap = number(text),
            Source::MemoryOomV1 => memory.oom_kills = flat_value(text, "oom_kill"),
            Source::MemoryEventsV2 => {
                memory.limit_hits = flat_value(text, "max");
                memory.oom_kills = flat_value(text, "oom_kill");
            }
            _ => {}
        }
    }
}

fn put(place: &mut Option<Psi>, value: Option<Psi>) {
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn parts_of_processor_time_add_up() {
        assert_eq!(split(1000, 3 << 60, 1 << 60), (750, 250));
        assert_eq!(split(7, 0, 0), (7, 0));
        assert_eq!(split(0, 5, 5), (0, 0));
        assert_eq!(split(u64::MAX, u64::MAX, 0), (u64::MAX, 0));
    }
}
