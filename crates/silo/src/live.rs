//! What the task managers (`dash` in the terminal, `web` as a page) show, gathered once a second: the host from /proc, containers
//! from their recordings, processes of the chosen one.
//!
//! Lists are read anew only when the log of events or the folder of containers has changed: with hundreds of containers that is
//! what would cost most.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    os::fd::AsFd,
    time::{Duration, Instant, SystemTime},
};

use silo_engine::{Container, Engine, Glance};
use silo_observe::{
    CpuSample, CpuTimes, HostFacts, MemInfo, Names, Namespace, Proc, TopFacts, TopInputs,
    TopProcess, TopView, Want,
};
use silo_types::{ContainerId, Doing, Error, ProcessId, Result, Signal};

/// Stands for the whole host among the main processes of containers.
const HOST: i32 = 0;

/// Seconds of the line beside each container.
pub const LINE: usize = 60;

/// Lists are read anew at least so often.
const REREAD: Duration = Duration::from_secs(10);

/// The host's figures at one moment.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Share of each processor that worked, 0 to 1, since the moment before.
    pub cpus: Vec<f64>,
    pub memory: MemInfo,
    /// Percent of the last ten seconds: processor, memory, disk; `None` where the kernel does not count it.
    pub pressure: [Option<f64>; 3],
    pub load: f64,
}

/// A container's line.
#[derive(Clone, Debug)]
pub struct Entry {
    pub container: Container,
    /// Nothing while it does not run.
    pub glance: Option<Glance>,
    /// Of those that are seen in the list.
    pub zombies: usize,
    /// Thousandths of a processor, a value a second, the newest last.
    pub line: VecDeque<f64>,
}

impl Entry {
    pub fn cpu(&self) -> f64 {
        self.glance.map_or(0.0, |glance| glance.step.cpu)
    }

    pub fn memory(&self) -> u64 {
        self.glance.map_or(0, |glance| glance.moment.held)
    }
}

/// Gathers, and remembers what rates need.
pub struct Data<'a> {
    engine: &'a Engine,
    proc: Proc,
    pub host: Host,
    pub entries: Vec<Entry>,
    before: Vec<(u32, CpuTimes)>,
    read_at: Option<Instant>,
    stamps: [Option<SystemTime>; 2],
    lines: HashMap<ContainerId, VecDeque<f64>>,
    namespaces: BTreeMap<i32, Vec<Namespace>>,
    /// By main process, of the containers whose processes were looked at.
    samples: HashMap<i32, CpuSample>,
    /// Of the processes that were read last.
    pub seen: Vec<ProcessId>,
}

impl<'a> Data<'a> {
    pub fn new(engine: &'a Engine) -> Result<Data<'a>> {
        Ok(Data {
            engine,
            proc: Proc::host()?,
            host: Host::default(),
            entries: Vec::new(),
            before: Vec::new(),
            read_at: None,
            stamps: [None; 2],
            lines: HashMap::new(),
            namespaces: BTreeMap::new(),
            samples: HashMap::new(),
            seen: Vec::new(),
        })
    }

    /// Everything anew.
    pub fn gather(&mut self) -> Result<()> {
        self.gather_host()?;
        self.gather_containers()
    }

    fn gather_host(&mut self) -> Result<()> {
        let stat = self.proc.cpu_times()?;
        let share = |(number, now): &(u32, CpuTimes)| {
            let earlier = self.before.iter().find(|(n, _)| n == number);
            let (busy, total) = match earlier {
                Some((_, before)) => (
                    now.busy().saturating_sub(before.busy()),
                    now.total().saturating_sub(before.total()),
                ),
                None => (now.busy(), now.total()),
            };
            busy as f64 / total.max(1) as f64
        };
        let cpus = stat.each.iter().map(share).collect();
        self.before = stat.each;
        self.host = Host {
            cpus,
            memory: self.proc.meminfo()?,
            pressure: ["cpu", "memory", "io"].map(pressure),
            load: self.proc.load_average()?.one,
        };
        Ok(())
    }

    /// Containers anew: also after one was changed.
    pub fn gather_containers(&mut self) -> Result<()> {
        let paths = self.engine.paths();
        let changed = |path: std::path::PathBuf| std::fs::metadata(path)?.modified();
        let stamps = [
            changed(paths.events()).ok(),
            changed(paths.containers()).ok(),
        ];
        let old = self.read_at.is_none_or(|at| at.elapsed() > REREAD);
        if old || stamps != self.stamps {
            let list = self.engine.list()?;
            self.namespaces.clear();
            self.samples.retain(|pid, _| {
                let is_main = |c: &Container| c.state.main.is_some_and(|main| main.pid == *pid);
                *pid == HOST || list.iter().any(is_main)
            });
            self.entries = list.into_iter().map(Entry::new).collect();
            self.read_at = Some(Instant::now());
            self.stamps = stamps;
        }
        for entry in &mut self.entries {
            entry.glance = match entry.container.state.status.is_up() {
                true => self.engine.glance(&entry.container).ok(),
                false => None,
            };
            let line = self.lines.entry(entry.container.id().clone()).or_default();
            line.push_back(entry.cpu());
            line.drain(..line.len().saturating_sub(LINE));
            entry.line.clone_from(line);
        }
        let there = |id: &ContainerId| self.entries.iter().any(|e| e.container.id() == id);
        self.lines.retain(|id, _| there(id));
        Ok(())
    }

    /// The processes of a container from both worlds, at most so many; rates since the last call for the same one.
    pub fn processes(&mut self, container: &Container, most: usize) -> Result<TopView> {
        let main = container.main_process()?;
        let host = HostFacts::now();
        let mut pids = self.engine.processes(container)?;
        pids.truncate(most);
        let processes = self.proc.collect(&pids, Want::TOP);
        self.seen = processes.iter().map(silo_observe::Process::id).collect();
        let now = CpuSample::of(&processes, &host);
        let before = self.samples.remove(&main.pid);
        let view = TopView::build(
            TopFacts::default(),
            &TopInputs {
                processes: &processes,
                host: &host,
                names: &Names::of_container(&self.proc, main.pid)?,
                cpu: before.as_ref().map(|before| (before, &now)),
                execs: &HashMap::new(),
            },
        );
        self.samples.insert(main.pid, now);
        Ok(view)
    }

    /// How many processes of a container have ended and nobody waits for them; looks at no more than `most`.
    pub fn zombies(&self, container: &Container, most: usize) -> Option<usize> {
        let mut pids = self.engine.processes(container).ok()?;
        pids.truncate(most);
        let all = self.proc.collect(&pids, Want::default());
        Some(all.iter().filter(|process| process.is_zombie()).count())
    }

    /// What a line was before anybody looked.
    pub fn begin_line(&mut self, id: &ContainerId, line: VecDeque<f64>) {
        self.lines.insert(id.clone(), line);
    }

    /// Every process of the host with its container (empty: none), the busiest first; rates since the last call. Memory is what
    /// costs nothing to ask for.
    pub fn everywhere(&mut self) -> Result<Vec<(TopProcess, String)>> {
        let host = HostFacts::now();
        let (processes, containers) = self.engine.host_processes(Want::PS)?;
        self.seen = processes.iter().map(silo_observe::Process::id).collect();
        let now = CpuSample::of(&processes, &host);
        let before = self.samples.remove(&HOST);
        let view = TopView::build(
            TopFacts::default(),
            &TopInputs {
                processes: &processes,
                host: &host,
                names: &Names::host()?,
                cpu: before.as_ref().map(|before| (before, &now)),
                execs: &HashMap::new(),
            },
        );
        self.samples.insert(HOST, now);
        let inside: HashMap<i32, i32> = processes
            .iter()
            .map(|p| (p.host_pid, p.innermost_pid()))
            .collect();
        let mut all: Vec<(TopProcess, String)> = view
            .processes
            .into_iter()
            .map(|mut process| {
                process.pid = inside.get(&process.host_pid).copied().unwrap_or(0);
                let of = containers.get(&process.host_pid).cloned();
                (process, of.unwrap_or_default())
            })
            .collect();
        all.sort_by(|(a, _), (b, _)| b.cpu_percent.total_cmp(&a.cpu_percent));
        Ok(all)
    }

    /// Namespaces of a running container's main process; they never change, so each is looked up once.
    pub fn namespaces(&mut self, container: &Container) -> Option<&[Namespace]> {
        let pid = container.main_process().ok()?.pid;
        if !self.namespaces.contains_key(&pid) {
            let found = self.proc.namespaces(pid).ok()?;
            self.namespaces.insert(pid, found);
        }
        self.namespaces.get(&pid).map(Vec::as_slice)
    }
}

impl Entry {
    fn new(container: Container) -> Entry {
        Entry {
            container,
            glance: None,
            zombies: 0,
            line: VecDeque::new(),
        }
    }
}

pub fn gone(pid: i32) -> Error {
    Error::not_found(format!("process {pid} has ended"))
}

/// Through a pidfd, and only when the number still belongs to the process that was seen.
pub fn send_to_process(seen: ProcessId, signal: Signal) -> Result<()> {
    let pid = seen.pid;
    let raw = rustix::process::Pid::from_raw(pid).ok_or_else(|| gone(pid))?;
    let flags = rustix::process::PidfdFlags::empty();
    let pidfd = rustix::process::pidfd_open(raw, flags).map_err(|_| gone(pid))?;
    if !silo_observe::is_alive(seen) {
        return Err(gone(pid));
    }
    silo_sys::signal::pidfd_send(pidfd.as_fd(), signal.number())
        .doing_with(|| format!("send {signal} to process {pid}"))
}

/// `some avg10` of /proc/pressure (Documentation/accounting/psi.rst).
fn pressure(what: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/pressure/{what}")).ok()?;
    average(&text)
}

fn average(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let value = line
        .split(' ')
        .find_map(|word| word.strip_prefix("avg10="))?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_of_pressure() {
        let text = "some avg10=1.50 avg60=0.84 avg300=1.22 total=11974955\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(average(text), Some(1.5));
        assert_eq!(average("full avg10=1\n"), None);
    }
}
