//! `events`: what a container uses, again and again, and when its memory runs out; one JSON object a line, in runc's form.

use std::time::{Duration, Instant};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use serde_json::{Map, Value, json};
use silo_cgroup::{Cgroup, Controller, MemoryStats, OomEvent, OomWatch, Psi, Stall, Stats, parse};
use silo_runtime::{container, state::Seen};
use silo_types::{Error, Kind, Result};

use super::{
    Verb,
    globals::Globals,
    options::{Opt, Order, Words, switch, value},
};
use crate::output::print;

static OPTIONS: [Opt; 2] = [
    value("interval", '\0', "TIME", "between two samples (5s)"),
    switch("stats", '\0', "one sample, and that is all"),
];

pub static VERB: Verb = Verb {
    name: "events",
    about: "print what a container uses, and when its memory runs out",
    usage: "CONTAINER",
    options: &OPTIONS,
    order: Order::Mixed,
    words: (1, 1),
    starts: false,
    run,
};

fn run(globals: &Globals, words: &Words) -> Result<i32> {
    let interval = interval(words.get("interval").unwrap_or("5s"))?;
    let id = &words.rest[0];
    let seen = globals.root.look(id)?;
    let not_running = || Error::conflict(format!("container with id {id} is not running"));
    let main = seen.main().ok_or_else(not_running)?;
    let pidfd = container::hold(main).ok_or_else(not_running)?;
    let group = container::group_of(&seen.record)?;
    if words.has("stats") {
        say(id, "stats", Some(sample(&group)?))?;
        return Ok(0);
    }
    // A host without a memory controller has no such events.
    let watch = OomWatch::new(&group).ok();
    let mut known = watch
        .as_ref()
        .and_then(|w| w.counters().ok())
        .unwrap_or_default();
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
        if let Some(watch) = &watch {
            fds.push(PollFd::from_borrowed_fd(watch.fd(), watch.interest()));
        }
        let limit = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for events", error)),
        }
        let ended = !fds[0].revents().is_empty();
        let noticed = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if let (true, Some(watch)) = (noticed, &watch)
            && let OomEvent::Counters(now) = watch.read()?
        {
            // v1 tells before it counts, and only of this.
            if now != known || now.oom.is_none() {
                say(id, "oom", None)?;
            }
            known = now;
        }
        if ended {
            return Ok(0);
        }
        if Instant::now() >= next {
            next = Instant::now() + interval;
            if !tell(&seen, &group)? {
                return Ok(0);
            }
        }
    }
}

/// One sample, unless the group is gone.
fn tell(seen: &Seen, group: &Cgroup) -> Result<bool> {
    match sample(group) {
        Ok(data) => say(&seen.record.id, "stats", Some(data)).map(|()| true),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn say(id: &str, kind: &str, data: Option<Value>) -> Result<()> {
    // Type and id come first: some callers look at the beginning of the line.
    let (kind, id) = (json!(kind), json!(id));
    print(&match data {
        Some(data) => format!("{{\"type\":{kind},\"id\":{id},\"data\":{data}}}\n"),
        None => format!("{{\"type\":{kind},\"id\":{id}}}\n"),
    })
}

/// `5s`, `500ms`, `1m`.
fn interval(text: &str) -> Result<Duration> {
    let bad = || {
        Error::invalid(format!(
            "invalid duration {text:?} for flag -interval: such as 500ms, 5s, 1m"
        ))
    };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| bad())?;
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let length = Duration::try_from_secs_f64(number * unit).map_err(|_| bad())?;
    match length.is_zero() {
        true => Err(Error::invalid("duration interval must be greater than 0")),
        false => Ok(length),
    }
}

/// runc's shape; what a layout does not tell is 0 there, too.
fn sample(group: &Cgroup) -> Result<Value> {
    let stats = group.stats()?;
    let cpu = stats.cpu.unwrap_or_default();
    let throttle = cpu.throttle.unwrap_or_default();
    let pids = stats.pids.unwrap_or_default();
    Ok(json!({
        "cpu": with_pressure(json!({
            "usage": {"total": cpu.total_ns, "kernel": cpu.system_ns, "user": cpu.user_ns},
            "throttling": {
                "periods": throttle.periods,
                "throttledPeriods": throttle.throttled,
                "throttledTime": throttle.throttled_ns,
            },
        }), stats.pressure.cpu),
        "cpuset": cpuset(group),
        "memory": with_pressure(memory(&stats, raw_memory(group)), stats.pressure.memory),
        "pids": {"current": pids.current, "limit": pids.limit.unwrap_or(0)},
        "blkio": with_pressure(block_io(group), stats.pressure.io),
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    }))
}

fn memory(stats: &Stats, raw: Map<String, Value>) -> Value {
    let memory = stats.memory.unwrap_or_default();
    // Go's callers read it as an unsigned number: no limit is the largest.
    let limit = memory.limit.unwrap_or(u64::MAX);
    let entry = |usage: Option<u64>| json!({"limit": 0, "usage": usage.unwrap_or(0), "failcnt": 0});
    let MemoryStats {
        usage,
        peak,
        limit_hits,
        file,
        swap,
        kernel,
        ..
    } = memory;
    json!({
        "cache": file,
        "usage": {
            "limit": limit,
            "usage": usage,
            "max": peak.unwrap_or(0),
            "failcnt": limit_hits.unwrap_or(0),
        },
        "swap": entry(swap),
        "kernel": entry(kernel),
        "kernelTCP": entry(None),
        "raw": raw,
    })
}

/// `memory.stat` as it is.
fn raw_memory(group: &Cgroup) -> Map<String, Value> {
    let text = read(group, Controller::Memory, "memory.stat").unwrap_or_default();
    parse::flat(text.as_bytes())
        .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.into()))
        .collect()
}

fn cpuset(group: &Cgroup) -> Value {
    let list = |name| {
        let text = read(group, Controller::Cpuset, name)?;
        let ranges = parse::list(&text)?;
        let places: Vec<u32> = ranges
            .into_iter()
            .flat_map(|(low, high)| low..=high)
            .collect();
        Some(places)
    };
    json!({
        "cpus": list("cpuset.cpus"),
        "mems": list("cpuset.mems"),
        "cpu_exclusive": 0,
        "mem_hardwall": 0,
        "mem_exclusive": 0,
        "memory_migrate": 0,
        "memory_spread_page": 0,
        "memory_spread_slab": 0,
        "memory_pressure": 0,
        "sched_load_balance": 0,
        "sched_relax_domain_level": 0,
    })
}

fn read(group: &Cgroup, controller: Controller, name: &str) -> Option<String> {
    let place = group.layout().place(controller)?;
    std::fs::read_to_string(format!("{}/{name}", group.dir(place))).ok()
}

/// What went to and from each disk, as v2 and v1 tell it.
fn block_io(group: &Cgroup) -> Value {
    if let Some(text) = read(group, Controller::Io, "io.stat") {
        return json!({
            "ioServiceBytesRecursive": of_io_stat(&text, "rbytes", "wbytes"),
            "ioServicedRecursive": of_io_stat(&text, "rios", "wios"),
        });
    }
    let of = |name: &str| {
        let file = format!("blkio.throttle.{name}_recursive");
        let text = read(group, Controller::Io, &file).unwrap_or_default();
        text.lines().filter_map(of_blkio).collect::<Vec<Value>>()
    };
    json!({
        "ioServiceBytesRecursive": of("io_service_bytes"),
        "ioServicedRecursive": of("io_serviced"),
    })
}

/// An entry of runc's for `8:0`.
fn entry(disk: &str, op: &str, value: u64) -> Option<Value> {
    let (major, minor) = disk.split_once(':')?;
    let (major, minor): (u64, u64) = (major.parse().ok()?, minor.parse().ok()?);
    Some(json!({"major": major, "minor": minor, "op": op, "value": value}))
}

/// `8:0 Read 4096`; the sum over all disks has no number, and is left out.
fn of_blkio(line: &str) -> Option<Value> {
    let mut words = line.split_whitespace();
    let (disk, op) = (words.next()?, words.next()?);
    entry(disk, op, words.next()?.parse().ok()?)
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`
fn of_io_stat(text: &str, read: &str, write: &str) -> Vec<Value> {
    let of_line = |line: &str| {
        let (disk, rest) = line.split_once(' ')?;
        let number = |key: &str| {
            let mut words = rest.split(' ');
            words.find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
        };
        let (read, write): (u64, u64) = (number(read)?, number(write)?);
        Some([entry(disk, "Read", read)?, entry(disk, "Write", write)?])
    };
    text.lines().filter_map(of_line).flatten().collect()
}

fn with_pressure(mut value: Value, pressure: Option<Psi>) -> Value {
    if let Some(psi) = pressure {
        let stall = |stall: Stall| {
            json!({
                "avg10": stall.avg10,
                "avg60": stall.avg60,
                "avg300": stall.avg300,
                "total": stall.total_us,
            })
        };
        value["psi"] = json!({"some": stall(psi.some), "full": psi.full.map(stall)});
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_apart() {
        let text = "8:0 rbytes=4096 wbytes=0 rios=1 wios=2\n253:1 rbytes=1 wbytes=5 rios=1 wios=0\n8:16 \n";
        let bytes = of_io_stat(text, "rbytes", "wbytes");
        assert_eq!(bytes.len(), 4);
        assert_eq!(
            bytes[3],
            json!({"major": 253, "minor": 1, "op": "Write", "value": 5})
        );
        let told = of_blkio("8:0 Sync 12").unwrap();
        assert_eq!(
            told,
            json!({"major": 8, "minor": 0, "op": "Sync", "value": 12})
        );
        assert_eq!(of_blkio("Total 12"), None);
    }

    #[test]
    fn intervals() {
        assert_eq!(interval("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(interval("100ms").unwrap(), Duration::from_millis(100));
        assert_eq!(interval("1.5m").unwrap(), Duration::from_secs(90));
        for bad in ["", "5", "s", "0s", "-1s", "5 s", "1y", "nans"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
