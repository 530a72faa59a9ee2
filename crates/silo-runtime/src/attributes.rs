//! How a process stands among others: scheduler, I/O priority, memory policy, personality. From the specification's words to the
//! kernel's numbers (`new`, pure), and onto the calling process (`apply`); what is not asked for takes no system call.

use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxMemoryPolicy, LinuxPersonality, LinuxPersonalityDomain,
    LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Process,
    Scheduler,
};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity};
use silo_sys::scheduling::{self, SchedAttr};
use silo_types::{Doing, Error, Result};

/// What is asked for, by the kernel's numbers.
#[derive(Debug, Default, PartialEq)]
pub struct Attributes {
    scheduler: Option<SchedAttr>,
    /// Class and level.
    io_priority: Option<(u32, u32)>,
    /// Mode with flags, and the nodes, a bit each.
    memory_policy: Option<(i32, Vec<u64>)>,
    personality: Option<u32>,
}

impl Attributes {
    /// `linux` has what all processes of the container share.
    pub(crate) fn new(process: &Process, linux: Option<&Linux>) -> Result<Attributes> {
        let of_container = linux.map(|l| (l.memory_policy(), l.personality()));
        let (policy, personality) = match of_container {
            Some((policy, personality)) => (policy.as_ref(), personality.as_ref()),
            None => (None, None),
        };
        Ok(Attributes {
            scheduler: process.scheduler().as_ref().map(scheduler).transpose()?,
            io_priority: process
                .io_priority()
                .as_ref()
                .map(|p| io_priority(p.class(), p.priority()))
                .transpose()?,
            memory_policy: policy.map(memory_policy).transpose()?,
            personality: personality.map(personality_number).transpose()?,
        })
    }

    /// Sets them for the calling process.
    pub(crate) fn apply(&self) -> Result<()> {
        if let Some(personality) = self.personality {
            scheduling::set_personality(personality).doing("set the personality")?;
        }
        if let Some((mode, nodes)) = &self.memory_policy {
            scheduling::set_memory_policy(*mode, nodes).doing("set the memory policy")?;
        }
        if let Some(wanted) = &self.scheduler {
            scheduling::set_scheduler(wanted).map_err(|error| scheduler_error(wanted, error))?;
        }
        if let Some((class, level)) = self.io_priority {
            scheduling::set_io_priority(class, level).doing("set the I/O priority")?;
        }
        Ok(())
    }
}

fn scheduler(asked: &Scheduler) -> Result<SchedAttr> {
    use LinuxSchedulerPolicy as P;
    let policy = match asked.policy() {
        P::SchedOther => 0,
        P::SchedFifo => 1,
        P::SchedRr => 2,
        P::SchedBatch => 3,
        P::SchedIso => {
            return Err(Error::unsupported(
                "scheduler: Linux has no SCHED_ISO: choose another policy",
            ));
        }
        P::SchedIdle => 5,
        P::SchedDeadline => 6,
    };
    let priority = asked.priority().unwrap_or(0);
    if priority != 0 && !matches!(policy, 1 | 2) {
        return Err(Error::invalid(
            "scheduler: a priority is for SCHED_FIFO and SCHED_RR alone",
        ));
    }
    let times = [*asked.runtime(), *asked.deadline(), *asked.period()];
    if policy != 6 && times.iter().flatten().any(|time| *time != 0) {
        return Err(Error::invalid(
            "scheduler: runtime, deadline and period are for SCHED_DEADLINE alone",
        ));
    }
    let nice = asked.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(Error::invalid(format!(
            "scheduler: nice {nice} is not between -20 and 19"
        )));
    }
    Ok(SchedAttr {
        policy,
        flags: asked.flags().iter().flatten().map(flag).sum(),
        nice,
        priority: u32::try_from(priority)
            .map_err(|_| Error::invalid(format!("scheduler: bad priority {priority}")))?,
        runtime: times[0].unwrap_or(0),
        deadline: times[1].unwrap_or(0),
        period: times[2].unwrap_or(0),
    })
}

/// The kernel admits deadlines of who may run everywhere alone, sched_setattr(2), and says no more than that.
fn scheduler_error(wanted: &SchedAttr, error: std::io::Error) -> Error {
    const DEADLINE: u32 = 6;
    let refused = error.raw_os_error() == Some(Errno::PERM.raw_os_error());
    let error = Error::system("set the scheduler", error);
    match refused && wanted.policy == DEADLINE {
        true => error.context("process scheduler can't be used together with AllowedCPUs"),
        false => error,
    }
}

/// `SCHED_FLAG_*` of linux/sched.h.
fn flag(flag: &LinuxSchedulerFlag) -> u64 {
    use LinuxSchedulerFlag as F;
    match flag {
        F::SchedResetOnFork => 0x01,
        F::SchedFlagReclaim => 0x02,
        F::SchedFlagDLOverrun => 0x04,
        F::SchedFlagKeepPolicy => 0x08,
        F::SchedFlagKeepParams => 0x10,
        F::SchedFlagUtilClampMin => 0x20,
        F::SchedFlagUtilClampMax => 0x40,
    }
}

fn io_priority(class: IOPriorityClass, level: i64) -> Result<(u32, u32)> {
    let class = match class {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u32::try_from(level) {
        Ok(level @ 0..=7) => Ok((class, level)),
        _ => Err(Error::invalid(format!(
            "I/O priority {level} is not between 0 and 7"
        ))),
    }
}

fn memory_policy(asked: &LinuxMemoryPolicy) -> Result<(i32, Vec<u64>)> {
    use MemoryPolicyFlagType as F;
    use MemoryPolicyModeType as M;
    // `MPOL_*` of linux/mempolicy.h.
    let mode = match asked.mode() {
        M::MpolDefault => 0,
        M::MpolPreferred => 1,
        M::MpolBind => 2,
        M::MpolInterleave => 3,
        M::MpolLocal => 4,
        M::MpolPreferredMany => 5,
        M::MpolWeightedInterleave => 6,
    };
    let flags: i32 = asked
        .flags()
        .iter()
        .flatten()
        .map(|flag| match flag {
            F::MpolFStaticNodes => 1 << 15,
            F::MpolFRelativeNodes => 1 << 14,
            F::MpolFNumaBalancing => 1 << 13,
        })
        .fold(0, |all, flag| all | flag);
    let text = asked.nodes().as_deref().unwrap_or_default();
    let mut nodes = Vec::new();
    // The kernel's largest MAX_NUMNODES.
    let listed = list(text, 1024).map_err(|e| e.context("invalid memory policy node"))?;
    if matches!(asked.mode(), M::MpolDefault | M::MpolLocal) && !listed.is_empty() {
        return Err(Error::invalid(format!(
            "invalid memory policy: mode requires 0 nodes but got {}",
            listed.len()
        )));
    }
    for node in listed {
        let word = node / 64;
        if nodes.len() <= word {
            nodes.resize(word + 1, 0u64);
        }
        nodes[word] |= 1 << (node % 64);
    }
    Ok((mode | flags, nodes))
}

fn personality_number(asked: &LinuxPersonality) -> Result<u32> {
    if let Some(flag) = asked.flags().iter().flatten().next() {
        return Err(Error::unsupported(format!(
            "personality: the specification knows no flags yet, so not {flag:?} either"
        )));
    }
    Ok(match asked.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 0x8,
    })
}

/// Has the calling process run wherever its control group allows: processors that its maker was bound to say nothing of it. The
/// kernel remembers them beyond a change of cpuset (`user_cpus_ptr`, Linux 6.2).
pub(crate) fn take_all_processors() -> Result<()> {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    sched_setaffinity(None, &all).doing("take all processors of the control group")
}

/// A set of processors from `0-3,7`; none when nothing is said.
pub(crate) fn processors(what: &str, text: Option<&str>) -> Result<Option<CpuSet>> {
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let mut set = CpuSet::new();
    for cpu in list(text, CpuSet::MAX_CPU).map_err(|e| e.context(what))? {
        set.set(cpu);
    }
    Ok(Some(set))
}

/// The numbers of a list such as `0-3,7`, each below `bound`.
fn list(text: &str, bound: usize) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |word: &str| word.parse::<usize>().ok().filter(|n| *n < bound);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => numbers.extend(first..=last),
            _ => {
                return Err(Error::invalid(format!(
                    "{text:?} is no list of numbers below {bound}, such as 0-3,7"
                )));
            }
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(json: &str) -> Process {
        let mut base = serde_json::to_value(Process::default()).unwrap();
        let added: serde_json::Value = serde_json::from_str(json).unwrap();
        for (key, value) in added.as_object().unwrap() {
            base[key] = value.clone();
        }
        serde_json::from_value(base).unwrap()
    }

    fn linux(json: &str) -> Linux {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn nothing_asked_is_nothing() {
        let attributes = Attributes::new(&Process::default(), Some(&Linux::default())).unwrap();
        assert_eq!(attributes, Attributes::default());
    }

    #[test]
    fn words_become_numbers() {
        let process = process(
            r#"{"scheduler": {"policy": "SCHED_FIFO", "priority": 3},
                "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4}}"#,
        );
        let linux = linux(
            r#"{"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0,64-65", "flags": ["MPOL_F_STATIC_NODES"]},
                "personality": {"domain": "LINUX32"}}"#,
        );
        let got = Attributes::new(&process, Some(&linux)).unwrap();
        let scheduler = got.scheduler.unwrap();
        assert_eq!((scheduler.policy, scheduler.priority), (1, 3));
        assert_eq!(got.io_priority, Some((3, 4)));
        assert_eq!(got.memory_policy, Some((2 | 1 << 15, vec![1, 3])));
        assert_eq!(got.personality, Some(8));
    }

    #[test]
    fn nonsense_is_refused() {
        for json in [
            r#"{"scheduler": {"policy": "SCHED_ISO"}}"#,
            r#"{"scheduler": {"policy": "SCHED_OTHER", "priority": 3}}"#,
            r#"{"scheduler": {"policy": "SCHED_OTHER", "nice": 20}}"#,
            r#"{"scheduler": {"policy": "SCHED_FIFO", "priority": -1}}"#,
            r#"{"scheduler": {"policy": "SCHED_BATCH", "runtime": 5}}"#,
            r#"{"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}"#,
        ] {
            assert!(Attributes::new(&process(json), None).is_err(), "{json}");
        }
        for json in [
            r#"{"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "3-1"}}"#,
            r#"{"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "5000"}}"#,
            r#"{"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "a"}}"#,
            r#"{"memoryPolicy": {"mode": "MPOL_DEFAULT", "nodes": "0-7"}}"#,
            r#"{"personality": {"domain": "LINUX", "flags": ["X"]}}"#,
        ] {
            let linux = linux(json);
            assert!(
                Attributes::new(&Process::default(), Some(&linux)).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn lists_of_processors() {
        let set = processors("x", Some("0-2,5")).unwrap().unwrap();
        assert!(set.is_set(2) && set.is_set(5) && !set.is_set(3));
        assert!(processors("x", None).unwrap().is_none());
        assert!(processors("x", Some("0-99999")).is_err());
        assert!(processors("x", Some("1,")).is_err());
    }
}
