//! A process that enters a running container: `exec`.
//!
//! The caller becomes its parent. The child joins the control groups first (limits hold before the program runs), then all
//! namespaces by one pidfd; it is not dumpable, so that nothing inside can look at it before it has become the program
//! (CVE-2016-9962), and it holds no descriptor of the host when it does.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::Process;
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
    process::{DumpableBehavior, Pid, Signal, WaitOptions},
    termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr},
};
use silo_sys::clone::{self, Cloned, ns};
use silo_types::{Doing, Error, Result};

use crate::{
    channel::{Channel, Message},
    create::{Running, Stdio},
    finish::Finish,
    init::take_terminal,
    plan,
    seccomp::Filter,
};

/// What is to run, and where.
pub struct Entry<'a> {
    /// Main process of the container.
    pub target: BorrowedFd<'a>,
    /// Namespaces that differ from the caller's, see [`ns`].
    pub namespaces: u64,
    pub process: &'a Process,
    pub seccomp: Option<Filter>,
    pub stdio: Stdio,
    /// The v2 control group to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The control groups that the process walks into before anything else.
    pub doors: Option<silo_cgroup::Entry>,
    /// How many descriptors from 3 on are the program's.
    pub preserved_fds: u32,
    /// A terminal whose output goes to no screen: lines end without carriage returns.
    pub plain_terminal: bool,
}

/// Starts a process in the container.
///
/// Errors carry [`silo_types::Kind::CommandNotFound`] and its kin as for a container's first process.
pub fn enter(entry: Entry<'_>) -> Result<Running> {
    let rlimits = plan::rlimits(entry.process)?;
    let (channel, other) = Channel::pair()?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .doing("hide from the container")?;
    if entry.namespaces & ns::PID != 0 {
        clone::setns(entry.target, ns::PID).doing("join the pid namespace")?;
    }
    let child = Child {
        finish: Finish {
            process: entry.process,
            rlimits: &rlimits,
            seccomp: entry.seccomp,
            reaper: false,
            die_with_parent: false,
            preserved_fds: entry.preserved_fds,
            hooks: None,
        },
        target: entry.target,
        namespaces: entry.namespaces & !ns::PID,
        doors: entry.doors,
        plain_terminal: entry.plain_terminal,
        stdio: entry.stdio,
        channel: Some(other),
    };
    let mut channel = Some(channel);
    let cloned = clone::clone_process(0, entry.cgroup).doing("clone a process")?;
    let (pid, pidfd) = match cloned {
        Cloned::Child => child.run(&mut channel),
        Cloned::Parent { pid, pidfd } => {
            drop(child);
            (pid, pidfd)
        }
    };
    let channel = channel.ok_or_else(|| Error::internal("no start channel"))?;
    match outcome(&channel) {
        Ok(terminal) => Ok(Running {
            pid,
            pidfd,
            terminal,
        }),
        Err(error) => {
            let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
            let _ = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty());
            Err(error)
        }
    }
}

/// The namespaces of process `pid` that are not the caller's own, for [`Entry::namespaces`].
pub fn namespaces_of(pid: i32) -> Result<u64> {
    const FILES: [(u64, &str); 8] = [
        (ns::MOUNT, "mnt"),
        (ns::CGROUP, "cgroup"),
        (ns::UTS, "uts"),
        (ns::IPC, "ipc"),
        (ns::USER, "user"),
        (ns::PID, "pid"),
        (ns::NET, "net"),
        (ns::TIME, "time"),
    ];
    let mut differ = 0;
    for (flag, file) in FILES {
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
fn outcome(channel: &Channel) -> Result<Option<OwnedFd>> {
    let mut terminal = None;
    loop {
        match channel.receive()? {
            None => return Ok(terminal),
            Some(Message::Failed(error)) => return Err(error),
            Some(Message::Terminal(master)) => terminal = Some(master),
            Some(_) => return Err(Error::internal("unexpected message from the process")),
        }
    }
}

struct Child<'a> {
    finish: Finish<'a>,
    target: BorrowedFd<'a>,
    namespaces: u64,
    doors: Option<silo_cgroup::Entry>,
    plain_terminal: bool,
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
        clone::setns(self.target, self.namespaces).doing("join the container's namespaces")?;
        match &self.stdio {
            Stdio::Inherit => {}
            Stdio::Given(given) => {
                rustix::process::setsid().doing("start a session")?;
                rustix::stdio::dup2_stdin(&given[0]).doing("connect standard input")?;
                rustix::stdio::dup2_stdout(&given[1]).doing("connect standard output")?;
                rustix::stdio::dup2_stderr(&given[2]).doing("connect standard error")?;
            }
            Stdio::Terminal(size) => {
                rustix::process::setsid().doing("start a session")?;
                let (master, slave) = open_terminal(self.finish.process.user().uid())?;
                if self.plain_terminal {
                    make_plain(&slave)?;
                }
                take_terminal(&slave, *size)?;
                if let Some(channel) = &self.channel {
                    channel.send(&Message::Terminal(master))?;
                }
            }
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

/// A terminal in the container's own devpts; what is at that path must be one.
fn open_terminal(uid: u32) -> Result<(OwnedFd, OwnedFd)> {
    const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
    let flags = rustix::pty::OpenptFlags::RDWR
        | rustix::pty::OpenptFlags::NOCTTY
        | rustix::pty::OpenptFlags::CLOEXEC;
    let master = fs::open(
        c"/dev/pts/ptmx",
        OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing("open a terminal")?;
    let kind = fs::fstatfs(master.as_fd())
        .doing("stat the terminal")?
        .f_type;
    if kind as i64 != DEVPTS_SUPER_MAGIC {
        return Err(Error::invalid(
            "/dev/pts of the container is no devpts: no terminal can be had there",
        ));
    }
    rustix::pty::unlockpt(&master).doing("unlock the terminal")?;
    let slave =
        rustix::pty::ioctl_tiocgptpeer(&master, flags).doing("open the terminal's other end")?;
    if uid != 0 {
        fs::fchown(&slave, Some(fs::Uid::from_raw(uid)), None).doing("give away the terminal")?;
    }
    Ok((master, slave))
}
