//! From an OCI specification to the list of steps that make the container: pure, no I/O, printable, tested without root.
//!
//! Called by [`crate::create`]; carried out by the child in `init`. Everything that can be refused is refused here, before
//! anything exists.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Linux, LinuxDeviceType, LinuxIdMapping, LinuxNamespaceType, LinuxTimeOffset, Mount,
    PosixRlimit, PosixRlimitType, Process, Spec,
};
use silo_sys::clone::ns;
use silo_types::{Error, Result};

use crate::{
    attributes::Attributes,
    id_map::IdMaps,
    mount_options::{self, MountOptions},
    shared,
    sysctl::{self, Sysctl},
};

/// What the child does, in order of the fields.
#[derive(Debug, Default)]
pub struct Plan {
    /// Namespaces made new, but for a user namespace; [`ns::PID`] among them is made by a clone.
    pub new_namespaces: u64,
    /// Namespaces joined, by path.
    pub joined_namespaces: Vec<(u64, PathBuf)>,
    pub user_namespace: Option<UserNamespace>,
    /// The mount namespace is somebody else's: nothing of it is changed, see `shared`.
    pub shares_mounts: bool,
    /// Its maker is in a user namespace itself, which it shares when it has none of its own.
    pub is_inside: bool,
    /// Lines for /proc/PID/timens_offsets, time_namespaces(7).
    pub time_offsets: String,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub mounts: Vec<MountStep>,
    pub devices: Vec<DeviceNode>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub sysctls: Vec<Sysctl>,
    pub root_read_only: bool,
    /// `MS_PRIVATE` or its kin of the root, and whether it goes down the tree.
    pub root_propagation: Option<(u64, bool)>,
    /// SELinux' context for files of mounts, see [`Plan::label_mounts`].
    pub mount_label: Option<String>,
    /// Somebody is to move devices into the network namespace.
    pub net_devices: bool,
    pub rlimits: Vec<Rlimit>,
    pub attributes: Attributes,
    /// What was asked for and is left out, if somebody hears that.
    pub left_out: Vec<Error>,
}

/// The user namespace that is not the caller's.
#[derive(Debug, PartialEq)]
pub enum UserNamespace {
    New(IdMaps),
    Joined(PathBuf),
}

/// One entry of `mounts`.
#[derive(Debug, PartialEq)]
pub struct MountStep {
    /// Absolute, inside the container.
    pub target: String,
    pub what: MountWhat,
    pub options: MountOptions,
    pub id_map: Option<MountMaps>,
}

/// How ids of a bind mount's files are mapped.
#[derive(Debug, PartialEq)]
pub enum MountMaps {
    Own(IdMaps),
    /// As in the container's user namespace.
    OfContainer,
}

#[derive(Debug, PartialEq)]
pub enum MountWhat {
    /// A new file system instance.
    New { kind: String, source: String },
    /// An existing file or folder of the host.
    Bind { source: PathBuf, recursive: bool },
    /// A file or folder of the container itself, with what was mounted there before: see [`Plan::find_own`].
    Own { path: String, recursive: bool },
    /// The container's own view of the control groups.
    Cgroup,
    /// Other options for what is mounted there already.
    Remount,
}

/// A device node in the container's /dev.
#[derive(Debug, PartialEq)]
pub struct DeviceNode {
    pub path: String,
    pub kind: LinuxDeviceType,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, PartialEq)]
pub struct Rlimit {
    pub name: String,
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// Nodes that every container has (OCI runtime specification, "Default Devices").
const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Makes the plan or says what the specification asks that cannot be.
pub fn plan(spec: &Spec) -> Result<Plan> {
    let mut plan = Plan {
        hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
        domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
        root_read_only: spec
            .root()
            .as_ref()
            .and_then(|root| root.readonly())
            .unwrap_or(false),
        ..Plan::default()
    };
    if let Some(linux) = spec.linux() {
        of_linux(linux, &mut plan)?;
    }
    if (plan.hostname.is_some() || plan.domainname.is_some())
        && plan.own_namespaces() & ns::UTS == 0
    {
        return Err(Error::invalid(
            "a host name needs a UTS namespace of its own",
        ));
    }
    if shared::shares_mounts(spec) {
        // All that follows would be done to the host's mounts.
        shared::settle(spec, &mut plan)?;
    } else {
        for mount in spec.mounts().iter().flatten() {
            let mut step = mount_step(mount, &plan)?;
            plan.left_out.extend(step.drop_ignored());
            plan.mounts.push(step);
        }
    }
    let process = spec
        .process()
        .as_ref()
        .ok_or_else(|| Error::invalid("the specification has no process"))?;
    check_user(process)?;
    plan.rlimits = rlimits(process)?;
    plan.attributes = Attributes::new(process, spec.linux().as_ref())?;
    Ok(plan)
}

fn of_linux(linux: &Linux, plan: &mut Plan) -> Result<()> {
    refuse(linux)?;
    namespaces(linux, plan)?;
    user_namespace(linux, plan)?;
    time_offsets(linux, plan)?;
    devices(linux, plan)?;
    plan.masked_paths = linux.masked_paths().clone().unwrap_or_default();
    plan.readonly_paths = linux.readonly_paths().clone().unwrap_or_default();
    plan.mount_label = linux.mount_label().clone().filter(|l| !l.is_empty());
    let own = plan.own_namespaces();
    net_devices(linux, own, plan)?;
    for (key, value) in linux.sysctl().iter().flatten() {
        plan.sysctls.push(sysctl::plan(key, value, own)?);
    }
    if let Some(word) = linux
        .rootfs_propagation()
        .as_ref()
        .filter(|w| !w.is_empty())
    {
        let found = mount_options::propagation(word);
        plan.root_propagation = Some(found.ok_or_else(|| {
            Error::invalid(format!(
                "rootfsPropagation {word:?} is none of private, slave, shared, unbindable, or these with an r before"
            ))
        })?);
    }
    Ok(())
}

/// Fields that are not carried out.
fn refuse(linux: &Linux) -> Result<()> {
    if linux.intel_rdt().is_some() {
        return Err(Error::unsupported(
            "intelRdt: Silo sets no classes of cache and memory bandwidth: leave the field out",
        ));
    }
    Ok(())
}

/// Devices are moved by who makes the container; the namespace that they go to must not be the host's.
fn net_devices(linux: &Linux, own: u64, plan: &mut Plan) -> Result<()> {
    let first = linux.net_devices().iter().flatten().next();
    plan.net_devices = first.is_some();
    match first {
        Some((name, _)) if own & ns::NET == 0 => Err(Error::invalid(format!(
            "netDevices: device {name} needs a network namespace of the container's own to be moved to"
        ))),
        _ => Ok(()),
    }
}

/// Options of a new tmpfs that say how large it is and who may enter it: to a bind mount they mean nothing, and the kernel ignores
/// them there. Others may be words that were meant to protect.
const OF_NEW_ONES: [&str; 4] = ["mode", "size", "nr_inodes", "nr_blocks"];

impl MountStep {
    /// Drops what a bind mount does not have; what that was.
    fn drop_ignored(&mut self) -> Vec<Error> {
        if !matches!(self.what, MountWhat::Bind { .. }) {
            return Vec::new();
        }
        let data = std::mem::take(&mut self.options.data);
        data.into_iter()
            .map(|(key, value)| {
                let value = value.map_or_else(String::new, |value| format!("={value}"));
                Error::invalid(format!(
                    "mount at {}: option {key}{value} is not one of a bind mount: left out",
                    self.target
                ))
            })
            .collect()
    }

    /// What is mounted does not depend on what is there: neither on its mode nor on nodes to be put into it.
    pub(crate) fn stands_alone(&self) -> bool {
        let says_mode = self.options.data.iter().any(|(name, _)| name == "mode");
        let fills_later = self.options.is_read_only();
        match &self.what {
            MountWhat::New { kind, .. } => kind != "tmpfs" || (says_mode && !fills_later),
            _ => false,
        }
    }
}

impl Plan {
    /// Whether it is in a user namespace that is not the host's: there no device nodes can be made.
    pub(crate) fn is_bounded(&self) -> bool {
        self.user_namespace.is_some() || self.is_inside
    }

    pub(crate) fn joins_mounts(&self) -> bool {
        self.joined_namespaces
            .iter()
            .any(|join| join.0 == ns::MOUNT)
    }

    /// The namespaces that the container does not share with its maker by leaving them out.
    pub(crate) fn own_namespaces(&self) -> u64 {
        let user = if self.user_namespace.is_some() {
            ns::USER
        } else {
            0
        };
        let joined = self.joined_namespaces.iter().map(|join| join.0);
        joined.fold(self.new_namespaces | user, |all, one| all | one)
    }

    /// Recognizes what is named by the host's name of the root, as runc's callers may: destinations, and sources of binds, which
    /// are then the container's own, wherever they lead.
    pub(crate) fn find_own(&mut self, root: &Path) {
        if root == Path::new("/") {
            return;
        }
        for step in &mut self.mounts {
            if let Ok(inside) = Path::new(&step.target).strip_prefix(root) {
                step.target = Path::new("/").join(inside).to_string_lossy().into_owned();
            }
            if let MountWhat::Bind { source, recursive } = &step.what
                && let Ok(inside) = source.strip_prefix(root)
            {
                step.what = MountWhat::Own {
                    path: Path::new("/").join(inside).to_string_lossy().into_owned(),
                    recursive: *recursive,
                };
            }
        }
    }

    /// SELinux' context for the files of mounts that have none of their own; the kernel's own file systems go without.
    pub(crate) fn label_mounts(&mut self, label: &str) {
        for step in &mut self.mounts {
            if let MountWhat::New { kind, .. } = &step.what
                && !matches!(kind.as_str(), "proc" | "sysfs" | "mqueue")
            {
                let context = ("context".to_owned(), Some(label.to_owned()));
                step.options.data.push(context);
            }
        }
    }

    pub(crate) fn lacks_cgroup_namespace(&self) -> bool {
        self.own_namespaces() & ns::CGROUP == 0
    }

    /// In a user namespace and without one of control groups: its groups lie among the host's (2023-25809).
    pub(crate) fn only_sees_groups(&self) -> bool {
        self.user_namespace.is_some() && self.lacks_cgroup_namespace()
    }

    /// Those of the host are not for a user namespace (2023-25809): the kernel refuses, and says no more than that.
    pub(crate) fn explain_cgroups(&self, error: Error) -> Error {
        match self.only_sees_groups() {
            true => error.context(
                "in a user namespace control groups are seen in a cgroup namespace of the container's own alone",
            ),
            false => error,
        }
    }

    /// The first process cannot be cloned right into its namespaces: a user namespace must own the others, and the offsets of a
    /// time namespace are set before anybody is in it.
    pub(crate) fn needs_passage(&self) -> bool {
        self.user_namespace.is_some() || self.new_namespaces & ns::TIME != 0
    }
}

/// Refuses the number that stands for "no id": to become it means to stay who one is, setresuid(2), and that is root.
pub(crate) fn check_user(process: &Process) -> Result<()> {
    let user = process.user();
    let groups = user.additional_gids().iter().flatten();
    let named = [("user", user.uid()), ("group", user.gid())];
    let all = named.into_iter().chain(groups.map(|gid| ("group", *gid)));
    for (what, id) in all {
        if id == u32::MAX {
            return Err(Error::invalid(format!(
                "{what} {id} is out of range: numbers go from 0 to 4294967294"
            )));
        }
    }
    Ok(())
}

/// The resource limits of a process, by the kernel's numbers.
pub(crate) fn rlimits(process: &Process) -> Result<Vec<Rlimit>> {
    let limits: Vec<Rlimit> = process
        .rlimits()
        .iter()
        .flatten()
        .map(rlimit)
        .collect::<Result<_>>()?;
    for (at, limit) in limits.iter().enumerate() {
        if limits[..at].iter().any(|l| l.resource == limit.resource) {
            return Err(Error::invalid(format!(
                "ulimit {}: is given twice",
                limit.name
            )));
        }
    }
    Ok(limits)
}

fn namespaces(linux: &Linux, plan: &mut Plan) -> Result<()> {
    let mut seen = 0;
    for namespace in linux.namespaces().iter().flatten() {
        let flag = match namespace.typ() {
            LinuxNamespaceType::Mount => ns::MOUNT,
            LinuxNamespaceType::Cgroup => ns::CGROUP,
            LinuxNamespaceType::Uts => ns::UTS,
            LinuxNamespaceType::Ipc => ns::IPC,
            LinuxNamespaceType::Pid => ns::PID,
            LinuxNamespaceType::Network => ns::NET,
            LinuxNamespaceType::User => ns::USER,
            LinuxNamespaceType::Time => ns::TIME,
        };
        if seen & flag != 0 {
            return Err(Error::invalid(format!(
                "the {:?} namespace is given twice",
                namespace.typ()
            )));
        }
        seen |= flag;
        let path = namespace.path().as_ref();
        match path.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) if flag == ns::USER => {
                plan.user_namespace = Some(UserNamespace::Joined(path.clone()));
            }
            Some(path) => plan.joined_namespaces.push((flag, path.clone())),
            None if flag == ns::USER => {
                plan.user_namespace = Some(UserNamespace::New(IdMaps::default()));
            }
            None => plan.new_namespaces |= flag,
        }
    }
    Ok(())
}

fn user_namespace(linux: &Linux, plan: &mut Plan) -> Result<()> {
    fn list(maps: &Option<Vec<LinuxIdMapping>>) -> &[LinuxIdMapping] {
        maps.as_deref().unwrap_or_default()
    }
    let (uids, gids) = (list(linux.uid_mappings()), list(linux.gid_mappings()));
    match &mut plan.user_namespace {
        Some(UserNamespace::New(maps)) => *maps = IdMaps::new("user namespace", uids, gids)?,
        // It has its maps; those given tell engines what they are.
        Some(UserNamespace::Joined(_)) => {}
        None if uids.is_empty() && gids.is_empty() => {}
        None => {
            return Err(Error::invalid(
                "uidMappings and gidMappings need a user namespace of the container's own",
            ));
        }
    }
    Ok(())
}

fn time_offsets(linux: &Linux, plan: &mut Plan) -> Result<()> {
    let Some(offsets) = linux.time_offsets().as_ref().filter(|o| !o.is_empty()) else {
        return Ok(());
    };
    if plan.new_namespaces & ns::TIME == 0 {
        return Err(Error::invalid(
            "timeOffsets need a new time namespace: they cannot be changed in one that is joined",
        ));
    }
    let mut clocks: Vec<(&String, &LinuxTimeOffset)> = offsets.iter().collect();
    clocks.sort_by_key(|clock| clock.0);
    for (clock, offset) in clocks {
        let (secs, nanosecs) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::invalid(format!(
                "timeOffsets: {clock:?} is neither monotonic nor boottime: other clocks have no offset"
            )));
        }
        if nanosecs >= 1_000_000_000 {
            return Err(Error::invalid(format!(
                "timeOffsets: {nanosecs} nanoseconds of {clock} are a second or more"
            )));
        }
        plan.time_offsets += &format!("{clock} {secs} {nanosecs}\n");
    }
    Ok(())
}

fn devices(linux: &Linux, plan: &mut Plan) -> Result<()> {
    for (path, major, minor) in DEFAULT_DEVICES {
        plan.devices.push(DeviceNode {
            path: path.to_owned(),
            kind: LinuxDeviceType::C,
            major,
            minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
        });
    }
    for device in linux.devices().iter().flatten() {
        let path = device.path().to_string_lossy().into_owned();
        let good =
            path.starts_with('/') && !path.ends_with('/') && !path.split('/').any(|p| p == "..");
        if !good || device.typ() == LinuxDeviceType::A {
            return Err(Error::invalid(format!(
                "device {path:?}: needs an absolute path and a type"
            )));
        }
        plan.devices.retain(|known| known.path != path);
        let number = |value: i64| {
            u32::try_from(value)
                .map_err(|_| Error::invalid(format!("device {path}: bad device number {value}")))
        };
        plan.devices.push(DeviceNode {
            kind: device.typ(),
            major: number(device.major())?,
            minor: number(device.minor())?,
            mode: device.file_mode().unwrap_or(0o666),
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
            path,
        });
    }
    Ok(())
}

fn mount_step(mount: &Mount, plan: &Plan) -> Result<MountStep> {
    let mut target = mount.destination().to_string_lossy().into_owned();
    if target.is_empty() {
        return Err(Error::invalid("a mount has no destination"));
    }
    if !target.starts_with('/') {
        // For old tools it begins at the root (config.md, "Mounts", `destination`).
        target.insert(0, '/');
    }
    let words = mount.options().clone().unwrap_or_default();
    let options = mount_options::parse(&words, &target)?;
    let what = mount_what(mount, &target, &options)?;
    let id_map = id_map(mount, &target, &options, plan)?;
    let wrong = match &what {
        MountWhat::Bind { .. } if options.copy_up => Some("tmpcopyup is for tmpfs".to_owned()),
        MountWhat::Bind { .. } => options
            .data
            .iter()
            .find(|(key, _)| !OF_NEW_ONES.contains(&key.as_str()))
            .map(|(key, _)| format!("option {key} is not one of a bind mount")),
        _ if id_map.is_some() => Some("only bind mounts can be id-mapped".to_owned()),
        MountWhat::New { kind, .. } if kind != "tmpfs" && options.copy_up => {
            Some(format!("tmpcopyup is for tmpfs, not {kind}"))
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(Error::invalid(format!("mount at {target}: {wrong}")));
    }
    Ok(MountStep {
        target,
        what,
        options,
        id_map,
    })
}

fn mount_what(mount: &Mount, target: &str, options: &MountOptions) -> Result<MountWhat> {
    let kind = mount.typ().clone().unwrap_or_default();
    let source = mount.source().clone();
    if options.remount {
        Ok(MountWhat::Remount)
    } else if options.bind || kind == "bind" {
        Ok(MountWhat::Bind {
            source: source
                .ok_or_else(|| Error::invalid(format!("bind mount at {target} has no source")))?,
            recursive: options.bind_recursive,
        })
    } else if kind == "cgroup" || kind == "cgroup2" {
        Ok(MountWhat::Cgroup)
    } else if kind.is_empty() {
        Err(Error::invalid(format!("mount at {target} has no type")))
    } else {
        Ok(MountWhat::New {
            source: source.map_or_else(|| kind.clone(), |s| s.to_string_lossy().into_owned()),
            kind,
        })
    }
}

/// Maps given are used, with or without the word; the word without maps means those of the container (config.md, "Mounts").
fn id_map(
    mount: &Mount,
    target: &str,
    options: &MountOptions,
    plan: &Plan,
) -> Result<Option<MountMaps>> {
    let list = |maps: &Option<Vec<LinuxIdMapping>>| maps.clone().unwrap_or_default();
    let (uids, gids) = (list(mount.uid_mappings()), list(mount.gid_mappings()));
    if !uids.is_empty() || !gids.is_empty() {
        let maps = IdMaps::new(&format!("mount at {target}"), &uids, &gids)?;
        return Ok(Some(MountMaps::Own(maps)));
    }
    match (options.id_map, &plan.user_namespace) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Ok(Some(MountMaps::OfContainer)),
        (Some(_), None) => Err(Error::invalid(format!(
            "mount at {target}: an id-mapped mount needs uidMappings and gidMappings, or a user namespace of the container's own"
        ))),
    }
}

fn rlimit(limit: &PosixRlimit) -> Result<Rlimit> {
    use PosixRlimitType as T;
    let (resource, name) = match limit.typ() {
        T::RlimitCpu => (0, "cpu"),
        T::RlimitFsize => (1, "fsize"),
        T::RlimitData => (2, "data"),
        T::RlimitStack => (3, "stack"),
        T::RlimitCore => (4, "core"),
        T::RlimitRss => (5, "rss"),
        T::RlimitNproc => (6, "nproc"),
        T::RlimitNofile => (7, "nofile"),
        T::RlimitMemlock => (8, "memlock"),
        T::RlimitAs => (9, "as"),
        T::RlimitLocks => (10, "locks"),
        T::RlimitSigpending => (11, "sigpending"),
        T::RlimitMsgqueue => (12, "msgqueue"),
        T::RlimitNice => (13, "nice"),
        T::RlimitRtprio => (14, "rtprio"),
        T::RlimitRttime => (15, "rttime"),
    };
    if limit.soft() > limit.hard() {
        return Err(Error::invalid(format!(
            "ulimit {name}: the soft limit {} is above the hard limit {}",
            limit.soft(),
            limit.hard()
        )));
    }
    Ok(Rlimit {
        name: name.to_owned(),
        resource,
        soft: limit.soft(),
        hard: limit.hard(),
    })
}

#[cfg(test)]
mod tests;
