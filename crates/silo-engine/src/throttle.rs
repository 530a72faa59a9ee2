//! What a CPU limit does: how much was used, how much was wanted, how long it stood still, and what would help.
//!
//! Called by `throttle`. The kernel gives a group its quota of CPU time anew in each period and lets it wait when that is used
//! up (Documentation/scheduler/sched-bwc.rst). The kernel counts such periods and the time lost; a longest pause it does not keep:
//! the recording gives bounds of it.

use std::time::Duration;

use serde::Serialize;
use silo_cgroup::{Cgroup, Controller, Throttle, Version};
use silo_types::{Error, Result};

use crate::{Engine, container::Container, pauses::longest, stats::Sample};

/// Everything that `throttle` tells. CPUs are numbers of whole CPUs; times are milliseconds unless said.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    pub container: String,
    /// None: no limit.
    pub quota_us: Option<u64>,
    pub period_us: u64,
    /// None: this kernel has no burst.
    pub burst_us: Option<u64>,
    pub cpus: Option<f64>,
    pub watched_seconds: f64,
    /// While it was watched.
    pub used_cpus: f64,
    /// What it would have used without the limit: at most this, for the kernel counts the time lost on each CPU.
    pub wanted_cpus: f64,
    pub periods: u64,
    pub throttled: u64,
    pub throttled_percent: f64,
    /// On each CPU that had to wait, in each such period; none: it never had to.
    pub mean_pause_ms: Option<f64>,
    /// Of those that were recorded; none: only bounds are known, or there was none.
    pub longest_pause_ms: Option<f64>,
    /// The longest is not shorter, and not longer; of those that were recorded.
    pub longest_at_least_ms: Option<f64>,
    pub longest_at_most_ms: Option<f64>,
    /// No pause can be longer, with as many threads as CPUs.
    pub pause_at_most_ms: Option<f64>,
    /// Since the container's start.
    pub total_periods: u64,
    pub total_throttled: u64,
    pub total_throttled_percent: f64,
    pub mean_used_cpus: f64,
    /// What to give with `--cpus` so that it need not wait; none: nothing.
    pub advised_cpus: Option<f64>,
    /// What to give with `--cpu-burst` where peaks alone are cut off; none: it would not help, or cannot be had.
    pub advised_burst_us: Option<u64>,
}

/// Quota, period and burst as the kernel has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bandwidth {
    quota_us: Option<u64>,
    period_us: u64,
    burst_us: Option<u64>,
}

/// Two looks and what lies between.
struct Watched {
    bandwidth: Bandwidth,
    host_cpus: f64,
    seconds: f64,
    used_ns: u64,
    lost: Throttle,
    total: Throttle,
    total_used_ns: u64,
    age_seconds: f64,
}

impl Engine {
    /// Watches a running container for a while.
    pub fn throttle(&self, container: &Container, watch: Duration) -> Result<Throttling> {
        let mut sampler = self.sampler(container)?;
        let bandwidth = bandwidth(&self.cgroup(&container.config)?)?;
        let before = sampler.sample()?;
        std::thread::sleep(watch);
        let after = sampler.sample()?;
        let age = crate::create::now().saturating_sub(container.state.started);
        let watched = between(bandwidth, &before, &after, age)?;
        let mut found = conclude(container.name(), &watched);
        let recording = self.recording(container.id().as_str());
        if let (Ok(recording), Some(cpus), Some(most)) =
            (recording, found.cpus, found.pause_at_most_ms)
        {
            let limit = (cpus * 1000.0).round() as u64;
            let moments = &recording.series.moments;
            found.bound_pauses(longest(moments, limit, watched.host_cpus, most));
        }
        Ok(found)
    }
}

fn bandwidth(cgroup: &Cgroup) -> Result<Bandwidth> {
    let layout = cgroup.layout();
    let Some(place) = layout.place(Controller::Cpu) else {
        return Err(Error::unsupported(format!(
            "this host has no cpu controller ({layout}): there is no limit that could bite"
        )));
    };
    let read = |name: &str| {
        std::fs::read_to_string(format!("{}/{name}", cgroup.dir(place))).unwrap_or_default()
    };
    Ok(match layout.hierarchies()[place].version {
        Version::V1 => Bandwidth {
            quota_us: read("cpu.cfs_quota_us").trim().parse().ok(),
            period_us: read("cpu.cfs_period_us").trim().parse().unwrap_or(0),
            burst_us: read("cpu.cfs_burst_us").trim().parse().ok(),
        },
        Version::V2 => {
            let text = read("cpu.max");
            let (quota, period) = text.trim().split_once(' ').unwrap_or(("max", "0"));
            Bandwidth {
                quota_us: quota.parse().ok(),
                period_us: period.parse().unwrap_or(0),
                burst_us: read("cpu.max.burst").trim().parse().ok(),
            }
        }
    })
}

fn between(bandwidth: Bandwidth, before: &Sample, after: &Sample, age_ns: u64) -> Result<Watched> {
    let unknown = || Error::unsupported("this kernel does not count CPU time of control groups");
    let (first, last) = (
        before.stats.cpu.ok_or_else(unknown)?,
        after.stats.cpu.ok_or_else(unknown)?,
    );
    let (early, late) = (
        first.throttle.unwrap_or_default(),
        last.throttle.unwrap_or_default(),
    );
    Ok(Watched {
        bandwidth,
        host_cpus: std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64),
        seconds: after.time.saturating_sub(before.time) as f64 / 1e9,
        used_ns: last.total_ns.saturating_sub(first.total_ns),
        lost: Throttle {
            periods: late.periods.saturating_sub(early.periods),
            throttled: late.throttled.saturating_sub(early.throttled),
            throttled_ns: late.throttled_ns.saturating_sub(early.throttled_ns),
        },
        total: late,
        total_used_ns: last.total_ns,
        age_seconds: age_ns as f64 / 1e9,
    })
}

impl Throttling {
    /// Bounds that agree to a millisecond are a figure.
    fn bound_pauses(&mut self, bounds: Option<(f64, f64)>) {
        self.longest_at_least_ms = bounds.map(|(least, _)| least);
        self.longest_at_most_ms = bounds.map(|(_, most)| most);
        let known = bounds.filter(|(least, most)| most - least < 1.0);
        self.longest_pause_ms = known.map(|(_, most)| most);
    }
}

/// Less than this share of periods is not worth a word.
const WORTH: f64 = 1.0;

fn conclude(name: &str, watched: &Watched) -> Throttling {
    let bandwidth = watched.bandwidth;
    let cpus = bandwidth
        .quota_us
        .map(|quota| quota as f64 / bandwidth.period_us.max(1) as f64);
    let seconds = watched.seconds.max(1e-9);
    let used = watched.used_ns as f64 / 1e9 / seconds;
    let wanted = used + watched.lost.throttled_ns as f64 / 1e9 / seconds;
    let wanted = wanted.min(watched.host_cpus).max(used);
    let mean_used = watched.total_used_ns as f64 / 1e9 / watched.age_seconds.max(1e-9);
    let percent = share(&watched.lost);
    let bites = percent >= WORTH || (watched.lost.periods == 0 && share(&watched.total) >= WORTH);
    let pauses = match watched.lost.throttled {
        0 => &watched.total,
        _ => &watched.lost,
    };
    let mean =
        (pauses.throttled > 0).then(|| pauses.throttled_ns as f64 / 1e6 / pauses.throttled as f64);
    let at_most = bandwidth.quota_us.map(|quota| {
        let alone = quota as f64 / watched.host_cpus;
        (bandwidth.period_us as f64 - alone).max(0.0) / 1000.0
    });
    // Time lost is counted on each CPU: one pause of the whole is no longer than the mean divided by those that waited.
    let mean = mean.zip(at_most).map(|(mean, most)| mean.min(most));
    // Peaks over a mean that fits: what was saved in quiet periods may be spent in busy ones.
    let fits = cpus.is_some_and(|cpus| mean_used < 0.8 * cpus);
    Throttling {
        container: name.to_owned(),
        quota_us: bandwidth.quota_us,
        period_us: bandwidth.period_us,
        burst_us: bandwidth.burst_us,
        cpus,
        watched_seconds: watched.seconds,
        used_cpus: used,
        wanted_cpus: wanted,
        periods: watched.lost.periods,
        throttled: watched.lost.throttled,
        throttled_percent: percent,
        mean_pause_ms: mean,
        longest_pause_ms: None,
        longest_at_least_ms: None,
        longest_at_most_ms: None,
        pause_at_most_ms: at_most,
        total_periods: watched.total.periods,
        total_throttled: watched.total.throttled,
        total_throttled_percent: share(&watched.total),
        mean_used_cpus: mean_used,
        advised_cpus: cpus
            .filter(|_| bites)
            .map(|cpus| enough(wanted, cpus, watched.host_cpus)),
        advised_burst_us: bandwidth
            .burst_us
            .zip(bandwidth.quota_us)
            .filter(|(burst, quota)| bites && fits && burst < quota)
            .map(|(_, quota)| quota),
    }
}

/// A tenth of a CPU above what was wanted, more than there is now, and no more than the machine has.
fn enough(wanted: f64, now: f64, host: f64) -> f64 {
    let above = (wanted * 10.0).ceil() / 10.0;
    let more = ((now * 10.0).floor() + 1.0) / 10.0;
    above.max(more).min(host)
}

fn share(throttle: &Throttle) -> f64 {
    match throttle.periods {
        0 => 0.0,
        periods => throttle.throttled as f64 * 100.0 / periods as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> Watched {
        Watched {
            bandwidth: Bandwidth {
                quota_us: Some(50_000),
                period_us: 100_000,
                burst_us: Some(0),
            },
            host_cpus: 4.0,
            seconds: 1.0,
            used_ns: 500_000_000,
            lost: Throttle {
                periods: 10,
                throttled: 10,
                throttled_ns: 1_500_000_000,
            },
            total: Throttle {
                periods: 100,
                throttled: 10,
                throttled_ns: 1_500_000_000,
            },
            total_used_ns: 5_000_000_000,
            age_seconds: 10.0,
        }
    }

    #[test]
    fn a_limit_that_always_bites() {
        let found = conclude("box", &watched());
        assert_eq!(
            (found.cpus, found.used_cpus, found.wanted_cpus),
            (Some(0.5), 0.5, 2.0)
        );
        assert_eq!(
            (found.throttled_percent, found.total_throttled_percent),
            (100.0, 10.0)
        );
        assert_eq!(
            (found.mean_pause_ms, found.pause_at_most_ms),
            (Some(87.5), Some(87.5))
        );
        assert_eq!(found.advised_cpus, Some(2.0));
        assert_eq!(
            found.advised_burst_us, None,
            "the mean is at the limit: saving is of no use"
        );
    }

    #[test]
    fn a_longest_pause_is_told_when_it_is_known() {
        let mut found = conclude("box", &watched());
        found.bound_pauses(Some((80.0, 80.4)));
        assert_eq!(found.longest_pause_ms, Some(80.4));
        found.bound_pauses(Some((40.0, 80.0)));
        let bounds = (found.longest_at_least_ms, found.longest_at_most_ms);
        assert_eq!(
            (found.longest_pause_ms, bounds),
            (None, (Some(40.0), Some(80.0)))
        );
    }

    #[test]
    fn peaks_over_a_mean_that_fits() {
        let mut peaks = watched();
        peaks.total_used_ns = 2_000_000_000;
        assert_eq!(conclude("box", &peaks).advised_burst_us, Some(50_000));
        peaks.bandwidth.burst_us = None;
        assert_eq!(
            conclude("box", &peaks).advised_burst_us,
            None,
            "an old kernel"
        );
    }

    #[test]
    fn limits_that_do_not_bite() {
        let mut quiet = watched();
        quiet.lost = Throttle {
            periods: 10,
            ..Throttle::default()
        };
        quiet.total = quiet.lost;
        let found = conclude("box", &quiet);
        assert_eq!((found.advised_cpus, found.mean_pause_ms), (None, None));
        quiet.bandwidth.quota_us = None;
        let found = conclude("box", &quiet);
        assert_eq!((found.cpus, found.pause_at_most_ms), (None, None));
    }

    #[test]
    fn advice_is_more_than_now_and_no_more_than_there_is() {
        assert_eq!(enough(0.51, 0.5, 4.0), 0.6);
        assert_eq!(enough(0.2, 0.5, 4.0), 0.6);
        assert_eq!(enough(9.0, 0.5, 4.0), 4.0);
    }
}
