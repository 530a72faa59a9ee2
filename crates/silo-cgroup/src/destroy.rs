//! Taking groups away: freeze, kill, remove, and finding those that a crash left.
//!
//! Called by `stop`, `rm`, `pause`, the undo list and `silo doctor`. Removal goes on past errors and returns them all.

use crate::cgroup::Cgroup;
use crate::file;
use crate::layout::{Controller, Layout, Version};
use crate::path::CgroupPath;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use silo_types::{Doing, Error, Result};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a freeze may take before it is given up.
const FREEZE: Duration = Duration::from_secs(2);
/// How long a killed process may take to leave its group.
const LEAVE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Stops all processes of the group, and returns when they stand.
    ///
    /// # Errors
    /// `Unsupported` without a freezer; `System` when they do not stand after 2 s (then they run again).
    pub fn freeze(&self) -> Result<()> {
        match self.freezer()? {
            (Version::V1, file) => self.freeze_v1(&file),
            (Version::V2, file) => self.switch_v2(&file, true),
        }
    }

    /// Lets them run again.
    pub fn thaw(&self) -> Result<()> {
        match self.freezer()? {
            (Version::V1, file) => {
                file::write(&file, "THAWED").doing_with(|| format!("thaw cgroup {}", self.path()))
            }
            (Version::V2, file) => self.switch_v2(&file, false),
        }
    }

    /// Whether the group is frozen, or on the way there.
    pub fn is_frozen(&self) -> Result<bool> {
        let (version, file) = self.freezer()?;
        let text = file::read(&file).doing_with(|| format!("read {file}"))?;
        Ok(match version {
            Version::V1 => text.trim() != "THAWED",
            Version::V2 => text.trim() == "1",
        })
    }

    fn freezer(&self) -> Result<(Version, String)> {
        if let Some(place) = self.layout.place(Controller::Freezer) {
            return Ok((Version::V1, format!("{}/freezer.state", self.dirs[place])));
        }
        match self.layout.unified() {
            Some(place) => Ok((Version::V2, format!("{}/cgroup.freeze", self.dirs[place]))),
            None => Err(Error::unsupported(
                "pause: this host has no freezer controller: mount it, or use control groups v2",
            )),
        }
    }

    fn freeze_v1(&self, file: &str) -> Result<()> {
        let doing = || format!("freeze cgroup {}", self.path());
        let end = Instant::now() + FREEZE;
        let mut round = 0;
        while Instant::now() < end {
            // A process that was forked meanwhile is frozen only by another write
            file::write(file, "FROZEN").doing_with(doing)?;
            if file::read(file).doing_with(doing)?.trim() == "FROZEN" {
                return Ok(());
            }
            round += 1;
            if round % 50 == 0 {
                // Two processes that wait for each other (vfork, ptrace) need a moment's run
                file::write(file, "THAWED").doing_with(doing)?;
            }
            sleep(Duration::from_micros(100 * round.min(50)));
        }
        // The failure is what is told; processes that half stand help nobody
        let _ = file::write(file, "THAWED");
        Err(Error::system(doing(), Errno::TIMEDOUT))
    }

    fn switch_v2(&self, file: &str, on: bool) -> Result<()> {
        let doing = || {
            let verb = if on { "freeze" } else { "thaw" };
            format!("{verb} cgroup {}", self.path())
        };
        let dir = file.trim_end_matches("/cgroup.freeze");
        let events = file::open_read(&format!("{dir}/cgroup.events")).doing_with(doing)?;
        file::write(file, if on { "1" } else { "0" }).doing_with(doing)?;
        let end = Instant::now() + FREEZE;
        loop {
            let text = file::reread_text(&events).doing_with(doing)?;
            if crate::parse::flat_value(text.as_bytes(), "frozen") == Some(u64::from(on)) {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if on {
                    let _ = file::write(file, "0");
                }
                return Err(Error::system(doing(), Errno::TIMEDOUT));
            }
            wait(&events, PollFlags::PRI, left);
        }
    }

    /// The processes in the group and in all groups below it, ascending. Empty when the group is gone.
    ///
    /// A process can sit in different groups below in each hierarchy; every hierarchy that tracks processes is asked only
    /// when `everywhere` is set, else one.
    pub fn procs(&self, everywhere: bool) -> Result<Vec<i32>> {
        let mut pids = BTreeSet::new();
        let places: Vec<usize> = match everywhere {
            true => (0..self.dirs.len()).collect(),
            false => vec![self.main_place()],
        };
        for place in places {
            collect(&self.dirs[place], &mut pids)?;
        }
        Ok(pids.into_iter().collect())
    }

    /// The hierarchy that is asked for processes.
    fn main_place(&self) -> usize {
        [Controller::Pids, Controller::Freezer, Controller::Memory]
            .into_iter()
            .find_map(|one| self.layout.place(one))
            .or(self.layout.unified())
            .unwrap_or(0)
    }

    /// Kills every process of the group with SIGKILL, forks in flight too, and returns when all have left it.
    ///
    /// # Errors
    /// `System` when one is still there after 10 s (it hangs in the kernel).
    pub fn kill_all(&self) -> Result<()> {
        let end = Instant::now() + LEAVE;
        self.kill_v2()?;
        for round in 0.. {
            let pids = self.procs(true)?;
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                let doing = format!("kill the processes {pids:?} of cgroup {}", self.path());
                return Err(Error::system(doing, Errno::TIMEDOUT));
            }
            // Forks faster than the list is read: make it stand still; the signals arrive when it runs again
            let stands = round >= 2 && self.freeze().is_ok();
            let targets = match stands {
                true => self.hold(&self.procs(true)?)?,
                false => self.hold(&pids)?,
            };
            for (pid, target) in &targets {
                match pidfd_send_signal(target, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(Error::system(format!("kill process {pid}"), errno)),
                }
            }
            if stands || self.is_frozen().unwrap_or(false) {
                self.thaw()?;
            }
            match targets.first() {
                Some((_, target)) => wait(target, PollFlags::IN, Duration::from_millis(50)),
                None => sleep(Duration::from_micros(200)),
            }
        }
        Ok(())
    }

    /// Writes `cgroup.kill` (Linux 5.14), for the whole tree at once, where there is such a file.
    fn kill_v2(&self) -> Result<()> {
        let Some(place) = self.layout.unified() else {
            return Ok(());
        };
        let file = format!("{}/cgroup.kill", self.dirs[place]);
        match file::write(&file, "1") {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(Error::system(format!("write 1 to {file}"), errno)),
        }
    }

    /// Pidfds of those of `pids` that are in the group after the pidfd was opened: a number that was given to another
    /// process in between is not among them.
    fn hold(&self, pids: &[i32]) -> Result<Vec<(i32, OwnedFd)>> {
        let mut held = Vec::with_capacity(pids.len());
        for number in pids {
            let pid = Pid::from_raw(*number);
            if let Some(Ok(fd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                held.push((*number, fd));
            }
        }
        let still = self.procs(true)?;
        held.retain(|(number, _)| still.binary_search(number).is_ok());
        Ok(held)
    }

    /// Kills every process of the group and removes it from every hierarchy, with all groups below it.
    ///
    /// The kernel removes no group that has processes or groups in it: where nothing is left, which is usual, asking it to is
    /// the whole work.
    ///
    /// # Errors
    /// All that were met; empty when nothing is left.
    pub fn raze(&self) -> Vec<Error> {
        let is_gone =
            |dir: &String| matches!(rustix::fs::rmdir(dir.as_str()), Ok(()) | Err(Errno::NOENT));
        // Each is asked, though one has said no.
        if self.dirs.iter().filter(|dir| !is_gone(dir)).count() == 0 {
            return Vec::new();
        }
        let mut errors: Vec<Error> = self.kill_all().err().into_iter().collect();
        errors.extend(self.destroy());
        errors
    }

    /// Removes the group and all groups below it from every hierarchy. Not there is as good as removed.
    ///
    /// # Errors
    /// All that were met, one for each hierarchy; empty when nothing is left.
    pub fn destroy(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        for dir in &self.dirs {
            if let Err(error) = remove(dir) {
                errors.push(error);
            }
        }
        errors
    }

    /// All groups below `path`, in any hierarchy: each path once, parents before children.
    pub fn list_below(layout: &Layout, path: &CgroupPath) -> Result<Vec<CgroupPath>> {
        let mut found = BTreeSet::new();
        for hierarchy in layout.hierarchies() {
            let mut todo = vec![path.clone()];
            while let Some(parent) = todo.pop() {
                let dir = hierarchy.dir(parent.as_str());
                let names = match file::children(&dir) {
                    Ok(names) => names,
                    Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(Error::system(format!("list {dir}"), error)),
                };
                for name in names {
                    let child = parent.join(&name)?;
                    found.insert(child.as_str().to_owned());
                    todo.push(child);
                }
            }
        }
        found.iter().map(|text| CgroupPath::new(text)).collect()
    }
}

/// Waits until `fd` is ready or the time is over; an interruption just ends the wait.
fn wait(fd: &OwnedFd, what: PollFlags, time: Duration) {
    let limit = Timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: time.subsec_nanos().into(),
    };
    // The caller looks again in any case
    let _ = poll(&mut [PollFd::new(fd, what)], Some(&limit));
}

/// Adds the processes of `dir` and all directories below.
fn collect(dir: &str, pids: &mut BTreeSet<i32>) -> Result<()> {
    let path = format!("{dir}/cgroup.procs");
    match file::read(&path) {
        Ok(text) => pids.extend(
            text.lines()
                .filter_map(|line| line.parse::<i32>().ok())
                .filter(|pid| *pid > 0),
        ),
        Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
        // A threaded group: its processes are listed in the group above
        Err(Errno::OPNOTSUPP) => {}
        Err(errno) => return Err(Error::system(format!("read {path}"), errno)),
    }
    match file::children(dir) {
        Ok(names) => {
            for name in names {
                collect(&format!("{dir}/{name}"), pids)?;
            }
            Ok(())
        }
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::system(format!("list {dir}"), error)),
    }
}

/// rmdir, looking for children only when the kernel says that it is not empty.
fn remove(dir: &str) -> Result<()> {
    let mut pause = Duration::from_micros(50);
    let end = Instant::now() + Duration::from_millis(500);
    loop {
        match rustix::fs::rmdir(dir) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => {}
            Err(errno) => return Err(Error::system(format!("remove cgroup {dir}"), errno)),
        }
        for name in file::children(dir).unwrap_or_default() {
            remove(&format!("{dir}/{name}"))?;
        }
        if Instant::now() > end {
            let mut pids = BTreeSet::new();
            collect(dir, &mut pids)?;
            return Err(Error::conflict(format!(
                "cgroup {dir} cannot be removed: processes {pids:?} are in it"
            )));
        }
        // A process that has just ended leaves its groups a moment later
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}
