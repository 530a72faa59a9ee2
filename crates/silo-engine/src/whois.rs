//! From something of the host back to its container: a process, a port, a path.
//!
//! Called by `whois` and `ps --host`. Reads /proc, control groups and Silo's own files; enters nothing. A container is
//! recognised by its control group, whose path follows from its configuration: names that a process gives itself mean nothing.

use std::{collections::HashMap, os::linux::fs::MetadataExt, path::Path};

use serde::Serialize;
use silo_observe::{
    CgroupPath, FileId, Held, Listener, Names, Namespace, Proc, Process, Want, containers_in,
};
use silo_types::{ContainerConfig, ContainerId, Doing, Error, MountKind, Resources, Result};

use crate::{Engine, container::Container, exec::ExecRecord, store, time_text, why::who_text};

/// A process and what it belongs to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessOwner {
    pub host_pid: i32,
    /// Inside the container.
    pub pid: i32,
    pub command: String,
    /// The host's name of its user.
    pub user: String,
    pub role: Role,
    pub container: Option<Owner>,
    /// Of an exec session; none for others.
    pub exec: Option<ExecRecord>,
    /// Control group of another engine's container; empty: none.
    pub other_engine: String,
    pub namespaces: Vec<Namespace>,
    pub cgroups: Vec<CgroupPath>,
}

/// What a process is to its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Its first process.
    Main,
    /// Came by `exec`.
    Exec,
    Inside,
    /// Silo's own process beside it.
    Monitor,
    /// In no container of this Silo.
    None,
}

/// A container, in short.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    pub name: String,
    pub id: String,
    pub image: String,
    pub status: &'static str,
    /// Host pid of its first process; 0: it does not run.
    pub main_pid: i32,
    pub started_at: String,
    /// Empty: not known, or the restart policy.
    pub started_by: String,
    pub cgroup: String,
    pub limits: Resources,
}

/// A port, and who waits on it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortOwner {
    #[serde(flatten)]
    pub listener: Listener,
    /// In whose network namespace it is; none: the host's.
    pub container: Option<String>,
    pub processes: Vec<ProcessOwner>,
}

/// A path, and whose it is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathOwner {
    pub path: String,
    /// Containers that have it among their files, and where.
    pub places: Vec<PathPlace>,
    /// Processes that have it open.
    pub open: Vec<Opener>,
}

/// Where a container has a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathPlace {
    pub container: String,
    pub kind: PlaceKind,
    /// As the container names it; empty: it has no name there.
    pub inside: String,
}

/// What a path is to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PlaceKind {
    /// Written by the container over its image.
    Written,
    /// Of its image.
    Image,
    Volume,
    /// A folder of the host that it was given.
    Bind,
    /// Silo's own file about it.
    Record,
    /// Seen through one of its processes.
    Process,
}

/// A process that has a path open.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opener {
    #[serde(flatten)]
    pub held: Held,
    pub command: String,
    /// None: in no container of this Silo.
    pub container: Option<String>,
}

impl Engine {
    /// What a process of the host belongs to. NotFound when there is none with that number.
    pub fn whois_pid(&self, pid: i32) -> Result<ProcessOwner> {
        let found = Proc::host()?.whois(pid, "")?;
        let names = Names::host()?;
        let (container, mut other_engine) = match self.of_cgroups(&found.cgroups) {
            Membership::Ours(container) => (Some(*container), String::new()),
            Membership::Other(path) => (None, path),
            Membership::None => (None, String::new()),
        };
        let monitored = match container {
            None => self.monitored_by(pid, &found.command),
            Some(_) => None,
        };
        let sessions = container.as_ref().map(|c| self.exec_sessions(c));
        let exec = sessions.and_then(|all| all.into_iter().find(|s| s.process.pid == pid));
        let is_main = |c: &Container| c.state.main.is_some_and(|main| main.pid == pid);
        let role = match (&container, &monitored, &exec) {
            (Some(container), ..) if is_main(container) => Role::Main,
            (Some(_), _, Some(_)) => Role::Exec,
            (Some(_), ..) => Role::Inside,
            (None, Some(_), _) => Role::Monitor,
            (None, None, _) => Role::None,
        };
        if role == Role::Monitor {
            other_engine.clear();
        }
        Ok(ProcessOwner {
            host_pid: pid,
            pid: found.pid,
            command: found.command,
            user: names.user(found.uid),
            role,
            container: container.or(monitored).map(|c| self.owner(&c, &names)),
            exec,
            other_engine,
            namespaces: found.namespaces,
            cgroups: found.cgroups,
        })
    }

    /// Everyone who waits on a port, on the host and in all running containers.
    pub fn whois_port(&self, port: u16) -> Result<Vec<PortOwner>> {
        let proc = Proc::host()?;
        let own = std::process::id() as i32;
        let namespace = |pid: i32| {
            let all = proc.namespaces(pid).unwrap_or_default().into_iter();
            all.filter(|n| n.kind == "net").map(|n| n.inode).next()
        };
        let mut places = vec![(None, own, Vec::new())];
        let mut seen = vec![namespace(own)];
        for container in self.list()? {
            let Ok(main) = container.main_process() else {
                continue;
            };
            let inode = namespace(main.pid);
            if inode.is_none() || seen.contains(&inode) {
                continue;
            }
            seen.push(inode);
            let pids = self.processes(&container).unwrap_or_default();
            places.push((Some(container.name().to_owned()), main.pid, pids));
        }
        let mut found = Vec::new();
        for (container, pid, pids) in places {
            for listener in proc.listeners(pid, port) {
                let mut holders = proc.socket_holders(&pids, listener.inode);
                if holders.is_empty() {
                    holders = proc.socket_holders(&proc.pids()?, listener.inode);
                }
                let processes = holders.iter().filter_map(|pid| self.whois_pid(*pid).ok());
                found.push(PortOwner {
                    processes: processes.collect(),
                    container: container.clone(),
                    listener,
                });
            }
        }
        Ok(found)
    }

    /// Whose a path of the host is, and who has it open.
    pub fn whois_path(&self, path: &str) -> Result<PathOwner> {
        let proc = Proc::host()?;
        let facts = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("no such file: {path:.200}")),
            _ => Error::system(format!("look at {path:.200}"), e),
        })?;
        let file = FileId {
            device: facts.st_dev(),
            inode: facts.st_ino(),
        };
        let all = self.list()?;
        let mut places = Vec::new();
        match through_process(path) {
            Some((pid, inside)) => {
                let owner = self.whois_pid(pid)?.container;
                places.extend(owner.map(|owner| PathPlace {
                    container: owner.name,
                    kind: PlaceKind::Process,
                    inside,
                }));
            }
            None => {
                let path =
                    std::fs::canonicalize(path).doing_with(|| format!("look at {path:.200}"))?;
                for container in &all {
                    places.extend(self.places_in(container, &path));
                }
            }
        }
        let mut open = Vec::new();
        for held in proc.file_holders(&proc.pids()?, file) {
            let process = proc.process_facts(
                held.host_pid,
                Want {
                    command_line: true,
                    ..Want::default()
                },
            );
            let cgroups = proc.cgroups(held.host_pid).unwrap_or_default();
            open.push(Opener {
                command: process.map_or_else(|_| String::new(), |p| p.command()),
                container: match self.of_cgroups(&cgroups) {
                    Membership::Ours(container) => Some(container.name().to_owned()),
                    _ => None,
                },
                held,
            });
        }
        Ok(PathOwner {
            path: path.to_owned(),
            places,
            open,
        })
    }

    /// Every process of the host but kernel threads, with the names of their containers by host pid.
    pub fn host_processes(&self, want: Want) -> Result<(Vec<Process>, HashMap<i32, String>)> {
        let proc = Proc::host()?;
        let groups: Vec<(ContainerId, String, String)> = self
            .list()?
            .iter()
            .filter(|c| c.state.monitor.is_some())
            .map(|c| {
                (
                    c.id().clone(),
                    self.cgroup_path(&c.config),
                    c.name().to_owned(),
                )
            })
            .collect();
        let processes = proc.collect_all(want)?;
        let mut names = HashMap::new();
        for process in &processes {
            let cgroups = proc.cgroups(process.host_pid).unwrap_or_default();
            let id = containers_in(&cgroups, "").into_iter().next();
            let of = groups
                .iter()
                .find(|(known, path, _)| Some(known) == id.as_ref() && is_below(&cgroups, path));
            if let Some((_, _, name)) = of {
                names.insert(process.host_pid, name.clone());
            }
        }
        Ok((processes, names))
    }

    fn of_cgroups(&self, cgroups: &[CgroupPath]) -> Membership {
        let Some(id) = containers_in(cgroups, "").into_iter().next() else {
            return Membership::None;
        };
        let config = store::read_config(&self.paths, &id);
        let ours = config.is_ok_and(|config| is_below(cgroups, &self.cgroup_path(&config)));
        if ours && let Ok(container) = self.container(&id) {
            return Membership::Ours(Box::new(container));
        }
        let named = cgroups.iter().find(|c| c.path.contains(id.as_str()));
        Membership::Other(named.map_or_else(String::new, |c| c.path.clone()))
    }

    /// The container whose monitor a process is: by its own words, believed only when the container's state says so too.
    fn monitored_by(&self, pid: i32, command: &str) -> Option<Container> {
        let words = command.strip_prefix("silo: monitor of ")?;
        let id = words.rsplit_once('(')?.1.split(')').next()?;
        let container = self.find(id).ok()?;
        let monitor = container.state.monitor?;
        (monitor.pid == pid).then_some(container)
    }

    fn owner(&self, container: &Container, names: &Names) -> Owner {
        let state = &container.state;
        let by = state.last.started_by.as_ref();
        Owner {
            name: container.name().to_owned(),
            id: container.id().to_string(),
            image: container.config.image.reference.clone(),
            status: state.status.as_str(),
            main_pid: state.main.map_or(0, |main| main.pid),
            started_at: match state.started {
                0 => String::new(),
                started => time_text(started),
            },
            started_by: by.map_or_else(String::new, |who| who_text(who, &|uid| names.user(uid))),
            cgroup: self.cgroup_path(&container.config),
            limits: container.resources().clone(),
        }
    }

    fn places_in(&self, container: &Container, path: &Path) -> Vec<PathPlace> {
        let place = |kind, inside: String| PathPlace {
            container: container.name().to_owned(),
            kind,
            inside,
        };
        let folder = self.paths.container(container.id());
        if let Ok(rest) = path.strip_prefix(&folder) {
            return match rest.strip_prefix("upper") {
                Ok(inside) => vec![place(PlaceKind::Written, absolute(inside))],
                Err(_) => vec![place(PlaceKind::Record, String::new())],
            };
        }
        let mut found = Vec::new();
        for (kind, source, target) in self.mount_places(&container.config) {
            if let Ok(rest) = path.strip_prefix(&source) {
                let inside = format!("{}{}", target.trim_end_matches('/'), absolute(rest));
                let inside = inside.strip_suffix('/').unwrap_or(&inside);
                found.push(place(kind, inside.to_owned()));
            }
        }
        let image = self.images.resolve(&container.config.image.id);
        for layer in image.iter().flat_map(|image| &image.layers) {
            if let Ok(inside) = path.strip_prefix(self.images.layer_dir(&layer.id)) {
                found.push(place(PlaceKind::Image, absolute(inside)));
            }
        }
        found
    }

    /// Kind, folder of the host and place inside of what a container has mounted.
    fn mount_places(
        &self,
        config: &ContainerConfig,
    ) -> Vec<(PlaceKind, std::path::PathBuf, String)> {
        let mounts = config.files.mounts.iter();
        mounts
            .filter_map(|mount| match &mount.kind {
                MountKind::Bind { source, .. } => {
                    let source = std::fs::canonicalize(source).ok()?;
                    Some((PlaceKind::Bind, source, mount.target.clone()))
                }
                MountKind::Volume { name, subpath, .. } => {
                    let data = std::fs::canonicalize(self.volume_data(name)).ok()?;
                    Some((PlaceKind::Volume, data.join(subpath), mount.target.clone()))
                }
                MountKind::Tmpfs { .. } => None,
            })
            .collect()
    }
}

enum Membership {
    Ours(Box<Container>),
    /// Its control group.
    Other(String),
    None,
}

/// In some hierarchy a process is in this group or below.
fn is_below(cgroups: &[CgroupPath], group: &str) -> bool {
    cgroups.iter().any(|cgroup| {
        let rest = cgroup.path.strip_prefix(group);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn absolute(inside: &Path) -> String {
    format!("/{}", inside.display())
}

/// `/proc/PID/root/etc/passwd` → (PID, `/etc/passwd`): such a path is resolved in the process's own tree.
fn through_process(path: &str) -> Option<(i32, String)> {
    let rest = path.strip_prefix("/proc/")?;
    let (pid, rest) = rest.split_once('/')?;
    let inside = rest.strip_prefix("root")?;
    let inside = if inside.is_empty() { "/" } else { inside };
    inside
        .starts_with('/')
        .then_some((pid.parse().ok()?, inside.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_through_processes() {
        assert_eq!(
            through_process("/proc/7/root/etc"),
            Some((7, "/etc".to_owned()))
        );
        assert_eq!(through_process("/proc/7/root"), Some((7, "/".to_owned())));
        for other in ["/proc/7/rootless", "/proc/self/root", "/etc", "/proc/7"] {
            assert_eq!(through_process(other), None, "{other}");
        }
    }

    #[test]
    fn groups_below_groups() {
        let at = |path: &str| {
            [CgroupPath {
                hierarchy: 0,
                controllers: String::new(),
                path: path.to_owned(),
            }]
        };
        assert!(is_below(&at("/silo/a"), "/silo/a"));
        assert!(is_below(&at("/silo/a/inner"), "/silo/a"));
        assert!(!is_below(&at("/silo/ab"), "/silo/a"));
    }
}
