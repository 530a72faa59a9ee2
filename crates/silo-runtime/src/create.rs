//! The parent's side: clone, hand over, start. What it makes, it unmakes when a later step fails.

use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{Spec, State};
use rustix::{
    fs::{self, CWD, Mode, OFlags},
    process::{Pid, Signal, WaitIdOptions, WaitOptions},
};
use silo_cgroup::Entry;
use silo_sys::clone::{self, Cloned, ns};
use silo_types::{Doing, Error, Result};

use crate::{
    caller,
    channel::{Channel, Message},
    door::Door,
    finish::Finish,
    hooks::{HookSet, Point},
    init::Init,
    labels, passage, plan, process,
    rootfs::{CgroupView, Root, map_ids},
    seccomp::Filter,
    sysctl,
    warn::{self, Warn},
};

/// A container to be made.
pub struct Request<'a> {
    pub spec: &'a Spec,
    pub root: Root,
    /// A folder of the host over which the root is attached, in the container's own mount namespace only.
    pub stage: &'a Path,
    pub stdio: Stdio,
    pub view: &'a CgroupView,
    /// The v2 control group to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The control groups that the first process walks into; `None`: it stays in the caller's.
    pub entry: Option<Entry>,
    /// A filter made already, used instead of the specification's profile.
    pub seccomp: Option<Filter>,
    /// The container's state, for the agent of a filter that notifies; without it such a filter is refused.
    pub state: Option<&'a State>,
    /// A first process of Silo's own stays above the program: reaps and hands on signals.
    pub init: bool,
    /// The first process dies with the caller.
    pub die_with_parent: bool,
    /// Run by the caller with the child's pid when its network namespace exists.
    pub connect: Option<Box<dyn FnOnce(i32) -> Result<()> + 'a>>,
    /// Run by the child in its network namespace, when it is connected.
    pub configure: Option<Box<dyn FnOnce() -> Result<()> + 'a>>,
    pub standalone: Standalone<'a>,
}

/// What a container has whose maker ends before it; the default, nothing of it, is for one with a monitor.
#[derive(Debug, Default)]
pub struct Standalone<'a> {
    /// Where it waits after [`Created::detach`].
    pub door: Option<Door>,
    pub hooks: Option<&'a HookSet>,
    /// How many descriptors from 3 on are the program's.
    pub preserved_fds: u32,
    /// Name of a session keyring of its own; `None`: the caller's.
    pub keyring: Option<CString>,
    /// The folders of its control groups, a hierarchy each, for a view that is nothing but these.
    pub groups: Vec<String>,
    /// It runs on all processors of its group, not on its maker's alone.
    pub all_processors: bool,
    pub placing: Option<Placing<'a>>,
    /// Hears what of the specification is left out; without it that is an error.
    pub warn: Option<Warn<'a>>,
}

/// What is done from outside when the network namespace of the process is there.
#[derive(Clone, Copy)]
pub struct Connect<'a>(pub &'a dyn Fn(i32) -> Result<()>);

impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connect")
    }
}

/// Puts the first process into its control groups, while it waits for that: for a service manager that takes processes only.
pub struct Placing<'a>(pub Box<dyn FnOnce(i32) -> Result<()> + 'a>);

impl std::fmt::Debug for Placing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Placing")
    }
}

/// Where the program's standard streams go.
#[derive(Debug)]
pub enum Stdio {
    /// To where the caller's go.
    Inherit,
    /// Input, output, error.
    Given([OwnedFd; 3]),
    /// A new terminal in the container with (rows, columns); 0: the kernel's default.
    Terminal((u16, u16)),
}

/// A container whose first process waits before its program.
#[derive(Debug)]
pub struct Created {
    pid: i32,
    pidfd: OwnedFd,
    channel: Channel,
    terminal: Option<OwnedFd>,
    /// Its first process stays above the program and never becomes it.
    has_init: bool,
}

/// A container that runs.
#[derive(Debug)]
pub struct Running {
    /// As the caller's pid namespace numbers it.
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Master of the container's terminal.
    pub terminal: Option<OwnedFd>,
}

/// Makes the container up to, but not including, its program.
///
/// Errors name the step; nothing is left behind.
pub fn create(request: Request<'_>) -> Result<Created> {
    let warn = request.standalone.warn;
    let root = match &request.root {
        Root::Path(root) => Some(root.as_path()),
        _ => None,
    };
    let plan = plan_of(request.spec, root, warn, request.connect.is_some())?;
    let process = request
        .spec
        .process()
        .as_ref()
        .ok_or_else(|| Error::invalid("the specification has no process"))?;
    let profile = request
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.seccomp().as_ref());
    let seccomp = match request.seccomp {
        Some(filter) => Some(filter),
        None => profile.map(Filter::new).transpose()?,
    };
    if let Some(filter) = &seccomp {
        filter.check_agent(request.state)?;
    }
    let labels = labels::of(process, warn)?;
    let (channel, other) = Channel::pair()?;
    let (mut pid_namespace, mut joins) = open_joins(&plan.joined_namespaces)?;
    let mounts = joins.iter().position(|join| join.0 == ns::MOUNT);
    let joined_mounts = mounts.map(|at| joins.remove(at).1);
    sysctl::refuse_hosts(&plan, &joins)?;
    if plan.needs_passage() {
        joins.extend(pid_namespace.take().map(|namespace| (ns::PID, namespace)));
    }
    let init = Init {
        finish: Finish {
            process,
            rlimits: &plan.rlimits,
            attributes: &plan.attributes,
            labels: Vec::new(),
            seccomp,
            listener: None,
            in_user_namespace: plan.is_bounded(),
            reaper: request.init,
            die_with_parent: request.die_with_parent,
            preserved_fds: request.standalone.preserved_fds,
            hooks: request.standalone.hooks,
        },
        labels,
        id_spaces: passage::make_id_spaces(&plan)?,
        sources: None,
        state: request.state,
        plan: &plan,
        root: request.root,
        stage: request.stage,
        stdio: request.stdio,
        view: request.view,
        joins,
        joined_mounts,
        shared_root: None,
        entry: request.entry,
        is_placed_from_outside: request.standalone.placing.is_some(),
        is_connected_from_outside: request.connect.is_some(),
        configure: request.configure,
        door: request.standalone.door,
        keyring: request.standalone.keyring,
        groups: request.standalone.groups,
        all_processors: request.standalone.all_processors,
        channel: Some(other),
    };
    let mut channel = Some(channel);
    let (pid, pidfd) = clone_into(&plan, pid_namespace, request.cgroup, init, &mut channel)?;
    let mut created = Created {
        pid,
        pidfd,
        channel: channel.ok_or_else(|| Error::internal("no start channel"))?,
        terminal: None,
        has_init: request.init,
    };
    if let Some(placing) = request.standalone.placing {
        created.placed(placing)?;
    }
    if plan.needs_passage() {
        created.follow()?;
    }
    let created = match request.connect {
        Some(connect) => created.connected(connect)?,
        None => created,
    };
    match request.standalone.hooks {
        Some(hooks) if hooks.come_before_the_root() => created.hooked(hooks),
        _ => Ok(created),
    }
}

/// The plan, when everything that it leaves out has been heard.
pub(crate) fn plan_of(
    spec: &Spec,
    root: Option<&Path>,
    warn: Option<Warn<'_>>,
    connects: bool,
) -> Result<plan::Plan> {
    let mut plan = plan::plan(spec)?;
    plan.is_inside = caller::is_inside();
    if let Some(root) = root {
        plan.find_own(root);
    }
    for error in std::mem::take(&mut plan.left_out) {
        warn::left_out(warn, error)?;
    }
    if plan.net_devices && !connects {
        return Err(Error::unsupported(
            "netDevices: nobody is there to move them: use 'silo oci create' or 'run'",
        ));
    }
    if let Some(label) = plan.mount_label.take()
        && labels::takes_context(&label, warn)?
    {
        plan.label_mounts(&label);
    }
    Ok(plan)
}

fn clone_into(
    plan: &plan::Plan,
    pid_namespace: Option<OwnedFd>,
    cgroup: Option<BorrowedFd<'_>>,
    init: Init<'_>,
    parents_end: &mut Option<Channel>,
) -> Result<(i32, OwnedFd)> {
    let own = match &pid_namespace {
        None => None,
        Some(target) => {
            // Who is in that namespace must not look at the child before it is the program (CVE-2016-9962).
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
                .doing("hide from the other container")?;
            let own = open_namespace(Path::new("/proc/self/ns/pid"))?;
            clone::setns(target.as_fd(), ns::PID).doing("join the pid namespace")?;
            Some(own)
        }
    };
    let now = match plan.needs_passage() {
        true => 0,
        false => plan.new_namespaces & ns::PID,
    };
    let cloned = clone::clone_process(now, cgroup);
    let cloned = match cloned {
        Ok(Cloned::Child) => init.run(parents_end),
        other => other,
    };
    if let Some(own) = own {
        clone::setns(own.as_fd(), ns::PID).doing("return to the own pid namespace")?;
    }
    let cloned = cloned.map_err(|error| {
        let is_outside = error.kind() == std::io::ErrorKind::NotFound && cgroup.is_some();
        match is_outside {
            // clone(2): a group that this namespace of control groups does not have.
            true => Error::unsupported(
                "the container's control group lies outside of this process's control group namespace: mount the namespace's own view, \
                 'umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup', and try again",
            ),
            false => Error::system("clone the first process", error),
        }
    });
    match cloned? {
        Cloned::Parent { pid, pidfd } => Ok((pid, pidfd)),
        Cloned::Child => Err(Error::internal("the child returned")),
    }
}

impl Created {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    fn placed(&self, placing: Placing<'_>) -> Result<()> {
        let placed = placing.0(self.pid).and_then(|()| self.channel.send(&Message::Placed));
        match placed {
            Ok(()) => Ok(()),
            Err(error) => {
                self.kill();
                Err(error)
            }
        }
    }

    /// From the process that went ahead to the container's first one.
    fn follow(&mut self) -> Result<()> {
        let failed = match self.channel.receive() {
            Ok(Some(Message::Moved(pid, pidfd))) => {
                let ahead = std::mem::replace(&mut self.pid, pid);
                self.pidfd = pidfd;
                reap(ahead);
                return Ok(());
            }
            Ok(Some(Message::Failed(error))) | Err(error) => error,
            Ok(_) => Error::internal("the process that goes ahead of the container vanished"),
        };
        self.kill();
        Err(failed)
    }

    /// Connects the network from outside as soon as there is one inside.
    fn connected(self, connect: Box<dyn FnOnce(i32) -> Result<()> + '_>) -> Result<Created> {
        let is_there = |message: &Message| matches!(message, Message::NetworkReady);
        self.served(is_there, connect, &Message::Connected)
    }

    /// Runs the caller's hooks when all is mounted.
    fn hooked(self, hooks: &HookSet) -> Result<Created> {
        let is_mounted = |message: &Message| matches!(message, Message::Mounted);
        let run = |pid| {
            hooks.run(Point::Prestart, Some(pid))?;
            hooks.run(Point::CreateRuntime, Some(pid))
        };
        self.served(is_mounted, run, &Message::HooksDone)
    }

    /// The next message. Ids that it asks to have mapped are mapped on the way: the tree is one that it has opened for that, and the
    /// user namespace one of those that were made for it.
    fn hear(&self) -> Result<Option<Message>> {
        loop {
            match self.channel.receive()? {
                Some(Message::MapIds(tree, ids, recursive)) => {
                    let answer = match map_ids(&tree, &ids, recursive) {
                        Ok(()) => Message::IdsMapped,
                        Err(error) => Message::Failed(error),
                    };
                    self.channel.send(&answer)?;
                }
                other => return Ok(other),
            }
        }
    }

    /// Waits for a message, does what it asks for, and answers.
    fn served(
        self,
        wanted: impl Fn(&Message) -> bool,
        serve: impl FnOnce(i32) -> Result<()>,
        answer: &Message,
    ) -> Result<Created> {
        let done = match self.hear() {
            Ok(Some(message)) if wanted(&message) => {
                serve(self.pid).and_then(|()| self.channel.send(answer))
            }
            Ok(Some(Message::Failed(error))) => Err(error),
            Ok(_) => Err(Error::internal("the container's first process vanished")),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => Ok(self),
            Err(error) => {
                self.kill();
                Err(error)
            }
        }
    }

    /// The master of its terminal, when [`Created::wait_ready`] has brought it.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Lets go of it: it waits at its door, and this process may end. After [`Created::wait_ready`].
    pub fn detach(self) -> Result<()> {
        self.channel.send(&Message::Detach)
    }

    /// Waits until everything is made and the child waits for [`Created::start`]: for callers that start later.
    pub fn wait_ready(&mut self) -> Result<()> {
        loop {
            match self.hear()? {
                Some(Message::Ready) => return Ok(()),
                Some(Message::Terminal(master)) => self.terminal = Some(master),
                Some(Message::Failed(error)) => {
                    self.kill();
                    return Err(error);
                }
                Some(_) => return Err(Error::internal("unexpected message from the container")),
                None => {
                    self.kill();
                    return Err(Error::internal("the container's first process vanished"));
                }
            }
        }
    }

    /// Waits until everything is made, asks `check` whether it may run, and lets it.
    pub fn start_when(mut self, check: impl FnOnce() -> Result<()>) -> Result<Running> {
        self.wait_ready()?;
        match check() {
            Ok(()) => self.start(),
            Err(error) => {
                self.kill();
                Err(error)
            }
        }
    }

    /// Lets the program run; returns when it has been executed, or says why it could not.
    pub fn start(mut self) -> Result<Running> {
        let sent = self.channel.send(&Message::Go);
        match self.failure() {
            Some(error) => {
                self.kill();
                Err(error)
            }
            None => {
                sent?;
                Ok(Running {
                    pid: self.pid,
                    pidfd: self.pidfd,
                    terminal: self.terminal,
                })
            }
        }
    }

    /// Reads until the child's end closes; the failure that it told, if any.
    fn failure(&mut self) -> Option<Error> {
        loop {
            match self.channel.receive() {
                Ok(Some(Message::Failed(error))) => return Some(error),
                Ok(Some(Message::Terminal(master))) => self.terminal = Some(master),
                Ok(Some(_)) => {}
                Ok(None) => return self.vanished(),
                Err(error) => return Some(error),
            }
        }
    }

    /// The channel also closes when the child is killed before its program.
    fn vanished(&self) -> Option<Error> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let id = rustix::process::WaitId::PidFd(self.pidfd.as_fd());
        match rustix::process::waitid(id, options) {
            // An init's exit code is its program's, which may have ended already.
            Ok(Some(status)) if self.has_init && status.exit_status().is_some() => None,
            Ok(Some(status)) if !executed(self.pid) => Some(Error::internal(format!(
                "the container's first process ended before its program ({})",
                match (status.exit_status(), status.terminating_signal()) {
                    (_, Some(signal)) => format!("signal {signal}"),
                    (code, None) => format!("exit code {}", code.unwrap_or(-1)),
                }
            ))),
            _ => None,
        }
    }

    fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        reap(self.pid);
    }
}

/// Waits for a child that has ended or is about to.
pub(crate) fn reap(pid: i32) {
    let pid = Pid::from_raw(pid);
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(pid, WaitOptions::empty()) {}
}

/// A process that ended quickly did run its program: its flags say so. One that cannot be seen is taken for such a one.
fn executed(pid: i32) -> bool {
    process::Facts::of(pid).is_none_or(|facts| facts.executed())
}

/// Opens namespaces to join; the pid namespace apart, for it must be entered by the parent.
#[allow(clippy::type_complexity)]
fn open_joins(
    joined: &[(u64, std::path::PathBuf)],
) -> Result<(Option<OwnedFd>, Vec<(u64, OwnedFd)>)> {
    let mut pid_namespace = None;
    let mut joins = Vec::new();
    for (flag, path) in joined {
        let namespace = open_namespace(path)?;
        match *flag {
            ns::PID => pid_namespace = Some(namespace),
            flag => joins.push((flag, namespace)),
        }
    }
    Ok((pid_namespace, joins))
}

pub(crate) fn open_namespace(path: &Path) -> Result<OwnedFd> {
    fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .doing_with(|| format!("open the namespace {}", path.display()))
}
