//! One control group in all hierarchies: making it, entering it, changing its limits.
//!
//! Called by the runtime (create, enter), the engine (update, pause) and the monitor. Statistics, events and teardown are in
//! files of their own.

use crate::devices;
use crate::file;
use crate::layout::{Layout, Version};
use crate::limits;
use crate::make;
use crate::path::CgroupPath;
use oci_spec::runtime::{LinuxCpu, LinuxResources};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use silo_types::{Doing, Error, Result};
use std::fs;
use std::os::fd::OwnedFd;

/// What to do about a group that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is an error: for names that Silo made up itself.
    Refuse,
    /// Take it over with the limits that it has: for an orchestrator that prepares groups.
    Adopt,
    /// The same for one that a service manager made, whose are the groups above: nothing is changed there.
    Managed,
}

/// A control group, by its directory in each hierarchy. Holds no descriptor.
#[derive(Clone, Debug)]
pub struct Cgroup {
    pub(crate) layout: Layout,
    path: CgroupPath,
    /// One per hierarchy, in the layout's order.
    pub(crate) dirs: Vec<String>,
}

impl Cgroup {
    /// Names the group at `path`; touches nothing.
    pub fn at(layout: &Layout, path: &CgroupPath) -> Cgroup {
        let dirs = layout
            .hierarchies()
            .iter()
            .map(|hierarchy| hierarchy.dir(path.as_str()))
            .collect();
        Cgroup {
            layout: layout.clone(),
            path: path.clone(),
            dirs,
        }
    }

    /// Makes the group in every hierarchy and sets its limits and devices. When it fails, nothing is left at `path`
    /// (parents stay).
    ///
    /// # Errors
    /// `Unsupported` for a limit that the host cannot enforce, or without permission; `Conflict` when the group exists;
    /// `Invalid` for impossible values.
    pub fn create(
        layout: &Layout,
        path: &CgroupPath,
        resources: &LinuxResources,
        existing: Existing,
    ) -> Result<Cgroup> {
        let steps = limits::plan(layout, resources)?;
        let rules = devices::Rules::new(resources.devices().as_deref().unwrap_or(&[]))?;
        let group = Cgroup::at(layout, path);
        let required = limits::v2_controllers(layout, &steps);
        make::make(layout, path, &group.dirs, required, existing)?;
        let outcome = limits::apply(&group.dirs, &steps, existing != Existing::Refuse)
            .and_then(|()| devices::apply(&group, &rules));
        match outcome {
            Ok(()) => Ok(group),
            Err(error) => {
                if existing == Existing::Refuse {
                    make::unmake(&group.dirs);
                }
                Err(error.context(format!("cgroup {path}")))
            }
        }
    }

    /// The same groups, but a group `below` this one in hierarchy `place`, or in all; touches nothing.
    pub fn below(&self, place: Option<usize>, below: &str) -> Result<Cgroup> {
        let path = CgroupPath::new(&format!("{}/{below}", self.path))?;
        let mut group = self.clone();
        for (at, dir) in group.dirs.iter_mut().enumerate() {
            if place.is_none_or(|place| place == at) {
                *dir = self.layout.dir(at, &path);
            }
        }
        if place.is_none() {
            group.path = path;
        }
        Ok(group)
    }

    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the group exists in any hierarchy.
    pub fn exists(&self) -> bool {
        self.dirs.iter().any(|dir| fs::metadata(dir).is_ok())
    }

    /// The directories, one for each hierarchy of the layout.
    pub fn dirs(&self) -> &[String] {
        &self.dirs
    }

    /// Whether the caller may write where the group is or would be made.
    pub fn can_be_made(&self) -> bool {
        let nearest = |dir: &String| {
            let mut dir = dir.as_str();
            while fs::metadata(dir).is_err() {
                dir = dir.rsplit_once('/')?.0;
            }
            Some(dir.to_owned())
        };
        self.dirs
            .iter()
            .filter_map(nearest)
            .all(|dir| rustix::fs::access(dir.as_str(), rustix::fs::Access::WRITE_OK).is_ok())
    }

    /// The directory in hierarchy `place` of the layout.
    pub fn dir(&self, place: usize) -> &str {
        &self.dirs[place]
    }

    /// Moves process `pid`, with all its threads, into the group.
    ///
    /// Slow: on an idle machine the kernel waits 5 to 20 ms for all processors before it moves another process
    /// (cgroup_threadgroup_rwsem). A process that Silo starts goes in by [`Cgroup::entry`] instead.
    pub fn attach(&self, pid: i32) -> Result<()> {
        let text = pid.to_string();
        for dir in &self.dirs {
            file::write(&format!("{dir}/cgroup.procs"), &text)
                .map_err(|errno| self.entering(dir, &format!("process {pid}"), errno))?;
        }
        Ok(())
    }

    /// Opens the way in for a child that will move itself: see [`Entry`].
    ///
    /// `with_unified` is for a child that was not cloned into the v2 group with [`Cgroup::open_dir_fd`].
    pub fn entry(&self, with_unified: bool) -> Result<Entry> {
        let mut files = Vec::with_capacity(self.dirs.len());
        for (hierarchy, dir) in self.layout.hierarchies().iter().zip(&self.dirs) {
            let name = match hierarchy.version {
                Version::V1 => "tasks",
                Version::V2 if with_unified => "cgroup.procs",
                Version::V2 => continue,
            };
            let path = format!("{dir}/{name}");
            let file = file::open_write(&path)
                .map_err(|errno| self.entering(dir, "this process", errno))?;
            files.push(file);
        }
        Ok(Entry { files })
    }

    /// Moves the calling process into the group. It must have one thread.
    pub fn join_self(&self) -> Result<()> {
        self.entry(true)?
            .enter()
            .map_err(|errno| self.entering(self.path.as_str(), "this process", errno))
    }

    /// The v2 directory, for clone3(2) with `CLONE_INTO_CGROUP`; `None` on a host without v2.
    pub fn open_dir_fd(&self) -> Result<Option<OwnedFd>> {
        let Some(place) = self.layout.unified() else {
            return Ok(None);
        };
        let dir = &self.dirs[place];
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(dir, flags, Mode::empty())
            .doing_with(|| format!("open cgroup {dir}"))
            .map(Some)
    }

    /// Checks that a process is in this group in every hierarchy, by the text of its `/proc/PID/cgroup`.
    ///
    /// # Errors
    /// `Internal`, with the hierarchy and the group where the process is instead.
    pub fn confirm(&self, proc_cgroup: &str) -> Result<()> {
        let found = self.layout.paths_of(proc_cgroup);
        for (hierarchy, found) in self.layout.hierarchies().iter().zip(found) {
            if found.as_deref() != Some(self.path.as_str()) {
                return Err(Error::internal(format!(
                    "the process is in group {} of the {} hierarchy, and not in {}",
                    found.as_deref().unwrap_or("(unseen)"),
                    hierarchy.label(),
                    self.path
                )));
            }
        }
        Ok(())
    }

    /// Changes the limits of a group in use; what is not given stays. After a failure the former limits hold again.
    ///
    /// # Errors
    /// As [`Cgroup::create`]; `Conflict` for a limit below what is in use (v2 with `checkBeforeUpdate`: v2 itself would
    /// kill to reach it).
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        let resources = self.completed(resources)?;
        self.check_before_update(&resources)?;
        let steps = limits::plan(&self.layout, &resources)?;
        let rules = match resources.devices() {
            Some(rules) => Some(devices::Rules::new(rules)?),
            None => None,
        };
        limits::apply(&self.dirs, &steps, true)
            .and_then(|()| match rules {
                Some(rules) => devices::apply(self, &rules),
                None => Ok(()),
            })
            .map_err(|error| error.context(format!("cgroup {}", self.path)))
    }

    /// v2 has quota and period in one file: a new period alone takes along the quota in force.
    fn completed(&self, resources: &LinuxResources) -> Result<LinuxResources> {
        let mut resources = resources.clone();
        let place = self.layout.place(crate::layout::Controller::Cpu);
        let Some(place) = place.filter(|place| self.layout.version(*place) == Version::V2) else {
            return Ok(resources);
        };
        let is_set = |cpu: &LinuxCpu| cpu.quota().is_some_and(|quota| quota != 0);
        if let Some(cpu) = resources.cpu_mut()
            && cpu.period().is_some()
            && !is_set(cpu)
        {
            let path = format!("{}/cpu.max", self.dirs[place]);
            let now = file::read(&path).doing_with(|| format!("read {path}"))?;
            let quota = now.split(' ').next().and_then(|word| word.parse().ok());
            cpu.set_quota(Some(quota.unwrap_or(-1)));
        }
        Ok(resources)
    }

    /// The period of the CPU quota, in microseconds.
    pub(crate) fn period(&self) -> u64 {
        let place = self.layout.place(crate::layout::Controller::Cpu);
        let read = |place: usize| {
            let (file, word) = match self.layout.version(place) {
                Version::V1 => ("cpu.cfs_period_us", 0),
                Version::V2 => ("cpu.max", 1),
            };
            let text = file::read(&format!("{}/{file}", self.dirs[place])).ok()?;
            text.split_ascii_whitespace().nth(word)?.parse().ok()
        };
        // The kernel's default.
        place.and_then(read).unwrap_or(100_000)
    }

    fn check_before_update(&self, resources: &LinuxResources) -> Result<()> {
        let Some(memory) = resources.memory() else {
            return Ok(());
        };
        let (Some(true), Some(limit)) = (memory.check_before_update(), memory.limit()) else {
            return Ok(());
        };
        let Some(place) = self.layout.place(crate::layout::Controller::Memory) else {
            return Ok(());
        };
        // v1 itself refuses what it cannot reach.
        if self.layout.version(place) == Version::V1 {
            return Ok(());
        }
        let read = |name| {
            let path = format!("{}/{name}", self.dirs[place]);
            file::read(&path).doing_with(|| format!("read {path}"))
        };
        let now = crate::parse::number(read("memory.current")?.as_bytes()).unwrap_or(0);
        let now = now.saturating_sub(crate::parse::droppable(read("memory.stat")?.as_bytes()));
        if limit > 0 && now > limit as u64 {
            return Err(Error::conflict(format!(
                "memory limit: {limit} is below what is in use, {now} bytes: free some, or choose a higher limit"
            )));
        }
        Ok(())
    }

    fn entering(&self, dir: &str, who: &str, errno: Errno) -> Error {
        match errno {
            Errno::NOENT | Errno::NODEV => Error::not_found(format!("cgroup {dir} does not exist")),
            Errno::SRCH => Error::not_found(format!("{who} is gone")),
            Errno::BUSY => Error::conflict(format!(
                "{who} cannot enter cgroup {dir}: it hands its controllers on to groups below it"
            )),
            errno => Error::system(format!("move {who} into cgroup {dir}"), errno),
        }
    }
}

/// The open doors of a group, for a process with one thread to walk through.
///
/// A thread that writes 0 to a v1 `tasks` file moves itself, and then the kernel need not stop the forks of the whole
/// machine, which is what makes [`Cgroup::attach`] slow. The permission was checked at open: it works after the child has
/// changed its user or its mounts.
#[derive(Debug)]
pub struct Entry {
    files: Vec<OwnedFd>,
}

impl Entry {
    /// Moves the caller. Allocates nothing: fit for a child between clone and exec.
    pub fn enter(&self) -> Result<(), Errno> {
        for file in &self.files {
            file::write_fd(file, "0")?;
        }
        Ok(())
    }
}
