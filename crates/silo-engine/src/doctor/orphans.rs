//! What belongs to no container any more, and its removal.
//!
//! Whatever is made for a container is made while its folder's lock is held, and the lock is held for as long as it runs. So what
//! is found, and then turns out to be of a container whose lock is free, is nobody's. It is looked for twice: what the kernel or
//! an ending monitor is about to take away is no orphan.

use std::{path::PathBuf, time::Duration};

use silo_cgroup::{Cgroup, CgroupPath, Layout};
use silo_net::Flaw;
use silo_types::{ContainerId, Kind, Result};

use super::{Finding, mounts, mounts::Mounted};
use crate::{Engine, store, store::Aside};

/// How long what is about to go by itself is given.
const MOMENT: Duration = Duration::from_millis(120);

/// A folder without its description is older than this when nobody writes it any more.
const HALF_WRITTEN: Duration = Duration::from_secs(10);

/// One thing that nobody owns.
#[derive(Clone, Debug, PartialEq)]
enum Orphan {
    /// A control group, with all below it.
    Group(CgroupPath),
    Socket(ContainerId),
    Mount(Mounted),
    Network(silo_net::Orphan),
    /// The network itself, while no container uses it.
    Bridge(Flaw),
    /// The network of containers that run.
    UsedBridge(Flaw),
    /// A container whose making was cut short.
    Container(ContainerId),
    /// One whose removal was cut short.
    Removed(Aside),
    /// A name of no container.
    Name(String),
    /// A volume whose making was cut short.
    Volume(String),
    Image(PathBuf),
}

impl Engine {
    /// Names what was left behind; `fix` removes it.
    pub fn orphans(&self, fix: bool) -> Result<Vec<Finding>> {
        // Reading the containers repairs those whose monitor was killed.
        self.look()?;
        let layout = Layout::detect()?;
        let mut found = self.gather(&layout)?;
        if !found.is_empty() {
            std::thread::sleep(MOMENT);
            self.look()?;
            let again = self.gather(&layout)?;
            found.retain(|orphan| again.contains(orphan));
        }
        let mut findings = Vec::with_capacity(found.len());
        for orphan in &found {
            let mut finding = self.finding(&layout, orphan);
            match fix.then(|| self.remove_orphan(&layout, orphan)) {
                None => {}
                Some(Ok(())) => finding.fixed = true,
                Some(Err(error)) => finding.advice = format!("it cannot be removed: {error}"),
            }
            findings.push(finding);
        }
        Ok(findings)
    }

    /// Whether a command or a monitor has this container.
    fn is_held(&self, id: &ContainerId) -> bool {
        matches!(store::try_lock(&self.paths, id), Ok(None))
    }

    /// In the order in which they are removed: processes first, what is mounted before what it lies on, the network last.
    fn gather(&self, layout: &Layout) -> Result<Vec<Orphan>> {
        let mut found = self.groups(layout)?;
        let mounts = mounts::of_containers(&self.paths).into_iter();
        found.extend(mounts.filter(|m| !self.is_held(&m.id)).map(Orphan::Mount));
        found.extend(self.sockets());
        found.extend(self.containers_and_names()?);
        found.extend(self.volume_folders());
        // Where the network cannot be asked, the trials of the host say why.
        found.extend(self.network().unwrap_or_default());
        let images = self.images.leftovers()?.into_iter();
        found.extend(images.map(|left| Orphan::Image(left.path)));
        Ok(found)
    }

    /// Groups below this engine's own, each once with all that are below it.
    fn groups(&self, layout: &Layout) -> Result<Vec<Orphan>> {
        let parent = CgroupPath::new(&format!("/{}", self.cgroup_parent()))?;
        let below = format!("{}/", parent.as_str());
        let mut seen: Vec<ContainerId> = Vec::new();
        let mut found = Vec::new();
        for path in Cgroup::list_below(layout, &parent)? {
            let name = path.as_str().strip_prefix(&below).unwrap_or_default();
            let Ok(id) = ContainerId::parse(name) else {
                continue;
            };
            if seen.contains(&id) || self.is_held(&id) {
                continue;
            }
            seen.push(id);
            found.push(Orphan::Group(path));
        }
        Ok(found)
    }

    fn sockets(&self) -> Vec<Orphan> {
        std::fs::read_dir(&self.paths.run)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| ContainerId::parse(entry.file_name().to_str()?).ok())
            .filter(|id| !self.is_held(id))
            .map(Orphan::Socket)
            .collect()
    }

    /// Containers whose making was cut short, and names of none.
    fn containers_and_names(&self) -> Result<Vec<Orphan>> {
        let scan = store::scan(&self.paths)?;
        let removed = scan.removed.into_iter();
        let mut found: Vec<Orphan> = removed
            .filter(|aside| !store::is_being_removed(&self.paths, aside))
            .map(Orphan::Removed)
            .collect();
        for id in scan.ids {
            let broken = matches!(store::read_config(&self.paths, &id), Err(e) if e.kind() == Kind::NotFound);
            // Locked: a command is making it at this moment.
            if broken && matches!(store::try_lock(&self.paths, &id), Ok(Some(_))) {
                found.push(Orphan::Container(id));
            }
        }
        let names = std::fs::read_dir(self.paths.names());
        for entry in names.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A rename that was cut short leaves the old name or the new one.
            let is_stale = |id: ContainerId| {
                self.container(&id).map_or(true, |c| c.name() != name) && !self.is_held(&id)
            };
            if store::read_name(&self.paths, &name).is_none_or(is_stale) {
                found.push(Orphan::Name(name));
            }
        }
        Ok(found)
    }

    /// Folders of volumes without their description. One that has files in it is left for its owner to look at.
    fn volume_folders(&self) -> Vec<Orphan> {
        let is_old = |entry: &std::fs::DirEntry| {
            let changed = entry.metadata().and_then(|facts| facts.modified());
            changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > HALF_WRITTEN))
        };
        let is_empty = |path: PathBuf| {
            std::fs::read_dir(path.join("_data")).map_or(true, |mut files| files.next().is_none())
        };
        std::fs::read_dir(self.paths.volumes())
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| !entry.path().join("volume.json").exists())
            .filter(|entry| is_old(entry) && is_empty(entry.path()))
            .filter_map(|entry| Some(Orphan::Volume(entry.file_name().to_str()?.to_owned())))
            .collect()
    }

    fn network(&self) -> Result<Vec<Orphan>> {
        let bridge = self.bridge()?;
        let all = bridge.orphans(&[])?;
        let flaw = bridge.flaw()?;
        let held: Vec<ContainerId> = store::ids(&self.paths)?
            .into_iter()
            .filter(|id| self.is_held(id))
            .collect();
        let is_used = held.iter().any(|id| self.attachment(id).is_some());
        let mut found: Vec<Orphan> = all
            .into_iter()
            .filter(|orphan| !held.iter().any(|id| orphan.belongs_to(id)))
            .map(Orphan::Network)
            .collect();
        found.extend(flaw.map(|flaw| match is_used {
            true => Orphan::UsedBridge(flaw),
            false => Orphan::Bridge(flaw),
        }));
        Ok(found)
    }

    fn remove_orphan(&self, layout: &Layout, orphan: &Orphan) -> Result<()> {
        match orphan {
            Orphan::Group(path) => match Cgroup::at(layout, path).raze().pop() {
                Some(error) => Err(error),
                None => Ok(()),
            },
            Orphan::Socket(id) => remove_file(&self.paths.socket(id)),
            Orphan::Mount(mounted) => mounted.unmount(),
            Orphan::Network(orphan) => self.bridge()?.remove_orphan(orphan),
            Orphan::UsedBridge(_) => self.bridge()?.ensure().map(drop),
            Orphan::Bridge(Flaw::NoRecord) => self.bridge()?.remove_bridge_and_rules(),
            Orphan::Bridge(_) => self.bridge()?.remove_all().map(drop),
            Orphan::Container(id) => store::remove_debris(&self.paths, id).map(drop),
            Orphan::Removed(aside) => self.finish_removal(aside),
            Orphan::Name(name) => remove_file(&self.paths.name(name)),
            Orphan::Volume(name) => self.delete_volume(name),
            Orphan::Image(_) => self.images.sweep().map(drop),
        }
    }

    fn finding(&self, layout: &Layout, orphan: &Orphan) -> Finding {
        let (area, name, text) = match orphan {
            Orphan::Group(path) => ("cgroup", "controlGroup", group_text(layout, path)),
            Orphan::Socket(id) => (
                "container",
                "socket",
                format!("control socket of {}", id.short()),
            ),
            Orphan::Mount(mounted) => ("files", "mount", mounted.text()),
            Orphan::Network(silo_net::Orphan::Lease(lease)) => (
                "network",
                "addressLease",
                format!("address lease {}", lease.address),
            ),
            Orphan::Network(silo_net::Orphan::Link(name)) => {
                ("network", "link", format!("network link {name}"))
            }
            Orphan::Bridge(flaw) | Orphan::UsedBridge(flaw) => {
                ("network", "bridge", self.flaw_text(*flaw))
            }
            Orphan::Container(id) => (
                "container",
                "unfinished",
                format!("unfinished container {}", id.short()),
            ),
            Orphan::Name(name) => ("container", "name", format!("name {name} of no container")),
            Orphan::Removed(aside) => (
                "container",
                "removed",
                format!("half removed container {}", aside.id.short()),
            ),
            Orphan::Volume(name) => ("files", "volume", format!("unfinished volume {name}")),
            Orphan::Image(path) => ("image", "image", format!("unfinished {}", path.display())),
        };
        // Names of files and processes are anybody's.
        let text = text.replace(char::is_control, "?");
        Finding {
            trouble: true,
            ..Finding::fine(area, name, text)
        }
    }

    fn flaw_text(&self, flaw: Flaw) -> String {
        let bridge = format!("silo{}", self.paths.suffix());
        let name = self.bridge().map_or(bridge, |b| b.name().to_owned());
        match flaw {
            Flaw::NoBridge => format!("half a network: bridge {name} is missing or unfinished"),
            Flaw::NoRules => format!("network {name} without its firewall rules (nftables)"),
            Flaw::NoRecord => {
                format!("bridge {name} or its rules (nftables) of a folder that is gone")
            }
        }
    }
}

/// Its hierarchies, when not all have it, and the processes in it.
fn group_text(layout: &Layout, path: &CgroupPath) -> String {
    let group = Cgroup::at(layout, path);
    let places = 0..layout.hierarchies().len();
    let there: Vec<String> = places
        .filter(|place| std::path::Path::new(group.dir(*place)).exists())
        .map(|place| layout.hierarchies()[place].label())
        .collect();
    let mut text = format!("control group {path}");
    if there.len() != layout.hierarchies().len() {
        text += &format!(" in {}", there.join(" and "));
    }
    let name = |pid: &i32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{pid} ({})", comm.trim())
    };
    let processes: Vec<String> = group
        .procs(true)
        .unwrap_or_default()
        .iter()
        .map(name)
        .collect();
    if !processes.is_empty() {
        text += &format!(", with process {}", processes.join(", "));
    }
    text
}

/// Gone already is fine.
fn remove_file(path: &std::path::Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(silo_types::Error::system(
            format!("remove {}", path.display()),
            e,
        )),
        _ => Ok(()),
    }
}
