//! The child between clone and exec: makes namespaces, root and mounts, then becomes the container's program.

use std::{
    ffi::CString,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::Process;
use silo_cgroup::Entry;
use silo_sys::{
    clone::{self, ns},
    exec,
};
use silo_types::{Doing, Error, Result};

use crate::{
    channel::{Channel, Message},
    create::Stdio,
    door::Door,
    finish::Finish,
    hooks::Point,
    lookup,
    plan::Plan,
    rootfs::{CgroupView, Root, Rootfs, open_sources},
};

/// All that the child needs, prepared by the parent before the clone.
pub(crate) struct Init<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) finish: Finish<'a>,
    pub(crate) root: Root,
    pub(crate) stage: &'a Path,
    pub(crate) stdio: Stdio,
    pub(crate) view: &'a CgroupView,
    pub(crate) joins: Vec<(u64, OwnedFd)>,
    pub(crate) entry: Option<Entry>,
    pub(crate) is_connected_from_outside: bool,
    pub(crate) configure: Option<Box<dyn FnOnce() -> Result<()> + 'a>>,
    pub(crate) door: Option<Door>,
    pub(crate) keyring: Option<CString>,
    pub(crate) channel: Option<Channel>,
}

impl Init<'_> {
    /// Runs in the child; never returns. `parents_end` is closed first: while this process held it, the parent's death would not
    /// end the conversation.
    pub(crate) fn run(mut self, parents_end: &mut Option<Channel>) -> ! {
        drop(parents_end.take());
        // A panic must not unwind into the parent's frames, of which this process holds a copy.
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.make()));
        let error = match made {
            Ok(error) => error,
            Err(_) => Error::internal("the container's first process panicked"),
        };
        let _ = self.tell(&Message::Failed(error));
        silo_sys::process::exit_now(1)
    }

    fn make(&mut self) -> Error {
        match self.set_up() {
            Ok(()) => self.finish.become_program(&mut self.channel),
            Err(error) => error,
        }
    }

    fn set_up(&mut self) -> Result<()> {
        if self.finish.die_with_parent {
            silo_sys::process::set_parent_death_signal(9).doing("ask to die with the parent")?;
        }
        if let Some(entry) = &self.entry {
            entry.enter().doing("enter the control groups")?;
        }
        rustix::process::setsid().doing("start a session")?;
        if let Some(name) = &self.keyring {
            join_keyring(name)?;
        }
        for (flag, namespace) in &self.joins {
            clone::setns(namespace.as_fd(), *flag).doing("join a namespace")?;
        }
        let now = self.plan.new_namespaces & !ns::PID;
        clone::unshare(now).doing("make namespaces")?;
        if self.is_connected_from_outside {
            self.tell(&Message::NetworkReady)?;
        }
        if let Some(name) = &self.plan.hostname {
            rustix::system::sethostname(name.as_bytes())
                .doing_with(|| format!("set the host name {name}"))?;
        }
        if let Some(name) = &self.plan.domainname {
            rustix::system::setdomainname(name.as_bytes())
                .doing_with(|| format!("set the domain name {name}"))?;
        }
        if let Some(adjustment) = self.finish.process.oom_score_adj() {
            std::fs::write("/proc/self/oom_score_adj", adjustment.to_string())
                .doing_with(|| format!("set oom_score_adj to {adjustment}"))?;
        }
        self.make_root()?;
        if self.door.is_some() {
            // Callers of a later start want to hear now that there is no such program.
            lookup::check(self.finish.process)?;
        }
        self.tell(&Message::Ready)?;
        self.wait_for_go()
    }

    fn wait_for_go(&mut self) -> Result<()> {
        if let Some(door) = self.door.take() {
            self.expect(|m| matches!(m, Message::Detach))?;
            self.let_go(&door)?;
            self.channel = Some(door.accept()?);
        }
        self.expect(|m| matches!(m, Message::Go))
    }

    /// Whoever looks at a waiting process finds no descriptor of the host's there, but those that the program is to have.
    fn let_go(&mut self, door: &Door) -> Result<()> {
        self.channel = None;
        self.entry = None;
        self.joins.clear();
        self.stdio = Stdio::Inherit;
        let preserved = 3..3 + self.finish.preserved_fds as i32;
        let kept: Vec<i32> = preserved.chain([door.as_fd().as_raw_fd()]).collect();
        // What else is open belongs to frames of the maker's, to which this process never returns.
        exec::close_others(&kept).doing("close what is not the container's")
    }

    fn make_root(&mut self) -> Result<()> {
        let sources = open_sources(self.plan)?;
        let root = std::mem::replace(&mut self.root, Root::Path("/".into()));
        let mut rootfs = Rootfs::attach(root, self.stage)?;
        let hooks = self.finish.hooks.filter(|h| h.come_before_the_root());
        if let Some(hooks) = hooks {
            rootfs.mount_all(self.plan, sources, self.view)?;
            self.tell(&Message::Mounted)?;
            self.expect(|m| matches!(m, Message::HooksDone))?;
            hooks.run(Point::CreateContainer, own_pid())?;
            rootfs.enter()?;
        } else {
            rootfs.enter()?;
            rootfs.mount_all(self.plan, sources, self.view)?;
        }
        // Late, so that the parent connects it meanwhile; before the hardening, while /proc/sys can be written.
        self.configure_network()?;
        self.connect_stdio(&rootfs)?;
        make_working_folder(self.finish.process, &rootfs)?;
        rootfs.harden(self.plan)
    }

    fn connect_stdio(&mut self, rootfs: &Rootfs) -> Result<()> {
        match &self.stdio {
            Stdio::Inherit => Ok(()),
            Stdio::Given(given) => {
                rustix::stdio::dup2_stdin(&given[0]).doing("connect standard input")?;
                rustix::stdio::dup2_stdout(&given[1]).doing("connect standard output")?;
                rustix::stdio::dup2_stderr(&given[2]).doing("connect standard error")
            }
            Stdio::Terminal(size) => {
                let (master, slave) = rootfs.open_terminal(self.finish.process.user().uid())?;
                take_terminal(&slave, *size)?;
                self.tell(&Message::Terminal(master))
            }
        }
    }

    fn tell(&self, message: &Message) -> Result<()> {
        self.channel.as_ref().ok_or_else(closed)?.send(message)
    }

    fn configure_network(&mut self) -> Result<()> {
        if self.is_connected_from_outside {
            self.expect(|m| matches!(m, Message::Connected))?;
        }
        match self.configure.take() {
            Some(configure) => configure(),
            None => Ok(()),
        }
    }

    fn expect(&self, wanted: impl Fn(&Message) -> bool) -> Result<()> {
        let channel = self.channel.as_ref().ok_or_else(closed)?;
        match channel.receive()? {
            Some(message) if wanted(&message) => Ok(()),
            // The parent died: nobody is left to tell.
            None => silo_sys::process::exit_now(1),
            Some(_) => Err(Error::internal("unexpected message on the start channel")),
        }
    }
}

/// As its own namespace numbers it: all that this side knows.
pub(crate) fn own_pid() -> Option<i32> {
    Some(rustix::process::getpid().as_raw_nonzero().get())
}

fn join_keyring(name: &CString) -> Result<()> {
    match silo_sys::keyring::join_session(name) {
        // A kernel without keys has none to hide.
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(()),
        joined => joined.doing("make a session keyring"),
    }
}

fn closed() -> Error {
    Error::internal("the start channel is closed")
}

/// Makes `slave` the controlling terminal and the three standard streams.
pub(crate) fn take_terminal(slave: &OwnedFd, (rows, columns): (u16, u16)) -> Result<()> {
    if rows != 0 && columns != 0 {
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(slave, size).doing("set the terminal's size")?;
    }
    rustix::process::ioctl_tiocsctty(slave).doing("take the terminal")?;
    rustix::stdio::dup2_stdin(slave).doing("connect standard input")?;
    rustix::stdio::dup2_stdout(slave).doing("connect standard output")?;
    rustix::stdio::dup2_stderr(slave).doing("connect standard error")
}

/// Docker makes a missing working directory; inside the root, by descriptor.
fn make_working_folder(process: &Process, rootfs: &Rootfs) -> Result<()> {
    let cwd = process.cwd();
    if cwd.as_os_str() == "/" {
        return Ok(());
    }
    rootfs
        .make_folder(&cwd.to_string_lossy())
        .map_err(|e| e.context("make the working directory"))
}
