//! Whether a fact of a lab holds now, and what was seen. Never waits: who waits for a fact looks again.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use silo_engine::{Container, Sample};
use silo_observe::Proc;
use silo_types::{ByteSize, Error, Kind, OomScope, Result, Status};

use super::{
    script::{Check, Ends, Fact, ProcessIs},
    words::Template,
    world::World,
};

/// The last command of the terminal that a check belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output<'a> {
    /// Without escapes.
    pub text: &'a str,
    /// None while it runs.
    pub exit: Option<i32>,
}

/// What came of looking.
#[derive(Clone, Debug)]
pub struct Seen {
    pub holds: bool,
    /// What is there, in words; may be empty.
    pub what: String,
}

/// A check that is looked at again and again.
pub struct Watch<'c> {
    pub check: &'c Check,
    window: Option<Window>,
}

/// Figures from the start of a stretch of time.
struct Window {
    began: Instant,
    sample: Sample,
    machine: f64,
}

fn seen(holds: bool, what: impl Into<String>) -> Seen {
    Seen {
        holds,
        what: what.into(),
    }
}

impl<'c> Watch<'c> {
    pub fn new(check: &'c Check) -> Watch<'c> {
        Watch {
            check,
            window: None,
        }
    }

    /// The check in words.
    pub fn words(&self, world: &World<'_>) -> String {
        let fill = |text: &Template| {
            text.fill(&|place| world.value(place))
                .unwrap_or_else(|_| text.plain())
        };
        match &self.check.words {
            Some(words) => fill(words),
            None => describe(&self.check.fact, world, &fill),
        }
    }

    /// Looks once. What cannot be read does not hold.
    pub fn look(&mut self, world: &World<'_>, output: Output<'_>) -> Seen {
        self.try_look(world, output)
            .unwrap_or_else(|error| seen(false, error.to_string()))
    }

    fn try_look(&mut self, world: &World<'_>, output: Output<'_>) -> Result<Seen> {
        let fill = |text: &Template| text.fill(&|place| world.value(place));
        Ok(match &self.check.fact {
            Fact::OutputContains(text) => seen(output.text.contains(&fill(text)?), ""),
            Fact::OutputLacks(text) => seen(!output.text.contains(&fill(text)?), ""),
            Fact::OutputMatches(pattern) => {
                let pattern = pattern.fill_pattern(&|place| world.value(place))?;
                let regex = regex_lite::Regex::new(&format!("(?m){pattern}"));
                seen(regex.is_ok_and(|regex| regex.is_match(output.text)), "")
            }
            Fact::Exit(code) => match output.exit {
                Some(exit) => seen(exit == *code, format!("exit {exit}")),
                None => seen(false, "it has not ended"),
            },
            Fact::Listed(name, wanted) => {
                let up = world.find(name).is_ok_and(|c| c.state.status.is_up());
                seen(up == *wanted, "")
            }
            Fact::Gone(name) => match world.find(name) {
                Err(error) if error.kind() == Kind::NotFound => seen(true, ""),
                Err(error) => return Err(error),
                Ok(container) => seen(false, format!("it is {}", container.state.status.as_str())),
            },
            Fact::GroupGone(name) => seen(group_gone(world, name)?, ""),
            Fact::GroupFile(name, files) => group_file(world, name, files)?,
            Fact::Process(pid, what) => process(&fill(pid)?, what),
            Fact::Cpu(name, ends, over) => {
                self.processors(world, name, &range(world, ends)?, *over)?
            }
            Fact::Throttled(name, ends, over) => {
                self.throttled(world, name, &range(world, ends)?, *over)?
            }
            other => of_container(world, other)?,
        })
    }

    /// Figures over a stretch of time; one that does not hold is measured again.
    fn measure(
        &mut self,
        world: &World<'_>,
        name: &str,
        over: Duration,
    ) -> Result<Option<(Window, Sample)>> {
        let now = world.engine.sampler(&world.find(name)?)?.sample()?;
        match self.window.take() {
            Some(window) if window.began.elapsed() >= over => Ok(Some((window, now))),
            Some(window) => {
                self.window = Some(window);
                Ok(None)
            }
            None => {
                self.window = Some(Window {
                    began: Instant::now(),
                    sample: now,
                    machine: machine_spent(),
                });
                Ok(None)
            }
        }
    }

    fn processors(
        &mut self,
        world: &World<'_>,
        name: &str,
        range: &RangeInclusive<f64>,
        over: Duration,
    ) -> Result<Seen> {
        let Some((window, now)) = self.measure(world, name, over)? else {
            return Ok(seen(false, "being measured"));
        };
        let used = processors(&window.sample, &now);
        let least = match is_busy(&window, &now, *range.start()) {
            true => 0.0,
            false => *range.start(),
        };
        let aside = match least < *range.start() && used < *range.start() {
            true => " (this machine is busy with other work)",
            false => "",
        };
        Ok(seen(
            (least..=*range.end()).contains(&used),
            format!("{used:.2} processors{aside}"),
        ))
    }

    fn throttled(
        &mut self,
        world: &World<'_>,
        name: &str,
        range: &RangeInclusive<f64>,
        over: Duration,
    ) -> Result<Seen> {
        let Some((window, now)) = self.measure(world, name, over)? else {
            return Ok(seen(false, "being measured"));
        };
        let share = throttled_share(&window.sample, &now);
        // One processor cannot use up more than itself, and on a busy machine it does not even get that.
        let limit = world
            .find(name)?
            .resources()
            .nano_cpus
            .map_or(0.0, |nano| nano as f64 / 1e9);
        let excused = cpus() < 2.0 && limit >= 1.0 || is_busy(&window, &now, limit);
        let aside = if excused && !range.contains(&share) {
            " (this machine is busy with other work)"
        } else {
            ""
        };
        Ok(seen(
            excused || range.contains(&share),
            format!("{share:.0} % of its periods{aside}"),
        ))
    }
}

fn cpus() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| usize::from(n) as f64)
}

/// Other work leaves less than what the container should have got.
fn is_busy(window: &Window, now: &Sample, wanted: f64) -> bool {
    let time = window.began.elapsed().as_secs_f64().max(0.001);
    let others = (machine_spent() - window.machine) / time - processors(&window.sample, now);
    others + wanted >= cpus() - 0.13
}

fn processors(before: &Sample, after: &Sample) -> f64 {
    let total = |sample: &Sample| sample.stats.cpu.map_or(0, |cpu| cpu.total_ns);
    let spent = total(after).saturating_sub(total(before)) as f64;
    spent / (after.time - before.time).max(1) as f64
}

fn throttled_share(before: &Sample, after: &Sample) -> f64 {
    let throttle = |s: &Sample| s.stats.cpu.and_then(|cpu| cpu.throttle).unwrap_or_default();
    let (before, after) = (throttle(before), throttle(after));
    let periods = after.periods.saturating_sub(before.periods).max(1);
    100.0 * after.throttled.saturating_sub(before.throttled) as f64 / periods as f64
}

/// Seconds of processors that the whole machine has spent since it was started: the first line of /proc/stat, proc_stat(5).
fn machine_spent() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let at = |place: usize| ticks.get(place).copied().unwrap_or(0.0);
    // All but idle and waiting for disks, in hundredths of a second.
    (ticks.iter().sum::<f64>() - at(3) - at(4)) / 100.0
}

fn group_gone(world: &World<'_>, name: &str) -> Result<bool> {
    match world.find(name) {
        Ok(container) => Ok(!world.engine.cgroup(&container.config)?.exists()),
        // One that was removed: its group had its id, which is told nowhere any more; the lab's own group has no other below.
        Err(error) if error.kind() == Kind::NotFound => world.has_no_group_of(name),
        Err(error) => Err(error),
    }
}

fn group_file(world: &World<'_>, name: &str, files: &[(String, Template)]) -> Result<Seen> {
    let container = world.find(name)?;
    for (file, wanted) in files {
        let Some(path) = world.group_file(&container, file) else {
            continue;
        };
        let value = std::fs::read_to_string(&path).unwrap_or_default();
        let wanted = wanted.fill(&|place| world.value(place))?;
        return Ok(seen(
            value.trim() == wanted,
            format!("{file} is {}", value.trim()),
        ));
    }
    Ok(seen(false, "there is no such file"))
}

fn of_container(world: &World<'_>, fact: &Fact) -> Result<Seen> {
    Ok(match fact {
        Fact::Status(name, wanted) => {
            let status = world.find(name)?.state.status.as_str();
            match status == wanted {
                true => seen(true, ""),
                false => seen(false, format!("it is {status}")),
            }
        }
        Fact::Code(name, wanted) => {
            let state = world.find(name)?.state;
            let ended = state.status == Status::Exited;
            seen(
                ended && state.exit_code == *wanted,
                format!("{} with {}", state.status.as_str(), state.exit_code),
            )
        }
        Fact::OomKilled(name, wanted) => seen(world.find(name)?.state.oom_killed == *wanted, ""),
        Fact::Memory(name, size) => {
            let sample = world.engine.sampler(&world.find(name)?)?.sample()?;
            in_size(
                world,
                size,
                sample.stats.memory.map_or(0, |memory| memory.used),
            )?
        }
        Fact::Peak(name, size) => in_size(world, size, peak(world, name)?)?,
        Fact::Resident(name, size) => in_size(world, size, resident(world, &world.find(name)?)?)?,
        Fact::Victim(name, command) => {
            let state = world.find(name)?.state;
            let Some(victim) = state.victims.last() else {
                return Ok(seen(false, "nobody was killed"));
            };
            let wanted = command.fill(&|place| world.value(place))?;
            // The image's programs are one file under many names; older kernels tell the file's.
            let is_it = victim.command == wanted
                || victim.command == "silo-lab"
                || wanted.starts_with(&victim.command);
            let scope = match victim.scope {
                OomScope::Own => " at the container's own limit",
                _ => "",
            };
            seen(
                is_it && victim.host_pid > 0,
                format!("{} (host pid {}){scope}", victim.command, victim.host_pid),
            )
        }
        Fact::Namespace(name, kind, own) => {
            let pid = world.pid(name)?;
            let all = Proc::host()?.namespaces(pid)?;
            let Some(found) = all.iter().find(|space| space.kind == kind) else {
                return Ok(seen(false, "this kernel has no such namespace"));
            };
            seen(
                found.shared_with_host != *own,
                format!("{kind}:[{}]", found.inode),
            )
        }
        _ => seen(false, ""),
    })
}

/// The highest that was charged: the kernel's figure, else the recorded one.
fn peak(world: &World<'_>, name: &str) -> Result<u64> {
    let container = world.find(name)?;
    let now = world
        .engine
        .sampler(&container)
        .and_then(|mut sampler| sampler.sample())
        .ok();
    let recorded = || {
        let moments = world
            .engine
            .recording(world.name(name))
            .map(|r| r.series.moments);
        moments
            .unwrap_or_default()
            .iter()
            .map(|m| m.peak.max(m.usage_high))
            .max()
            .unwrap_or(0)
    };
    Ok(now
        .and_then(|sample| sample.stats.memory?.peak)
        .unwrap_or_else(recorded))
}

/// Resident memory of the largest process of a container, from the host's /proc.
fn resident(world: &World<'_>, container: &Container) -> Result<u64> {
    let pids = world.engine.processes(container)?;
    let kib = |pid: &i32| {
        field(*pid, "VmRSS:")?
            .trim_end_matches(" kB")
            .parse::<u64>()
            .ok()
    };
    Ok(pids.iter().filter_map(kib).max().unwrap_or(0) * 1024)
}

fn in_size(world: &World<'_>, size: &Ends, bytes: u64) -> Result<Seen> {
    let filled = |end: &Option<Template>| -> Result<Option<u64>> {
        let Some(end) = end else { return Ok(None) };
        Ok(Some(
            end.fill(&|place| world.value(place))?
                .parse::<ByteSize>()?
                .0,
        ))
    };
    let holds = filled(&size.least)?.is_none_or(|least| bytes >= least)
        && filled(&size.most)?.is_none_or(|most| bytes <= most);
    Ok(seen(holds, ByteSize(bytes).to_string()))
}

/// Numbers, percent signs left out.
fn range(world: &World<'_>, ends: &Ends) -> Result<RangeInclusive<f64>> {
    let number = |end: &Option<Template>, otherwise: f64| -> Result<f64> {
        let Some(end) = end else { return Ok(otherwise) };
        let text = end.fill(&|place| world.value(place))?;
        let number = text.trim_end_matches('%').parse();
        number.map_err(|_| Error::invalid(format!("'{text:.40}' is no number")))
    };
    Ok(number(&ends.least, 0.0)?..=number(&ends.most, f64::INFINITY)?)
}

/// A line of /proc/PID/status, proc_pid_status(5).
fn field(pid: i32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

fn process(pid: &str, wanted: &ProcessIs) -> Seen {
    let Ok(pid) = pid.trim().parse::<i32>() else {
        return seen(false, format!("'{pid:.40}' is no process number"));
    };
    let state = field(pid, "State:").and_then(|state| state.chars().next());
    match (wanted, state) {
        (ProcessIs::Gone, None | Some('Z' | 'X')) => seen(true, ""),
        (ProcessIs::Gone, Some(state)) => seen(false, format!("it is there, state {state}")),
        (_, None) => seen(false, "it is gone"),
        (ProcessIs::Alive, Some(state)) => {
            seen(!matches!(state, 'Z' | 'X'), format!("state {state}"))
        }
        (ProcessIs::State(wanted), Some(state)) => seen(state == *wanted, format!("state {state}")),
        (ProcessIs::Signal(mask, signal), Some(_)) => {
            let bits = field(pid, mask).and_then(|text| u64::from_str_radix(&text, 16).ok());
            seen(
                bits.is_some_and(|bits| bits >> (signal.number() - 1) & 1 == 1),
                "",
            )
        }
    }
}

/// A fact in words, where the teacher gave none.
fn describe(fact: &Fact, world: &World<'_>, fill: &dyn Fn(&Template) -> String) -> String {
    let name = |name: &String| world.name(name).to_owned();
    let size = |size: &Ends| match (&size.least, &size.most) {
        (Some(least), Some(most)) => format!("between {} and {}", fill(least), fill(most)),
        (Some(least), None) => format!("at least {}", fill(least)),
        (None, Some(most)) => format!("at most {}", fill(most)),
        (None, None) => String::new(),
    };
    match fact {
        Fact::OutputContains(text) => format!("the output has '{}'", fill(text)),
        Fact::OutputLacks(text) => format!("the output does not have '{}'", fill(text)),
        Fact::OutputMatches(text) => format!("the output has a line like '{}'", fill(text)),
        Fact::Exit(code) => format!("it ends with {code}"),
        Fact::Listed(n, true) => format!("{} is in the list", name(n)),
        Fact::Listed(n, false) => format!("{} is not in the list", name(n)),
        Fact::Gone(n) => format!("{} is gone", name(n)),
        Fact::Status(n, status) => format!("{} is {status}", name(n)),
        Fact::Code(n, code) => format!("{} ended with {code}", name(n)),
        Fact::OomKilled(n, true) => format!(
            "the first process of {} was killed for want of memory",
            name(n)
        ),
        Fact::OomKilled(n, false) => format!(
            "the first process of {} was not killed for want of memory",
            name(n)
        ),
        Fact::GroupGone(n) => format!("the control groups of {} are gone", name(n)),
        Fact::GroupFile(n, _) => format!("the control group of {} says so", name(n)),
        Fact::Memory(n, s) => format!("memory of {} is {}", name(n), size(s)),
        Fact::Peak(n, s) => format!("the highest memory of {} is {}", name(n), size(s)),
        Fact::Resident(n, s) => format!(
            "the host sees {} in the largest process of {}",
            size(s),
            name(n)
        ),
        Fact::Cpu(n, r, _) => format!("{} uses {} processors", name(n), size(r)),
        Fact::Throttled(n, r, _) => format!(
            "the limit stopped {} in {} of its periods",
            name(n),
            size(r)
        ),
        Fact::Victim(n, command) => format!("the kernel chose {} in {}", fill(command), name(n)),
        Fact::Process(pid, what) => {
            let pid = fill(pid);
            match what {
                ProcessIs::Alive => format!("process {pid} of the host lives"),
                ProcessIs::Gone => format!("process {pid} of the host is gone"),
                ProcessIs::State(state) => format!("process {pid} of the host is in state {state}"),
                ProcessIs::Signal("SigIgn:", signal) => format!("process {pid} ignores {signal}"),
                ProcessIs::Signal("SigCgt:", signal) => {
                    format!("process {pid} has a handler for {signal}")
                }
                ProcessIs::Signal(_, signal) => format!("process {pid} blocks {signal}"),
            }
        }
        Fact::Namespace(n, kind, true) => format!("the {kind} namespace of {} is its own", name(n)),
        Fact::Namespace(n, kind, false) => {
            format!("the {kind} namespace of {} is the host's", name(n))
        }
    }
}
