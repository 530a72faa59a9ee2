//! Processor use between two moments: percent of one processor for each process.
//!
//! Called by `top` (two samples 50–100 ms apart) and by the dashboard (each refresh against the one before).

use std::collections::HashMap;

use silo_types::ProcessId;

use crate::{HostFacts, Proc, Process, Want};

/// Processor time used by each process up to one moment.
#[derive(Clone, Debug, Default)]
pub struct CpuSample {
    /// Nanoseconds since boot.
    at_ns: u64,
    used: HashMap<(i32, u64), Used>,
}

/// `ticks_ns` moves in steps of a clock tick (10 ms); `precise_ns` exists for processes of one thread.
#[derive(Clone, Copy, Debug)]
struct Used {
    ticks_ns: u64,
    precise_ns: Option<u64>,
}

impl CpuSample {
    /// Reads two small files of each process. Those that do not exist are left out.
    pub fn take(proc: &Proc, pids: &[i32]) -> CpuSample {
        let want = Want {
            precise_cpu: true,
            ..Want::default()
        };
        let processes = proc.collect(pids, want);
        CpuSample::of(&processes, &HostFacts::now())
    }

    /// From a list that was read at the moment of `host`.
    pub fn of(processes: &[Process], host: &HostFacts) -> CpuSample {
        let used = |process: &Process| Used {
            ticks_ns: host.ticks_to_ns(process.cpu_ticks()),
            precise_ns: process.precise_cpu_ns,
        };
        CpuSample {
            at_ns: host.since_boot_ns,
            used: processes
                .iter()
                .map(|p| ((p.host_pid, p.start_time), used(p)))
                .collect(),
        }
    }

    /// Percent of one processor that `process` used from `earlier` to this sample: 250 is two and a half processors.
    /// `None` when it is in only one of the samples, or no time lies between them.
    pub fn percent_since(&self, earlier: &CpuSample, process: ProcessId) -> Option<f64> {
        let key = (process.pid, process.start_time);
        let (now, before) = (self.used.get(&key)?, earlier.used.get(&key)?);
        let passed = self.at_ns.checked_sub(earlier.at_ns).filter(|ns| *ns > 0)?;
        let used = match (now.precise_ns, before.precise_ns) {
            (Some(now), Some(before)) => now.saturating_sub(before),
            _ => now.ticks_ns.saturating_sub(before.ticks_ns),
        };
        Some(used as f64 * 100.0 / passed as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{process::Command, thread::sleep, time::Duration};

    #[test]
    fn a_spinner_and_a_sleeper() {
        let proc = Proc::host().unwrap();
        let mut spinner = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let mut sleeper = Command::new("sleep").arg("100").spawn().unwrap();
        let pids = [spinner.id() as i32, sleeper.id() as i32];
        sleep(Duration::from_millis(100));
        let first = CpuSample::take(&proc, &pids);
        sleep(Duration::from_millis(300));
        let second = CpuSample::take(&proc, &pids);
        let percent = |pid| {
            let id = proc.identify(pid).unwrap().unwrap();
            second.percent_since(&first, id).unwrap()
        };
        let (busy, idle) = (percent(pids[0]), percent(pids[1]));
        for child in [&mut spinner, &mut sleeper] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(
            busy > 15.0 && busy < 115.0,
            "{busy}: a processor shared with other tests"
        );
        assert!(idle < 5.0, "{idle}");
        let gone = ProcessId {
            pid: 1,
            start_time: 1,
        };
        assert_eq!(second.percent_since(&first, gone), None);
        let same = ProcessId::default();
        assert_eq!(first.percent_since(&first, same), None);
    }
}
