//! Block I/O: weights and throttles (OCI config-linux, "Block IO"; cgroup-v1/blkio-controller.rst; cgroup-v2.rst, "IO").
//!
//! Weights need the bfq scheduler, or on v2 the iocost controller: which of them is there shows in the files that exist.

use super::{Check, Plan, Step, Write, invalid, v1_only};
use crate::layout::{Controller, Version};
use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};
use silo_types::Result;
use std::collections::BTreeMap;

const NO_WEIGHT: &str = "no disk scheduler here divides by weight: use bfq on the disk";
const NO_THROTTLE: &str = "the kernel was built without CONFIG_BLK_DEV_THROTTLING";

pub(super) fn plan(plan: &mut Plan, io: &LinuxBlockIo) -> Result<()> {
    let weight = io.weight().filter(|weight| *weight != 0);
    let leaf = io.leaf_weight().filter(|weight| *weight != 0);
    for value in [weight, leaf].into_iter().flatten() {
        check_weight(value)?;
    }
    if let Some(weight) = weight {
        let place = plan.place(Controller::Io, "block i/o weight")?;
        let step = weight_step(plan.version(place), place, None, weight);
        plan.steps.push(step);
    }
    if let Some(leaf) = leaf {
        let place = plan.place(Controller::Io, "block i/o leaf weight")?;
        add_leaf(plan, place, None, leaf)?;
    }
    for device in io.weight_device().iter().flatten() {
        let place = plan.place(Controller::Io, "block i/o device weight")?;
        let name = format!("{}:{}", device.major(), device.minor());
        if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
            check_weight(weight)?;
            let step = weight_step(plan.version(place), place, Some(&name), weight);
            plan.steps.push(step);
        }
        if let Some(leaf) = device.leaf_weight().filter(|weight| *weight != 0) {
            check_weight(leaf)?;
            add_leaf(plan, place, Some(&name), leaf)?;
        }
    }
    throttles(plan, io)
}

fn check_weight(weight: u16) -> Result<()> {
    match weight {
        10..=1000 => Ok(()),
        _ => Err(invalid("block i/o weight", "it must be from 10 to 1000")),
    }
}

fn add_leaf(plan: &mut Plan, place: usize, device: Option<&str>, leaf: u16) -> Result<()> {
    let what = "block i/o leaf weight";
    if plan.version(place) == Version::V2 {
        return Err(v1_only(what, "use the weight"));
    }
    let why = "the cfq scheduler, the only one with leaf weights, left with Linux 5.0";
    match device {
        None => {
            let value = leaf.to_string();
            plan.add(what, place, "blkio.leaf_weight", value, Check::Text, why);
        }
        Some(device) => {
            let (file, value) = ("blkio.leaf_weight_device", format!("{device} {leaf}"));
            plan.add(what, place, file, value, Check::Line, why);
        }
    }
    Ok(())
}

/// The group's weight, or with `device` ("MAJOR:MINOR") its weight on that disk.
fn weight_step(version: Version, place: usize, device: Option<&str>, weight: u16) -> Step {
    // OCI's 10..1000 spread over io.weight's 1..10000
    let wide = 1 + (u32::from(weight) - 10) * 9999 / 990;
    let ways = match (version, device) {
        (Version::V1, None) => vec![
            way("blkio.bfq.weight", weight.to_string(), Check::Free),
            way("blkio.weight", weight.to_string(), Check::Free),
        ],
        (Version::V1, Some(device)) => {
            let value = format!("{device} {weight}");
            vec![
                way("blkio.bfq.weight_device", value.clone(), Check::Line),
                way("blkio.weight_device", value, Check::Line),
            ]
        }
        (Version::V2, None) => vec![
            way("io.bfq.weight", format!("default {weight}"), Check::Line),
            way("io.weight", format!("default {wide}"), Check::Line),
        ],
        (Version::V2, Some(device)) => vec![
            way("io.bfq.weight", format!("{device} {weight}"), Check::Line),
            way("io.weight", format!("{device} {wide}"), Check::Line),
        ],
    };
    Step {
        what: match device {
            None => "block i/o weight".into(),
            Some(device) => format!("block i/o weight of {device}").into(),
        },
        place,
        ways,
        lacking: NO_WEIGHT,
    }
}

fn way(file: &'static str, value: String, check: Check) -> Write {
    Write {
        file: file.into(),
        value,
        check,
    }
}

type Throttles = Option<Vec<LinuxThrottleDevice>>;

/// The four throttles: name for people, v1 file, v2 key, list.
fn tables(io: &LinuxBlockIo) -> [(&'static str, &'static str, &'static str, &Throttles); 4] {
    [
        (
            "read rate",
            "blkio.throttle.read_bps_device",
            "rbps",
            io.throttle_read_bps_device(),
        ),
        (
            "write rate",
            "blkio.throttle.write_bps_device",
            "wbps",
            io.throttle_write_bps_device(),
        ),
        (
            "read operations rate",
            "blkio.throttle.read_iops_device",
            "riops",
            io.throttle_read_iops_device(),
        ),
        (
            "write operations rate",
            "blkio.throttle.write_iops_device",
            "wiops",
            io.throttle_write_iops_device(),
        ),
    ]
}

fn throttles(plan: &mut Plan, io: &LinuxBlockIo) -> Result<()> {
    let mut lines: BTreeMap<(i64, i64), Vec<String>> = BTreeMap::new();
    let mut unified = 0;
    for (what, file, key, list) in tables(io) {
        for device in list.iter().flatten() {
            let (major, minor, rate) = (device.major(), device.minor(), device.rate());
            let what = format!("{what} of {major}:{minor}");
            let place = plan.place(Controller::Io, &what)?;
            if plan.version(place) == Version::V1 {
                // Rate 0 removes the throttle
                let check = if rate == 0 {
                    Check::NoLine
                } else {
                    Check::Line
                };
                let value = format!("{major}:{minor} {rate}");
                plan.add(what, place, file, value, check, NO_THROTTLE);
            } else {
                unified = place;
                let rate = match rate {
                    0 => "max".to_owned(),
                    rate => rate.to_string(),
                };
                let line = lines.entry((major, minor)).or_default();
                line.push(format!("{key}={rate}"));
            }
        }
    }
    for ((major, minor), words) in lines {
        let value = format!("{major}:{minor} {}", words.join(" "));
        let gone = words.iter().all(|word| word.ends_with("=max"));
        let check = if gone { Check::Free } else { Check::Line };
        let what = format!("i/o rates of {major}:{minor}");
        plan.add(what, unified, "io.max", value, check, NO_THROTTLE);
    }
    Ok(())
}
