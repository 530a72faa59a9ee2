//! CPU: shares, quota, period, burst, idle, real time; CPU and memory-node sets (OCI config-linux, "CPU").
//!
//! 0 means "not set" for shares, quota and period, as in runc; a quota of -1 is "no quota". Real-time settings exist on v1.

use super::{Check, Plan, invalid, v1_only};
use crate::layout::{Controller, Version};
use crate::parse;
use oci_spec::runtime::LinuxCpu;
use silo_types::Result;

pub(super) fn plan(plan: &mut Plan, cpu: &LinuxCpu) -> Result<()> {
    let time = Time {
        shares: cpu.shares().filter(|n| *n != 0),
        quota: cpu.quota().filter(|n| *n != 0),
        period: cpu.period().filter(|n| *n != 0),
    };
    if time.quota.is_some_and(|quota| quota < -1) {
        return Err(invalid("cpu quota", "it must be -1 (none) or microseconds"));
    }
    if cpu.idle() == Some(1) && time.shares.is_some() {
        let why = "an idle group has the kernel's lowest share: leave one of the two out";
        return Err(invalid("cpu shares", why));
    }
    if let Some(idle) = cpu.idle() {
        if !(0..=1).contains(&idle) {
            return Err(invalid("cpu idle", "it must be 0 or 1"));
        }
        let place = plan.place(Controller::Cpu, "cpu idle")?;
        let why = "it needs Linux 5.15";
        plan.add(
            "cpu idle",
            place,
            "cpu.idle",
            idle.to_string(),
            Check::Text,
            why,
        );
    }
    let rt = cpu.realtime_runtime().is_some() || cpu.realtime_period().is_some();
    if time.shares.or(time.period).or(cpu.burst()).is_some() || time.quota.is_some() || rt {
        let place = plan.place(Controller::Cpu, "cpu limit")?;
        match plan.version(place) {
            Version::V1 => v1(plan, place, cpu, &time),
            Version::V2 if rt => {
                return Err(v1_only("real-time cpu limit", "use the cpu quota"));
            }
            Version::V2 => v2(plan, place, cpu, &time),
        }
    }
    sets(plan, cpu)
}

struct Time {
    shares: Option<u64>,
    quota: Option<i64>,
    period: Option<u64>,
}

const NO_BURST: &str = "it needs Linux 5.14";
const NO_QUOTA: &str = "the kernel was built without CONFIG_CFS_BANDWIDTH";
const NO_RT: &str = "the kernel was built without CONFIG_RT_GROUP_SCHED";

fn v1(plan: &mut Plan, place: usize, cpu: &LinuxCpu, time: &Time) {
    let mut add = |what: &'static str, file: &'static str, value: Option<String>, why| {
        if let Some(value) = value {
            plan.add(what, place, file, value, Check::Text, why);
        }
    };
    let text = |n: Option<u64>| n.map(|n| n.to_string());
    add("cpu shares", "cpu.shares", text(time.shares), "");
    add(
        "cpu period",
        "cpu.cfs_period_us",
        text(time.period),
        NO_QUOTA,
    );
    let quota = time.quota.map(|n| n.to_string());
    add("cpu quota", "cpu.cfs_quota_us", quota, NO_QUOTA);
    add("cpu burst", "cpu.cfs_burst_us", text(cpu.burst()), NO_BURST);
    let period = text(cpu.realtime_period());
    add("real-time cpu period", "cpu.rt_period_us", period, NO_RT);
    let runtime = cpu.realtime_runtime().map(|n| n.to_string());
    add("real-time cpu runtime", "cpu.rt_runtime_us", runtime, NO_RT);
}

fn v2(plan: &mut Plan, place: usize, cpu: &LinuxCpu, time: &Time) {
    if let Some(shares) = time.shares {
        let value = weight_of_shares(shares).to_string();
        plan.add("cpu shares", place, "cpu.weight", value, Check::Text, "");
    }
    // One file holds both; a period alone is completed by `Cgroup::update` with the quota in force
    let quota = match time.quota {
        Some(quota) if quota > 0 => quota.to_string(),
        _ => "max".to_owned(),
    };
    let value = match (time.quota, time.period) {
        (_, Some(period)) => Some((format!("{quota} {period}"), Check::Text)),
        (Some(_), None) => Some((quota, Check::Free)),
        (None, None) => None,
    };
    if let Some((value, check)) = value {
        plan.add("cpu quota", place, "cpu.max", value, check, NO_QUOTA);
    }
    if let Some(burst) = cpu.burst() {
        let value = burst.to_string();
        plan.add(
            "cpu burst",
            place,
            "cpu.max.burst",
            value,
            Check::Text,
            NO_BURST,
        );
    }
}

fn sets(plan: &mut Plan, cpu: &LinuxCpu) -> Result<()> {
    for (what, value, file, effective) in [
        (
            "cpu set",
            cpu.cpus(),
            "cpuset.cpus",
            "cpuset.cpus.effective",
        ),
        (
            "memory node set",
            cpu.mems(),
            "cpuset.mems",
            "cpuset.mems.effective",
        ),
    ] {
        let Some(value) = value.as_deref().filter(|text| !text.trim().is_empty()) else {
            continue;
        };
        if parse::list(value).is_none() {
            return Err(invalid(what, format!("{value:?} is no list such as 0-2,7")));
        }
        let place = plan.place(Controller::Cpuset, what)?;
        let check = match plan.version(place) {
            Version::V1 => Check::List,
            // v2 accepts CPUs that the host does not have, and quietly leaves them out
            Version::V2 => Check::ListIn(effective),
        };
        plan.add(what, place, file, value.trim(), check, "");
    }
    Ok(())
}

/// v1 shares (2..262144, default 1024) as v2 weight (1..10000, default 100): the curve through both ranges' ends and
/// defaults that current runtimes share, 10^((l² + 125·l)/612 − 7/34) with l = log2 of the shares.
pub fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::weight_of_shares;

    #[test]
    fn shares_become_weights() {
        for (shares, weight) in [
            (1, 1),
            (2, 1),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }
}
