//! Which control group hierarchies this host has, where they are mounted, and what each of them controls.
//!
//! Called once by every command that touches a cgroup. Nothing here depends on where distributions mount things: the
//! kernel's mount table says it (cgroups(7), proc_pid_mountinfo(5)).

use crate::file;
use crate::path::CgroupPath;
use rustix::fs::{stat, statfs};
use rustix::io::Errno;
use silo_types::{Doing, Error, Result};
use std::fmt;
use std::sync::Arc;

/// A resource controller, by its purpose; [`Controller::v1_name`] and [`Controller::v2_name`] are the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Controller {
    Cpu,
    /// v1 only: in v2 the `cpu` controller accounts as well.
    Cpuacct,
    Cpuset,
    Memory,
    /// `blkio` on v1.
    Io,
    Pids,
    /// v1 only: in v2 a BPF program does it.
    Devices,
    /// v1 only: in v2 every group can be frozen.
    Freezer,
    Hugetlb,
    NetCls,
    NetPrio,
    PerfEvent,
    Rdma,
    Misc,
}

/// Controller, name on v1, name on v2; "" where the version lacks it.
const NAMES: [(Controller, &str, &str); 14] = [
    (Controller::Cpu, "cpu", "cpu"),
    (Controller::Cpuacct, "cpuacct", ""),
    (Controller::Cpuset, "cpuset", "cpuset"),
    (Controller::Memory, "memory", "memory"),
    (Controller::Io, "blkio", "io"),
    (Controller::Pids, "pids", "pids"),
    (Controller::Devices, "devices", ""),
    (Controller::Freezer, "freezer", ""),
    (Controller::Hugetlb, "hugetlb", "hugetlb"),
    (Controller::NetCls, "net_cls", ""),
    (Controller::NetPrio, "net_prio", ""),
    (Controller::PerfEvent, "perf_event", ""),
    (Controller::Rdma, "rdma", "rdma"),
    (Controller::Misc, "misc", "misc"),
];

impl Controller {
    fn names(self) -> (&'static str, &'static str) {
        let (_, v1, v2) = NAMES[self as usize];
        (v1, v2)
    }

    /// The kernel's name in a v1 hierarchy; never empty.
    pub fn v1_name(self) -> &'static str {
        self.names().0
    }

    /// The kernel's name in the v2 hierarchy; empty when v2 has no such controller.
    pub fn v2_name(self) -> &'static str {
        self.names().1
    }
}

/// A set of controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Controllers(u16);

impl Controllers {
    pub const NONE: Controllers = Controllers(0);

    pub const fn of(list: &[Controller]) -> Controllers {
        let mut bits = 0;
        let mut at = 0;
        while at < list.len() {
            bits |= 1 << list[at] as u16;
            at += 1;
        }
        Controllers(bits)
    }

    pub fn contains(self, one: Controller) -> bool {
        self.0 & (1 << one as u16) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn with(self, one: Controller) -> Controllers {
        Controllers(self.0 | (1 << one as u16))
    }

    /// What is in `self` but not in `other`.
    #[must_use]
    pub fn without(self, other: Controllers) -> Controllers {
        Controllers(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Controllers) -> Controllers {
        Controllers(self.0 & other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Controller> {
        NAMES
            .iter()
            .map(|(one, ..)| *one)
            .filter(move |one| self.contains(*one))
    }

    /// The controllers that v2 knows among these space-separated names (`cgroup.controllers`); unknown names are left out.
    pub fn from_v2_names(text: &str) -> Controllers {
        text.split_ascii_whitespace()
            .filter_map(|word| NAMES.iter().find(|(_, _, v2)| *v2 == word))
            .fold(Controllers::NONE, |set, (one, ..)| set.with(*one))
    }
}

/// The two interfaces of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// What kind of host it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only v1 hierarchies.
    V1,
    /// v1 hierarchies, and the v2 one beside them.
    Hybrid,
    /// Only the v2 hierarchy.
    V2,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub version: Version,
    /// v1: what is mounted together here. v2: what `cgroup.controllers` at the mount point offers.
    pub controllers: Controllers,
    /// A v1 hierarchy's name (`systemd`), if it has one.
    pub name: Option<String>,
    /// Where it is mounted.
    pub point: String,
    /// Which group of the hierarchy the mount point shows: `/` but inside containers without a cgroup namespace.
    pub root: String,
}

impl Hierarchy {
    /// How people call it: `memory`, `cpu,cpuacct`, `name=systemd`, `unified`.
    pub fn label(&self) -> String {
        match (self.version, &self.name) {
            (Version::V2, _) => "unified".to_owned(),
            (Version::V1, Some(name)) => format!("name={name}"),
            (Version::V1, None) => {
                let names: Vec<_> = self.controllers.iter().map(Controller::v1_name).collect();
                names.join(",")
            }
        }
    }

    /// The directory of the group at `path` in this hierarchy.
    pub(crate) fn dir(&self, path: &str) -> String {
        let mut dir = String::with_capacity(self.point.len() + path.len() + 32);
        dir.push_str(&self.point);
        dir.push_str(path);
        dir
    }

    /// The same group as the mount point shows it: without `root`. `None` when it lies outside of what is mounted.
    fn below_mount<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.root == "/" {
            return Some(path);
        }
        let rest = path.strip_prefix(self.root.as_str())?;
        match rest {
            "" => Some("/"),
            rest if rest.starts_with('/') => Some(rest),
            _ => None,
        }
    }

    fn is_same(&self, other: &Hierarchy) -> bool {
        self.version == other.version
            && self.name == other.name
            && (self.version == Version::V2 || self.controllers == other.controllers)
    }

    fn is_better_than(&self, other: &Hierarchy) -> bool {
        let rank = |h: &Hierarchy| (h.root == "/", h.point.starts_with("/sys/fs/cgroup"));
        rank(self) > rank(other)
    }
}

/// All hierarchies of the host. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    hierarchies: Arc<[Hierarchy]>,
}

impl Layout {
    /// Finds the hierarchies: if all of v2 is where everybody mounts it, that is all, and a look there costs a tenth of the
    /// mount table; else by [`Layout::from_mounts`].
    pub fn detect() -> Result<Layout> {
        if is_whole_v2(USUAL_V2) {
            return Layout::with_v2_controllers(vec![Hierarchy {
                version: Version::V2,
                controllers: Controllers::NONE,
                name: None,
                point: USUAL_V2.to_owned(),
                root: "/".to_owned(),
            }]);
        }
        Layout::from_mounts()
    }

    /// Reads `/proc/self/mountinfo`, which is right wherever they are mounted, and where v2 is, its `cgroup.controllers`.
    pub fn from_mounts() -> Result<Layout> {
        let mountinfo = file::read("/proc/self/mountinfo").doing("read /proc/self/mountinfo")?;
        Layout::with_v2_controllers(parse_mountinfo(&mountinfo))
    }

    fn with_v2_controllers(mut hierarchies: Vec<Hierarchy>) -> Result<Layout> {
        for one in hierarchies.iter_mut().filter(|h| h.version == Version::V2) {
            let path = format!("{}/cgroup.controllers", one.point);
            match file::read(&path) {
                Ok(names) => one.controllers = Controllers::from_v2_names(&names),
                // The mount table also has what a later mount lies over.
                Err(Errno::NOENT) => one.point.clear(),
                Err(errno) => return Err(errno).doing_with(|| format!("read {path}")),
            }
        }
        hierarchies.retain(|one| !one.point.is_empty());
        Layout::check(hierarchies)
    }

    /// The same from texts: a mount table, and the `cgroup.controllers` of the v2 mount ("" when there is none).
    pub fn from_texts(mountinfo: &str, v2_controllers: &str) -> Result<Layout> {
        let mut hierarchies = parse_mountinfo(mountinfo);
        for one in hierarchies.iter_mut().filter(|h| h.version == Version::V2) {
            one.controllers = Controllers::from_v2_names(v2_controllers);
        }
        Layout::check(hierarchies)
    }

    fn check(hierarchies: Vec<Hierarchy>) -> Result<Layout> {
        if hierarchies.is_empty() {
            return Err(Error::unsupported(
                "no control group hierarchy is mounted: mount one, such as 'mount -t cgroup2 none /sys/fs/cgroup'",
            ));
        }
        Ok(Layout {
            hierarchies: hierarchies.into(),
        })
    }

    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    pub fn mode(&self) -> Mode {
        let v2 = self.unified().is_some();
        let v1 = self.hierarchies.iter().any(|h| h.version == Version::V1);
        match (v1, v2) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::V1,
            (false, _) => Mode::V2,
        }
    }

    /// The v2 hierarchy's place in [`Layout::hierarchies`], if it is mounted.
    pub fn unified(&self) -> Option<usize> {
        self.hierarchies
            .iter()
            .position(|h| h.version == Version::V2)
    }

    /// Which hierarchy controls `what`: a v1 mount, else the v2 one when it offers the controller.
    pub fn place(&self, what: Controller) -> Option<usize> {
        self.hierarchies
            .iter()
            .position(|h| h.controllers.contains(what))
    }

    pub(crate) fn version(&self, place: usize) -> Version {
        self.hierarchies[place].version
    }

    /// Where a process is, from the text of its `/proc/PID/cgroup`: for each hierarchy the group's path as seen below the
    /// mount point, `None` where it lies outside of what is mounted. Same order as [`Layout::hierarchies`].
    pub fn paths_of(&self, proc_cgroup: &str) -> Vec<Option<String>> {
        self.hierarchies
            .iter()
            .map(|hierarchy| {
                let line = proc_cgroup.lines().find_map(|line| {
                    let mut fields = line.splitn(3, ':');
                    let (id, names, path) = (fields.next()?, fields.next()?, fields.next()?);
                    names_match(hierarchy, id, names).then_some(path)
                })?;
                hierarchy.below_mount(line).map(str::to_owned)
            })
            .collect()
    }

    /// The layout on a few lines, to be kept in a file: see [`Layout::from_text`].
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for h in self.hierarchies.iter() {
            let version = match h.version {
                Version::V1 => "v1",
                Version::V2 => "v2",
            };
            let name = h.name.as_deref().unwrap_or("-");
            let fields = [
                version.to_owned(),
                h.controllers.0.to_string(),
                escape(name),
                escape(&h.root),
                escape(&h.point),
            ];
            text.push_str(&fields.join(" "));
            text.push('\n');
        }
        text
    }

    /// Reads back what [`Layout::to_text`] wrote; the caller decides how long it holds (mounts change only at boot, or by
    /// an administrator's hand).
    pub fn from_text(text: &str) -> Result<Layout> {
        let parse = |line: &str| -> Option<Hierarchy> {
            let mut fields = line.split(' ');
            let version = match fields.next()? {
                "v1" => Version::V1,
                "v2" => Version::V2,
                _ => return None,
            };
            Some(Hierarchy {
                version,
                controllers: Controllers(fields.next()?.parse().ok()?),
                name: Some(unescape(fields.next()?)).filter(|name| name != "-"),
                root: unescape(fields.next()?),
                point: unescape(fields.next()?),
            })
        };
        let hierarchies: Option<Vec<_>> = text.lines().map(parse).collect();
        match hierarchies {
            Some(list) => Layout::check(list),
            None => Err(Error::internal("the saved control group layout is damaged")),
        }
    }

    /// The directory of `path` in hierarchy `place`.
    pub(crate) fn dir(&self, place: usize, path: &CgroupPath) -> String {
        self.hierarchies[place].dir(path.as_str())
    }
}

impl fmt::Display for Layout {
    /// One line for `silo info` and `silo doctor`: `hybrid: memory cpu … unified(hugetlb)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.mode() {
            Mode::V1 => "v1:",
            Mode::Hybrid => "hybrid:",
            Mode::V2 => "v2:",
        })?;
        for h in self.hierarchies.iter() {
            write!(f, " {}", h.label())?;
            if h.version == Version::V2 {
                let names: Vec<_> = h.controllers.iter().map(Controller::v2_name).collect();
                write!(f, "({})", names.join(","))?;
            }
        }
        Ok(())
    }
}

const USUAL_V2: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC` (linux/magic.h).
const V2_MAGIC: u64 = 0x6367_7270;

/// Is v2 mounted at `point`, and all of it? kernfs gives inode 1 to its topmost directory only: what a container or a
/// control group namespace shows begins with another.
fn is_whole_v2(point: &str) -> bool {
    statfs(point).is_ok_and(|fs| fs.f_type as u64 == V2_MAGIC)
        && stat(point).is_ok_and(|top| top.st_ino == 1)
}

fn names_match(hierarchy: &Hierarchy, id: &str, names: &str) -> bool {
    match (hierarchy.version, &hierarchy.name) {
        (Version::V2, _) => id == "0" && names.is_empty(),
        (Version::V1, Some(name)) => names
            .split(',')
            .any(|word| word.strip_prefix("name=") == Some(name)),
        (Version::V1, None) => hierarchy
            .controllers
            .iter()
            .next()
            .is_some_and(|one| names.split(',').any(|word| word == one.v1_name())),
    }
}

/// The cgroup mounts of a mount table; of a hierarchy that is mounted more than once the best mount is taken (whole
/// hierarchy before a part of it, below /sys/fs/cgroup before elsewhere).
fn parse_mountinfo(text: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::with_capacity(12);
    for hierarchy in text.lines().filter_map(parse_mount) {
        match found.iter_mut().find(|known| known.is_same(&hierarchy)) {
            Some(known) if hierarchy.is_better_than(known) => *known = hierarchy,
            Some(_) => {}
            None => found.push(hierarchy),
        }
    }
    found
}

/// Controllers and name of a v1 hierarchy among comma-separated words; `None` for none that is known.
fn v1_names(words: &str) -> Option<(Controllers, Option<String>)> {
    let mut controllers = Controllers::NONE;
    let mut name = None;
    for word in words.split(',') {
        if let Some(text) = word.strip_prefix("name=") {
            name = Some(text.to_owned());
        } else if let Some((one, ..)) = NAMES.iter().find(|(_, v1, _)| *v1 == word) {
            controllers = controllers.with(*one);
        }
    }
    (name.is_some() || !controllers.is_empty()).then_some((controllers, name))
}

/// One line of mountinfo: `ID PARENT DEV ROOT POINT OPTIONS [FIELDS] - TYPE SOURCE SUPER-OPTIONS`.
fn parse_mount(line: &str) -> Option<Hierarchy> {
    let (mount, super_block) = line.split_once(" - ")?;
    let mut tail = super_block.split(' ');
    let version = match tail.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options = tail.nth(1)?;
    let mut head = mount.split(' ').skip(3);
    let (root, point) = (unescape(head.next()?), unescape(head.next()?));
    let (controllers, name) = match version {
        Version::V1 => v1_names(options)?,
        Version::V2 => (Controllers::NONE, None),
    };
    Some(Hierarchy {
        version,
        controllers,
        name,
        point,
        root,
    })
}

/// mountinfo writes space, tab, newline and backslash as `\ooo`.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 4);
        match digits.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                out.push(byte.into());
                rest = &rest[at + 4..];
            }
            _ => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\134")
        .replace(' ', "\\040")
        .replace('\t', "\\011")
        .replace('\n', "\\012")
}
