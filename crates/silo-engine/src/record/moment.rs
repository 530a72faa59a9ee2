//! The figures of one moment, and the whole numbers that stand for them in the file.

/// How many figures a moment has beside its time.
pub(super) const FIGURES: usize = 24;

/// What a container used up to, or at, one moment. Counters grow from the start of its run; sizes are bytes; 0 where the host
/// has no such figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the epoch.
    pub time: u64,
    /// CPU time in microseconds of one processor.
    pub cpu: u64,
    /// Memory that cannot be dropped: what programs allocated, shared memory, kernel memory.
    ///
    /// v2: `anon`, `shmem` and `kernel` less `slab_reclaimable`; v1: `total_rss`, `total_shmem` and `memory.kmem`.
    pub held: u64,
    /// All that is charged, with file cache: what the limit is compared with.
    pub usage: u64,
    /// The highest `held` and `usage` since the moment before, where that is longer ago than the sampling.
    pub held_high: u64,
    pub usage_high: u64,
    /// The busiest stretch since the moment before, in thousandths of a processor; the same.
    pub cpu_high: u64,
    /// Quota periods in which it wanted to run, and those in which the quota was used up.
    pub periods: u64,
    pub throttled: u64,
    /// Microseconds for which processors stood still for that.
    pub throttled_time: u64,
    /// File cache that has not been used for a while: Docker's memory is `usage` less this.
    pub inactive_file: u64,
    /// Microseconds in which some process waited for a processor, for memory, for a disk; v2 only.
    pub cpu_pressure: u64,
    pub memory_pressure: u64,
    pub io_pressure: u64,
    pub received: u64,
    pub sent: u64,
    pub read: u64,
    pub written: u64,
    pub pids: u64,
    pub swap: u64,
    /// 0: none.
    pub memory_limit: u64,
    /// Thousandths of a processor; 0: none.
    pub cpu_limit: u64,
    pub oom_kills: u64,
    /// The highest `usage` of the run.
    pub peak: u64,
    /// When this run began, milliseconds since the epoch: counters start anew with it.
    pub run: u64,
}

/// How a figure is kept: what a unit of it is worth, and whether it may shrink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) unit: u64,
    pub(super) gauge: bool,
}

const fn counter(unit: u64) -> Form {
    Form { unit, gauge: false }
}

const fn gauge(unit: u64) -> Form {
    Form { unit, gauge: true }
}

/// In the order of [`Moment::figures`]. The first seven share a byte of the mask: those that move most.
pub(super) const FORMS: [Form; FIGURES] = [
    counter(10),  // cpu
    gauge(1024),  // held
    gauge(1024),  // usage
    gauge(1024),  // held_high
    gauge(1),     // cpu_high
    counter(1),   // periods
    counter(1),   // throttled
    counter(100), // throttled_time
    gauge(1024),  // inactive_file
    gauge(1024),  // usage_high
    counter(100), // cpu_pressure
    counter(100), // memory_pressure
    counter(100), // io_pressure
    counter(1),   // received
    counter(1),   // sent
    counter(512), // read
    counter(512), // written
    gauge(1),     // pids
    gauge(1024),  // swap
    gauge(1024),  // memory_limit
    gauge(1),     // cpu_limit
    counter(1),   // oom_kills
    gauge(1024),  // peak
    gauge(1),     // run
];

impl Moment {
    fn figures(&self) -> [u64; FIGURES] {
        [
            self.cpu,
            self.held,
            self.usage,
            self.held_high,
            self.cpu_high,
            self.periods,
            self.throttled,
            self.throttled_time,
            self.inactive_file,
            self.usage_high,
            self.cpu_pressure,
            self.memory_pressure,
            self.io_pressure,
            self.received,
            self.sent,
            self.read,
            self.written,
            self.pids,
            self.swap,
            self.memory_limit,
            self.cpu_limit,
            self.oom_kills,
            self.peak,
            self.run,
        ]
    }

    /// The numbers that are kept: whole units.
    pub(super) fn raw(&self) -> Raw {
        let mut values = self.figures();
        for (value, form) in values.iter_mut().zip(FORMS) {
            *value /= form.unit;
        }
        Raw {
            time: self.time,
            values,
        }
    }

    pub(super) fn of(raw: &Raw) -> Moment {
        let mut values = raw.values.iter().zip(FORMS);
        let mut next = || {
            let (value, form) = values.next().unwrap_or((&0, counter(1)));
            value.saturating_mul(form.unit)
        };
        Moment {
            time: raw.time,
            cpu: next(),
            held: next(),
            usage: next(),
            held_high: next(),
            cpu_high: next(),
            periods: next(),
            throttled: next(),
            throttled_time: next(),
            inactive_file: next(),
            usage_high: next(),
            cpu_pressure: next(),
            memory_pressure: next(),
            io_pressure: next(),
            received: next(),
            sent: next(),
            read: next(),
            written: next(),
            pids: next(),
            swap: next(),
            memory_limit: next(),
            cpu_limit: next(),
            oom_kills: next(),
            peak: next(),
            run: next(),
        }
    }

    /// Docker's figure of memory.
    pub fn used(&self) -> u64 {
        self.usage.saturating_sub(self.inactive_file)
    }

    /// What could be dropped for others.
    pub fn cache(&self) -> u64 {
        self.usage.saturating_sub(self.held)
    }
}

/// A moment in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) time: u64,
    pub(super) values: [u64; FIGURES],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_comes_back_in_its_place() {
        let mut raw = Raw {
            time: 5,
            ..Raw::default()
        };
        for (at, value) in raw.values.iter_mut().enumerate() {
            *value = at as u64 + 1;
        }
        assert_eq!(Moment::of(&raw).raw(), raw);
        let moment = Moment {
            cpu: 19,
            held: 2047,
            run: 7,
            ..Moment::default()
        };
        let kept = Moment::of(&moment.raw());
        assert_eq!((kept.cpu, kept.held, kept.run), (10, 1024, 7));
    }
}
