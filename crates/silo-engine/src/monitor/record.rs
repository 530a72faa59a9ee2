//! The recorder: what the container uses, sampled by its monitor as long as it runs.
//!
//! Every 100 ms while it works; an idle container is looked at each second, which costs one read, and written down only when
//! its CPU counter has moved, or every ten seconds. Few files are kept open, since the kernel keeps a page for each that was
//! read; what changes slowly is opened, read and closed once a second. Begins after the start was told, so that no start waits
//! for it. A container whose figures cannot be read or written goes on without a recording.

use std::time::{Duration, Instant};

use silo_cgroup::{Cgroup, Figures, StatsReader};
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

/// Whether anything happened at all.
const PULSE: Figures = Figures {
    cpu_total: true,
    ..Figures::NONE
};

/// What changes while it works.
const WORK: Figures = Figures {
    cpu_total: true,
    throttle: true,
    memory_kinds: true,
    ..Figures::NONE
};

/// What changes slowly, or costs much.
const OTHERS: Figures = Figures {
    memory_bounds: true,
    pids: true,
    io: true,
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
    pulse: StatsReader,
    work: StatsReader,
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
            pulse: StatsReader::open(cgroup, PULSE).ok()?,
            work: StatsReader::open(cgroup, WORK).ok()?,
            writer: Writer::open(path).ok()?,
            last: Moment::default(),
            looked: 0,
            alarmed: 0,
            moving: false,
            slow: None,
            kernel: None,
        })
    }

    /// How busy it was, in thousandths of a processor; `None` when there is nothing more to be read.
    fn look(&mut self, run: &Run<'_>, how: Look) -> Option<u64> {
        let time = now() / 1_000_000;
        if how == Look::Alarm {
            if time.saturating_sub(self.alarmed) < CALM {
                return Some(LITTLE);
            }
            self.alarmed = time;
        }
        let used = self.pulse.sample().ok()?.cpu.unwrap_or_default().total_ns / 1000;
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
            return Some(busy);
        }
        let moment = self.read(run, how, time)?;
        // A full disk must not stop it: the next moment is tried again.
        let _ = self.writer.push(&moment);
        self.last = moment;
        Some(busy)
    }

    fn read(&mut self, run: &Run<'_>, how: Look, time: u64) -> Option<Moment> {
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
        let stale = self.slow.is_none_or(|at| at.elapsed() >= SLOW);
        // The end is waited for: it costs no more than it must.
        if how != Look::Last && (stale || how != Look::Usual) {
            self.slow = Some(Instant::now());
            self.kernel = add_others(run, &mut moment);
        }
        let work = self.work.sample().ok()?;
        moment.take_cpu(&work.cpu.unwrap_or_default());
        if how != Look::Last {
            let mut memory = work.memory.unwrap_or_default();
            memory.kernel = memory.kernel.or(self.kernel);
            moment.take_memory(&memory);
        }
        if how == Look::Alarm && (1..=moment.peak).contains(&moment.memory_limit) {
            // The kernel kills when nothing is left to be dropped: all that was charged was held, though it may be gone by now.
            moment.held_high = moment.memory_limit;
            moment.usage_high = moment.memory_limit;
        }
        Some(moment)
    }
}

/// What is opened, read and closed; kernel memory where it is among that.
fn add_others(run: &Run<'_>, moment: &mut Moment) -> Option<u64> {
    let stats = StatsReader::open(&run.main.cgroup, OTHERS)
        .and_then(|mut reader| reader.sample())
        .ok()?;
    let network = run.own_network.then(|| traffic(run.main.process.pid));
    moment.take_others(&stats, network.flatten());
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
