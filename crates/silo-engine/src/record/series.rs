//! Moments in order, and what lies between two of them: rates and shares. Pure.

use super::Moment;

/// Moments of one container, oldest first, perhaps of several runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub moments: Vec<Moment>,
}

/// What happened from one moment to another of the same run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Milliseconds.
    pub length: u64,
    /// Thousandths of a processor: the mean.
    pub cpu: f64,
    /// The busiest part that is known of, thousandths of a processor.
    pub cpu_high: f64,
    /// Share of the quota periods in which the quota was used up, 0 to 1.
    pub throttled: f64,
    pub periods: u64,
    /// Shares of the time in which some process waited, 0 to 1.
    pub cpu_pressure: f64,
    pub memory_pressure: f64,
    pub io_pressure: f64,
    /// Bytes each second.
    pub received: f64,
    pub sent: f64,
    pub read: f64,
    pub written: f64,
    pub oom_kills: u64,
}

/// A second is ten quota periods: shares of fewer jump.
const GLANCE: u64 = 1000;

impl Step {
    /// `None` when another run began between the two, or no time passed.
    pub fn between(before: &Moment, now: &Moment) -> Option<Step> {
        if before.run != now.run {
            return None;
        }
        Step::over(before, now, now.time.saturating_sub(before.time))
    }

    fn over(before: &Moment, now: &Moment, length: u64) -> Option<Step> {
        if length == 0 {
            return None;
        }
        let grown = |of: fn(&Moment) -> u64| of(now).saturating_sub(of(before));
        let rate = |of: fn(&Moment) -> u64| grown(of) as f64 * 1000.0 / length as f64;
        // Microseconds of milliseconds.
        let share = |of: fn(&Moment) -> u64| (rate(of) / 1e6).min(1.0);
        let periods = grown(|m| m.periods);
        let cpu = rate(|m| m.cpu) / 1000.0;
        Some(Step {
            length,
            cpu,
            cpu_high: cpu.max(now.cpu_high as f64),
            throttled: match periods {
                0 => 0.0,
                periods => (grown(|m| m.throttled) as f64 / periods as f64).min(1.0),
            },
            periods,
            cpu_pressure: share(|m| m.cpu_pressure),
            memory_pressure: share(|m| m.memory_pressure),
            io_pressure: share(|m| m.io_pressure),
            received: rate(|m| m.received),
            sent: rate(|m| m.sent),
            read: rate(|m| m.read),
            written: rate(|m| m.written),
            oom_kills: grown(|m| m.oom_kills),
        })
    }

    /// What a running container does just now: from a second or more ago to `present`, its newest moment or one of after that.
    ///
    /// Both ends are moments at which the kernel was asked, so that no time is guessed. Of a container that rested, and is written
    /// down seldom, the span is long for the second in which it goes on.
    pub fn glance(moments: &[Moment], present: &Moment) -> Option<Step> {
        let last = moments.last()?;
        let of_run = moments.iter().rev().take_while(|m| m.run == last.run);
        let from = present.time.saturating_sub(GLANCE);
        let birth = Moment {
            time: last.run,
            run: last.run,
            ..Moment::default()
        };
        // Of a block that has not reached back a second: from its first on.
        let oldest = of_run.clone().last();
        let start = of_run
            .clone()
            .find(|m| m.time <= from)
            .or_else(|| oldest.filter(|m| present.time - m.time > GLANCE / 2))
            .copied()
            .unwrap_or(birth);
        Step::over(&start, present, present.time.saturating_sub(start.time))
    }

    /// The same at a time of the past, from the moments up to it: what was silent for longer than usual rested.
    pub fn glance_at(moments: &[Moment], time: u64) -> Option<Step> {
        let last = moments.last()?;
        let of_run = moments.iter().rev().take_while(|m| m.run == last.run);
        let before = of_run.clone().nth(1);
        let usual = before.map_or(100, |before| last.time.saturating_sub(before.time));
        let silent = time.saturating_sub(last.time);
        let present = match silent > usual + usual / 2 + 150 {
            true => Moment { time, ..*last },
            false => *last,
        };
        Step::glance(moments, &present)
    }
}

impl Series {
    /// From a moment on, and the one before it, so that the first step is whole.
    pub fn since(&self, time: u64) -> Series {
        let first = self.moments.partition_point(|m| m.time < time);
        Series {
            moments: self.moments[first.saturating_sub(1)..].to_vec(),
        }
    }

    /// Each moment with the step that led to it.
    pub fn steps(&self) -> impl Iterator<Item = (&Moment, Step)> {
        let pairs = self.moments.windows(2);
        pairs.filter_map(|pair| Some((&pair[1], Step::between(&pair[0], &pair[1])?)))
    }

    /// Milliseconds from the first moment to the last.
    pub fn length(&self) -> u64 {
        match (self.moments.first(), self.moments.last()) {
            (Some(first), Some(last)) => last.time.saturating_sub(first.time),
            _ => 0,
        }
    }

    /// Moments at which processes were killed for want of memory, and how many.
    pub fn kills(&self) -> impl Iterator<Item = (u64, u64)> {
        self.steps()
            .filter(|(_, step)| step.oom_kills > 0)
            .map(|(moment, step)| (moment.time, step.oom_kills))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(time: u64, cpu: u64) -> Moment {
        Moment {
            time,
            cpu,
            run: 1000,
            ..Moment::default()
        }
    }

    #[test]
    fn rates_are_of_one_run() {
        let before = moment(2000, 0);
        let now = Moment {
            periods: 10,
            throttled: 4,
            received: 5000,
            memory_pressure: 250_000,
            ..moment(3000, 500_000)
        };
        let step = Step::between(&before, &now).unwrap();
        assert_eq!((step.cpu, step.throttled), (500.0, 0.4));
        assert_eq!((step.received, step.memory_pressure), (5000.0, 0.25));
        let other = Moment { run: 2500, ..now };
        assert_eq!(Step::between(&before, &other), None);
        assert_eq!(Step::between(&now, &now), None);
    }

    #[test]
    fn a_glance_is_of_the_last_second() {
        let burning: Vec<Moment> = (0..50)
            .map(|n| moment(2000 + n * 100, n * 50_000))
            .collect();
        let last = *burning.last().unwrap();
        let step = |moments: &[Moment], present: &Moment| Step::glance(moments, present).unwrap();
        let cpu = |moments: &[Moment], present: &Moment| step(moments, present).cpu.round();
        assert_eq!(cpu(&burning, &last), 500.0);
        // It has been at rest for half a second, then for long.
        let later = |passed: u64, cpu: u64| Moment {
            time: last.time + passed,
            cpu: last.cpu + cpu,
            ..last
        };
        assert_eq!(cpu(&burning, &later(500, 0)), 250.0);
        assert_eq!(cpu(&burning, &later(5000, 0)), 0.0);
        // It went on, and its recorder was kept waiting: the span is longer, and the share as true.
        assert_eq!(cpu(&burning, &later(400, 200_000)), 500.0);
        assert_eq!(cpu(&burning, &later(3000, 1_500_000)), 500.0);
        assert_eq!(step(&burning, &later(3000, 1_500_000)).length, 3000);
        // Just born: since its birth.
        let young = moment(1100, 100_000);
        assert_eq!(cpu(&[young], &young), 1000.0);
        // One of a kind that is looked at each second.
        let slow: Vec<Moment> = (0..9).map(|n| moment(2000 + n * 1000, n * 2000)).collect();
        assert_eq!(cpu(&slow, &slow[8]), 2.0);
        assert_eq!(cpu(&slow, &moment(10_900, 16_000)), 1.0);
        // One that rested is written down every ten seconds: when it went on is not known.
        let resting = [moment(2000, 7000), moment(12_000, 7000)];
        assert_eq!(cpu(&resting, &moment(20_000, 7000)), 0.0);
        assert_eq!(cpu(&resting, &moment(20_000, 807_000)), 100.0);
        assert_eq!(step(&resting, &moment(20_000, 807_000)).length, 8000);
        assert_eq!(Step::glance(&[], &young), None);
        let back = |time: u64| Step::glance_at(&burning, time).unwrap().cpu.round();
        assert_eq!(
            (back(last.time + 60), back(last.time + 500)),
            (500.0, 250.0)
        );
    }

    #[test]
    fn since_keeps_one_before() {
        let series = Series {
            moments: (1..10).map(|n| moment(n * 1000, 0)).collect(),
        };
        assert_eq!(series.since(5500).moments[0].time, 5000);
        assert_eq!(series.since(0).moments.len(), 9);
        assert_eq!(series.since(99_000).moments.len(), 1);
        assert_eq!(series.length(), 8000);
    }
}
