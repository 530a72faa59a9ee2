//! `update`: other limits for a container that runs.

use std::io::Read;

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};
use silo_runtime::{container, scope, state::Life};
use silo_types::{ByteSize, Doing, Error, Result};

use super::{
    Verb,
    globals::Globals,
    options::{self, Opt, Order, Words, value},
};

static OPTIONS: [Opt; 19] = [
    value(
        "resources",
        'r',
        "FILE|-",
        "limits in the specification's form",
    ),
    value("blkio-weight", '\0', "N", "share of disk I/O, 10 to 1000"),
    value("cpu-period", '\0', "N", "microseconds of a period"),
    value("cpu-quota", '\0', "N", "microseconds of CPU in a period"),
    value("cpu-burst", '\0', "N", "microseconds that may be saved up"),
    value("cpu-share", '\0', "N", "share of the CPUs"),
    value(
        "cpu-rt-period",
        '\0',
        "N",
        "microseconds of a realtime period",
    ),
    value(
        "cpu-rt-runtime",
        '\0',
        "N",
        "microseconds of realtime in a period",
    ),
    value("cpu-idle", '\0', "0|1", "run only when nobody else does"),
    value("cpuset-cpus", '\0', "LIST", "CPUs to run on"),
    value("cpuset-mems", '\0', "LIST", "memory nodes to use"),
    value("memory", '\0', "SIZE", "memory limit"),
    value("memory-reservation", '\0', "SIZE", "memory soft limit"),
    value(
        "memory-swap",
        '\0',
        "SIZE",
        "memory and swap; -1: as much swap as there is",
    ),
    value("pids-limit", '\0', "N", "number of processes; -1: no limit"),
    value(
        "kernel-memory",
        '\0',
        "SIZE",
        "taken and without effect, as in the kernel",
    ),
    value(
        "kernel-memory-tcp",
        '\0',
        "SIZE",
        "taken and without effect, as in the kernel",
    ),
    value("l3-cache-schema", '\0', "TEXT", "not available: Intel RDT"),
    value("mem-bw-schema", '\0', "TEXT", "not available: Intel RDT"),
];

/// Option, group and field of the specification's resources.
const NUMBERS: [(&str, &str, &str); 9] = [
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-idle", "cpu", "idle"),
    ("pids-limit", "pids", "limit"),
];
const SIZES: [(&str, &str); 3] = [
    ("memory", "limit"),
    ("memory-reservation", "reservation"),
    ("memory-swap", "swap"),
];
const LISTS: [(&str, &str); 2] = [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")];

pub static VERB: Verb = Verb {
    name: "update",
    about: "change the limits of a container",
    usage: "CONTAINER",
    options: &OPTIONS,
    order: Order::Mixed,
    words: (1, 1),
    starts: false,
    run,
};

fn run(globals: &Globals, words: &Words) -> Result<i32> {
    let seen = globals.root.look(&words.rest[0])?;
    if matches!(seen.life(), Life::Creating | Life::Stopped) {
        return Err(Error::conflict("container not running"));
    }
    let mut limits = limits(words)?;
    container::plain_pids(&mut limits);
    scope::update(&seen.record, &limits).map(|()| 0)
}

fn limits(words: &Words) -> Result<LinuxResources> {
    for missing in ["l3-cache-schema", "mem-bw-schema"] {
        if words.get(missing).is_some_and(|value| !value.is_empty()) {
            return Err(Error::unsupported(format!("--{missing} is not available")));
        }
    }
    let file = words.get("resources").filter(|file| !file.is_empty());
    let value = match file {
        Some(file) => read(file)?,
        None => Value::Object(typed(words)?),
    };
    serde_json::from_value(value).doing("understand the limits")
}

fn read(file: &str) -> Result<Value> {
    let mut text = Vec::new();
    match file {
        "-" => std::io::stdin().read_to_end(&mut text).map(drop),
        file => std::fs::File::open(file).and_then(|mut f| f.read_to_end(&mut text).map(drop)),
    }
    .doing_with(|| format!("read the limits from {file}"))?;
    serde_json::from_slice(&text).doing_with(|| format!("understand the limits from {file}"))
}

/// What was typed, in the specification's form; what was not stays as it is.
fn typed(words: &Words) -> Result<Map<String, Value>> {
    let mut limits = Map::new();
    let mut put = |group: &str, field: &str, value: Value| {
        let fields = limits.entry(group).or_insert_with(|| json!({}));
        fields[field] = value;
    };
    let given = |name: &str| words.get(name).filter(|text| !text.is_empty());
    for (name, group, field) in NUMBERS {
        if let Some(text) = given(name) {
            put(group, field, json!(options::number::<i64>(name, text)?));
        }
    }
    for (name, field) in SIZES {
        match given(name) {
            None => {}
            Some("-1") => put("memory", field, json!(-1)),
            Some(text) => put("memory", field, json!(size(name, text)?)),
        }
    }
    for (name, field) in LISTS {
        if let Some(text) = given(name) {
            put("cpu", field, json!(text));
        }
    }
    Ok(limits)
}

fn size(name: &str, text: &str) -> Result<u64> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| Error::invalid(format!("invalid value for {name}: {text:?} is no size")))?;
    Ok(size.0)
}
