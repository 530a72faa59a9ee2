//! The kernel's counters of processor time, read by a thread of its own all the while, so that they are known for any second.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    loads::Load,
    silo::{Started, seconds},
};

const EVERY: Duration = Duration::from_millis(10);

/// Seconds of the day, and seconds of processor time.
type Samples = Vec<(f64, f64)>;

pub struct Watch {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, Samples>>,
}

impl Watch {
    /// Of those that are busy.
    pub fn start(started: &[Started], loads: &[Load]) -> Watch {
        let busy: Vec<_> = started
            .iter()
            .zip(loads)
            .filter(|(_, load)| load.cpus > 0.0)
            .map(|(one, load)| (load.name.clone(), one.groups.clone()))
            .collect();
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut all: BTreeMap<String, Samples> = BTreeMap::new();
            while !told.load(Ordering::Relaxed) {
                for (name, groups) in &busy {
                    if let Ok(spent) = groups.cpu() {
                        all.entry(name.clone())
                            .or_default()
                            .push((seconds(), spent));
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

/// What was read.
pub struct Watched(BTreeMap<String, Samples>);

impl Watched {
    /// Processors used in the second before the newest moment of the recording: what is shown as "now". Which moment was the newest
    /// is known but for those that came while the answer was made: of these the one that fits. `None` for one that is not busy.
    pub fn second(&self, name: &str, moments: &[f64], answer: &Answer) -> Option<f64> {
        let samples = self.0.get(name)?;
        let first = moments.iter().rposition(|time| *time <= answer.asked)?;
        let later = moments[first..].iter().filter(|time| **time <= answer.came);
        let used = |end: &f64| -> Option<f64> {
            let start = moments.iter().rfind(|time| **time <= end - 1.0)?;
            Some((at(samples, *end)? - at(samples, *start)?) / (end - start))
        };
        let off = |truth: &f64| (truth - answer.seen).abs();
        later
            .filter_map(used)
            .min_by(|a, b| off(a).total_cmp(&off(b)))
    }
}

/// Between two samples, in proportion.
fn at(samples: &Samples, time: f64) -> Option<f64> {
    let after = samples.partition_point(|(moment, _)| *moment < time);
    let (late, early) = (samples.get(after)?, samples.get(after.checked_sub(1)?)?);
    let part = (time - early.0) / (late.0 - early.0).max(1e-9);
    Some(early.1 + (late.1 - early.1) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_that_ends_at_a_moment() {
        let samples: Samples = (0..300)
            .map(|n| (f64::from(n) / 100.0, f64::from(n) / 200.0))
            .collect();
        let watched = Watched(BTreeMap::from([("one".to_owned(), samples)]));
        let moments = [0.25, 1.0, 1.35, 2.5];
        let answer = |asked| Answer {
            asked,
            came: asked + 0.1,
            seen: 0.4,
        };
        let truth = watched.second("one", &moments, &answer(1.5)).unwrap();
        assert!((truth - 0.5).abs() < 1e-9, "{truth}");
        assert_eq!(watched.second("one", &moments, &answer(0.2)), None);
        assert_eq!(watched.second("two", &moments, &answer(1.5)), None);
    }
}
