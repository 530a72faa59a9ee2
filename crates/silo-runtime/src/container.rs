//! A container's life without a monitor: made by one command, started, signalled and removed by others.
//!
//! Called by `silo oci`. What is made is written down before it exists (folder, specification, name of the control group), so
//! that [`delete`] finds all of it whenever the maker was killed; the process is written down last, and ends by itself with a
//! maker that does not get there.

use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, LinuxResources, Spec};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use silo_cgroup::{Cgroup, CgroupPath, Existing, Layout, devices};
use silo_types::{Doing, Error, Kind, ProcessId, Result};

use crate::{
    begin::begin,
    bundle::Bundle,
    caller,
    create::{self, Connect, Created, Placing, Request, Running, Standalone, Stdio},
    door::{self, Door},
    hooks::{self, HookSet, Point},
    process,
    rootfs::{CgroupView, Root},
    scope::{self, Driver},
    state::{Held, Life, Record, Seen, StateRoot},
    warn::Warn,
};

const KILL: i32 = 9;
/// How long a killed process may take to end.
const END: Duration = Duration::from_secs(10);

/// What is to be made.
#[derive(Debug)]
pub struct Order<'a> {
    pub id: &'a str,
    pub bundle: &'a Bundle,
    /// How many descriptors from 3 on are the program's.
    pub preserved_fds: u32,
    /// A session keyring of its own.
    pub keyring: bool,
    /// Another command will start it.
    pub waits: bool,
    /// Its control group is to be a scope of systemd's.
    pub systemd: bool,
    /// Hears what of the specification is left out.
    pub warn: Option<Warn<'a>>,
    /// Brings devices of the host's into its network namespace.
    pub connect: Option<Connect<'a>>,
    /// It has the folder of [`StateRoot::notify_folder`].
    pub notify: bool,
}

/// A container that is made, and whose maker has not decided yet.
#[derive(Debug)]
pub struct Made {
    held: Held,
    record: Record,
    hooks: Option<HookSet>,
    created: Created,
    /// Master of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// Makes a container up to, but not including, its program. When it fails, nothing is left.
///
/// Errors: Conflict when the id is taken, or its control group has processes.
pub fn make(root: &StateRoot, order: &Order<'_>) -> Result<Made> {
    let process = order.bundle.process()?;
    let stdio = match process.terminal().unwrap_or(false) {
        false => Stdio::Inherit,
        true => Stdio::Terminal(process.console_size().map_or((0, 0), |size| {
            let short = |side: u64| u16::try_from(side).unwrap_or(u16::MAX);
            (short(size.height()), short(size.width()))
        })),
    };
    let mut begun = begin(root, order)?;
    let driver = begun.driver.take();
    let site = Site {
        order,
        layout: &begun.layout,
        path: &begun.path,
        existing: begun.existing,
        hooks: begun.hooks.as_ref(),
    };
    let folder = match order.notify {
        true => begun.held.make_notify_folder(),
        false => Ok(()),
    };
    match folder.and_then(|()| site.build(&begun.held, &begun.record, stdio, driver)) {
        Ok((created, terminal)) => Ok(Made {
            held: begun.held,
            record: begun.record,
            hooks: begun.hooks,
            created,
            terminal,
        }),
        Err(error) => Err(begun.give_up(error)),
    }
}

fn connect(connect: Connect<'_>) -> Box<dyn FnOnce(i32) -> Result<()> + '_> {
    Box::new(move |pid| (connect.0)(pid))
}

/// What a container is built from.
struct Site<'a> {
    order: &'a Order<'a>,
    layout: &'a Layout,
    path: &'a CgroupPath,
    existing: Existing,
    hooks: Option<&'a HookSet>,
}

impl Site<'_> {
    fn build(
        &self,
        held: &Held,
        record: &Record,
        stdio: Stdio,
        driver: Option<Driver>,
    ) -> Result<(Created, Option<OwnedFd>)> {
        let bundle = self.order.bundle;
        held.write_config(&bundle.text)?;
        held.write_record(record)?;
        let limits = resources(&bundle.spec);
        let group = match (&driver, record.cgroup.is_empty()) {
            (Some(_), _) => Some(Cgroup::at(self.layout, self.path)),
            (None, true) => None,
            (None, false) => Some(
                Cgroup::create(self.layout, self.path, &limits, self.existing)
                    .map_err(|error| self.explain_limits(&limits, error))?,
            ),
        };
        let (born_in, entry) = match (&group, &driver) {
            (Some(group), None) => (group.open_dir_fd()?, Some(group.entry(false)?)),
            _ => (None, None),
        };
        let placing = driver.map(|driver| {
            let (layout, limits) = (self.layout, &limits);
            Placing(Box::new(move |pid| driver.place(pid, layout, limits)))
        });
        let standalone = Standalone {
            door: match self.order.waits {
                true => Some(Door::make(held.folder())?),
                false => None,
            },
            hooks: self.hooks,
            preserved_fds: self.order.preserved_fds,
            keyring: match self.order.keyring {
                true => CString::new(format!("_ses.{}", self.order.id)).ok(),
                false => None,
            },
            groups: group.iter().flat_map(Cgroup::dirs).cloned().collect(),
            all_processors: true,
            placing,
            warn: self.order.warn,
        };
        let state = hooks::state(&bundle.spec, self.order.id, &bundle.path);
        let mut created = create::create(Request {
            spec: &bundle.spec,
            state: Some(&state),
            root: Root::Path(record.rootfs.clone()),
            stage: &record.rootfs,
            stdio,
            view: &CgroupView::of(self.layout),
            cgroup: born_in.as_ref().map(AsFd::as_fd),
            entry,
            seccomp: None,
            init: false,
            die_with_parent: false,
            connect: self.order.connect.map(connect),
            configure: None,
            standalone,
        })?;
        created.wait_ready()?;
        if let Some(group) = group {
            let file = format!("/proc/{}/cgroup", created.pid());
            let groups = std::fs::read_to_string(&file).doing_with(|| format!("read {file}"))?;
            group.confirm(&groups)?;
        }
        let terminal = created.take_terminal();
        Ok((created, terminal))
    }
}

impl Site<'_> {
    /// Settings of v2 where there is none cannot be helped on this host.
    fn explain_limits(&self, limits: &LinuxResources, error: Error) -> Error {
        let unified = limits.unified().as_ref();
        match self.layout.unified().is_none() && unified.is_some_and(|map| !map.is_empty()) {
            true => error.context("invalid configuration"),
            false => error,
        }
    }
}

impl Made {
    pub fn pid(&self) -> i32 {
        self.created.pid()
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.created.pidfd()
    }

    /// Leaves it waiting for a start, when `hand_over` has passed on what the caller asked for.
    pub fn detach(mut self, hand_over: impl FnOnce(&mut Made) -> Result<()>) -> Result<()> {
        let ready = hand_over(&mut self).and_then(|()| self.note_process());
        match ready.and_then(|()| self.created.detach()) {
            Ok(()) => Ok(()),
            Err(error) => {
                unmake(self.held, &self.record, self.hooks.as_ref());
                Err(error)
            }
        }
    }

    /// Starts it at once; returns when its program was executed. When it fails, nothing is left.
    pub fn start(mut self, hand_over: impl FnOnce(&mut Made) -> Result<()>) -> Result<Running> {
        let ready = hand_over(&mut self).and_then(|()| self.note_process());
        let terminal = self.terminal.take();
        let pid = self.pid();
        let started = ready
            .and_then(|()| self.created.start())
            .and_then(|running| match &self.hooks {
                Some(hooks) => hooks.run(Point::Poststart, Some(pid)).map(|()| running),
                None => Ok(running),
            });
        match started {
            Ok(running) => Ok(Running {
                terminal,
                ..running
            }),
            Err(error) => {
                unmake(self.held, &self.record, self.hooks.as_ref());
                Err(error)
            }
        }
    }

    fn note_process(&mut self) -> Result<()> {
        self.record.process = Some(process::identify(self.created.pid())?);
        self.held.write_record(&self.record)
    }
}

/// Starts a container that waits; returns when its program was executed. One without a `process` has none, and ends: why is returned.
///
/// Errors: Conflict when it does not wait; those of the program and of hooks.
pub fn start(root: &StateRoot, id: &str) -> Result<Option<Error>> {
    let held = root.hold(id)?;
    let seen = held.look()?;
    let main = match (seen.life(), seen.record.process) {
        (Life::Created, Some(main)) => main,
        (Life::Running, _) => {
            return Err(Error::conflict("cannot start an already running container"));
        }
        _ => {
            return Err(Error::conflict("cannot start a container that has stopped"));
        }
    };
    if let Err(error) = door::start(held.folder(), main) {
        return match held.spec() {
            Some(spec) if spec.process().is_none() => Ok(Some(
                error.context("the specification has no process, so the container ends"),
            )),
            _ => Err(error),
        };
    }
    let Some(hooks) = hooks_of(&held, &seen.record) else {
        return Ok(None);
    };
    match hooks.run(Point::Poststart, Some(main.pid)) {
        Ok(()) => Ok(None),
        Err(error) => {
            unmake(held, &seen.record, Some(&hooks));
            Err(error)
        }
    }
}

/// Removes a container with all that it has; what failed on the way, without which it is gone as well.
///
/// Errors: NotFound, but not with `force`; Conflict when it runs, but not with `force`.
pub fn delete(root: &StateRoot, id: &str, force: bool) -> Result<Vec<Error>> {
    let held = match root.hold(id) {
        Err(error) if force && error.kind() == Kind::NotFound => return Ok(Vec::new()),
        held => held?,
    };
    let seen = match held.look() {
        Ok(seen) => seen,
        // Its maker was killed at the very beginning.
        Err(error) if error.kind() == Kind::NotFound => {
            return held.remove().map(|()| Vec::new());
        }
        Err(error) => return Err(error),
    };
    if seen.life() == Life::Running && !force {
        let state = status_word(&seen);
        return Err(Error::conflict(format!(
            "cannot delete container {id} that is not stopped: {state}"
        )));
    }
    if let Some(main) = seen.main() {
        end(main)?;
    }
    let hooks = hooks_of(&held, &seen.record);
    let warnings = unmake(held, &seen.record, hooks.as_ref());
    match root.look(id) {
        Ok(_) => Err(warnings
            .into_iter()
            .next()
            .unwrap_or_else(|| Error::internal("its folder is still there"))),
        Err(_) => Ok(warnings),
    }
}

/// The specification's word for where a container is; "paused" is Silo's and everybody's addition.
pub fn status_word(seen: &Seen) -> &'static str {
    match seen.life() {
        Life::Creating => "creating",
        Life::Created => "created",
        Life::Stopped => "stopped",
        Life::Running => match group_of(&seen.record).and_then(|group| group.is_frozen()) {
            Ok(true) => "paused",
            _ => "running",
        },
    }
}

/// A container's control group.
///
/// Errors: Unsupported when it has none of its own.
pub fn group_of(record: &Record) -> Result<Cgroup> {
    if record.cgroup.is_empty() {
        return Err(Error::unsupported(format!(
            "container {} has no control group of its own, which its maker was not allowed to make: use --systemd-cgroup, or have a group delegated",
            record.id
        )));
    }
    let path = CgroupPath::new(&record.cgroup)?;
    Ok(Cgroup::at(&Layout::detect()?, &path))
}

/// Sends a signal to the main process; 0 only looks whether it is there.
///
/// Errors: Conflict when it has ended.
pub fn signal(seen: &Seen, signal: i32) -> Result<()> {
    let gone = || Error::conflict("container not running");
    if signal == KILL && seen.record.shares_pids && !seen.record.cgroup.is_empty() {
        // No pid namespace ends with its first process, so all are killed by hand, as long as there are any.
        let group = group_of(&seen.record)?;
        return match group.procs(true)?.is_empty() {
            true => Err(gone()),
            false => group.kill_all(),
        };
    }
    let main = seen.main().ok_or_else(gone)?;
    let pidfd = hold(main).ok_or_else(gone)?;
    silo_sys::signal::pidfd_send(pidfd.as_fd(), signal)
        .doing_with(|| format!("signal process {}", main.pid))?;
    if signal == KILL {
        thaw(&seen.record);
    }
    Ok(())
}

/// Sends a signal to every process of the container's control group, also when the main one has ended.
pub fn signal_all(seen: &Seen, signal: i32) -> Result<()> {
    let group = group_of(&seen.record)?;
    if signal == KILL {
        return group.kill_all();
    }
    // Standing still they cannot fork while they are counted; a group that is frozen already stays so.
    let was_frozen = group.is_frozen().unwrap_or(false);
    let frozen = was_frozen || group.freeze().is_ok();
    let sent = group.procs(true).map(|pids| {
        let targets = pids.iter().filter_map(|pid| Pid::from_raw(*pid));
        for target in targets {
            // Who has ended meanwhile needs no signal.
            if let Ok(pidfd) = pidfd_open(target, PidfdFlags::empty()) {
                let _ = silo_sys::signal::pidfd_send(pidfd.as_fd(), signal);
            }
        }
    });
    if frozen && !was_frozen {
        group.thaw()?;
    }
    sent
}

/// A pidfd of exactly this process, unless it has ended.
pub fn hold(process: ProcessId) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    process::same(process).filter(|facts| !facts.has_ended())?;
    Some(pidfd)
}

fn thaw(record: &Record) {
    if let Ok(group) = group_of(record)
        && group.is_frozen().unwrap_or(false)
    {
        // A process that is frozen by v1 takes its death when it runs again.
        let _ = group.thaw();
    }
}

/// Kills the main process, wherever it may have been moved, and waits for its end.
fn end(main: ProcessId) -> Result<()> {
    let Some(pidfd) = hold(main) else {
        return Ok(());
    };
    silo_sys::signal::pidfd_send(pidfd.as_fd(), KILL)
        .doing_with(|| format!("kill process {}", main.pid))
}

/// Takes everything away and goes on past errors; what they were.
pub(crate) fn unmake(held: Held, record: &Record, hooks: Option<&HookSet>) -> Vec<Error> {
    let mut errors = free(record);
    errors.extend(held.remove().err());
    if let Some(hooks) = hooks {
        errors.extend(hooks.run_all(Point::Poststop, None));
    }
    errors
}

/// Ends all processes and takes the control group away; what went wrong on the way.
pub(crate) fn free(record: &Record) -> Vec<Error> {
    let mut errors = Vec::new();
    match group_of(record) {
        Err(_) if record.cgroup.is_empty() => {}
        Ok(group) => {
            // A scope of systemd's ends with its unit.
            match record.unit.is_some() {
                true => {
                    errors.extend(group.kill_all().err());
                    errors.extend(scope::end(record).err());
                    errors.extend(group.destroy());
                }
                false => errors.extend(group.raze()),
            }
        }
        Err(error) => errors.push(error),
    }
    if let Some(main) = record.process {
        errors.extend(wait_end(main).err());
    }
    errors
}

fn wait_end(main: ProcessId) -> Result<()> {
    let Some(pidfd) = hold(main) else {
        return Ok(());
    };
    let limit = Timespec {
        tv_sec: END.as_secs() as i64,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    match poll(&mut fds, Some(&limit)) {
        Ok(0) => Err(Error::internal(format!(
            "process {} does not end",
            main.pid
        ))),
        _ => Ok(()),
    }
}

fn hooks_of(held: &Held, record: &Record) -> Option<HookSet> {
    if !record.has_hooks {
        return None;
    }
    HookSet::new(&held.spec()?, &record.id, &record.bundle)
}

/// Whether the kernel kills all when the main process ends.
pub(crate) fn has_own_pids(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
    let is_own =
        |one: &LinuxNamespace| one.typ() == LinuxNamespaceType::Pid && one.path().is_none();
    namespaces.into_iter().flatten().any(is_own)
}

/// Below a group of this runtime's when nothing was asked for; a relative path begins at the top of each hierarchy.
pub(crate) fn cgroup_path(spec: &Spec, id: &str) -> Result<CgroupPath> {
    let asked = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.cgroups_path().as_ref())
        .map(|path| path.to_string_lossy().into_owned())
        .unwrap_or_default();
    match asked.as_str() {
        "" => CgroupPath::new(&format!("/silo-oci/{id}")),
        absolute if absolute.starts_with('/') => CgroupPath::new(absolute),
        relative => CgroupPath::new(&format!("/{relative}")),
    }
}

/// Whoever may not make control groups has none of its own for a container, as long as no limits are asked for.
///
/// Errors: Unsupported when there are.
pub(crate) fn can_have_group(spec: &Spec, layout: &Layout, path: &CgroupPath) -> Result<bool> {
    if !caller::is_unprivileged() || Cgroup::at(layout, path).can_be_made() {
        return Ok(true);
    }
    let limits = resources(spec);
    let asked = silo_cgroup::limits::plan(layout, &limits)?;
    match asked.first() {
        None => Ok(false),
        Some(step) => Err(Error::unsupported(format!(
            "{}: no permission to make the control group {path}: use --systemd-cgroup, have a group delegated, or leave the limits out",
            step.what
        ))),
    }
}

/// A group may be there already, prepared by the caller; but nobody may be in it.
pub(crate) fn free_group(layout: &Layout, path: &CgroupPath) -> Result<Existing> {
    let group = Cgroup::at(layout, path);
    if !group.exists() {
        return Ok(Existing::Refuse);
    }
    let pids = group.procs(true)?;
    if !pids.is_empty() {
        return Err(Error::conflict(format!(
            "container's cgroup is not empty: {} process(es) found in {path}",
            pids.len()
        )));
    }
    if group.is_frozen().unwrap_or(false) {
        return Err(Error::conflict(format!(
            "container's cgroup unexpectedly frozen: {path}"
        )));
    }
    Ok(Existing::Adopt)
}

/// The limits asked for; what every container may do with devices comes after what was said of them.
pub(crate) fn resources(spec: &Spec) -> LinuxResources {
    let asked = spec.linux().as_ref().and_then(|l| l.resources().clone());
    let mut limits = asked.unwrap_or_default();
    // Nodes of devices cannot be made there, and only root of the host can rule about them.
    plain_pids(&mut limits);
    if caller::is_unprivileged() || caller::is_inside() {
        limits.set_devices(None);
        return limits;
    }
    let mut rules = limits.devices().clone().unwrap_or_default();
    for rule in &mut rules {
        // runc's callers may name letters that mean nothing.
        let access = rule.access().as_ref().map(|access| access.replace('a', ""));
        rule.set_access(access);
    }
    rules.extend(devices::usual());
    limits.set_devices(Some(rules));
    limits
}

/// A container of no process cannot be: 0 is 1, as with runc; `-1` is the word for no limit.
pub fn plain_pids(limits: &mut LinuxResources) {
    if let Some(pids) = limits.pids_mut()
        && pids.limit() == 0
    {
        pids.set_limit(1);
    }
}

pub(crate) fn annotations(spec: &Spec) -> std::collections::BTreeMap<String, String> {
    spec.annotations()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect()
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
