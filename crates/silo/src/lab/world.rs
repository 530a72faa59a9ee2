//! What a lab has of this machine: its share of it, the containers that it makes, and how all of that goes away again.
//!
//! Everything runs below one control group, so whatever the learner starts is held by it and found by it. A locked note in
//! the run folder says that the lab lives; a note without its lock is of a lab that was killed, and the next one cleans up.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use silo_engine::{CgroupParent, Container, Engine};
use silo_types::{ByteSize, ContainerConfig, Doing, Error, Resources, Result};

/// Names of the groups begin so.
const GROUP: &str = "silo-lab-";

/// The most memory that a lab gets, and the part of what is free.
const MOST: u64 = 5 << 30;
const PART: u64 = 2;

/// Processor shares: half as many as others get when all want some.
const SHARES: u64 = 512;

/// Processes of all containers together.
const PROCESSES: i64 = 4000;

/// How long the end of all commands is waited for.
const LONGEST: Duration = Duration::from_secs(10);

/// The variable that puts containers below the lab's group, as --cgroup-parent does.
pub const PARENT: &str = "SILO_CGROUP_PARENT";

/// A lab's hold on the machine.
pub struct World<'a> {
    pub engine: &'a Engine,
    /// The group above all containers.
    pub group: String,
    /// Bytes.
    pub ceiling: u64,
    /// As named in the file, and as they are called.
    names: HashMap<String, String>,
    /// Host pids that were seen last: they are asked for after the end as well.
    pids: RefCell<HashMap<String, i32>>,
    /// Containers as they were when they were seen last.
    seen: RefCell<HashMap<String, ContainerConfig>>,
    had_network: bool,
    parent: Option<CgroupParent>,
    note: Option<Note>,
}

/// The file that says that a lab lives, locked.
struct Note {
    path: PathBuf,
    _lock: File,
}

impl<'a> World<'a> {
    /// Cleans up what killed labs left, then takes a share of the machine.
    pub fn new(engine: &'a Engine, containers: &[String]) -> Result<World<'a>> {
        clear_leftovers(engine)?;
        let group = format!("{GROUP}{}", std::process::id());
        let had_network = engine.bridge()?.find()?.is_some();
        let note = Note::write(engine, &group, had_network)?;
        let ceiling = (available() / PART).min(MOST);
        let parent = engine.make_cgroup_parent(
            &group,
            &Resources {
                memory: Some(ceiling as i64),
                cpu_shares: Some(SHARES),
                pids_limit: Some(PROCESSES),
                ..Resources::default()
            },
        )?;
        let taken = containers.iter().any(|name| engine.find(name).is_ok());
        let named = |name: &String| match taken {
            true => (name.clone(), format!("lab{}-{name}", std::process::id())),
            false => (name.clone(), name.clone()),
        };
        Ok(World {
            engine,
            group,
            ceiling,
            names: containers.iter().map(named).collect(),
            pids: RefCell::default(),
            seen: RefCell::default(),
            had_network,
            parent: Some(parent),
            note: Some(note),
        })
    }

    /// What a container of the file is called.
    pub fn name<'n>(&'n self, name: &'n str) -> &'n str {
        self.names.get(name).map_or(name, String::as_str)
    }

    pub fn find(&self, name: &str) -> Result<Container> {
        self.engine.find(self.name(name))
    }

    /// Takes note of the containers that are there, for what is asked after their end.
    pub fn take_note(&self) {
        for name in self.names.keys() {
            if let Ok(container) = self.find(name) {
                let _ = self.pid(name);
                self.seen
                    .borrow_mut()
                    .insert(name.clone(), container.config);
            }
        }
    }

    /// Whether the control groups of a container that was removed are gone, too.
    pub fn has_no_group_of(&self, name: &str) -> Result<bool> {
        match self.seen.borrow().get(name) {
            Some(config) => Ok(!self.engine.cgroup(config)?.exists()),
            None => Err(Error::not_found(format!("there was no container {name}"))),
        }
    }

    /// What stands for a place of a text.
    pub fn value(&self, place: &str) -> Result<String> {
        if let Some((name, part)) = place.split_once('.') {
            return self.of_container(name, part);
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(match place {
            "gateway" => self.engine.bridge()?.ensure()?.network.gateway.to_string(),
            "silent" => {
                let subnet = self.engine.bridge()?.ensure()?.network.subnet;
                // The last address of the subnet: nobody has it, and the question stays on the bridge.
                std::net::Ipv4Addr::from(u32::from(subnet.broadcast()) - 1).to_string()
            }
            "ceiling" => self.ceiling.to_string(),
            "grow" => (self.ceiling / 4).min(512 << 20).to_string(),
            "limit" => limit(self.ceiling).to_owned(),
            "nearly-limit" => (limit(self.ceiling).parse::<ByteSize>()?.0 / 10 * 9).to_string(),
            "cpus" => cpus.to_string(),
            "nearly-all-cpus" => format!("{:.2}", cpus as f64 * 0.9),
            name => self.name(name).to_owned(),
        })
    }

    fn of_container(&self, name: &str, part: &str) -> Result<String> {
        if part == "pid" {
            return self.pid(name).map(|pid| pid.to_string());
        }
        let container = self.find(name)?;
        match part {
            "id" => Ok(container.id().to_string()),
            "ip" => Ok(container.state.ip.clone()),
            part => {
                let files = part.trim_start_matches("file:");
                files
                    .split('|')
                    .find_map(|file| self.group_file(&container, file))
                    .map(|path| path.display().to_string())
                    .ok_or_else(|| {
                        Error::not_found(format!(
                            "no file {files} in the control groups of {}",
                            container.name()
                        ))
                    })
            }
        }
    }

    /// Host pid of the first process; of one that has ended the last that was seen.
    pub fn pid(&self, name: &str) -> Result<i32> {
        let mut pids = self.pids.borrow_mut();
        match self
            .find(name)
            .and_then(|container| container.main_process())
        {
            Ok(main) => {
                pids.insert(name.to_owned(), main.pid);
                Ok(main.pid)
            }
            Err(error) => pids.get(name).copied().ok_or(error),
        }
    }

    /// Where a file of a container's control group is, in whichever hierarchy has it.
    pub fn group_file(&self, container: &Container, file: &str) -> Option<PathBuf> {
        let group = self.engine.cgroup(&container.config).ok()?;
        let places = 0..group.layout().hierarchies().len();
        places
            .map(|place| PathBuf::from(group.dir(place)).join(file))
            .find(|path| path.exists())
    }

    /// The lab's containers, also those that the learner named.
    pub fn below(&self) -> Vec<Container> {
        let mut all = self.engine.list().unwrap_or_default();
        all.retain(|container| is_below(container, &self.group));
        all
    }

    /// Removes all that was made; goes on past errors and returns the first.
    pub fn clean_up(&mut self) -> Result<()> {
        let mut errors = remove_below(self.engine, &self.group);
        drop(self.parent.take());
        errors.extend(self.engine.remove_cgroup_parent(&self.group).err());
        errors.extend(forget_network(self.engine, self.had_network).err());
        errors.extend(sweep_images(self.engine).err());
        if let Some(note) = self.note.take() {
            let _ = std::fs::remove_file(&note.path);
            // Not while another lab has its note there.
            let _ = std::fs::remove_dir(notes(self.engine));
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors.swap_remove(0)),
        }
    }
}

/// A command that was killed may have been unpacking its image.
fn sweep_images(engine: &Engine) -> Result<()> {
    match engine.images().leftovers()?.is_empty() {
        true => Ok(()),
        false => engine.images().sweep().map(drop),
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        if self.note.is_some() {
            // Only on an error that is told already.
            let _ = self.clean_up();
        }
    }
}

impl Note {
    fn write(engine: &Engine, group: &str, had_network: bool) -> Result<Note> {
        let folder = notes(engine);
        std::fs::create_dir_all(&folder).doing_with(|| format!("make {}", folder.display()))?;
        let path = folder.join(group);
        let lock = File::create(&path).doing_with(|| format!("make {}", path.display()))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .doing_with(|| format!("lock {}", path.display()))?;
        let text = if had_network {
            "network\n"
        } else {
            "no network\n"
        };
        std::fs::write(&path, text).doing_with(|| format!("write {}", path.display()))?;
        Ok(Note { path, _lock: lock })
    }
}

fn notes(engine: &Engine) -> PathBuf {
    engine.paths().run.join("lab")
}

/// What labs that were killed have left, for `doctor`.
pub fn leftovers(engine: &Engine) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut living = Vec::new();
    let entries = std::fs::read_dir(notes(engine));
    for entry in entries.into_iter().flatten().flatten() {
        let group = entry.file_name().to_string_lossy().into_owned();
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(_) => living.push(group),
            Ok(()) => found.push(format!(
                "group and containers of {group}, a lab that was killed"
            )),
        }
    }
    for container in engine.look()? {
        let parent = container.config.resources.cgroup_parent.trim_matches('/');
        if parent.starts_with(GROUP) && !living.iter().any(|group| group == parent) {
            found.push(format!(
                "container {} of a lab that was killed",
                container.name()
            ));
        }
    }
    Ok(found)
}

/// Removes what labs that were killed have left: containers, groups, the network.
pub fn clear_leftovers(engine: &Engine) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(notes(engine)) else {
        return clear_containers(engine, &[]);
    };
    let mut living = Vec::new();
    let mut had_network = true;
    for entry in entries.flatten() {
        let path = entry.path();
        let group = entry.file_name().to_string_lossy().into_owned();
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            living.push(group);
            continue;
        }
        had_network &= std::fs::read_to_string(&path).is_ok_and(|text| text.starts_with("network"));
        if let Some(error) = remove_below(engine, &group).pop() {
            return Err(error.context("clean up after a lab that was killed"));
        }
        engine.remove_cgroup_parent(&group)?;
        let _ = std::fs::remove_file(&path);
    }
    clear_containers(engine, &living)?;
    // Not while another lab has its note there.
    let _ = std::fs::remove_dir(notes(engine));
    match living.is_empty() {
        true => forget_network(engine, had_network),
        false => Ok(()),
    }
}

/// Containers of labs of which not even the note is left, as after a restart of the machine.
fn clear_containers(engine: &Engine, living: &[String]) -> Result<()> {
    for container in engine.list()? {
        let parent = container.config.resources.cgroup_parent.trim_matches('/');
        if parent.starts_with(GROUP) && !living.iter().any(|group| group == parent) {
            engine.remove(&container, true, true)?;
        }
    }
    Ok(())
}

fn is_below(container: &Container, group: &str) -> bool {
    container.config.resources.cgroup_parent.trim_matches('/') == group
}

/// Removes all containers below a group, also those that are just being made: until no command of the lab lives any more.
fn remove_below(engine: &Engine, group: &str) -> Vec<Error> {
    let until = Instant::now() + LONGEST;
    let mut quiet = 0;
    loop {
        // Before the list, which then has what they left.
        let living = has_commands(group);
        let all = match engine.list() {
            Ok(all) => all,
            Err(error) => return vec![error],
        };
        let ours = all.iter().filter(|container| is_below(container, group));
        let errors: Vec<Error> = ours
            .filter_map(|container| engine.remove(container, true, true).err())
            .collect();
        let nothing = errors.is_empty() && !living && !all.iter().any(|c| is_below(c, group));
        quiet = if nothing { quiet + 1 } else { 0 };
        // Twice: of a process that ends the environment goes before its locks.
        if quiet == 2 || Instant::now() > until {
            return errors;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a command or a monitor of the lab lives: each has the lab's group in its environment.
fn has_commands(group: &str) -> bool {
    let mark = format!("{PARENT}={group}");
    let marked = |path: PathBuf| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .first()
                .is_some_and(u8::is_ascii_digit)
        })
        .any(|entry| marked(entry.path()))
}

/// What was not there before goes, too: the network and the group above the containers.
fn forget_network(engine: &Engine, had_network: bool) -> Result<()> {
    if had_network || !engine.list()?.is_empty() {
        return Ok(());
    }
    engine.bridge()?.remove_all()?;
    engine.orphans(true)?;
    engine.remove_empty_group()
}

/// The lecture's limit where the machine has it to spare.
fn limit(ceiling: u64) -> &'static str {
    match ceiling {
        ceiling if ceiling > (4 << 30) + (256 << 20) => "4096m",
        ceiling if ceiling > 320 << 20 => "256m",
        _ => "64m",
    }
}

/// Bytes that the machine has to give.
fn available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(1 << 20) * 1024
}
