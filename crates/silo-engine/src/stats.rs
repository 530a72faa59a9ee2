//! What a running container uses, read at the time of asking.

use silo_cgroup::{Figures, Stats, StatsReader};
use silo_types::Result;

use crate::{Engine, container::Container, create::now};

/// A sample with its time; rates need two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Nanoseconds since the epoch.
    pub time: u64,
    pub stats: Stats,
    /// Bytes received and sent by the container's interfaces; `None` when it shares the host's.
    pub network: Option<(u64, u64)>,
}

/// Samples one container again and again with its files kept open.
#[derive(Debug)]
pub struct Sampler {
    reader: StatsReader,
    pid: i32,
    own_network: bool,
}

impl Engine {
    /// Opens the statistics of a running container.
    pub fn sampler(&self, container: &Container) -> Result<Sampler> {
        let main = container.main_process()?;
        let cgroup = self.cgroup(&container.config)?;
        Ok(Sampler {
            reader: StatsReader::open(&cgroup, Figures::ALL)?,
            pid: main.pid,
            own_network: container.config.network.mode != silo_types::NetworkMode::Host,
        })
    }

    /// Memory charged to a control group, bytes; 0 where it is not counted.
    pub(crate) fn memory_in_use(&self, cgroup: &silo_cgroup::Cgroup) -> u64 {
        cgroup
            .stats()
            .ok()
            .and_then(|stats| stats.memory)
            .map_or(0, |memory| memory.usage)
    }

    /// Host pids of all processes of a container, ascending, those included that ended and were not waited for.
    pub fn processes(&self, container: &Container) -> Result<Vec<i32>> {
        container.main_process()?;
        let pids = self.cgroup(&container.config)?.procs(false)?;
        Ok(silo_observe::Proc::host()?.with_zombies(pids))
    }
}

impl Sampler {
    pub fn sample(&mut self) -> Result<Sample> {
        Ok(Sample {
            time: now(),
            stats: self.reader.sample()?,
            network: self.own_network.then(|| traffic(self.pid)).flatten(),
        })
    }
}

/// Received and sent bytes of all interfaces but the loopback: /proc/PID/net/dev, proc_pid_net(5).
pub(crate) fn traffic(pid: i32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    Some(parse_traffic(&text))
}

fn parse_traffic(text: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in text.lines().skip(2) {
        let Some((name, figures)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let figures: Vec<u64> = figures
            .split_whitespace()
            .map(|f| f.parse().unwrap_or(0))
            .collect();
        sum.0 += figures.first().copied().unwrap_or(0);
        sum.1 += figures.get(8).copied().unwrap_or(0);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_summed_without_the_loopback() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 250 2 0 0 0 0 0 0\n";
        assert_eq!(parse_traffic(text), (100, 250));
    }
}
