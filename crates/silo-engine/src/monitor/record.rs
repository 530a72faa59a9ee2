//! The recorder: what the container uses, sampled by its monitor as long as it runs.
//!
//! Every 100 ms while it works; an idle container is looked at each second, which costs one read, and written down only when
//! its CPU counter has moved, or every ten seconds. A look costs what it reads: while it works that is processor time and the
//! sum of its memory. What the memory is made of (the kernel adds that up over its processors each time) is read when the sum
//! has moved, when it nears its limit, and once a second with all that changes slowly. Files stay open while it works and are
//! closed while it rests, since the kernel keeps a page for each that was read. Begins after the start was told, so that no
//! start waits for it. A container whose figures cannot be read or written goes on without a recording.

use std::time::{Duration, Instant};

use silo_cgroup::{Cgroup, Counter, CpuStats, Figures, MemoryStats, StatsReader, Throttle};
use silo_types::{ContainerState, NetworkMode};

use super::{run::Monitor, start::Main};
use crate::{
    create::now,
    record::{self, Moment, Writer},
    stats::traffic,
};

const QUICK: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(1);

/// How old what changes slowly may become.
const SLOW: Duration = Duration::from_millis(950);

/// An idle container is written down so often, in milliseconds.
const SIGN_OF_LIFE: u64 = 10_000;

/// Between two alarms, in milliseconds.
const CALM: u64 = 20;

/// Less than this share of a processor, in thousandths, is idle.
const LITTLE: u64 = 5;

/// What memory is made of is read again when the sum has moved by this part of what is held, and by so much: the kernel charges
/// 256 KiB at once for each processor, which says nothing.
const MOVED: u64 = 128;
const MOVED_LEAST: u64 = 512 << 10;

/// So near to its limit, in parts of it, the kernel takes cache for memory and the sum stands still.
const NEAR: u64 = 16;

/// Where there is something that throttles.
const THROTTLE: Figures = Figures {
    throttle: true,
    ..Figures::NONE
};

/// What changes slowly, or costs much.
const PARTS: Figures = Figures {
    memory_stat: true,
    ..Figures::NONE
};
const OTHERS: Figures = Figures {
    throttle: true,
    memory_bounds: true,
    pids_current: true,
    io_bytes: true,
    pressure: true,
    ..Figures::NONE
};

/// The recorder of one run.
#[derive(Debug)]
pub(super) struct Recorder {
    /// When to look next.
    pub(super) due: Instant,
    pace: Duration,
    open: Option<Open>,
    broken: bool,
}

#[derive(Debug)]
struct Open {
    writer: Writer,
    /// Whether anything happened at all; `None` where the host does not count processor time.
    pulse: Option<Counter>,
    /// While there is a quota.
    throttle: Option<StatsReader>,
    /// While it works.
    files: Option<Files>,
    /// As last written down.
    last: Moment,
    /// When it was last looked at, milliseconds since the epoch.
    looked: u64,
    /// The last alarm, the same.
    alarmed: u64,
    /// It had moved at the last look: that it rests is written down once.
    moving: bool,
    slow: Option<Instant>,
    /// v1 tells kernel memory in a file of its own.
    kernel: Option<u64>,
    /// What memory was made of when that was read last.
    parts: MemoryStats,
}

/// Files that are kept open while it works.
#[derive(Debug)]
struct Files {
    sum: Option<Counter>,
    parts: StatsReader,
    others: StatsReader,
}

impl Files {
    fn open(cgroup: &Cgroup) -> Option<Files> {
        Some(Files {
            sum: Counter::memory_usage(cgroup.layout(), cgroup.path()).ok()?,
            parts: StatsReader::open(cgroup, PARTS).ok()?,
            others: StatsReader::open(cgroup, OTHERS).ok()?,
        })
    }
}

impl Recorder {
    /// First look in a tenth of a second.
    pub(super) fn new() -> Recorder {
        Recorder {
            due: Instant::now() + QUICK,
            pace: QUICK,
            open: None,
            broken: false,
        }
    }
}

/// Why the recorder looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Its time has come.
    Usual,
    /// Memory has run out: everything, at once, but not for each of a thousand kills.
    Alarm,
    /// Limits have changed: everything, at once.
    Changed,
    /// The processes are gone, and their memory with them; the counters are there.
    Last,
}

/// Facts of the run that no control group knows.
struct Run<'a> {
    main: &'a Main,
    own_network: bool,
    /// Thousandths of a processor; 0: no limit.
    cpu_limit: u64,
    oom_kills: u64,
    began: u64,
}

impl Monitor<'_> {
    /// When the recorder wants to look.
    pub(super) fn record_at(&self) -> Option<Instant> {
        let recorder = self.recorder.as_ref()?;
        (self.main.is_some() && !recorder.broken).then_some(recorder.due)
    }

    /// Looks now.
    pub(super) fn record(&mut self, how: Look) {
        let (Some(recorder), Some(main)) = (&mut self.recorder, &self.main) else {
            return;
        };
        if recorder.broken {
            return;
        }
        if recorder.open.is_none() {
            let path = self.locked.path.join(record::FILE);
            recorder.open = Open::new(&path, &main.cgroup);
            recorder.broken = recorder.open.is_none();
        }
        let Some(open) = &mut recorder.open else {
            return;
        };
        let resources = self.state.resources.as_ref();
        let resources = resources.unwrap_or(&self.config.resources);
        let run = Run {
            main,
            own_network: !matches!(
                self.config.network.mode,
                NetworkMode::Host | NetworkMode::None
            ),
            cpu_limit: cpu_limit(resources),
            oom_kills: self.oom.seen,
            began: began(&self.state),
        };
        match open.look(&run, how) {
            Some(busy) => recorder.pace = pace(recorder.pace, busy),
            None => recorder.broken = true,
        }
        recorder.due = Instant::now() + recorder.pace;
    }

    /// The last look of a run; one that was too short for a first look has no recording.
    pub(super) fn end_record(&mut self) {
        if self.recorder.as_ref().is_some_and(|r| r.open.is_some()) {
            self.record(Look::Last);
        }
        self.recorder = None;
    }
}

impl Open {
    /// Goes on with the recording of an earlier run.
    fn new(path: &std::path::Path, cgroup: &Cgroup) -> Option<Open> {
        Some(Open {
            pulse: Counter::cpu_total(cgroup.layout(), cgroup.path()).ok()?,
            throttle: None,
            files: None,
            writer: Writer::open(path).ok()?,
            last: Moment::default(),
            looked: 0,
            alarmed: 0,
            moving: false,
            slow: None,
            kernel: None,
            parts: MemoryStats::default(),
        })
    }

    /// How busy it was, in thousandths of a processor; `None` when there is nothing more to be read.
    fn look(&mut self, run: &Run<'_>, how: Look) -> Option<u64> {
        let (time, total) = self.pulse()?;
        if how == Look::Alarm {
            if time.saturating_sub(self.alarmed) < CALM {
                return Some(LITTLE);
            }
            self.alarmed = time;
        }
        let cpu = CpuStats {
            total_ns: total,
            throttle: self.throttle(run, how)?,
            ..CpuStats::default()
        };
        let used = cpu.total_ns / 1000;
        let first = self.last.time == 0;
        let moved = used != self.last.cpu || run.oom_kills != self.last.oom_kills;
        let passed = time.saturating_sub(self.looked).max(1);
        let busy = match first {
            true => LITTLE,
            false => used.saturating_sub(self.last.cpu).div_ceil(passed),
        };
        if moved && !first && self.looked > self.last.time {
            // It was idle up to here.
            let still = Moment {
                time: self.looked,
                ..self.last
            };
            let _ = self.writer.push(&still);
        }
        self.looked = time;
        let came_to_rest = self.moving && !moved;
        self.moving = moved || first;
        let silent = time.saturating_sub(self.last.time) < SIGN_OF_LIFE;
        if how == Look::Usual && !self.moving && !came_to_rest && silent {
            self.files = None;
            return Some(busy);
        }
        if came_to_rest {
            // What is written now is shown for as long as it rests: all of it anew.
            self.slow = None;
        }
        let moment = self.read(run, how, time, &cpu)?;
        let told = how != Look::Usual || !self.moving || is_told(&self.last, &moment);
        // A full disk must not stop it: the next moment is tried again.
        let _ = match told {
            true => self.writer.push(&moment),
            false => self.writer.hold(&moment),
        };
        self.last = moment;
        Some(busy)
    }

    /// When it is, milliseconds since the epoch, and processor time at that.
    fn pulse(&self) -> Option<(u64, u64)> {
        match &self.pulse {
            Some(counter) => record::read_at(|| counter.read()).ok(),
            None => Some((now() / 1_000_000, 0)),
        }
    }

    /// Where there is no quota nothing throttles, and that is a file less.
    fn throttle(&mut self, run: &Run<'_>, how: Look) -> Option<Option<Throttle>> {
        if run.cpu_limit == 0 {
            self.throttle = None;
            return Some(None);
        }
        if self.throttle.is_none() || how == Look::Changed {
            self.throttle = Some(StatsReader::open(&run.main.cgroup, THROTTLE).ok()?);
        }
        let stats = self.throttle.as_mut()?.sample().ok()?;
        Some(stats.cpu.and_then(|cpu| cpu.throttle))
    }

    fn read(&mut self, run: &Run<'_>, how: Look, time: u64, cpu: &CpuStats) -> Option<Moment> {
        let mut moment = Moment {
            time,
            cpu_limit: run.cpu_limit,
            oom_kills: run.oom_kills,
            run: run.began,
            held_high: 0,
            usage_high: 0,
            cpu_high: 0,
            ..self.last
        };
        moment.take_cpu(cpu);
        // The end is waited for: it costs no more than it must.
        if how == Look::Last {
            return Some(moment);
        }
        let stale = self.slow.is_none_or(|at| at.elapsed() >= SLOW);
        let all = stale || how != Look::Usual;
        if self.files.is_none() {
            self.files = Files::open(&run.main.cgroup);
        }
        let files = self.files.as_mut()?;
        if all {
            self.slow = Some(Instant::now());
            self.kernel = add_others(&mut files.others, run, &mut moment);
        }
        let usage = match &files.sum {
            Some(sum) => sum.read().ok()?,
            None => 0,
        };
        if all || has_moved(&self.parts, self.kernel, usage, moment.memory_limit) {
            self.parts = files.parts.sample().ok()?.memory.unwrap_or_default();
            self.parts.usage = usage;
        }
        let kernel = self.parts.kernel.or(self.kernel);
        moment.take_memory(&MemoryStats {
            usage,
            kernel,
            ..self.parts
        });
        if how == Look::Alarm && (1..=moment.peak).contains(&moment.memory_limit) {
            // The kernel kills when nothing is left to be dropped: all that was charged was held, though it may be gone by now.
            moment.held_high = moment.memory_limit;
            moment.usage_high = moment.memory_limit;
        }
        Some(moment)
    }
}

/// Whether the parts of memory, read when the sum was `parts.usage`, may be other ones now.
fn has_moved(parts: &MemoryStats, kernel: Option<u64>, usage: u64, limit: u64) -> bool {
    let held = MemoryStats {
        kernel: parts.kernel.or(kernel),
        ..*parts
    }
    .held();
    let near = limit > 0 && usage >= limit - limit / NEAR;
    near || usage.abs_diff(parts.usage) >= MOVED_LEAST.max(held / MOVED)
}

/// Whether a moment says more than how much processor time was used: of that readers ask the kernel.
fn is_told(before: &Moment, now: &Moment) -> bool {
    let beside = Moment {
        time: before.time,
        cpu: before.cpu,
        periods: before.periods,
        throttled: before.throttled,
        throttled_time: before.throttled_time,
        ..*now
    };
    beside != *before
}

/// What changes slowly; kernel memory where it is among that.
fn add_others(reader: &mut StatsReader, run: &Run<'_>, moment: &mut Moment) -> Option<u64> {
    let stats = reader.sample().ok()?;
    let network = run.own_network.then(|| traffic(run.main.process.pid));
    moment.take_others(&stats, network.flatten());
    if let Some(throttle) = stats.cpu.and_then(|cpu| cpu.throttle) {
        moment.take_throttle(&throttle);
    }
    stats.memory?.kernel
}

/// When to look again: at once while it works, ever more seldom while it rests.
fn pace(before: Duration, busy: u64) -> Duration {
    match busy >= LITTLE {
        true => QUICK,
        false => (before * 2).min(IDLE),
    }
}

fn cpu_limit(resources: &silo_types::Resources) -> u64 {
    if let Some(nano) = resources.nano_cpus {
        return u64::try_from(nano / 1_000_000).unwrap_or(0);
    }
    match (resources.cpu_quota, resources.cpu_period.unwrap_or(100_000)) {
        (Some(quota), period) if quota > 0 && period > 0 => {
            (i128::from(quota) * 1000 / i128::from(period)) as u64
        }
        _ => 0,
    }
}

fn began(state: &ContainerState) -> u64 {
    state.started / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_are_looked_at_seldom_and_the_busy_at_once() {
        let mut at = QUICK;
        let mut looks = 0;
        while at < IDLE {
            at = pace(at, 0);
            looks += 1;
        }
        assert_eq!((at, looks), (IDLE, 4));
        assert_eq!(pace(at, 1), IDLE);
        assert_eq!(pace(at, LITTLE), QUICK);
        assert_eq!(pace(at, 4000), QUICK);
    }

    #[test]
    fn parts_of_memory_are_read_when_the_sum_moves_or_nears_its_limit() {
        const MIB: u64 = 1 << 20;
        let parts = MemoryStats {
            usage: 500 * MIB,
            anon: 128 * MIB,
            file: 372 * MIB,
            ..MemoryStats::default()
        };
        let moved = |usage, limit| has_moved(&parts, None, usage, limit);
        assert!(!moved(500 * MIB, 0));
        assert!(!moved(500 * MIB, 1000 * MIB));
        // Less than a hundredth of what is held, though little of the sum.
        assert!(!moved(500 * MIB + MIB / 2, 0));
        assert!(moved(502 * MIB, 0) && moved(498 * MIB, 0));
        assert!(moved(500 * MIB, 510 * MIB));
        let small = MemoryStats {
            usage: MIB,
            anon: 100 << 10,
            ..MemoryStats::default()
        };
        assert!(!has_moved(&small, None, MIB + (500 << 10), 0));
        assert!(has_moved(&small, None, MIB + (512 << 10), 0));
    }

    #[test]
    fn limits_of_processors() {
        let of = |nano, quota, period| {
            cpu_limit(&silo_types::Resources {
                nano_cpus: nano,
                cpu_quota: quota,
                cpu_period: period,
                ..silo_types::Resources::default()
            })
        };
        assert_eq!(of(Some(1_500_000_000), None, None), 1500);
        assert_eq!(of(None, Some(50_000), None), 500);
        assert_eq!(of(None, Some(50_000), Some(25_000)), 2000);
        assert_eq!(of(None, Some(-1), None), 0);
    }
}
