//! The kernel's record of OOM kills: which process was chosen, what it held, and whose limit was hit.
//!
//! Called by the monitor and by `why`. Records come from /dev/kmsg one per read (Documentation/ABI/testing/dev-kmsg):
//! `3,1042,95011245,-;Memory cgroup out of memory: Killed process 91234 (saturate-mem) total-vm:…kB, anon-rss:…kB, …`.
//! The line with the control group (`oom-kill:constraint=…`) comes before it and may be missing: the kernel limits its rate.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{Mode, OFlags, SeekFrom, open, seek},
    io::Errno,
};
use serde::Serialize;
use silo_types::{Doing, Result};

use crate::text::{number, printable};

/// Longest record that the kernel gives out (`PRINTK_MESSAGE_MAX` and its escapes).
const RECORD_CAP: usize = 16 << 10;

/// Why the kernel had to kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constraint {
    /// The line that says it was lost.
    #[default]
    Unknown,
    /// A memory control group was at its limit.
    Memcg,
    /// The whole host was out of memory.
    Host,
    /// The nodes of a cpuset were.
    Cpuset,
    /// The nodes of a memory policy were.
    MemoryPolicy,
}

/// One process killed for want of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OomKill {
    /// Number on the host.
    pub pid: i32,
    /// Name of at most 15 characters.
    pub command: String,
    pub constraint: Constraint,
    /// Control group whose limit was hit, with a leading slash; empty: unknown, or the host's doing.
    pub memcg: String,
    /// Control group of the victim; empty: unknown.
    pub task_memcg: String,
    /// Killed because its group is to die as one (`memory.oom.group`).
    pub with_group: bool,
    /// Anonymous memory that it held, bytes.
    pub anon_bytes: u64,
    pub file_bytes: u64,
    pub shmem_bytes: u64,
    /// Microseconds since boot, by the clock of the kernel's log (stands still while the host sleeps).
    pub time_us: u64,
}

/// Joins the lines of one kill; keeps what it needs of the lines before.
#[derive(Debug, Default)]
pub struct OomParser {
    cause: Option<Cause>,
    /// Control group that was announced to die as one.
    group: Option<String>,
}

#[derive(Debug)]
struct Cause {
    pid: i32,
    constraint: Constraint,
    memcg: String,
    task_memcg: String,
}

impl OomParser {
    /// Takes one record as read from /dev/kmsg; gives a kill when the record completes one.
    pub fn record(&mut self, record: &[u8]) -> Option<OomKill> {
        let (time_us, message) = split_record(record)?;
        if let Some(rest) = message.strip_prefix(b"oom-kill:") {
            self.cause = parse_cause(rest);
            self.group = None;
        } else if let Some(path) = between(message, b"Tasks in ", b" are going to be killed") {
            self.group = Some(printable(path));
        } else if find(message, b"ut of memory").is_some() {
            return self.kill(message, time_us);
        }
        None
    }

    fn kill(&self, message: &[u8], time_us: u64) -> Option<OomKill> {
        let mut kill = parse_kill(message)?;
        kill.time_us = time_us;
        match (&self.cause, &self.group) {
            // The kernel walks the whole group and may name the first victim again.
            (Some(cause), Some(_)) if cause.pid == kill.pid => return None,
            (Some(cause), None) if cause.pid == kill.pid => {
                kill.constraint = cause.constraint;
                kill.memcg.clone_from(&cause.memcg);
                kill.task_memcg.clone_from(&cause.task_memcg);
            }
            (cause, Some(group)) if message.starts_with(b"Memory cgroup") => {
                kill.with_group = true;
                kill.constraint = cause.as_ref().map_or(Constraint::Memcg, |c| c.constraint);
                kill.memcg = cause
                    .as_ref()
                    .map_or_else(|| group.clone(), |c| c.memcg.clone());
                kill.task_memcg.clone_from(group);
            }
            _ if message.starts_with(b"Memory cgroup") => kill.constraint = Constraint::Memcg,
            _ => {}
        }
        Some(kill)
    }
}

/// `level,sequence,microseconds,flags;message\n KEY=value…` → (microseconds, message).
pub(crate) fn split_record(record: &[u8]) -> Option<(u64, &[u8])> {
    let semicolon = record.iter().position(|b| *b == b';')?;
    let (head, message) = (&record[..semicolon], &record[semicolon + 1..]);
    let time_us = number(head.split(|b| *b == b',').nth(2)?)?;
    let end = message.iter().position(|b| *b == b'\n');
    Some((time_us, &message[..end.unwrap_or(message.len())]))
}

/// `constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=X,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=NAME,pid=7,uid=0`.
fn parse_cause(text: &[u8]) -> Option<Cause> {
    let constraint = match text
        .strip_prefix(b"constraint=")?
        .split(|b| *b == b',')
        .next()?
    {
        b"CONSTRAINT_MEMCG" => Constraint::Memcg,
        b"CONSTRAINT_NONE" => Constraint::Host,
        b"CONSTRAINT_CPUSET" => Constraint::Cpuset,
        b"CONSTRAINT_MEMORY_POLICY" => Constraint::MemoryPolicy,
        _ => Constraint::Unknown,
    };
    // The victim chose its name, which may hold ",pid=1": numbers are taken from the end.
    let pid_at = rfind(text, b",pid=")?;
    let pid = number(text[pid_at + 5..].split(|b| *b == b',').next()?)?;
    let before = &text[..pid_at];
    let path =
        |from: &[u8], to: &[u8]| between(before, from, to).map(printable).unwrap_or_default();
    Some(Cause {
        pid,
        constraint,
        memcg: path(b",oom_memcg=", b",task_memcg="),
        task_memcg: path(b",task_memcg=", b",task="),
    })
}

/// `… Killed process 7 (NAME) total-vm:1kB, anon-rss:2kB, file-rss:3kB, shmem-rss:4kB, UID:0 …`; older kernels write
/// `Killed process 7 (NAME), UID 0, total-vm:…`.
fn parse_kill(message: &[u8]) -> Option<OomKill> {
    let start = find(message, b"Killed process ")? + b"Killed process ".len();
    let rest = &message[start..];
    let open = find(rest, b" (")?;
    // The name may hold parentheses: sizes follow it, so the last ")" before them ends it.
    let sizes = rfind(rest, b"total-vm:")?;
    let close = rfind(&rest[..sizes], b")")?;
    let name = rest.get(open + 2..close)?;
    let sizes = &rest[sizes..];
    let bytes = |key: &[u8]| {
        let kib = between(sizes, key, b"kB").and_then(number::<u64>);
        kib.unwrap_or(0).saturating_mul(1024)
    };
    Some(OomKill {
        pid: number(&rest[..open])?,
        command: printable(name),
        anon_bytes: bytes(b"anon-rss:"),
        file_bytes: bytes(b"file-rss:"),
        shmem_bytes: bytes(b"shmem-rss:"),
        ..OomKill::default()
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

fn rfind(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|part| part == what)
}

fn between<'a>(text: &'a [u8], from: &[u8], to: &[u8]) -> Option<&'a [u8]> {
    let rest = &text[find(text, from)? + from.len()..];
    Some(&rest[..find(rest, to).unwrap_or(rest.len())])
}

/// The kernel's log, read from where it was opened.
#[derive(Debug)]
pub struct KernelLog {
    file: OwnedFd,
    parser: OomParser,
}

impl KernelLog {
    /// /dev/kmsg from now on. Fails where the log may not be read (`kernel.dmesg_restrict` without CAP_SYSLOG, most containers).
    pub fn open_at_end() -> Result<KernelLog> {
        KernelLog::open(Path::new("/dev/kmsg"), SeekFrom::End(0))
    }

    /// /dev/kmsg from the oldest record that the kernel still has: for `why` after the fact.
    pub fn open_at_start() -> Result<KernelLog> {
        KernelLog::open(Path::new("/dev/kmsg"), SeekFrom::Start(0))
    }

    fn open(path: &Path, from: SeekFrom) -> Result<KernelLog> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || {
            let file = open(path, flags, Mode::empty())?;
            seek(&file, from)?;
            Ok::<_, Errno>(file)
        };
        let file = open()
            .map_err(io::Error::from)
            .doing_with(|| format!("open the kernel's log {}", path.display()))?;
        Ok(KernelLog {
            file,
            parser: OomParser::default(),
        })
    }

    /// The kills recorded since the last call; never waits. Records that the kernel overwrote before they were read (EPIPE) are
    /// lost, and reading goes on with the oldest left. For poll(2) use the descriptor ([`std::os::fd::AsFd`]).
    pub fn read_new(&mut self) -> Result<Vec<OomKill>> {
        let mut kills = Vec::new();
        let mut parser = std::mem::take(&mut self.parser);
        let read = self.each_new(|record| kills.extend(parser.record(record)));
        self.parser = parser;
        read.map(|()| kills)
    }

    /// Hands on each record that was added since the last call.
    pub(crate) fn each_new(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        let mut record = [0u8; RECORD_CAP];
        loop {
            match rustix::io::read(&self.file, &mut record) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(()),
                Ok(length) => take(&record[..length]),
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(errno) => {
                    return Err(io::Error::from(errno)).doing("read the kernel's log /dev/kmsg");
                }
            }
        }
    }
}

impl std::os::fd::AsFd for KernelLog {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAUSE: &[u8] = b"6,1041,95011240,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=silo,mems_allowed=0,\
oom_memcg=/silo/abc,task_memcg=/silo/abc/inner,task=saturate-mem,pid=91234,uid=0\n SUBSYSTEM=x\n";
    const KILL: &[u8] = b"3,1042,95011245,-;Memory cgroup out of memory: Killed process 91234 (saturate-mem) total-vm:530000kB, \
anon-rss:509952kB, file-rss:640kB, shmem-rss:4kB, UID:0 pgtables:1060kB oom_score_adj:0\n";

    #[test]
    fn a_kill_by_a_limit() {
        let mut parser = OomParser::default();
        assert_eq!(parser.record(CAUSE), None);
        assert_eq!(parser.record(b"6,1,2,-;unrelated\n"), None);
        let kill = parser.record(KILL).unwrap();
        assert_eq!((kill.pid, kill.command.as_str()), (91234, "saturate-mem"));
        assert_eq!(kill.constraint, Constraint::Memcg);
        assert_eq!(
            (kill.memcg.as_str(), kill.task_memcg.as_str()),
            ("/silo/abc", "/silo/abc/inner")
        );
        assert_eq!(
            (kill.anon_bytes, kill.file_bytes, kill.shmem_bytes),
            (509952 << 10, 640 << 10, 4096)
        );
        assert_eq!((kill.time_us, kill.with_group), (95011245, false));
    }

    #[test]
    fn the_line_before_may_be_lost() {
        let kill = OomParser::default().record(KILL).unwrap();
        assert_eq!(
            (kill.constraint, kill.memcg.as_str()),
            (Constraint::Memcg, "")
        );
    }

    #[test]
    fn a_group_dies_as_one() {
        let mut parser = OomParser::default();
        parser.record(CAUSE);
        parser.record(KILL);
        parser.record(
            b"3,1043,5,-;Tasks in /silo/abc are going to be killed due to memory.oom.group set\n",
        );
        let other = b"3,1044,6,-;Memory cgroup out of memory: Killed process 7 (sh) total-vm:1kB, anon-rss:2kB, file-rss:0kB\n";
        let kill = parser.record(other).unwrap();
        assert!(kill.with_group);
        assert_eq!((kill.memcg.as_str(), kill.anon_bytes), ("/silo/abc", 2048));
    }

    #[test]
    fn the_host_ran_out_and_an_older_kernel() {
        let mut parser = OomParser::default();
        parser.record(b"6,1,1,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/x,task=a,pid=5,uid=0\n");
        let kill = parser
            .record(
                b"3,2,2,-;Out of memory: Killed process 5 (a), UID 0, total-vm:8kB, anon-rss:4kB\n",
            )
            .unwrap();
        assert_eq!(
            (
                kill.constraint,
                kill.memcg.as_str(),
                kill.task_memcg.as_str()
            ),
            (Constraint::Host, "", "/x")
        );
        assert_eq!((kill.command.as_str(), kill.anon_bytes), ("a", 4096));
    }

    #[test]
    fn a_victim_cannot_name_another() {
        let mut parser = OomParser::default();
        parser.record(b"6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/silo/a,task_memcg=/silo/a,task=x,pid=1,uid=0,pid=5,uid=0\n");
        let kill = parser
            .record(b"3,2,2,-;Memory cgroup out of memory: Killed process 5 (x) (y,pid=1) total-vm:8kB, anon-rss:4kB\n")
            .unwrap();
        assert_eq!(
            (kill.pid, kill.command.as_str(), kill.memcg.as_str()),
            (5, "x) (y,pid=1", "/silo/a")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut parser = OomParser::default();
            parser.record(&bytes);
            let mut record = b"6,1,1,-;oom-kill:".to_vec();
            record.extend(&bytes);
            parser.record(&record);
            let mut record = b"6,1,1,-;Out of memory: Killed process ".to_vec();
            record.extend(&bytes);
            parser.record(&record);
        }
        #[test]
        fn no_change_panics(at in 0usize..KILL.len(), byte in any::<u8>(), cut in 0usize..KILL.len()) {
            let mut record = KILL.to_vec();
            record[at] = byte;
            let mut parser = OomParser::default();
            parser.record(&CAUSE[..cut.min(CAUSE.len())]);
            parser.record(&record[..cut]);
            parser.record(&record);
        }
    }
}
