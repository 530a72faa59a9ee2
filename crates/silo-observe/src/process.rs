//! A process as Silo shows it, with its number outside and inside, and the reader that makes a list of them.
//!
//! Called by `top`, `ps`, `whois` and the dashboard with the pids of a control group. Processes that end meanwhile are left out:
//! a list is what was there, not what was asked for. Kernel threads are never in it.

use std::{collections::HashMap, io};

use rustix::io::Errno;
use silo_types::{Doing, Error, ProcessId, Result};

use crate::{
    HostFacts, Proc, ProcStatus, Rollup, Stat,
    proc::ProcessDir,
    text::{fields, number, printable},
};

/// Longest command line that is kept, bytes; ps(1) is as generous.
const COMMAND_CAP: usize = 128 << 10;

/// Which files are read besides `stat`: each costs three system calls a process, `memory` a walk of its page tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Numbers inside, users, rights (`status`).
    pub status: bool,
    /// Arguments (`cmdline`).
    pub command_line: bool,
    /// Private and proportional memory (`smaps_rollup`).
    pub memory: bool,
    /// How likely the OOM killer is to choose it (`oom_score`).
    pub oom_score: bool,
    /// Nanoseconds on a processor, for processes of one thread (`schedstat`).
    pub precise_cpu: bool,
}

impl Want {
    /// What Docker's default columns need.
    pub const PS: Want = Want {
        status: true,
        command_line: true,
        memory: false,
        oom_score: false,
        precise_cpu: false,
    };
    /// What the view of both worlds needs.
    pub const TOP: Want = Want {
        status: true,
        command_line: true,
        memory: true,
        oom_score: true,
        precise_cpu: true,
    };
}

/// One process. `host_…` numbers are those of the reader's pid namespace, the others those of the container: 0 where there
/// is none. Times are clock ticks unless said; sizes are bytes; texts are printable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    pub host_pid: i32,
    /// Its number in the container: in the pid namespace of the list's oldest process.
    pub pid: i32,
    /// Its number in every pid namespace from the host's inwards; empty without [`Want::status`].
    pub ns_pids: Vec<i32>,
    pub host_ppid: i32,
    /// 0 when the parent is outside the container, as getppid(2) says there.
    pub ppid: i32,
    pub host_pgid: i32,
    pub pgid: i32,
    pub host_sid: i32,
    pub sid: i32,
    pub tpgid: i32,
    pub state: char,
    /// Real, effective, saved, file system user as the host numbers them.
    pub uid: [u32; 4],
    pub gid: [u32; 4],
    /// Device number; 0: no terminal.
    pub tty: u32,
    pub flags: u32,
    pub utime: u64,
    pub stime: u64,
    /// Nanoseconds on a processor of a process that has one thread, without the 10 ms steps of `utime`.
    pub precise_cpu_ns: Option<u64>,
    pub priority: i64,
    pub nice: i32,
    pub policy: u32,
    pub processor: i32,
    pub threads: i32,
    pub start_time: u64,
    pub vsize: u64,
    pub rss: u64,
    pub rss_anon: u64,
    pub locked: u64,
    /// `smaps_rollup`; `None`: not asked for, a zombie, or not allowed.
    pub memory: Option<Rollup>,
    pub oom_score: Option<i32>,
    pub seccomp: u8,
    pub no_new_privs: bool,
    pub cap_eff: u64,
    /// Name of at most 15 bytes.
    pub comm: String,
    /// Arguments joined by blanks; empty for zombies and for processes that wiped them.
    pub command_line: String,
}

impl Process {
    pub fn id(&self) -> ProcessId {
        ProcessId {
            pid: self.host_pid,
            start_time: self.start_time,
        }
    }

    /// Its number in the innermost pid namespace that it lives in.
    pub fn innermost_pid(&self) -> i32 {
        self.ns_pids.last().copied().unwrap_or(self.host_pid)
    }

    /// Ended and not waited for by its parent.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }

    /// The arguments, or the name in brackets where there are none.
    pub fn command(&self) -> String {
        if self.command_line.is_empty() {
            format!("[{}]", self.comm)
        } else {
            self.command_line.clone()
        }
    }

    /// Processor time used so far by all its threads, ticks.
    pub fn cpu_ticks(&self) -> u64 {
        self.utime.saturating_add(self.stime)
    }

    /// The same in milliseconds.
    pub fn cpu_ms(&self, host: &HostFacts) -> u64 {
        host.ticks_to_ns(self.cpu_ticks()) / 1_000_000
    }

    /// Mean use of one processor over its whole life, percent.
    pub fn lifetime_cpu_percent(&self, host: &HostFacts) -> f64 {
        let age = host.age_ns(self.start_time);
        if age == 0 {
            return 0.0;
        }
        host.ticks_to_ns(self.cpu_ticks()) as f64 * 100.0 / age as f64
    }

    fn from_stat(stat: &Stat<'_>, page_size: u64) -> Process {
        Process {
            host_pid: stat.pid,
            pid: stat.pid,
            host_ppid: stat.ppid,
            ppid: stat.ppid,
            host_pgid: stat.pgid,
            pgid: stat.pgid,
            host_sid: stat.sid,
            sid: stat.sid,
            tpgid: stat.tpgid,
            state: char::from(stat.state),
            tty: stat.tty,
            flags: stat.flags,
            utime: stat.utime,
            stime: stat.stime,
            priority: stat.priority,
            nice: stat.nice,
            policy: stat.policy,
            processor: stat.processor,
            threads: stat.threads,
            start_time: stat.start_time,
            vsize: stat.vsize,
            rss: stat.rss_pages.saturating_mul(page_size),
            comm: printable(stat.comm),
            ..Process::default()
        }
    }

    fn add_status(&mut self, status: ProcStatus, levels: &mut Levels) {
        self.uid = status.uid;
        self.gid = status.gid;
        self.rss_anon = status.rss_anon;
        self.locked = status.locked;
        self.seccomp = status.seccomp;
        self.no_new_privs = status.no_new_privs;
        self.cap_eff = status.cap_eff;
        levels.groups.push((status.ns_pgids, status.ns_sids));
        self.ns_pids = status.ns_pids;
    }
}

/// Group and session numbers at every level, in the order of the list, until the container's level is known.
#[derive(Default)]
struct Levels {
    groups: Vec<(Vec<i32>, Vec<i32>)>,
}

impl Proc {
    /// The processes with these host pids, ascending, without those that ended and without kernel threads.
    pub fn collect(&self, pids: &[i32], want: Want) -> Vec<Process> {
        let page_size = rustix::param::page_size() as u64;
        let mut buffer = Vec::new();
        let mut levels = Levels::default();
        let mut sorted = pids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut processes = Vec::with_capacity(sorted.len());
        for pid in sorted {
            let read = self.read_process(pid, want, page_size, &mut buffer, &mut levels);
            processes.extend(read.ok().flatten());
        }
        if want.status {
            enter_container(&mut processes, &levels);
        }
        processes
    }

    /// Every process of the host but kernel threads. `pid` is the host's; [`Process::innermost_pid`] the container's.
    pub fn collect_all(&self, want: Want) -> Result<Vec<Process>> {
        Ok(self.collect(&self.pids()?, want))
    }

    /// One process; [`silo_types::Kind::NotFound`] when there is none.
    pub fn process_facts(&self, pid: i32, want: Want) -> Result<Process> {
        let found = self.collect(&[pid], want).pop();
        found.ok_or_else(|| Error::not_found(format!("process {pid} does not exist")))
    }

    fn read_process(
        &self,
        pid: i32,
        want: Want,
        page_size: u64,
        buffer: &mut Vec<u8>,
        levels: &mut Levels,
    ) -> rustix::io::Result<Option<Process>> {
        let folder = self.process(pid)?;
        folder.read(c"stat", buffer)?;
        let stat = Stat::parse(buffer).ok_or(Errno::INVAL)?;
        if stat.is_kernel_thread() {
            return Ok(None);
        }
        let mut process = Process::from_stat(&stat, page_size);
        let status = if want.status {
            folder.read(c"status", buffer)?;
            Some(ProcStatus::parse(buffer))
        } else {
            None
        };
        if !process.is_zombie() {
            process.add_optional(&folder, want, buffer)?;
        }
        // Last, so that the list of levels has an entry exactly for each process returned.
        if let Some(status) = status {
            process.add_status(status, levels);
        }
        Ok(Some(process))
    }

    /// Host pids of all processes in the pid namespace of `pid`, and in those made inside it.
    pub fn descend_pid_namespace(&self, pid: i32) -> Result<Vec<i32>> {
        let namespace_of = |pid| self.process(pid)?.namespace(c"ns/pid");
        let wanted = namespace_of(pid)
            .map_err(io::Error::from)
            .doing_with(|| format!("read the pid namespace of process {pid}"))?;
        let mut parents = HashMap::new();
        let mut inside = HashMap::new();
        let pids = self.pids()?;
        let mut buffer = Vec::new();
        for pid in &pids {
            let Ok(folder) = self.process(*pid) else {
                continue;
            };
            if folder.read(c"stat", &mut buffer).is_err() {
                continue;
            }
            if let Some(stat) = Stat::parse(&buffer) {
                parents.insert(*pid, stat.ppid);
            }
            let member = folder.namespace(c"ns/pid") == Ok(wanted);
            inside.insert(*pid, member);
        }
        let is_inside = |pid: i32| {
            // An ancestor inside makes it inside; the bound ends cycles that reused numbers could make.
            let mut at = pid;
            for _ in 0..pids.len() {
                if inside.get(&at) == Some(&true) {
                    return true;
                }
                match parents.get(&at) {
                    Some(parent) if *parent > 0 => at = *parent,
                    _ => return false,
                }
            }
            false
        };
        Ok(pids.iter().copied().filter(|pid| is_inside(*pid)).collect())
    }
}

impl Process {
    /// Files that may be missing or forbidden without making the process disappear from the list.
    fn add_optional(
        &mut self,
        folder: &ProcessDir,
        want: Want,
        buffer: &mut Vec<u8>,
    ) -> rustix::io::Result<()> {
        if want.command_line && there(folder.read(c"cmdline", buffer))? {
            self.command_line = command_line(buffer);
        }
        if want.memory && there(folder.read(c"smaps_rollup", buffer))? {
            self.memory = Rollup::parse(buffer);
        }
        if want.oom_score && there(folder.read(c"oom_score", buffer))? {
            self.oom_score = number(buffer);
        }
        if want.precise_cpu && self.threads == 1 && there(folder.read(c"schedstat", buffer))? {
            self.precise_cpu_ns = fields(buffer).next().and_then(number);
        }
        Ok(())
    }
}

/// False for what this kernel or our rights do not give. ESRCH is not: smaps_rollup says it of a process that has just ended
/// and is still to be seen as a zombie.
fn there(read: rustix::io::Result<()>) -> rustix::io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::SRCH) => Ok(false),
        Err(other) => Err(other),
    }
}

/// NUL-separated arguments as ps(1) prints them: line feeds become blanks too.
fn command_line(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(COMMAND_CAP)];
    let end = kept
        .iter()
        .rposition(|b| *b != 0)
        .map_or(0, |last| last + 1);
    let blanks: Vec<u8> = kept[..end]
        .iter()
        .map(|b| if matches!(b, 0 | b'\n') { b' ' } else { *b })
        .collect();
    printable(&blanks)
}

/// Turns the numbers at every level into those of the container: the level at which the oldest process lives.
fn enter_container(processes: &mut [Process], levels: &Levels) {
    let oldest = processes.iter().min_by_key(|p| (p.start_time, p.host_pid));
    let level = oldest.map_or(1, |p| p.ns_pids.len()).max(1) - 1;
    let inside: HashMap<i32, i32> = processes
        .iter()
        .map(|p| (p.host_pid, p.ns_pids.get(level).copied().unwrap_or(0)))
        .collect();
    for (process, (pgids, sids)) in processes.iter_mut().zip(&levels.groups) {
        if process.ns_pids.is_empty() {
            continue;
        }
        process.pid = inside.get(&process.host_pid).copied().unwrap_or(0);
        process.pgid = pgids.get(level).copied().unwrap_or(0);
        process.sid = sids.get(level).copied().unwrap_or(0);
        if level > 0 {
            process.ppid = inside.get(&process.host_ppid).copied().unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn command_lines() {
        assert_eq!(command_line(b"ping\x0010.88.0.1\x00"), "ping 10.88.0.1");
        assert_eq!(command_line(b"nginx: master\0\0\0\0"), "nginx: master");
        assert_eq!(command_line(b"a\0\0b\0"), "a  b");
        assert_eq!(command_line(b"\0"), "");
        assert_eq!(command_line(b"sh\0-c\0a\nb\tc\0"), "sh -c a b?c");
        assert_eq!(command_line(b"x\x1b]0;title\x07"), "x?]0;title?");
    }

    fn member(host_pid: i32, host_ppid: i32, start_time: u64, ns_pids: &[i32]) -> Process {
        Process {
            host_pid,
            host_ppid,
            start_time,
            ns_pids: ns_pids.to_vec(),
            ..Process::default()
        }
    }

    #[test]
    fn levels_follow_the_oldest() {
        // Pids have wrapped: the main process has the highest. 90 is still on its way in; 95 lives one level deeper.
        let mut list = vec![
            member(90, 1, 50, &[90]),
            member(95, 200, 40, &[95, 8, 1]),
            member(200, 1, 10, &[200, 1]),
            member(201, 200, 11, &[201, 7]),
        ];
        let levels = Levels {
            groups: vec![(vec![], vec![]); 4],
        };
        enter_container(&mut list, &levels);
        let pids: Vec<_> = list.iter().map(|p| (p.pid, p.ppid)).collect();
        assert_eq!(pids, [(0, 0), (8, 1), (1, 0), (7, 1)]);
        assert_eq!(list[1].innermost_pid(), 1);
    }

    proptest! {
        #[test]
        fn no_command_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = command_line(&bytes);
        }
    }
}
