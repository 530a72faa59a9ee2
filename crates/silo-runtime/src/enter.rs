//! A process that enters a running container: `exec`.
//!
//! The caller becomes its parent. The child joins the control groups first (limits hold before the program runs), then all
//! namespaces by one pidfd; it is not dumpable, so that nothing inside can look at it before it has become the program
//! (CVE-2016-9962), and it holds no descriptor of the host when it does.

use std::os::fd::{BorrowedFd, OwnedFd};

use oci_spec::runtime::{Linux, Process, State};
use rustix::{
    fs::{self, OFlags, ResolveFlags},
    io::Errno,
    process::{DumpableBehavior, Signal},
    termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use silo_sys::clone::{self, Cloned, ns};
use silo_types::{Doing, Error, Result};

use crate::{
    attributes::{self, Attributes},
    channel::{Channel, Message},
    create::{Running, Stdio, reap},
    finish::{Finish, console_size},
    id_map::IdMaps,
    init::take_terminal,
    labels::{self, Label},
    passage, plan,
    rootfs::check_terminal,
    seccomp::Filter,
    shared,
    warn::Warn,
};

/// What is to run, and where.
pub struct Entry<'a> {
    /// Main process of the container.
    pub target: BorrowedFd<'a>,
    /// Namespaces that differ from the caller's, see [`ns`]; a user or a time namespace only if it does.
    pub namespaces: u64,
    pub process: &'a Process,
    /// What the container's processes share: memory policy, personality.
    pub linux: Option<&'a Linux>,
    pub seccomp: Option<Filter>,
    /// The container's state, for the agent of a filter that notifies; without it such a filter is refused.
    pub state: Option<&'a State>,
    pub stdio: Stdio,
    /// The v2 control group to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The control groups that the process walks into before anything else.
    pub doors: Option<silo_cgroup::Entry>,
    /// How many descriptors from 3 on are the program's.
    pub preserved_fds: u32,
    /// A terminal whose output goes to no screen: lines end without carriage returns.
    pub plain_terminal: bool,
    /// Runs on all processors of the group, unless others are asked for; not on the caller's alone.
    pub all_processors: bool,
    /// The container has no mount namespace of its own ([`crate::shares_mounts`]): its root is that of its main process.
    pub shares_mounts: bool,
    /// Hears of labels that are left out, as in [`crate::Standalone`].
    pub warn: Option<Warn<'a>>,
}

/// Starts a process in the container.
///
/// Errors carry [`silo_types::Kind::CommandNotFound`] and its kin as for a container's first process.
pub fn enter(entry: Entry<'_>) -> Result<Running> {
    plan::check_user(entry.process)?;
    let rlimits = plan::rlimits(entry.process)?;
    let attributes = Attributes::new(entry.process, entry.linux)?;
    let affinity = Affinity::new(entry.process)?;
    if let Some(filter) = &entry.seccomp {
        filter.check_agent(entry.state)?;
    }
    let labels = labels::of(entry.process, entry.warn)?;
    let root = match entry.shares_mounts {
        true => Some(shared::root_of(entry.target)?),
        false => None,
    };
    let (channel, other) = Channel::pair()?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .doing("hide from the container")?;
    let in_user_namespace = entry.namespaces & ns::USER != 0;
    // With a user namespace all are joined at once, by the child: only root of the host may join a pid namespace without it.
    let here = if in_user_namespace { 0 } else { ns::PID };
    if entry.namespaces & here != 0 {
        clone::setns(entry.target, ns::PID).doing("join the pid namespace")?;
    }
    let child = Child {
        finish: Finish {
            process: entry.process,
            rlimits: &rlimits,
            attributes: &attributes,
            labels: Vec::new(),
            seccomp: entry.seccomp,
            listener: None,
            in_user_namespace,
            reaper: false,
            die_with_parent: false,
            preserved_fds: entry.preserved_fds,
            hooks: None,
        },
        labels,
        last_affinity: affinity.last,
        state: entry.state,
        target: entry.target,
        namespaces: entry.namespaces & !here,
        root,
        doors: entry.doors,
        plain_terminal: entry.plain_terminal,
        all_processors: entry.all_processors,
        stdio: entry.stdio,
        channel: Some(other),
    };
    let mut channel = Some(channel);
    let own = affinity.first.map(take_affinity).transpose()?;
    let cloned = clone::clone_process(0, entry.cgroup).doing("clone a process");
    if let (Some(own), false) = (own, matches!(cloned, Ok(Cloned::Child))) {
        sched_setaffinity(None, &own).doing("take back the processors")?;
    }
    let (pid, pidfd) = match cloned? {
        Cloned::Child => child.run(&mut channel),
        Cloned::Parent { pid, pidfd } => {
            drop(child);
            (pid, pidfd)
        }
    };
    let channel = channel.ok_or_else(|| Error::internal("no start channel"))?;
    let mut running = Running {
        pid,
        pidfd,
        terminal: None,
    };
    match outcome(&channel, &mut running) {
        Ok(()) => Ok(running),
        Err(error) => {
            let _ = rustix::process::pidfd_send_signal(&running.pidfd, Signal::KILL);
            reap(running.pid);
            Err(error)
        }
    }
}

/// All kinds, with their names in /proc/PID/ns.
pub(crate) const NAMESPACES: [(u64, &str); 8] = [
    (ns::MOUNT, "mnt"),
    (ns::CGROUP, "cgroup"),
    (ns::UTS, "uts"),
    (ns::IPC, "ipc"),
    (ns::USER, "user"),
    (ns::PID, "pid"),
    (ns::NET, "net"),
    (ns::TIME, "time"),
];

/// The namespaces of process `pid` that are not the caller's own, for [`Entry::namespaces`].
pub fn namespaces_of(pid: i32) -> Result<u64> {
    let mut differ = 0;
    for (flag, file) in NAMESPACES {
        let number = |who: &str| {
            let path = format!("/proc/{who}/ns/{file}");
            match fs::stat(&path) {
                Ok(found) => Ok(Some(found.st_ino)),
                // A kernel without this kind.
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(Error::system(format!("look at {path}"), error)),
            }
        };
        if number("self")? != number(&pid.to_string())? {
            differ |= flag;
        }
    }
    Ok(differ)
}

/// Reads until the child's end closes.
fn outcome(channel: &Channel, running: &mut Running) -> Result<()> {
    loop {
        match channel.receive()? {
            None => return Ok(()),
            Some(Message::Failed(error)) => return Err(error),
            Some(Message::Terminal(master)) => running.terminal = Some(master),
            Some(Message::Moved(pid, pidfd)) => {
                reap(std::mem::replace(&mut running.pid, pid));
                running.pidfd = pidfd;
            }
            Some(_) => return Err(Error::internal("unexpected message from the process")),
        }
    }
}

/// The processors of the process before and after it enters the control groups (config.md, `execCPUAffinity`).
#[derive(Default)]
struct Affinity {
    first: Option<CpuSet>,
    last: Option<CpuSet>,
}

impl Affinity {
    fn new(process: &Process) -> Result<Affinity> {
        let Some(asked) = process.exec_cpu_affinity() else {
            return Ok(Affinity::default());
        };
        let set = |text: &Option<String>| {
            attributes::processors("execCPUAffinity", text.as_deref().map(str::trim))
        };
        Ok(Affinity {
            first: set(asked.initial())?,
            last: set(asked.cpu_affinity_final())?,
        })
    }
}

/// Gives the caller other processors, which its child is born with; returns its own.
fn take_affinity(wanted: CpuSet) -> Result<CpuSet> {
    let own = sched_getaffinity(None).doing("ask for the processors")?;
    sched_setaffinity(None, &wanted).doing("set the processors: execCPUAffinity, initial")?;
    Ok(own)
}

struct Child<'a> {
    finish: Finish<'a>,
    labels: Vec<Label>,
    last_affinity: Option<CpuSet>,
    state: Option<&'a State>,
    target: BorrowedFd<'a>,
    namespaces: u64,
    /// Entered by chroot, in a mount namespace of somebody else's.
    root: Option<OwnedFd>,
    doors: Option<silo_cgroup::Entry>,
    plain_terminal: bool,
    all_processors: bool,
    stdio: Stdio,
    channel: Option<Channel>,
}

impl Child<'_> {
    fn run(mut self, parents_end: &mut Option<Channel>) -> ! {
        drop(parents_end.take());
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match self.set_up() {
            Ok(()) => self.finish.become_program(&mut self.channel),
            Err(error) => error,
        }));
        let error = made.unwrap_or_else(|_| Error::internal("the entering process panicked"));
        if let Some(channel) = &self.channel {
            let _ = channel.send(&Message::Failed(error));
        }
        silo_sys::process::exit_now(1)
    }

    fn set_up(&mut self) -> Result<()> {
        if let Some(doors) = &self.doors {
            doors.enter().doing("enter the control groups")?;
        }
        if let Some(wanted) = &self.last_affinity {
            sched_setaffinity(None, wanted).doing("set the processors: execCPUAffinity, final")?;
        } else if self.all_processors {
            attributes::take_all_processors()?;
        }
        self.join()?;
        let terminal = match self.stdio {
            Stdio::Terminal(_) => Some(open_terminal(self.finish.process.user().uid())?),
            _ => None,
        };
        if let Some(root) = &self.root {
            shared::enter(root)?;
        }
        // Also without a terminal: one of the host's would be a leader that nobody inside knows.
        rustix::process::setsid().doing("start a session")?;
        match &self.stdio {
            Stdio::Inherit => {}
            Stdio::Given(given) => {
                rustix::stdio::dup2_stdin(&given[0]).doing("connect standard input")?;
                rustix::stdio::dup2_stdout(&given[1]).doing("connect standard output")?;
                rustix::stdio::dup2_stderr(&given[2]).doing("connect standard error")?;
            }
            Stdio::Terminal(size) => {
                let (master, slave) =
                    terminal.ok_or_else(|| Error::internal("no terminal was opened"))?;
                if self.plain_terminal {
                    make_plain(&slave)?;
                }
                take_terminal(&slave, console_size(self.finish.process, *size))?;
                if let Some(channel) = &self.channel {
                    channel.send(&Message::Terminal(master))?;
                }
            }
        }
        Ok(())
    }
}

impl Child<'_> {
    /// Into the container's namespaces. The host's files are needed before, and by the process that becomes the program; with a
    /// user namespace that is another one, since the pid namespace is joined by children alone.
    fn join(&mut self) -> Result<()> {
        self.finish.connect_agent(self.state)?;
        if self.namespaces & ns::USER == 0 {
            self.finish.look_at_itself(&self.labels)?;
            return clone::setns(self.target, self.namespaces)
                .doing("join the container's namespaces");
        }
        passage::raise_limits(self.finish.rlimits);
        if passage::is_privileged()? {
            let maps = IdMaps::of_process(self.target)?;
            passage::give_pipes(&self.stdio, &maps, self.finish.process.user())?;
        }
        passage::drop_groups()?;
        let later = match self.finish.needs_host(&self.labels) {
            // The mount namespace, by the process that goes on.
            true => self.namespaces & ns::MOUNT,
            false => 0,
        };
        clone::setns(self.target, self.namespaces & !later)
            .doing("join the container's namespaces")?;
        passage::become_root(self.finish.process.user())?;
        let channel = self.channel.as_ref();
        let channel = channel.ok_or_else(|| Error::internal("no start channel"))?;
        passage::go_on_as_sibling(0, channel)?;
        if later != 0 {
            self.finish.look_at_itself(&self.labels)?;
            clone::setns(self.target, later).doing("join the container's mounts")?;
        }
        Ok(())
    }
}

/// Has a terminal end lines as programs write them, for callers that read it as a file.
pub fn make_plain(terminal: &OwnedFd) -> Result<()> {
    let mut mode = tcgetattr(terminal).doing("read the terminal's mode")?;
    mode.output_modes.remove(OutputModes::ONLCR);
    tcsetattr(terminal, OptionalActions::Now, &mode).doing("set the terminal's mode")
}

/// A terminal of the devpts that is seen, the container's own as a rule; what is at that path must be one.
pub(crate) fn open_terminal(uid: u32) -> Result<(OwnedFd, OwnedFd)> {
    let flags = rustix::pty::OpenptFlags::RDWR
        | rustix::pty::OpenptFlags::NOCTTY
        | rustix::pty::OpenptFlags::CLOEXEC;
    let master = silo_sys::inside::open(
        fs::CWD,
        "/dev/pts/ptmx",
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        ResolveFlags::NO_SYMLINKS,
    )
    .doing("open a terminal")?;
    check_terminal(&master)?;
    rustix::pty::unlockpt(&master).doing("unlock the terminal")?;
    let slave =
        rustix::pty::ioctl_tiocgptpeer(&master, flags).doing("open the terminal's other end")?;
    if uid != 0 {
        fs::fchown(&slave, Some(fs::Uid::from_raw(uid)), None).doing("give away the terminal")?;
    }
    Ok((master, slave))
}
