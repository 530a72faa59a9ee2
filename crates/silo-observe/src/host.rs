//! Facts of the host that process numbers are measured against: clocks, page size, memory, processor time.
//!
//! Called by `top`, `ps` columns and the dashboard. [`HostFacts::now`] uses system calls only: /proc/stat is slow to make on
//! machines with many processors (proc_stat(5), the `intr` line) and is read only when asked for.

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use silo_types::{Error, Result};

use crate::{
    Proc,
    text::{fields, key_value, kib_to_bytes, number},
};

/// One moment of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Clock ticks per second, in which /proc counts.
    pub clock_ticks: u64,
    /// Bytes.
    pub page_size: u64,
    /// Usable memory, bytes.
    pub memory: u64,
    /// Nanoseconds since boot, sleep included: what start times count from.
    pub since_boot_ns: u64,
    /// Seconds since the epoch.
    pub now: i64,
    /// Seconds since the epoch at which the host booted.
    pub boot_time: i64,
}

impl HostFacts {
    /// Three system calls.
    pub fn now() -> HostFacts {
        let boot = clock_gettime(ClockId::Boottime);
        let real = clock_gettime(ClockId::Realtime);
        let info = rustix::system::sysinfo();
        let since_boot_ns = boot.tv_sec as u64 * 1_000_000_000 + boot.tv_nsec as u64;
        let real_ns = i128::from(real.tv_sec) * 1_000_000_000 + i128::from(real.tv_nsec);
        HostFacts {
            clock_ticks: rustix::param::clock_ticks_per_second().max(1),
            page_size: rustix::param::page_size() as u64,
            memory: (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)),
            since_boot_ns,
            now: real.tv_sec,
            boot_time: ((real_ns - i128::from(since_boot_ns)) / 1_000_000_000) as i64,
        }
    }

    /// Clock ticks as nanoseconds.
    pub fn ticks_to_ns(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * 1_000_000_000 / u128::from(self.clock_ticks)).min(u128::from(u64::MAX))
            as u64
    }

    /// How long ago a start time was, nanoseconds.
    pub fn age_ns(&self, start_time: u64) -> u64 {
        self.since_boot_ns
            .saturating_sub(self.ticks_to_ns(start_time))
    }

    /// A start time as seconds since the epoch.
    pub fn epoch_seconds(&self, start_time: u64) -> i64 {
        self.boot_time
            .saturating_add((start_time / self.clock_ticks) as i64)
    }
}

/// /proc/uptime, proc_uptime(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Uptime {
    pub up_seconds: f64,
    /// Summed over all processors.
    pub idle_seconds: f64,
}

impl Uptime {
    pub fn parse(text: &[u8]) -> Option<Uptime> {
        let mut fields = fields(text).map(number);
        Some(Uptime {
            up_seconds: fields.next()??,
            idle_seconds: fields.next()??,
        })
    }
}

/// A `cpu` line of /proc/stat: clock ticks since boot in each mode. `guest` is already part of `user`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuTimes {
    pub user: u64,
    pub nice: u64,
    pub system: u64,
    pub idle: u64,
    pub iowait: u64,
    pub irq: u64,
    pub softirq: u64,
    pub steal: u64,
}

impl CpuTimes {
    fn parse(line: &[u8]) -> Option<CpuTimes> {
        let mut numbers = fields(line).skip(1).map(|f| number(f).unwrap_or(0));
        Some(CpuTimes {
            user: numbers.next()?,
            nice: numbers.next()?,
            system: numbers.next()?,
            idle: numbers.next()?,
            iowait: numbers.next().unwrap_or(0),
            irq: numbers.next().unwrap_or(0),
            softirq: numbers.next().unwrap_or(0),
            steal: numbers.next().unwrap_or(0),
        })
    }

    /// Ticks in which work was done or taken away by the hypervisor.
    pub fn busy(&self) -> u64 {
        [
            self.user,
            self.nice,
            self.system,
            self.irq,
            self.softirq,
            self.steal,
        ]
        .iter()
        .fold(0, |sum, ticks| sum.saturating_add(*ticks))
    }

    /// All ticks.
    pub fn total(&self) -> u64 {
        self.busy()
            .saturating_add(self.idle)
            .saturating_add(self.iowait)
    }
}

/// /proc/stat, proc_stat(5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatCpu {
    pub all: CpuTimes,
    /// (number of the processor, its times), online processors only.
    pub each: Vec<(u32, CpuTimes)>,
    /// Seconds since the epoch.
    pub boot_time: u64,
    pub running: u64,
    pub blocked: u64,
}

impl StatCpu {
    pub fn parse(text: &[u8]) -> Option<StatCpu> {
        let mut stat = StatCpu::default();
        let mut found = false;
        for line in text.split(|b| *b == b'\n') {
            let mut words = fields(line);
            let Some(key) = words.next() else { continue };
            let mut value = || words.next().and_then(number).unwrap_or(0);
            match key {
                b"cpu" => {
                    stat.all = CpuTimes::parse(line)?;
                    found = true;
                }
                b"btime" => stat.boot_time = value(),
                b"procs_running" => stat.running = value(),
                b"procs_blocked" => stat.blocked = value(),
                _ => {
                    let cpu = key.strip_prefix(b"cpu").and_then(number);
                    if let (Some(cpu), Some(times)) = (cpu, CpuTimes::parse(line)) {
                        stat.each.push((cpu, times));
                    }
                }
            }
        }
        found.then_some(stat)
    }
}

/// /proc/meminfo, proc_meminfo(5), in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemInfo {
    pub total: u64,
    pub free: u64,
    /// The kernel's guess at what new programs can have without swapping.
    pub available: u64,
    pub buffers: u64,
    pub cached: u64,
    pub shmem: u64,
    pub slab_reclaimable: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

impl MemInfo {
    pub fn parse(text: &[u8]) -> Option<MemInfo> {
        let mut info = MemInfo::default();
        for line in text.split(|b| *b == b'\n') {
            let Some((key, value)) = key_value(line) else {
                continue;
            };
            let field = match key {
                b"MemTotal" => &mut info.total,
                b"MemFree" => &mut info.free,
                b"MemAvailable" => &mut info.available,
                b"Buffers" => &mut info.buffers,
                b"Cached" => &mut info.cached,
                b"Shmem" => &mut info.shmem,
                b"SReclaimable" => &mut info.slab_reclaimable,
                b"SwapTotal" => &mut info.swap_total,
                b"SwapFree" => &mut info.swap_free,
                _ => continue,
            };
            *field = kib_to_bytes(value).unwrap_or(0);
        }
        (info.total > 0).then_some(info)
    }
}

/// /proc/loadavg, proc_loadavg(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadAverage {
    pub one: f64,
    pub five: f64,
    pub fifteen: f64,
    /// Threads that run or want to.
    pub runnable: u64,
    /// Threads that exist.
    pub threads: u64,
}

impl LoadAverage {
    pub fn parse(text: &[u8]) -> Option<LoadAverage> {
        let mut words = fields(text);
        let (one, five, fifteen) = (words.next()?, words.next()?, words.next()?);
        let counts = words.next()?;
        let slash = counts.iter().position(|b| *b == b'/')?;
        Some(LoadAverage {
            one: number(one)?,
            five: number(five)?,
            fifteen: number(fifteen)?,
            runnable: number(&counts[..slash])?,
            threads: number(&counts[slash + 1..])?,
        })
    }
}

impl Proc {
    pub fn uptime(&self) -> Result<Uptime> {
        known("uptime", Uptime::parse(&self.read(c"uptime")?))
    }

    /// Processor times of the host; may take milliseconds on machines with hundreds of processors.
    pub fn cpu_times(&self) -> Result<StatCpu> {
        known("stat", StatCpu::parse(&self.read(c"stat")?))
    }

    pub fn meminfo(&self) -> Result<MemInfo> {
        known("meminfo", MemInfo::parse(&self.read(c"meminfo")?))
    }

    pub fn load_average(&self) -> Result<LoadAverage> {
        known("loadavg", LoadAverage::parse(&self.read(c"loadavg")?))
    }
}

fn known<T>(file: &str, parsed: Option<T>) -> Result<T> {
    parsed.ok_or_else(|| Error::internal(format!("the kernel's {file} has an unknown form")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fixtures() {
        let stat = StatCpu::parse(
            b"cpu  13275 29064 8587 309514 948 0 178 408 0 0\ncpu0 6417 11838 3842 158474 206 0 16 176 0 0\n\
cpu7 6857 17225 4745 151039 741 0 161 232 0 0\nintr 453937 0 0\nctxt 728909\nbtime 1795489635\nprocs_running 2\nprocs_blocked 1\n",
        )
        .unwrap();
        assert_eq!(stat.all.steal, 408);
        assert_eq!((stat.each[1].0, stat.each[1].1.user), (7, 6857));
        assert_eq!(
            (stat.boot_time, stat.running, stat.blocked),
            (1795489635, 2, 1)
        );
        assert_eq!(stat.all.total() - stat.all.busy(), 309514 + 948);
        let info = MemInfo::parse(
            b"MemTotal:   100 kB\nMemAvailable:  60 kB\nSwapFree: 1 kB\nHugePages_Total: 3\n",
        )
        .unwrap();
        assert_eq!(
            (info.total, info.available, info.swap_free),
            (102_400, 61_440, 1024)
        );
        let load = LoadAverage::parse(b"0.52 0.58 0.59 1/467 12345\n").unwrap();
        assert_eq!((load.five, load.runnable, load.threads), (0.58, 1, 467));
        assert_eq!(Uptime::parse(b"350.12 600.5\n").unwrap().up_seconds, 350.12);
    }

    #[test]
    fn the_real_host_agrees_with_its_clocks() {
        let proc = Proc::host().unwrap();
        let facts = HostFacts::now();
        let up = proc.uptime().unwrap().up_seconds;
        assert!((facts.since_boot_ns as f64 / 1e9 - up).abs() < 2.0);
        assert!((facts.boot_time - proc.cpu_times().unwrap().boot_time as i64).abs() <= 1);
        assert_eq!(facts.memory, proc.meminfo().unwrap().total);
        assert!(proc.load_average().unwrap().threads > 0);
        assert!(!proc.cpu_times().unwrap().each.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (StatCpu::parse(&bytes), MemInfo::parse(&bytes), LoadAverage::parse(&bytes), Uptime::parse(&bytes));
        }
        #[test]
        fn no_number_overflows(n in any::<u64>()) {
            let stat = StatCpu::parse(format!("cpu {n} {n} {n} {n} {n} {n} {n} {n}").as_bytes()).unwrap();
            let _ = stat.all.total();
            let _ = HostFacts::now().ticks_to_ns(n);
            let _ = HostFacts::now().epoch_seconds(n);
        }
    }
}
