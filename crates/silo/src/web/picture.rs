//! What a live page is told every second, as a document. Sizes are bytes, processors thousandths of one, shares 0 to 1, times
//! milliseconds since the epoch. `null`: there is none, or the kernel does not count it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use silo_engine::{Container, Engine, Moment, Step};
use silo_observe::{CpuSample, HostFacts, MemInfo, Names, Process, TopProcess, Want};
use silo_types::{ContainerId, Resources, Result, Victim};

use super::{
    past,
    routes::{View, Wish},
};
use crate::{
    live::{Data, Entry, LINE},
    output::now,
    plot::{Curve, Kind},
};

/// Processes of one list; of more, the first.
const MOST_PROCESSES: usize = 400;

/// After so long without a page everything begins anew: rates would be means over that time.
const STALE: Duration = Duration::from_secs(5);

/// The first rates are those of so long.
const FIRST: Duration = Duration::from_millis(150);

/// Two pages that come at once share what was gathered.
const FRESH: Duration = Duration::from_millis(300);

/// Zombies are counted every so many seconds: of a fourth of the containers each second.
const ROUND: usize = 4;

/// Nanoseconds.
const NEWS: u64 = 600_000_000_000;

/// Gathers, and remembers what rates need.
pub struct Picture<'a> {
    engine: &'a Engine,
    control: bool,
    data: Data<'a>,
    gathered: Option<Instant>,
    seconds: usize,
    zombies: HashMap<ContainerId, usize>,
    host: Option<CpuSample>,
    /// What this second's pages look at, by their wishes.
    details: BTreeMap<Wish, Value>,
    /// Last messages of logs: what has not changed is not sent again.
    logs: HashMap<String, Value>,
}

impl<'a> Picture<'a> {
    pub fn new(engine: &'a Engine, control: bool) -> Result<Picture<'a>> {
        Ok(Picture {
            engine,
            control,
            data: Data::new(engine)?,
            gathered: None,
            seconds: 0,
            zombies: HashMap::new(),
            host: None,
            details: BTreeMap::new(),
            logs: HashMap::new(),
        })
    }

    pub fn gather(&mut self) -> Result<()> {
        let age = self.gathered.map(|at| at.elapsed());
        if age.is_some_and(|age| age < FRESH) {
            return Ok(());
        }
        if age.is_none_or(|age| age > STALE) {
            *self = Picture::new(self.engine, self.control)?;
            self.data.gather()?;
            self.begin_lines();
            std::thread::sleep(FIRST);
        }
        self.data.gather()?;
        self.count_zombies();
        self.details.clear();
        self.seconds += 1;
        self.gathered = Some(Instant::now());
        Ok(())
    }

    /// The last minute from the recordings, so that a page that has just come shows it.
    fn begin_lines(&mut self) {
        let to = now() / 1_000_000;
        let ids: Vec<ContainerId> = self.running().map(|c| c.id().clone()).collect();
        for id in ids {
            let Ok(recording) = self.engine.recording(id.as_str()) else {
                continue;
            };
            let from = to.saturating_sub(LINE as u64 * 1000);
            let curve = Curve::new(Kind::Cpu, &recording.series.since(from), from, to, LINE);
            let values = curve.columns.iter();
            let line = values.map(|column| column.map_or(0.0, |column| column.value));
            self.data.begin_line(&id, line.collect::<VecDeque<f64>>());
        }
    }

    fn running(&self) -> impl Iterator<Item = &Container> {
        let all = self.data.entries.iter().map(|entry| &entry.container);
        all.filter(|container| container.state.status.is_up())
    }

    fn count_zombies(&mut self) {
        let turn = self.seconds % ROUND;
        // The first time, of all.
        let all = self.seconds == 0;
        let counted: Vec<(ContainerId, usize)> = self
            .running()
            .enumerate()
            .filter(|(at, _)| all || at % ROUND == turn)
            .filter_map(|(_, container)| {
                let count = self.data.zombies(container, MOST_PROCESSES)?;
                Some((container.id().clone(), count))
            })
            .collect();
        self.zombies.extend(counted);
        let entries = &self.data.entries;
        self.zombies
            .retain(|id, _| entries.iter().any(|entry| entry.container.id() == id));
    }

    /// What one page is told.
    pub fn message(&mut self, wish: &Wish, is_first: bool) -> Value {
        let held: Vec<u64> = self.data.entries.iter().map(Entry::memory).collect();
        let stack = Stack::of(&self.data.host.memory, &held);
        let containers: Vec<Value> = self
            .data
            .entries
            .iter()
            .zip(&stack.containers)
            .map(|(entry, part)| self.container(entry, *part, is_first))
            .collect();
        let mut message = json!({
            "time": now() / 1_000_000,
            "host": host(&self.data.host, &stack),
            "containers": containers,
        });
        if is_first {
            message["hello"] = json!({
                "control": self.control,
                "name": rustix::system::uname().nodename().to_string_lossy(),
                "version": env!("CARGO_PKG_VERSION"),
            });
        }
        let detail = self.detail(wish);
        if let Some(detail) = self.unless_known(wish, detail, is_first) {
            message["detail"] = detail;
        }
        message
    }

    fn container(&self, entry: &Entry, part: u64, is_first: bool) -> Value {
        let container = &entry.container;
        let mut value = facts(container, u64::MAX);
        value["part"] = part.into();
        value["zombies"] = self.zombies.get(container.id()).copied().into();
        if let Some(glance) = &entry.glance {
            add_figures(&mut value, &glance.moment, &glance.step);
        }
        if is_first {
            let line = entry.line.iter().map(|value| value.round());
            value["line"] = line.collect::<Vec<f64>>().into();
        }
        value
    }

    fn detail(&mut self, wish: &Wish) -> Value {
        if let Some(known) = self.details.get(wish) {
            return known.clone();
        }
        let made = self.make_detail(wish);
        let detail = made.unwrap_or_else(|error| json!({"error": error.to_string()}));
        self.details.insert(wish.clone(), detail.clone());
        detail
    }

    fn make_detail(&mut self, wish: &Wish) -> Result<Value> {
        match wish.view {
            View::Host => self.host_processes(),
            View::Namespaces => Ok(self.namespaces()),
            _ if wish.container.is_empty() => Ok(Value::Null),
            View::Processes => self.processes(&wish.container),
            View::Limits | View::Timeline => Ok(Value::Null),
            View::Logs => past::logs(self.engine, &wish.container, None),
        }
    }

    /// Of logs only what is new is worth sending.
    fn unless_known(&mut self, wish: &Wish, detail: Value, is_first: bool) -> Option<Value> {
        if wish.view != View::Logs {
            return (!detail.is_null()).then_some(detail);
        }
        let known = self.logs.insert(wish.container.clone(), detail.clone());
        (is_first || known.as_ref() != Some(&detail)).then_some(detail)
    }

    fn processes(&mut self, name: &str) -> Result<Value> {
        let container = self.engine.find(name)?;
        let view = self.data.processes(&container, MOST_PROCESSES)?;
        let starts: HashMap<i32, u64> = self
            .data
            .seen
            .iter()
            .map(|process| (process.pid, process.start_time))
            .collect();
        let row = |p: &TopProcess| {
            json!({
                "hostPid": p.host_pid,
                "pid": p.pid,
                "ppid": p.ppid,
                "start": starts.get(&p.host_pid),
                "user": p.user,
                "cpu": p.cpu_percent,
                "timeMs": p.time_ms,
                "private": p.private_bytes,
                "rss": p.rss_bytes,
                "oom": p.oom_score,
                "state": p.state.to_string(),
                "threads": p.threads,
                "tree": p.tree,
                "command": p.command,
                "zombieOf": p.zombie_of,
            })
        };
        Ok(json!({
            "of": container.id().as_str(),
            "total": self.engine.processes(&container)?.len(),
            "processes": view.processes.iter().map(row).collect::<Vec<Value>>(),
        }))
    }

    /// The busiest of the whole host.
    fn host_processes(&mut self) -> Result<Value> {
        let (mut all, containers) = self.engine.host_processes(Want::PS)?;
        let (names, host) = (Names::host()?, HostFacts::now());
        let sample = CpuSample::of(&all, &host);
        let before = self.host.replace(sample.clone());
        let used = |process: &Process| {
            let since = before.as_ref();
            since.and_then(|before| sample.percent_since(before, process.id()))
        };
        let total = all.len();
        let mut rates: HashMap<i32, f64> = HashMap::new();
        for process in &all {
            rates.insert(process.host_pid, used(process).unwrap_or(0.0));
        }
        let rate = |process: &Process| rates.get(&process.host_pid).copied().unwrap_or(0.0);
        all.sort_by(|a, b| {
            let busiest = rate(b).total_cmp(&rate(a));
            busiest.then(b.rss.cmp(&a.rss))
        });
        all.truncate(MOST_PROCESSES);
        let row = |p: &Process| {
            let container = containers.get(&p.host_pid);
            json!({
                "hostPid": p.host_pid,
                "pid": container.map(|_| p.innermost_pid()),
                "start": p.start_time,
                "container": container,
                "user": names.user(p.uid[1]),
                "cpu": (rate(p) * 10.0).round() / 10.0,
                "timeMs": p.cpu_ms(&host),
                "rss": p.rss,
                "state": p.state.to_string(),
                "threads": p.threads,
                "command": p.command(),
            })
        };
        Ok(json!({
            "total": total,
            "processes": all.iter().map(row).collect::<Vec<Value>>(),
        }))
    }

    /// A row for each running container: of each kind its number, whether it is the host's, and who shares it.
    fn namespaces(&mut self) -> Value {
        let running: Vec<Container> = self.running().cloned().collect();
        let mut found = Vec::new();
        for container in &running {
            if let Some(all) = self.data.namespaces(container) {
                found.push((container, all.to_vec()));
            }
        }
        let others = |container: &Container, inode: u64| -> Vec<&str> {
            let same = found.iter().filter(|(other, all)| {
                other.id() != container.id() && all.iter().any(|n| n.inode == inode)
            });
            same.map(|(other, _)| other.name()).collect()
        };
        let row = |(container, all): &(&Container, Vec<silo_observe::Namespace>)| {
            let mut kinds = serde_json::Map::new();
            for namespace in all {
                let with = match namespace.shared_with_host {
                    true => Vec::new(),
                    false => others(container, namespace.inode),
                };
                kinds.insert(
                    namespace.kind.to_owned(),
                    json!({"inode": namespace.inode, "host": namespace.shared_with_host, "with": with}),
                );
            }
            json!({"id": container.id().as_str(), "name": container.name(), "kinds": kinds})
        };
        json!({"containers": found.iter().map(row).collect::<Vec<Value>>()})
    }
}

/// What a container is, and what had happened to it by a moment.
pub fn facts(container: &Container, by: u64) -> Value {
    let state = &container.state;
    let limits = container.resources();
    json!({
        "id": container.id().as_str(),
        "name": container.name(),
        "image": past::visible(&container.config.image.reference),
        "state": state.status.as_str(),
        "up": state.status.is_up(),
        "restarts": state.restart_count,
        // Of one that runs the kernel's own come instead.
        "memoryLimit": limits.memory.filter(|limit| *limit > 0),
        "cpuLimit": cpu_limit(limits),
        "pidsLimit": limits.pids_limit.filter(|limit| *limit > 0),
        "changes": state.limits_before.len(),
        "event": event(container, by),
    })
}

/// Thousandths of a processor.
fn cpu_limit(limits: &Resources) -> Option<i64> {
    let period = limits.cpu_period.unwrap_or(100_000).max(1);
    let quota = limits.cpu_quota.filter(|quota| *quota > 0);
    let by_quota =
        quota.map(|quota| quota.saturating_mul(1000) / i64::try_from(period).unwrap_or(i64::MAX));
    limits
        .nano_cpus
        .filter(|nano| *nano > 0)
        .map(|nano| nano / 1_000_000)
        .or(by_quota)
}

/// What had happened last by then.
fn event(container: &Container, by: u64) -> Value {
    let state = &container.state;
    let before = |moment: u64| moment > 0 && moment / 1_000_000 <= by;
    let at = |kind: &str, moment: u64, text: String| json!({"kind": kind, "time": moment / 1_000_000, "text": text});
    let victims = state.victims.iter().rev();
    let now = now().min(by.saturating_mul(1_000_000));
    // Out of memory is still the news when the container was started again for it.
    let is_news = |victim: &&Victim| {
        before(victim.time)
            && (victim.time >= state.started || now.saturating_sub(victim.time) < NEWS)
    };
    let mut victims = victims.filter(is_news);
    if let Some(victim) = victims.next() {
        let who = past::visible(&victim.command);
        return at(
            "oom",
            victim.time,
            format!("out of memory: {who} was killed"),
        );
    }
    if !state.status.is_up() && before(state.finished) {
        let text = match state.error.as_str() {
            "" => format!("ended with {}", state.exit_code),
            error => past::visible(error),
        };
        return at("ended", state.finished, text);
    }
    match (before(state.started), state.restart_count) {
        (false, _) => Value::Null,
        (true, 0) => at("started", state.started, "started".to_owned()),
        (true, _) => at("restarted", state.started, "restarted".to_owned()),
    }
}

/// What it uses.
pub fn add_figures(value: &mut Value, moment: &Moment, step: &Step) {
    let some = |figure: u64| (figure > 0).then_some(figure);
    let counts_pressure = moment.cpu_pressure + moment.memory_pressure + moment.io_pressure > 0;
    let figures = json!({
        "cpu": step.cpu.round(),
        "cpuLimit": some(moment.cpu_limit),
        "throttled": (step.throttled * 1000.0).round() / 1000.0,
        "held": moment.held,
        "cache": moment.cache(),
        "usage": moment.usage,
        // The kernel's own highest is looked at now and then only.
        "peak": some(moment.peak.max(moment.usage_high).max(moment.usage)),
        "memoryLimit": some(moment.memory_limit),
        "pids": moment.pids,
        "pressure": counts_pressure.then(|| {
            [step.cpu_pressure, step.memory_pressure, step.io_pressure].map(|share| (share * 1000.0).round() / 1000.0)
        }),
    });
    if let (Value::Object(all), Value::Object(more)) = (value, figures) {
        all.extend(more);
    }
}

/// The host's memory in parts that are all of it.
#[derive(Debug, PartialEq)]
struct Stack {
    containers: Vec<u64>,
    other: u64,
    cache: u64,
    free: u64,
}

impl Stack {
    /// Containers are measured a moment before the host: where both together are too much, the cache has less.
    fn of(info: &MemInfo, held: &[u64]) -> Stack {
        let free = info.free.min(info.total);
        let mut left = info.total - free;
        let containers: Vec<u64> = held
            .iter()
            .map(|held| {
                let part = (*held).min(left);
                left -= part;
                part
            })
            .collect();
        let cache = info.available.saturating_sub(free).min(left);
        Stack {
            containers,
            other: left - cache,
            cache,
            free,
        }
    }
}

fn host(host: &crate::live::Host, stack: &Stack) -> Value {
    let memory = &host.memory;
    json!({
        "cpus": host.cpus.iter().map(|share| (share * 1000.0).round() / 1000.0).collect::<Vec<f64>>(),
        "load": host.load,
        "memory": {
            "total": memory.total,
            "available": memory.available,
            "other": stack.other,
            "cache": stack.cache,
            "free": stack.free,
            "nearlyGone": memory.available < memory.total / 20,
        },
        "swap": {"total": memory.swap_total, "free": memory.swap_free},
        "pressure": host.pressure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info(total: u64, free: u64, available: u64) -> MemInfo {
        MemInfo {
            total,
            free,
            available,
            ..MemInfo::default()
        }
    }

    #[test]
    fn memory_in_parts() {
        let stack = Stack::of(&info(100, 20, 50), &[10, 15]);
        assert_eq!((stack.other, stack.cache, stack.free), (25, 30, 20));
        // More than there is in use: the cache has less, then there is none.
        let stack = Stack::of(&info(100, 20, 50), &[40, 30]);
        assert_eq!((stack.other, stack.cache), (0, 10));
        let stack = Stack::of(&info(100, 20, 50), &[70, 30]);
        assert_eq!(stack.containers, [70, 10]);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(total in 0..1u64 << 50, free: u64, available: u64, held in proptest::collection::vec(0..1u64 << 50, 0..9)) {
            let stack = Stack::of(&info(total, free, available), &held);
            let sum = stack.containers.iter().sum::<u64>() + stack.other + stack.cache + stack.free;
            prop_assert_eq!(sum, total);
        }
    }
}
