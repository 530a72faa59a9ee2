//! Limits as a unit's properties, so that systemd says and keeps what the kernel does.
//!
//! Pure. The source is the plan of writes that `limits` makes: what is written to a file of the group, systemd is told by the
//! name that it has for that file (systemd.resource-control(5)). What systemd has no name for is in the kernel alone, which the
//! unit's `Delegate=` allows.

use super::wire::{Property, Value};
use crate::devices::{Rule, Rules, Type};
use crate::layout::{Layout, Version};
use crate::limits::Step;
use crate::parse;
use silo_types::{Error, Result};

/// As a limit: none.
const INFINITY: u64 = u64::MAX;
/// systemd counts percents of a CPU: less than a hundredth of a second in a second gets lost.
const PERCENT_US: u64 = 10_000;
const SECOND_US: u64 = 1_000_000;

/// File on v2, and the property that is one number or "max".
const NUMBERS_V2: [(&str, &str); 7] = [
    ("memory.max", "MemoryMax"),
    ("memory.high", "MemoryHigh"),
    ("memory.low", "MemoryLow"),
    ("memory.min", "MemoryMin"),
    ("memory.swap.max", "MemorySwapMax"),
    ("cpu.weight", "CPUWeight"),
    ("pids.max", "TasksMax"),
];
const NUMBERS_V1: [(&str, &str); 3] = [
    ("memory.limit_in_bytes", "MemoryLimit"),
    ("cpu.shares", "CPUShares"),
    ("pids.max", "TasksMax"),
];

/// No kernel numbers CPUs or memory nodes higher (CONFIG_NR_CPUS).
const HIGHEST: u32 = 8191;

/// CPU time in a period, as far as steps say it.
#[derive(Default)]
struct Quota {
    /// -1: none.
    quota: Option<i64>,
    period: Option<u64>,
}

/// What systemd is told of these steps. `period` is the one in force, in microseconds, for a quota without one.
pub(super) fn of_limits(layout: &Layout, steps: &[Step], period: u64) -> Result<Vec<Property>> {
    let mut properties = Vec::new();
    let mut cpu = Quota::default();
    for step in steps {
        let way = &step.ways[0];
        let (file, value) = (way.file.as_ref(), way.value.trim());
        let is_v2 = layout.version(step.place) == Version::V2;
        let numbers: &[_] = if is_v2 { &NUMBERS_V2 } else { &NUMBERS_V1 };
        if let Some((_, name)) = numbers.iter().find(|(known, _)| *known == file) {
            properties.push(((*name).to_owned(), number(&step.what, value)?));
            continue;
        }
        match (is_v2, file) {
            (true, "cpu.max") => {
                let mut words = value.split_ascii_whitespace();
                cpu.quota = Some(
                    words
                        .next()
                        .and_then(|word| word.parse().ok())
                        .unwrap_or(-1),
                );
                cpu.period = words.next().and_then(|word| word.parse().ok());
            }
            (false, "cpu.cfs_quota_us") => cpu.quota = value.parse().ok(),
            (false, "cpu.cfs_period_us") => cpu.period = value.parse().ok(),
            (true, "cpu.idle") if value == "1" => {
                // The one weight that means idle (since 252).
                properties.push(("CPUWeight".to_owned(), Value::U64(0)));
            }
            (true, "cpuset.cpus") => {
                properties.push(("AllowedCPUs".to_owned(), set(&step.what, value)?));
            }
            (true, "cpuset.mems") => {
                properties.push(("AllowedMemoryNodes".to_owned(), set(&step.what, value)?));
            }
            (true, "io.bfq.weight" | "io.weight") => properties.extend(io_weight(step)),
            _ => {}
        }
    }
    properties.extend(quota(&cpu, period));
    Ok(properties)
}

/// Of one number, `max` or -1; bytes may have a suffix, as in the unified map.
fn number(what: &str, text: &str) -> Result<Value> {
    let found = parse::limit(text.as_bytes()).map(|limit| limit.unwrap_or(INFINITY));
    let found = found.or_else(|| {
        let shift = match text.bytes().last()?.to_ascii_lowercase() {
            b'k' => 10,
            b'm' => 20,
            b'g' => 30,
            b't' => 40,
            _ => return None,
        };
        let digits: u64 = text[..text.len() - 1].parse().ok()?;
        digits.checked_mul(1 << shift)
    });
    found.map(Value::U64).ok_or_else(|| {
        Error::invalid(format!(
            "{what}: systemd does not understand {text:?}: give a number"
        ))
    })
}

/// A bit for each CPU or node.
fn set(what: &str, text: &str) -> Result<Value> {
    let is_sane = |ranges: &Vec<(u32, u32)>| ranges.iter().all(|(_, high)| *high <= HIGHEST);
    let ranges = parse::list(text).filter(is_sane);
    let ranges = ranges.ok_or_else(|| {
        Error::invalid(format!(
            "{what}: {text:?} is no list of numbers up to {HIGHEST}"
        ))
    })?;
    let mut bits = Vec::new();
    for at in ranges.into_iter().flat_map(|(low, high)| low..=high) {
        let byte = at as usize / 8;
        if bits.len() <= byte {
            bits.resize(byte + 1, 0u8);
        }
        bits[byte] |= 1 << (at % 8);
    }
    Ok(Value::bytes(&bits))
}

/// The group's weight on all disks: among the ways, the one for `io.weight`.
fn io_weight(step: &Step) -> Option<Property> {
    let way = step.ways.iter().find(|way| way.file == "io.weight")?;
    let weight = way.value.strip_prefix("default ")?.parse().ok()?;
    Some(("IOWeight".to_owned(), Value::U64(weight)))
}

fn quota(cpu: &Quota, period_in_force: u64) -> Vec<Property> {
    let mut properties = Vec::new();
    if let Some(period) = cpu.period {
        properties.push(("CPUQuotaPeriodUSec".to_owned(), Value::U64(period)));
    }
    if let Some(quota) = cpu.quota {
        let period = cpu.period.unwrap_or(period_in_force).max(1);
        let per_second = match u64::try_from(quota) {
            Ok(quota) => (quota.saturating_mul(SECOND_US) / period).next_multiple_of(PERCENT_US),
            Err(_) => INFINITY,
        };
        let name = "CPUQuotaPerSecUSec".to_owned();
        properties.push((name, Value::U64(per_second)));
    }
    properties
}

/// Device rules in systemd's words, which know no "all but": a list that begins with "allow all" is left to the kernel.
///
/// `majors` says what the drivers of character and block devices are called (/proc/devices).
pub(super) fn of_devices(rules: &Rules, majors: &str) -> Vec<Property> {
    let strings =
        |first: &str, second: &str| Value::Struct(vec![Value::text(first), Value::text(second)]);
    let list = |entries| Value::Array("(ss)".into(), entries);
    let open = rules.as_slice().first().is_none_or(|rule| rule.allow);
    if open {
        return vec![
            ("DevicePolicy".to_owned(), Value::text("auto")),
            ("DeviceAllow".to_owned(), list(Vec::new())),
        ];
    }
    let mut entries = Vec::new();
    for rule in rules.as_slice().iter().filter(|rule| rule.allow) {
        for (path, access) in names(rule, majors) {
            entries.push(strings(&path, &access));
        }
    }
    vec![
        ("DevicePolicy".to_owned(), Value::text("strict")),
        ("DeviceAllow".to_owned(), list(entries)),
    ]
}

/// How systemd calls the devices of a rule: by number, by driver, or all of a type.
fn names(rule: &Rule, majors: &str) -> Vec<(String, String)> {
    let types: &[(&str, &str)] = match rule.typ {
        Type::Any => &[("char", "Character devices:"), ("block", "Block devices:")],
        Type::Char => &[("char", "Character devices:")],
        Type::Block => &[("block", "Block devices:")],
    };
    let access = rule.letters();
    let mut found = Vec::new();
    for (word, heading) in types {
        match (rule.major, rule.minor) {
            (None, _) => found.push((format!("{word}-*"), access.clone())),
            (Some(major), Some(minor)) => {
                found.push((format!("/dev/{word}/{major}:{minor}"), access.clone()));
            }
            (Some(major), None) => {
                let name = driver(majors, heading, major);
                found.extend(name.map(|name| (format!("{word}-{name}"), access.clone())));
            }
        }
    }
    found
}

/// The name of a driver below its heading in /proc/devices.
fn driver<'a>(majors: &'a str, heading: &str, major: u32) -> Option<&'a str> {
    let lines = majors.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (number, name) = line.trim().split_once(' ')?;
        (number.parse() == Ok(major)).then(|| name.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use oci_spec::runtime::LinuxResources;
    use serde_json::{Value as Json, json};

    const V2: &str = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const V1: &str = "\
31 30 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
34 30 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
";

    fn told(mountinfo: &str, resources: Json) -> Vec<Property> {
        let layout = Layout::from_texts(mountinfo, "cpuset cpu io memory pids").unwrap();
        let resources: LinuxResources = serde_json::from_value(resources).unwrap();
        let steps = limits::plan(&layout, &resources).unwrap();
        let mut told = of_limits(&layout, &steps, 100_000).unwrap();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    }

    fn one(name: &str, value: u64) -> Property {
        (name.to_owned(), Value::U64(value))
    }

    #[test]
    fn limits_of_v2_have_names() {
        let resources = json!({
            "memory": {"limit": 1 << 20, "swap": 3 << 20, "reservation": 4096},
            "cpu": {"shares": 1024, "quota": 50_000, "period": 200_000, "cpus": "0-2,9", "mems": "0"},
            "pids": {"limit": -1},
            "blockIO": {"weight": 10},
            "unified": {"memory.high": "8M"},
        });
        assert_eq!(
            told(V2, resources),
            [
                ("AllowedCPUs".to_owned(), Value::bytes(&[0b111, 0b10])),
                ("AllowedMemoryNodes".to_owned(), Value::bytes(&[1])),
                one("CPUQuotaPerSecUSec", 250_000),
                one("CPUQuotaPeriodUSec", 200_000),
                one("CPUWeight", 100),
                one("IOWeight", 1),
                one("MemoryHigh", 8 << 20),
                one("MemoryLow", 4096),
                one("MemoryMax", 1 << 20),
                one("MemorySwapMax", 2 << 20),
                one("TasksMax", u64::MAX),
            ]
        );
    }

    #[test]
    fn limits_of_v1_have_older_names() {
        let resources = json!({
            "memory": {"limit": 1 << 20},
            "cpu": {"shares": 512, "quota": 12_345, "cpus": "0"},
            "pids": {"limit": 7},
        });
        // A hundredth of a second is the least that systemd tells apart.
        assert_eq!(
            told(V1, resources),
            [
                one("CPUQuotaPerSecUSec", 130_000),
                one("CPUShares", 512),
                one("MemoryLimit", 1 << 20),
                one("TasksMax", 7),
            ]
        );
        let none = told(V1, json!({"cpu": {"quota": -1}}));
        assert_eq!(none, [one("CPUQuotaPerSecUSec", u64::MAX)]);
    }

    #[test]
    fn devices_are_named_by_number_driver_or_type() {
        let majors = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n";
        let rules = Rules::new(&crate::devices::usual()).unwrap();
        let told = of_devices(&rules, majors);
        assert_eq!(told[0].1, Value::text("strict"));
        let Value::Array(_, entries) = &told[1].1 else {
            panic!("{told:?}");
        };
        let pair =
            |path: &str, access: &str| Value::Struct(vec![Value::text(path), Value::text(access)]);
        for wanted in [
            pair("char-*", "m"),
            pair("block-*", "m"),
            pair("/dev/char/1:3", "rwm"),
            pair("char-pts", "rwm"),
        ] {
            assert!(entries.contains(&wanted), "{wanted:?}: {entries:?}");
        }
        let all = serde_json::from_value(json!([{"allow": true, "access": "rwm"}])).unwrap();
        let all: Vec<oci_spec::runtime::LinuxDeviceCgroup> = all;
        let told = of_devices(&Rules::new(&all).unwrap(), majors);
        assert_eq!(told[0].1, Value::text("auto"));
    }
}
