//! The kernel's counters of processor time, read by a thread of its own all the while, so that they are known for any second.
//!
//! A counter between two reads is between what they said: a figure is held against the least and the most that the kernel can
//! have counted in exactly its span, and a span whose ends are not known closely enough is not judged. The thread reads a
//! thousand times a second and goes before all others, so that a busy machine does not keep it from that.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use silo_sys::scheduling::{SchedAttr, set_scheduler};

use super::{
    CPU,
    loads::Load,
    silo::{Started, seconds},
};

const EVERY: Duration = Duration::from_millis(1);

/// SCHED_FIFO of sched(7).
const FIFO: u32 = 1;

/// How closely a recorded time is known, in seconds: it is rounded to milliseconds, and read within 0.2 ms of its counter.
const ROUNDED: f64 = 0.0006;

/// One read.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Seconds of the day before it and after it.
    early: f64,
    late: f64,
    /// Seconds of processor time.
    spent: f64,
}

pub struct Watch {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, Vec<Sample>>>,
}

impl Watch {
    /// Of those that are busy.
    pub fn start(started: &[Started], loads: &[Load]) -> Watch {
        let busy: Vec<_> = started
            .iter()
            .zip(loads)
            .filter(|(_, load)| load.cpus > 0.0)
            .filter_map(|(one, load)| Some((load.name.clone(), one.groups.cpu_counter().ok()?)))
            .collect();
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let first = SchedAttr {
                policy: FIFO,
                priority: 1,
                ..SchedAttr::default()
            };
            // Where that is not allowed more spans are not judged.
            let _ = set_scheduler(&first);
            let mut all: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
            while !told.load(Ordering::Relaxed) {
                for (name, counter) in &busy {
                    let early = seconds();
                    if let Ok(spent) = counter.read() {
                        let late = seconds();
                        let sample = Sample { early, late, spent };
                        all.entry(name.clone()).or_default().push(sample);
                    }
                }
                std::thread::sleep(EVERY);
            }
            all
        });
        Watch { ends, thread }
    }

    pub fn end(self) -> Watched {
        self.ends.store(true, Ordering::Relaxed);
        Watched(self.thread.join().unwrap_or_default())
    }
}

/// Processors that were shown, and when: seconds of the day.
pub struct Answer {
    pub asked: f64,
    pub came: f64,
    pub seen: f64,
}

/// What the kernel can have counted: processors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    pub least: f64,
    pub most: f64,
}

impl Truth {
    /// Known closely enough to judge by.
    pub fn is_known(&self) -> bool {
        self.most - self.least <= self.most * CPU / 100.0
    }

    /// The nearest to what was seen that is not untrue.
    pub fn nearest(&self, seen: f64) -> f64 {
        seen.clamp(self.least, self.most)
    }
}

/// What was read.
pub struct Watched(BTreeMap<String, Vec<Sample>>);

impl Watched {
    /// Processors used in the `span` seconds that end at `until`. `None` for one that is not busy, or when it was not watched.
    pub fn over(&self, name: &str, until: f64, span: f64) -> Option<Truth> {
        let samples = self.0.get(name)?;
        let (first, last) = (around(samples, until - span)?, around(samples, until)?);
        Some(Truth {
            least: (last.0 - first.1).max(0.0) / span,
            most: (last.1 - first.0) / span,
        })
    }

    /// The same of an answer that does not tell its span, which is a second or more: it ends at a recorded moment, or when the
    /// answer was made. Of those that are possible the one that fits.
    pub fn second(&self, name: &str, moments: &[f64], answer: &Answer) -> Option<Truth> {
        let recorded = moments
            .iter()
            .filter(|time| (answer.asked - 0.2..=answer.came).contains(*time));
        let between =
            (0..=8).map(|n| answer.asked + (answer.came - answer.asked) * f64::from(n) / 8.0);
        let truths = recorded.copied().chain(between).filter_map(|end| {
            let start = moments.iter().rfind(|time| **time <= end - 1.0)?;
            self.over(name, end, end - start)
        });
        let off = |truth: &Truth| (truth.nearest(answer.seen) - answer.seen).abs();
        truths.min_by(|a, b| off(a).total_cmp(&off(b)))
    }
}

/// The least and the most that the counter can have been at a time.
fn around(samples: &[Sample], time: f64) -> Option<(f64, f64)> {
    let before = samples.partition_point(|sample| sample.late <= time - ROUNDED);
    let after = samples.partition_point(|sample| sample.early < time + ROUNDED);
    let (least, most) = (samples.get(before.checked_sub(1)?)?, samples.get(after)?);
    Some((least.spent, most.spent))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a processor, read each millisecond.
    fn watched() -> Watched {
        let sample = |n: i32| Sample {
            early: f64::from(n) / 1000.0,
            late: f64::from(n) / 1000.0 + 0.0001,
            spent: f64::from(n) / 2000.0,
        };
        Watched(BTreeMap::from([(
            "one".to_owned(),
            (0..3000).map(sample).collect(),
        )]))
    }

    #[test]
    fn a_span_is_held_between_the_reads_around_its_ends() {
        let truth = watched().over("one", 1.5, 1.0).unwrap();
        assert!(truth.least < 0.5 && truth.most > 0.5, "{truth:?}");
        assert!(truth.is_known() && truth.least > 0.497 && truth.most < 0.503);
        assert_eq!(truth.nearest(0.5), 0.5);
        assert_eq!(truth.nearest(0.45), truth.least);
        assert_eq!(watched().over("one", 0.9, 1.0), None);
        assert_eq!(watched().over("two", 1.5, 1.0), None);
    }

    #[test]
    fn what_was_not_watched_is_not_judged() {
        let mut watched = watched();
        let samples = watched.0.get_mut("one").unwrap();
        samples.retain(|sample| !(1.48..1.53).contains(&sample.early));
        assert!(!watched.over("one", 1.5, 1.0).unwrap().is_known());
        assert!(watched.over("one", 1.6, 1.0).unwrap().is_known());
    }

    #[test]
    fn a_second_that_ends_at_a_moment() {
        let moments = [0.25, 1.0, 1.35, 2.5];
        let answer = Answer {
            asked: 1.4,
            came: 1.5,
            seen: 0.5,
        };
        let truth = watched().second("one", &moments, &answer).unwrap();
        assert_eq!(truth.nearest(0.5), 0.5);
        let early = Answer {
            asked: 0.2,
            came: 0.3,
            seen: 0.5,
        };
        assert_eq!(watched().second("one", &moments, &early), None);
    }
}
