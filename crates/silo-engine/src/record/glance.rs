//! What a running container uses just now, without waiting: from its recording, or, in its first tenth of a second, from its
//! control groups.

use std::time::Duration;

use silo_cgroup::{
    CgroupPath, Counter, CpuStats, Figures, MemoryStats, Stats, StatsReader, Throttle,
};
use silo_types::{Error, Result};

use super::{Moment, Step};
use crate::{Engine, Sample, container::Container, create::now};

/// The newest moment, and what happens at it: over the `step.length` milliseconds before `moment.time`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Glance {
    pub moment: Moment,
    pub step: Step,
}

/// Of a container that is older and has no recording (the disk was full) the rates are measured for so long.
const WATCH: Duration = Duration::from_millis(200);

/// A curve whose newest moment is not older than this, milliseconds, goes up to now: a step that is much shorter than the others
/// would show the steps of the kernel's counter.
const FRESH: u64 = 150;

/// What memory is made of, limit and peak.
const MEMORY: Figures = Figures {
    memory_kinds: true,
    memory_bounds: true,
    ..Figures::NONE
};

impl Engine {
    /// Conflict when it does not run.
    pub fn glance(&self, container: &Container) -> Result<Glance> {
        container.main_process()?;
        let run = container.state.started / 1_000_000;
        if let Some(moments) = self.newest_moments(container.id())
            && let Some(last) = moments.last().filter(|last| last.run == run)
        {
            let moment = self.present(container, &moments).unwrap_or(*last);
            if let Some(step) = Step::glance(&moments, &moment) {
                return Ok(Glance { moment, step });
            }
        }
        let mut sampler = self.sampler(container)?;
        let first = Moment::of_sample(&sampler.sample()?, run);
        let birth = Moment {
            time: run,
            run,
            ..Moment::default()
        };
        let young = first.time.saturating_sub(run) < 2000;
        let (before, moment) = match young {
            true => (birth, first),
            false => {
                std::thread::sleep(WATCH);
                (first, Moment::of_sample(&sampler.sample()?, run))
            }
        };
        let step = Step::between(&before, &moment)
            .ok_or_else(|| Error::internal("the clock was set back"))?;
        Ok(Glance { moment, step })
    }

    /// The same for a curve.
    pub(super) fn present_step(&self, container: &Container, moments: &[Moment]) -> Option<Moment> {
        let last = moments.last()?;
        let is_old = (now() / 1_000_000).saturating_sub(last.time) >= FRESH;
        is_old.then(|| self.present(container, moments)).flatten()
    }

    /// The present of a running container: its newest recorded moment with the processor time of now, and with the memory of now
    /// where that may have moved. Whether its monitor is late, on a busy machine, or has nothing to say, since the container
    /// rests, is told by the kernel's own counters alone.
    fn present(&self, container: &Container, moments: &[Moment]) -> Option<Moment> {
        let last = moments.last()?;
        let runs = container.main_process().is_ok();
        if !runs || last.run != container.state.started / 1_000_000 {
            return None;
        }
        let group = CgroupPath::new(&self.cgroup_path(&container.config)).ok()?;
        let counter = Counter::cpu_total(self.layout().ok()?, &group).ok()??;
        let (time, total) = read_at(|| counter.read()).ok()?;
        let cpu = total / 1000;
        if time <= last.time || cpu < last.cpu {
            return None;
        }
        let mut present = Moment { time, cpu, ..*last };
        // In units of the recording: nobody allocates without a processor.
        if present.raw().values[0] != last.raw().values[0] {
            self.add_memory(container, &group, &mut present);
        }
        Some(present)
    }

    /// Memory of now, when the sum has moved; where it cannot be read it stays as it was recorded.
    fn add_memory(&self, container: &Container, group: &CgroupPath, present: &mut Moment) {
        let sum = || {
            Counter::memory_usage(self.layout().ok()?, group)
                .ok()??
                .read()
                .ok()
        };
        if sum().is_none_or(|usage| usage == present.usage) {
            return;
        }
        let memory = || -> Option<MemoryStats> {
            let cgroup = self.cgroup(&container.config).ok()?;
            let mut reader = StatsReader::open(&cgroup, MEMORY).ok()?;
            reader.sample().ok()?.memory
        };
        if let Some(memory) = memory() {
            present.take_memory(&memory);
            present.held_high = present.held;
            present.usage_high = present.usage;
            present.peak = memory.peak.unwrap_or(present.peak);
        }
    }
}

/// Clock and counter are read so closely, in nanoseconds, or again so often.
const APART: u64 = 200_000;
const AGAIN: usize = 4;

/// A figure, and the millisecond since the epoch at which it was that. Pushed aside between clock and counter on a busy machine,
/// one would tell the figure of another moment.
pub(crate) fn read_at(read: impl Fn() -> Result<u64>) -> Result<(u64, u64)> {
    let (mut early, mut again) = (now(), 0);
    loop {
        let figure = read()?;
        let late = now();
        if late.saturating_sub(early) <= APART || again == AGAIN {
            let middle = early + late.saturating_sub(early) / 2;
            return Ok(((middle + 500_000) / 1_000_000, figure));
        }
        (early, again) = (late, again + 1);
    }
}

impl Moment {
    fn of_sample(sample: &Sample, run: u64) -> Moment {
        let mut moment = Moment {
            time: sample.time / 1_000_000,
            run,
            ..Moment::default()
        };
        moment.take_cpu(&sample.stats.cpu.unwrap_or_default());
        moment.take_memory(&sample.stats.memory.unwrap_or_default());
        moment.take_others(&sample.stats, sample.network);
        moment
    }

    /// Throttling stays as it was where it was not read.
    pub(crate) fn take_cpu(&mut self, cpu: &CpuStats) {
        self.cpu = cpu.total_ns / 1000;
        if let Some(throttle) = &cpu.throttle {
            self.take_throttle(throttle);
        }
    }

    pub(crate) fn take_throttle(&mut self, throttle: &Throttle) {
        self.periods = throttle.periods;
        self.throttled = throttle.throttled;
        self.throttled_time = throttle.throttled_ns / 1000;
    }

    pub(crate) fn take_memory(&mut self, memory: &MemoryStats) {
        self.usage = memory.usage;
        self.held = memory.held();
        self.inactive_file = memory.inactive_file;
        self.swap = memory.swap.unwrap_or(self.swap);
    }

    /// What changes slowly.
    pub(crate) fn take_others(&mut self, stats: &Stats, network: Option<(u64, u64)>) {
        if let Some(memory) = stats.memory {
            self.memory_limit = memory.limit.unwrap_or(0);
            self.peak = memory.peak.unwrap_or(0);
            self.swap = memory.swap.unwrap_or(self.swap);
        }
        self.pids = stats.pids.map_or(0, |pids| pids.current);
        if let Some(io) = stats.io {
            (self.read, self.written) = (io.read_bytes, io.write_bytes);
        }
        let total = |psi: Option<silo_cgroup::Psi>| psi.map_or(0, |psi| psi.some.total_us);
        self.cpu_pressure = total(stats.pressure.cpu);
        self.memory_pressure = total(stats.pressure.memory);
        self.io_pressure = total(stats.pressure.io);
        if let Some((received, sent)) = network {
            (self.received, self.sent) = (received, sent);
        }
    }
}
