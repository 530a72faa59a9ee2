//! Memory: limit, swap, reservation, swappiness, OOM killer (OCI config-linux, "Memory").
//!
//! 0 means "not set" and -1 "unlimited", as in runc. `swap` is memory **and** swap together; v2 counts swap alone, so there
//! `swap - limit` is written. `kernel` has no effect since Linux 5.4 and is ignored, as runc does.

use super::{Check, Plan, invalid, v1_only};
use crate::layout::{Controller, Version};
use oci_spec::runtime::LinuxMemory;
use silo_types::Result;

const PAGE: Check = Check::Bytes(4096);
const NO_SWAP: &str =
    "swap accounting is off: boot with swapaccount=1, or leave the swap limit out";

pub(super) fn plan(plan: &mut Plan, memory: &LinuxMemory) -> Result<()> {
    let set = |value: Option<i64>| value.filter(|bytes| *bytes != 0);
    let (limit, swap) = (set(memory.limit()), set(memory.swap()));
    let reservation = set(memory.reservation());
    for (what, value) in [
        ("memory limit", limit),
        ("memory and swap limit", swap),
        ("memory reservation", reservation),
        ("kernel tcp memory limit", memory.kernel_tcp()),
    ] {
        if value.is_some_and(|bytes| bytes < -1) {
            return Err(invalid(what, "it must be -1 (unlimited) or a size"));
        }
    }
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap != -1
        && (limit == -1 || swap < limit)
    {
        let why = "it counts memory and swap together, so it cannot be below the memory limit";
        return Err(invalid("memory and swap limit", why));
    }
    // Unlimited memory below a limit of memory and swap would not be unlimited
    let swap = swap.or(limit.filter(|limit| *limit == -1));
    let asked = limit.is_some()
        || swap.is_some()
        || reservation.is_some()
        || memory.kernel_tcp().is_some()
        || memory.swappiness().is_some()
        || memory.disable_oom_killer().is_some()
        || memory.use_hierarchy().is_some();
    if !asked {
        return Ok(());
    }
    let place = plan.place(Controller::Memory, "memory limit")?;
    match plan.version(place) {
        Version::V1 => v1(plan, place, memory, limit, swap, reservation),
        Version::V2 => v2(plan, place, memory, limit, swap, reservation),
    }
}

/// "Unlimited" holds where swap is not counted too: there it is no error.
fn add_swap(plan: &mut Plan, place: usize, file: &'static str, value: String) {
    let free = value == "max" || value == "-1";
    plan.add("memory and swap limit", place, file, value, PAGE, NO_SWAP);
    if let (true, Some(step)) = (free, plan.steps.last_mut()) {
        step.lacking = "";
    }
}

fn v1(
    plan: &mut Plan,
    place: usize,
    memory: &LinuxMemory,
    limit: Option<i64>,
    swap: Option<i64>,
    reservation: Option<i64>,
) -> Result<()> {
    if let Some(limit) = limit {
        let file = "memory.limit_in_bytes";
        plan.add("memory limit", place, file, limit.to_string(), PAGE, "");
    }
    if let Some(swap) = swap {
        add_swap(plan, place, "memory.memsw.limit_in_bytes", swap.to_string());
    }
    if let Some(size) = reservation {
        let file = "memory.soft_limit_in_bytes";
        let why = "a kernel with real-time preemption has no soft limits";
        plan.add(
            "memory reservation",
            place,
            file,
            size.to_string(),
            PAGE,
            why,
        );
    }
    if let Some(size) = memory.kernel_tcp() {
        let file = "memory.kmem.tcp.limit_in_bytes";
        let what = "kernel tcp memory limit";
        plan.add(what, place, file, size.to_string(), PAGE, "");
    }
    if let Some(percent) = memory.swappiness() {
        if percent > 100 {
            return Err(invalid("memory swappiness", "it must be from 0 to 100"));
        }
        let (file, value) = ("memory.swappiness", percent.to_string());
        plan.add("memory swappiness", place, file, value, Check::Text, "");
    }
    if let Some(flag) = memory.use_hierarchy() {
        let (file, value) = ("memory.use_hierarchy", u8::from(flag).to_string());
        plan.add("memory hierarchy", place, file, value, Check::Text, "");
    }
    if let Some(off) = memory.disable_oom_killer() {
        let (file, value) = ("memory.oom_control", u8::from(off).to_string());
        plan.add("OOM killer switch", place, file, value, Check::Free, "");
    }
    Ok(())
}

fn v2(
    plan: &mut Plan,
    place: usize,
    memory: &LinuxMemory,
    limit: Option<i64>,
    swap: Option<i64>,
    reservation: Option<i64>,
) -> Result<()> {
    if memory.disable_oom_killer() == Some(true) {
        let instead = "raise the limit, or protect one process with an OOM score adjustment";
        return Err(v1_only("OOM killer switch", instead));
    }
    if memory.use_hierarchy() == Some(false) {
        return Err(v1_only("memory hierarchy", "v2 always counts children"));
    }
    if memory.swappiness().is_some() {
        let instead = "leave it out, and limit the swap";
        return Err(v1_only("memory swappiness", instead));
    }
    if memory.kernel_tcp().is_some() {
        let instead = "the memory limit covers it";
        return Err(v1_only("kernel tcp memory limit", instead));
    }
    let text = |bytes: i64| match bytes {
        -1 => "max".to_owned(),
        bytes => bytes.to_string(),
    };
    if let Some(limit) = limit {
        plan.add("memory limit", place, "memory.max", text(limit), PAGE, "");
    }
    match (swap, limit) {
        (Some(-1), _) => add_swap(plan, place, "memory.swap.max", "max".to_owned()),
        (Some(swap), Some(limit)) => {
            let value = (swap - limit).to_string();
            add_swap(plan, place, "memory.swap.max", value);
        }
        (Some(_), None) => {
            let why = "it counts memory and swap together: give the memory limit too";
            return Err(invalid("memory and swap limit", why));
        }
        (None, _) => {}
    }
    if let Some(size) = reservation {
        plan.add(
            "memory reservation",
            place,
            "memory.low",
            text(size),
            PAGE,
            "",
        );
    }
    Ok(())
}
