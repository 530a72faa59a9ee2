//! The child between clone and exec: makes namespaces, root and mounts, then becomes the container's program.

use std::{
    ffi::CString,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{Process, State};
use rustix::fs::{Mode, OFlags};
use silo_cgroup::Entry;
use silo_sys::{
    clone::{self, ns},
    exec,
};
use silo_types::{Doing, Error, Result};

use crate::{
    attributes,
    channel::{Channel, Message},
    create::Stdio,
    door::Door,
    enter::open_terminal,
    finish::{Finish, console_size},
    hooks::{HookSet, Point},
    labels::Label,
    lookup,
    passage::{self, Passage},
    plan::{Plan, UserNamespace},
    process,
    rootfs::{CgroupView, IdSpaces, Root, Rootfs, Sources, open_root, open_sources},
    shared,
};

/// All that the child needs, prepared by the parent before the clone.
pub(crate) struct Init<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) finish: Finish<'a>,
    pub(crate) labels: Vec<Label>,
    pub(crate) id_spaces: IdSpaces,
    /// What the mounts take from the host, once it is opened.
    pub(crate) sources: Option<Sources>,
    pub(crate) state: Option<&'a State>,
    pub(crate) root: Root,
    pub(crate) stage: &'a Path,
    pub(crate) stdio: Stdio,
    pub(crate) view: &'a CgroupView,
    pub(crate) joins: Vec<(u64, OwnedFd)>,
    /// The mount namespace that is joined: after all else, and after the last look at the host's /proc.
    pub(crate) joined_mounts: Option<OwnedFd>,
    /// The folder that becomes the root in a shared mount namespace, where it was opened before.
    pub(crate) shared_root: Option<OwnedFd>,
    pub(crate) entry: Option<Entry>,
    /// Somebody else puts it into its control groups.
    pub(crate) is_placed_from_outside: bool,
    pub(crate) is_connected_from_outside: bool,
    pub(crate) configure: Option<Box<dyn FnOnce() -> Result<()> + 'a>>,
    pub(crate) door: Option<Door>,
    pub(crate) keyring: Option<CString>,
    pub(crate) groups: Vec<String>,
    pub(crate) all_processors: bool,
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
        self.die_with_parent()?;
        if self.is_placed_from_outside {
            self.expect(|m| matches!(m, Message::Placed))?;
        }
        if let Some(entry) = &self.entry {
            entry.enter().doing("enter the control groups")?;
        }
        if self.all_processors {
            attributes::take_all_processors()?;
        }
        if let Some(adjustment) = self.finish.process.oom_score_adj() {
            std::fs::write("/proc/self/oom_score_adj", adjustment.to_string())
                .doing_with(|| format!("set oom_score_adj to {adjustment}"))?;
        }
        if self.finish.reaper {
            // It stays among the container's processes, and /proc/1/environ there is not to show the caller's.
            process::forget_start("silo-init")?;
        }
        self.finish.connect_agent(self.state)?;
        if self.plan.needs_passage() {
            self.pass()?;
            self.die_with_parent()?;
        }
        rustix::process::setsid().doing("start a session")?;
        if let Some(name) = &self.keyring {
            join_keyring(name)?;
        }
        if !self.plan.needs_passage() {
            for (flag, namespace) in &self.joins {
                clone::setns(namespace.as_fd(), *flag).doing("join a namespace")?;
            }
        }
        self.finish.look_at_itself(&self.labels)?;
        if let Some(mounts) = self.joined_mounts.take() {
            clone::setns(mounts.as_fd(), ns::MOUNT).doing("join the mount namespace")?;
        }
        let now = self.plan.new_namespaces & !(ns::PID | ns::TIME);
        clone::unshare(now).doing("make namespaces")?;
        if self.is_connected_from_outside {
            self.tell(&Message::NetworkReady)?;
        }
        self.name_host()?;
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

    fn die_with_parent(&self) -> Result<()> {
        if self.finish.die_with_parent {
            silo_sys::process::set_parent_death_signal(9).doing("ask to die with the parent")?;
        }
        Ok(())
    }

    /// Into the user and time namespaces; what comes out is another process.
    fn pass(&mut self) -> Result<()> {
        let of_process = self.finish.process.user();
        let user = self.id_spaces.user.as_ref().map(AsFd::as_fd);
        let user = user.map(rustix::io::dup).transpose();
        let user = user.doing("keep the user namespace")?;
        if self.plan.user_namespace.is_some() && passage::is_privileged()? {
            if !self.plan.shares_mounts {
                self.sources = Some(self.open_sources(false)?);
                let root = std::mem::replace(&mut self.root, Root::Path("/".into()));
                self.root = Root::Mount(open_root(root, self.plan)?);
            } else if self.joined_mounts.is_none() {
                self.shared_root = Some(self.open_shared_root()?);
            }
            if let Some(UserNamespace::New(maps)) = &self.plan.user_namespace {
                passage::give_pipes(&self.stdio, maps, of_process)?;
            }
        }
        // Root inside may not be able to walk there.
        rustix::process::chdir(self.stage)
            .doing_with(|| format!("enter {}", self.stage.display()))?;
        let passage = Passage {
            plan: self.plan,
            user: user.as_ref().map(AsFd::as_fd),
            joins: &self.joins,
            of_process,
        };
        passage.go(self.channel.as_ref().ok_or_else(closed)?)
    }

    fn name_host(&self) -> Result<()> {
        if let Some(name) = &self.plan.hostname {
            rustix::system::sethostname(name.as_bytes())
                .doing_with(|| format!("set the host name {name}"))?;
        }
        if let Some(name) = &self.plan.domainname {
            rustix::system::setdomainname(name.as_bytes())
                .doing_with(|| format!("set the domain name {name}"))?;
        }
        Ok(())
    }

    /// Whoever looks at a waiting process finds no descriptor of the host's there, but those that the program is to have.
    fn let_go(&mut self, door: &Door) -> Result<()> {
        self.channel = None;
        self.entry = None;
        self.joins.clear();
        self.stdio = Stdio::Inherit;
        let mut kept: Vec<i32> = (3..3 + self.finish.preserved_fds as i32).collect();
        kept.push(door.as_fd().as_raw_fd());
        kept.extend(self.finish.descriptors());
        // What else is open belongs to frames of the maker's, to which this process never returns.
        exec::close_others(&kept).doing("close what is not the container's")
    }

    fn make_root(&mut self) -> Result<()> {
        if self.plan.shares_mounts {
            return self.enter_shared_root();
        }
        let sources = match self.sources.take() {
            Some(mut opened) => {
                opened.make_new(self.plan)?;
                opened
            }
            None => self.open_sources(true)?,
        };
        let root = std::mem::replace(&mut self.root, Root::Path("/".into()));
        let stage = (!self.plan.needs_passage()).then_some(self.stage);
        let mut rootfs = Rootfs::attach(root, stage, self.plan)?;
        let map = |tree: &OwnedFd, ids: &OwnedFd, all| self.have_ids_mapped(tree, ids, all);
        if let Some(hooks) = self.early_hooks() {
            rootfs.mount_all(self.plan, sources, self.view, &map)?;
            self.run_early_hooks(hooks, &rootfs)?;
            rootfs.enter()?;
        } else {
            rootfs.enter()?;
            rootfs.mount_all(self.plan, sources, self.view, &map)?;
        }
        // Late, so that the parent connects it meanwhile; before the hardening, while /proc/sys can be written.
        self.configure_network()?;
        self.connect_stdio(&mut rootfs)?;
        make_working_folder(self.finish.process, &rootfs)?;
        rootfs.harden(self.plan)
    }

    /// Into a folder of a mount namespace that is not its own. Nothing here may mount anything.
    fn enter_shared_root(&mut self) -> Result<()> {
        let terminal = match self.stdio {
            Stdio::Terminal(_) => Some(open_terminal(self.finish.process.user().uid())?),
            _ => None,
        };
        let root = match self.shared_root.take() {
            Some(root) => root,
            None => self.open_shared_root()?,
        };
        let mut rootfs = Rootfs::share(root, terminal);
        if let Some(hooks) = self.early_hooks() {
            self.run_early_hooks(hooks, &rootfs)?;
        }
        rootfs.change_root()?;
        self.configure_network()?;
        self.connect_stdio(&mut rootfs)?;
        make_working_folder(self.finish.process, &rootfs)
    }

    fn open_shared_root(&self) -> Result<OwnedFd> {
        match &self.root {
            Root::Path(path) => shared::open_root(path),
            Root::Mount(_) => Err(Error::internal(
                "a root that is a mount needs a mount namespace",
            )),
        }
    }

    /// Hooks that see both trees.
    fn early_hooks(&self) -> Option<&HookSet> {
        self.finish.hooks.filter(|h| h.come_before_the_root())
    }

    fn run_early_hooks(&self, hooks: &HookSet, rootfs: &Rootfs) -> Result<()> {
        self.tell(&Message::Mounted)?;
        self.expect(|m| matches!(m, Message::HooksDone))?;
        rootfs.stand_in()?;
        hooks.run(Point::CreateContainer, own_pid())
    }

    /// By the maker, who has the host's privileges.
    fn have_ids_mapped(&self, tree: &OwnedFd, ids: &OwnedFd, recursive: bool) -> Result<()> {
        let copy = |fd: &OwnedFd| fd.try_clone().doing("copy a descriptor");
        self.tell(&Message::MapIds(copy(tree)?, copy(ids)?, recursive))?;
        self.expect(|m| matches!(m, Message::IdsMapped))
    }

    /// `with_new`: in the namespaces that new mounts are to show.
    fn open_sources(&mut self, with_new: bool) -> Result<Sources> {
        // The one hierarchy of v2 is mounted anew, from where the namespace says; without one it is shown whole, as on the host,
        // but not to a user namespace.
        let whole = *self.view == CgroupView::V2 && !self.plan.only_sees_groups();
        let groups: &[String] = if whole { &[] } else { &self.groups };
        open_sources(
            self.plan,
            std::mem::take(&mut self.id_spaces),
            groups,
            with_new,
        )
    }

    fn connect_stdio(&mut self, rootfs: &mut Rootfs) -> Result<()> {
        match &self.stdio {
            Stdio::Inherit => own_null(),
            Stdio::Given(given) => {
                rustix::stdio::dup2_stdin(&given[0]).doing("connect standard input")?;
                rustix::stdio::dup2_stdout(&given[1]).doing("connect standard output")?;
                rustix::stdio::dup2_stderr(&given[2]).doing("connect standard error")
            }
            Stdio::Terminal(size) => {
                let (master, slave) = rootfs.open_terminal(self.finish.process.user().uid())?;
                take_terminal(&slave, console_size(self.finish.process, *size))?;
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
            Some(Message::Failed(error)) => Err(error),
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

/// Streams that are the host's null device become the container's: nothing of the host's tree stays open (CRIU could not write it).
fn own_null() -> Result<()> {
    let null = rustix::fs::makedev(1, 3);
    let is_null = |stat: rustix::fs::Stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::CharacterDevice
            && stat.st_rdev == null
    };
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut own = None;
    for number in 0..3 {
        let stream = match number {
            0 => rustix::stdio::stdin(),
            1 => rustix::stdio::stdout(),
            _ => rustix::stdio::stderr(),
        };
        if !rustix::fs::fstat(stream).is_ok_and(is_null) {
            continue;
        }
        // One without a null device keeps the host's.
        if own.is_none() {
            own = rustix::fs::open(c"/dev/null", flags, Mode::empty()).ok();
        }
        let Some(fd) = own
            .as_ref()
            .filter(|fd| rustix::fs::fstat(fd).is_ok_and(is_null))
        else {
            return Ok(());
        };
        match number {
            0 => rustix::stdio::dup2_stdin(fd),
            1 => rustix::stdio::dup2_stdout(fd),
            _ => rustix::stdio::dup2_stderr(fd),
        }
        .doing("connect the container's null device")?;
    }
    Ok(())
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
