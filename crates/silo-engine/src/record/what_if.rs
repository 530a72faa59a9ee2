//! What a limit would have done that was not set: from a recording alone. Pure.
//!
//! Memory: what is held cannot be dropped, so holding more than the limit is a kill, once for each time that it is crossed;
//! charged beyond it without being held means that the kernel drops file cache and processes wait for that.
//! CPU: the recorded work is fed through the quota, period by period; what does not fit waits and is done later, as it would be.
//! What is said of limits that bit already is a lower bound: nobody knows what would have been used without them.

use super::{Moment, Series};

/// The kernel's usual quota period, milliseconds.
const PERIOD: f64 = 100.0;

/// A tenth more than was ever seen.
const MARGIN: f64 = 1.1;

const MIB: u64 = 1 << 20;

/// Docker's least memory limit, and the kernel's least quota.
const LEAST_MEMORY: u64 = 6 * MIB;
const LEAST_CPU: u64 = 10;

/// Limits to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Asked {
    /// Bytes.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub cpu: Option<u64>,
}

/// What would have been. Times are milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// How long the recording is that was judged, and of how many moments.
    pub length: u64,
    pub moments: usize,
    /// Moments at which memory that cannot be dropped would have crossed the limit: each a kill.
    pub kills: Vec<u64>,
    /// How long file cache would have been squeezed out for want of room.
    pub squeezed: u64,
    /// The highest that was held, the highest that was charged.
    pub memory_high: u64,
    pub usage_high: u64,
    /// The least memory limit under which nothing of this would have been killed, with a tenth to spare; whole MiB.
    pub memory_safe: u64,
    /// Processes that were killed in truth: what they would have wanted is not in the recording.
    pub killed_in_truth: u64,
    /// Share of the periods in which it ran that would have ended throttled, 0 to 1.
    pub throttled: f64,
    /// The longest that work would have waited.
    pub pause: u64,
    /// The busiest stretch, thousandths of a processor, and the mean.
    pub cpu_high: u64,
    pub cpu_mean: u64,
    /// The least CPU limit that would never have bitten; thousandths, in steps of ten.
    pub cpu_safe: u64,
    /// It was throttled in truth: it would have used more than was seen.
    pub throttled_in_truth: bool,
}

/// Judges limits over a recording.
pub fn what_if(series: &Series, asked: Asked) -> Outcome {
    let mut verdict = Outcome {
        length: series.length(),
        moments: series.moments.len(),
        ..Outcome::default()
    };
    memory(&series.moments, asked.memory, &mut verdict);
    for (_, step) in series.steps() {
        verdict.killed_in_truth += step.oom_kills;
        verdict.throttled_in_truth |= step.throttled > 0.0;
    }
    cpu(series, asked.cpu, &mut verdict);
    verdict
}

fn memory(moments: &[Moment], limit: Option<u64>, verdict: &mut Outcome) {
    let mut above = false;
    let mut before: Option<&Moment> = None;
    for moment in moments {
        let held = moment.held_high.max(moment.held);
        let usage = moment.usage_high.max(moment.usage).max(held);
        verdict.memory_high = verdict.memory_high.max(held);
        verdict.usage_high = verdict.usage_high.max(usage);
        let same_run = before.is_some_and(|before| before.run == moment.run);
        above &= same_run;
        if let Some(limit) = limit {
            if held > limit && !above {
                verdict.kills.push(moment.time);
            }
            above = held > limit;
            if let (true, Some(before)) = (same_run && usage > limit && !above, before) {
                verdict.squeezed += moment.time.saturating_sub(before.time);
            }
        }
        before = Some(moment);
    }
    let wanted = (verdict.memory_high as f64 * MARGIN) as u64;
    verdict.memory_safe = (wanted.div_ceil(MIB) * MIB).max(LEAST_MEMORY);
}

fn cpu(series: &Series, limit: Option<u64>, verdict: &mut Outcome) {
    let (mut used, mut time) = (0.0, 0.0);
    // Periods with work, those of them that were throttled, and work that waits: thousandths × milliseconds.
    let (mut wanted, mut throttled, mut waiting) = (0.0, 0.0, 0.0f64);
    for (_, step) in series.steps() {
        let length = step.length as f64;
        used += step.cpu * length;
        time += length;
        verdict.cpu_high = verdict.cpu_high.max(step.cpu_high.ceil() as u64);
        let Some(quota) = limit.map(|limit| (limit as f64).max(1.0)) else {
            continue;
        };
        let periods = (length / PERIOD).max(1.0);
        let ran = match step.cpu_high {
            0.0 => 0.0,
            _ => periods,
        };
        let surplus = step.cpu - quota;
        let bitten = if surplus > 0.0 {
            periods
        } else if waiting > 0.0 {
            // As long as it takes to catch up.
            (waiting / -surplus.min(-1.0) / PERIOD).min(periods)
        } else if step.cpu_high > quota {
            1.0
        } else {
            0.0
        };
        waiting = (waiting + surplus * length).max(0.0);
        wanted += ran.max(bitten);
        throttled += bitten;
        verdict.pause = verdict.pause.max((waiting / quota) as u64);
    }
    verdict.throttled = if wanted > 0.0 {
        throttled / wanted
    } else {
        0.0
    };
    verdict.cpu_mean = if time > 0.0 {
        (used / time).round() as u64
    } else {
        0
    };
    verdict.cpu_safe = (verdict.cpu_high.div_ceil(10) * 10).max(LEAST_CPU);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const M: u64 = MIB;

    /// Moments 100 ms apart: held and charged MiB, and thousandths of a processor since the one before.
    fn series(steps: &[(u64, u64, u64)]) -> Series {
        let mut cpu = 0;
        let made = steps.iter().enumerate().map(|(at, (held, usage, busy))| {
            cpu += busy * 100;
            Moment {
                time: 10_000 + at as u64 * 100,
                held: held * M,
                usage: usage * M,
                cpu,
                run: 1,
                ..Moment::default()
            }
        });
        Series {
            moments: made.collect(),
        }
    }

    fn ask(memory: u64, cpu: u64) -> Asked {
        Asked {
            memory: Some(memory * M),
            cpu: Some(cpu),
        }
    }

    #[test]
    fn memory_limits() {
        let waves = series(&[
            (10, 50, 0),
            (90, 95, 0),
            (95, 95, 0),
            (20, 60, 0),
            (91, 99, 0),
        ]);
        for (limit, kills, squeezed) in [
            (100, 0, 0),
            (95, 0, 100),
            (90, 2, 100),
            (50, 2, 100),
            (5, 1, 0),
        ] {
            let verdict = what_if(&waves, ask(limit, 1000));
            let found = (verdict.kills.len(), verdict.squeezed);
            assert_eq!(found, (kills, squeezed), "{limit} MiB");
        }
        let verdict = what_if(&waves, Asked::default());
        assert_eq!((verdict.memory_high, verdict.usage_high), (95 * M, 99 * M));
        assert_eq!(verdict.memory_safe, 105 * M);
        assert!(verdict.kills.is_empty());
    }

    #[test]
    fn each_run_is_killed_for_itself() {
        let mut runs = series(&[(90, 90, 0), (91, 91, 0), (92, 92, 0)]);
        runs.moments[2].run = 2;
        assert_eq!(what_if(&runs, ask(50, 1000)).kills.len(), 2);
    }

    #[test]
    fn cpu_limits() {
        let steady = series(&[(1, 1, 0), (1, 1, 500), (1, 1, 500), (1, 1, 500)]);
        for (limit, share) in [(1000, 0.0), (500, 0.0), (400, 1.0)] {
            let verdict = what_if(&steady, ask(100, limit));
            assert_eq!(verdict.throttled, share, "{limit}");
        }
        let verdict = what_if(&steady, ask(100, 250));
        // Half of 300 ms of work is left, for which a quarter processor needs as long again.
        assert_eq!(
            (verdict.pause, verdict.cpu_mean, verdict.cpu_safe),
            (300, 500, 500)
        );
    }

    #[test]
    fn work_that_waits_is_done_later() {
        let burst = series(&[(1, 1, 0), (1, 1, 1000), (1, 1, 0), (1, 1, 0), (1, 1, 0)]);
        let verdict = what_if(&burst, ask(100, 500));
        assert_eq!(verdict.throttled, 1.0);
        assert_eq!(verdict.pause, 100);
        let verdict = what_if(&burst, ask(100, 1000));
        assert_eq!((verdict.throttled, verdict.pause), (0.0, 0));
    }

    #[test]
    fn peaks_inside_of_long_steps_count() {
        let mut hours = series(&[(10, 10, 0), (10, 10, 100)]);
        hours.moments[1].time += 900;
        hours.moments[1].held_high = 80 * M;
        hours.moments[1].cpu_high = 900;
        let verdict = what_if(&hours, ask(50, 500));
        assert_eq!(verdict.kills.len(), 1);
        assert_eq!(verdict.throttled, 0.1);
        assert_eq!(verdict.cpu_safe, 900);
    }

    #[test]
    fn what_happened_in_truth_is_said() {
        let mut truth = series(&[(10, 10, 0), (10, 10, 100)]);
        truth.moments[1].oom_kills = 2;
        truth.moments[1].periods = 5;
        truth.moments[1].throttled = 1;
        let verdict = what_if(&truth, Asked::default());
        assert_eq!(verdict.killed_in_truth, 2);
        assert!(verdict.throttled_in_truth);
        assert_eq!(what_if(&Series::default(), ask(1, 1)).moments, 0);
    }

    proptest! {
        #[test]
        fn a_higher_limit_is_never_worse(
            steps in prop::collection::vec((0..200u64, 0..50u64, 0..3000u64), 0..40),
            (low, more) in (1..200u64, 1..200u64),
        ) {
            let steps: Vec<_> = steps.into_iter().map(|(h, c, b)| (h, h + c, b)).collect();
            let all = series(&steps);
            let (small, large) = (what_if(&all, ask(low, low * 10)), what_if(&all, ask(low + more, (low + more) * 10)));
            prop_assert!(large.kills.is_empty() || !small.kills.is_empty());
            prop_assert!(large.pause <= small.pause);
            let safe = what_if(&all, Asked { memory: Some(small.memory_safe), cpu: Some(small.cpu_safe) });
            prop_assert!(safe.kills.is_empty());
            prop_assert_eq!(safe.throttled, 0.0);
        }
    }
}
