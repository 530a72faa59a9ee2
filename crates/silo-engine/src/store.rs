//! Containers on disk: a folder each, held by a lock, with an immutable `config.json` and an atomically replaced `state.json`.
//!
//! The lock is flock(2) on the folder itself. A monitor inherits it from the process that forked it and keeps it for life, so a
//! free lock beside a state that says "running" means that the monitor died. Names are symbolic links `names/NAME → ID`: taken
//! by symlink(2), which one of two racing commands wins.
//!
//! Order of making: folder, lock, name, configuration. A folder without a whole configuration whose lock is free is debris of a
//! killed command; a name whose folder is gone is free again.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::PathBuf,
};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use silo_types::{
    ContainerConfig, ContainerId, ContainerState, Doing, Error, Kind, Result, check_name,
    generate_name,
};

use crate::paths::Paths;

/// A container's folder with its lock held.
#[derive(Debug)]
pub struct Locked {
    pub path: PathBuf,
    /// Descriptor of the folder; the lock is its open file description's.
    pub lock: OwnedFd,
}

impl Locked {
    pub fn write_state(&self, state: &ContainerState) -> Result<()> {
        replace_json(&self.path, "state.json", state)
    }
}

/// 64 random digits.
pub fn new_id() -> Result<ContainerId> {
    Ok(ContainerId::from_bytes(random()?))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .doing("get random bytes")?;
    Ok(bytes)
}

/// Makes the folder of `config.id`, takes its name (made up when empty) and writes both files.
///
/// Errors: [`Kind::Conflict`] when the name is taken; then nothing is left.
pub fn create(paths: &Paths, config: &mut ContainerConfig) -> Result<Locked> {
    if !config.name.is_empty() {
        check_name("container", &config.name)?;
    }
    let path = paths.container(&config.id);
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    match builder.create(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            paths.make()?;
            builder.create(&path)
        }
        other => other,
    }
    .doing_with(|| format!("make the folder {}", path.display()))?;
    let made = fill(paths, config, &path);
    if made.is_err() {
        let _ = release_name(paths, &config.name, &config.id);
        let _ = remove_folder(&path);
    }
    made
}

fn fill(paths: &Paths, config: &mut ContainerConfig, path: &std::path::Path) -> Result<Locked> {
    let lock = open_folder(path)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .doing_with(|| format!("lock {}", path.display()))?;
    let locked = Locked {
        path: path.to_owned(),
        lock,
    };
    if config.name.is_empty() {
        config.name = take_any_name(paths, &config.id)?;
    } else {
        take_name(paths, &config.name, &config.id)?;
    }
    write_json(path, "config.json", config)?;
    Ok(locked)
}

/// Takes `name` for `id`: Conflict with Docker's words when a container holds it.
pub fn take_name(paths: &Paths, name: &str, id: &ContainerId) -> Result<()> {
    let link = paths.name(name);
    for _ in 0..8 {
        match std::os::unix::fs::symlink(id.to_compact(), &link) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => paths.make()?,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let Some(holder) = read_name(paths, name) else {
                    continue;
                };
                if paths.container(&holder).exists() {
                    return Err(Error::conflict(format!(
                        "the container name \"{name}\" is already in use by container {}: remove or rename that container, or choose another name",
                        holder.short()
                    )));
                }
                // Left by a removal that was killed half-way.
                let _ = std::fs::remove_file(&link);
            }
            Err(e) => return Err(Error::system(format!("take the name {name}"), e)),
        }
    }
    Err(Error::conflict(format!(
        "the name {name} is being taken by others: try again"
    )))
}

fn take_any_name(paths: &Paths, id: &ContainerId) -> Result<String> {
    for attempt in 0..20 {
        let name = generate_name(u64::from_le_bytes(random()?), attempt);
        match take_name(paths, &name, id) {
            Ok(()) => return Ok(name),
            Err(e) if e.kind() == Kind::Conflict => {}
            Err(e) => return Err(e),
        }
    }
    let name = format!("silo_{}", id.short());
    take_name(paths, &name, id)?;
    Ok(name)
}

/// Gives a name back if it is still this container's.
pub fn release_name(paths: &Paths, name: &str, id: &ContainerId) -> Result<()> {
    if !name.is_empty() && read_name(paths, name).as_ref() == Some(id) {
        std::fs::remove_file(paths.name(name)).doing_with(|| format!("release the name {name}"))?;
    }
    Ok(())
}

pub fn read_name(paths: &Paths, name: &str) -> Option<ContainerId> {
    let target = std::fs::read_link(paths.name(name)).ok()?;
    ContainerId::from_compact(target.to_str()?).ok()
}

/// How long to wait for who is just ending, milliseconds.
pub(crate) const LET_GO_MS: u32 = 10_000;

/// Whether a command or a monitor holds the container, or `None` when there is no such folder.
pub fn try_lock(paths: &Paths, id: &ContainerId) -> Result<Option<Locked>> {
    lock_with(paths, id, FlockOperation::NonBlockingLockExclusive)
}

/// The same for a container that has ended: its monitor, or another command, is given some time to let go, for a busy machine.
/// `goes_on` says each time whether there is still something to wait for.
///
/// Errors: its own; Conflict when nobody lets go.
pub fn lock_soon(
    paths: &Paths,
    id: &ContainerId,
    name: &str,
    goes_on: impl Fn() -> Result<()>,
) -> Result<Locked> {
    for _ in 0..LET_GO_MS {
        if let Some(locked) = try_lock(paths, id)? {
            return Ok(locked);
        }
        goes_on()?;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Err(Error::conflict(format!(
        "container {name} is busy with another command: try again"
    )))
}

fn lock_with(paths: &Paths, id: &ContainerId, how: FlockOperation) -> Result<Option<Locked>> {
    let path = paths.container(id);
    let lock = open_folder(&path)?;
    match rustix::fs::flock(&lock, how) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(e) => return Err(Error::system(format!("lock {}", path.display()), e)),
    }
    // It may have been removed while we waited.
    let links = rustix::fs::fstat(&lock)
        .doing("stat a container's folder")?
        .st_nlink;
    if links == 0 {
        return Err(Error::not_found(format!(
            "no such container: {}",
            id.short()
        )));
    }
    Ok(Some(Locked { path, lock }))
}

fn open_folder(path: &std::path::Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(folder) => Ok(folder),
        Err(rustix::io::Errno::NOENT) => Err(Error::not_found(format!(
            "no such container: {}",
            path.file_name().unwrap_or_default().to_string_lossy()
        ))),
        Err(e) => Err(Error::system(format!("open {}", path.display()), e)),
    }
}

pub fn read_config(paths: &Paths, id: &ContainerId) -> Result<ContainerConfig> {
    let folder = paths.container(id);
    let config: ContainerConfig =
        read_json(&folder.join("config.json")).map_err(|error| match is_unfinished(&folder) {
            true => Error::not_found(format!("no such container: {}", id.short())),
            false => error,
        })?;
    // What is undone follows from this id: without it the group above all containers would be razed.
    match config.id == *id {
        true => Ok(config),
        false => Err(Error::internal(format!(
            "{} is not of this container",
            folder.join("config.json").display()
        ))),
    }
}

/// A folder without configuration, or with the beginning of one: whoever was killed while writing it has left no more.
fn is_unfinished(folder: &std::path::Path) -> bool {
    match std::fs::read(folder.join("config.json")) {
        Ok(text) => serde_json::from_slice::<IgnoredAny>(&text).is_err_and(|error| error.is_eof()),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// The state as last written; a container that was never started has none.
pub fn read_state(paths: &Paths, id: &ContainerId) -> Result<Option<ContainerState>> {
    match read_json(&paths.container(id).join("state.json")) {
        Ok(state) => Ok(Some(state)),
        Err(e) if e.kind() == Kind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What is in the folder of containers.
#[derive(Debug, Default)]
pub struct Scan {
    pub ids: Vec<ContainerId>,
    /// Folders set aside for removal.
    pub(crate) removed: Vec<Aside>,
}

/// Ids of all container folders.
pub fn ids(paths: &Paths) -> Result<Vec<ContainerId>> {
    scan(paths).map(|found| found.ids)
}

pub fn scan(paths: &Paths) -> Result<Scan> {
    let folder = match std::fs::read_dir(paths.containers()) {
        Ok(folder) => folder,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Scan::default()),
        Err(e) => {
            return Err(Error::system(
                format!("list {}", paths.containers().display()),
                e,
            ));
        }
    };
    let mut found = Scan::default();
    for entry in folder.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match ContainerId::parse(&name) {
            Ok(id) => found.ids.push(id),
            Err(_) => found.removed.extend(Aside::parse(&name)),
        }
    }
    Ok(found)
}

/// A container's folder that is being removed, out of everybody's sight. Its name says what is still to be done, so that
/// another command can finish what a killed one began.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aside {
    pub(crate) id: ContainerId,
    /// Its anonymous volumes go, too.
    pub(crate) volumes: bool,
}

impl Aside {
    pub(crate) fn parse(folder: &str) -> Option<Aside> {
        let (how, id) = folder.strip_prefix(".removed")?.split_once('-')?;
        let volumes = match how {
            "" => false,
            "+volumes" => true,
            _ => return None,
        };
        let id = ContainerId::parse(id).ok()?;
        Some(Aside { id, volumes })
    }

    pub(crate) fn path(&self, paths: &Paths) -> PathBuf {
        let how = if self.volumes { "+volumes" } else { "" };
        paths
            .containers()
            .join(format!(".removed{how}-{}", self.id))
    }
}

/// Takes a container's folder out of everybody's sight.
pub(crate) fn set_aside(paths: &Paths, locked: &Locked, aside: &Aside) -> Result<()> {
    std::fs::rename(&locked.path, aside.path(paths))
        .doing_with(|| format!("set {} aside", locked.path.display()))
}

/// Whether its remover, which holds the folder's lock, is still at work.
pub(crate) fn is_being_removed(paths: &Paths, aside: &Aside) -> bool {
    let folder = open_folder(&aside.path(paths));
    let lock = |folder| rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive);
    matches!(folder.map(lock), Ok(Err(rustix::io::Errno::WOULDBLOCK)))
}

/// Gives back every name that leads to a container: for one whose own word about its name may be lost or old.
pub(crate) fn release_names(paths: &Paths, id: &ContainerId) {
    let names = std::fs::read_dir(paths.names());
    for entry in names.into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str() {
            let _ = release_name(paths, name, id);
        }
    }
}

/// Removes the folder of a container whose making was cut short: it has no configuration, and nobody holds its lock.
pub(crate) fn remove_debris(paths: &Paths, id: &ContainerId) -> Result<bool> {
    let Ok(Some(locked)) = try_lock(paths, id) else {
        return Ok(false);
    };
    if !is_unfinished(&locked.path) {
        return Ok(false);
    }
    release_names(paths, id);
    remove_folder(&locked.path).map(|()| true)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &std::path::Path) -> Result<T> {
    let missing = |errno| match errno {
        rustix::io::Errno::NOENT => Error::not_found(format!("no such file: {}", path.display())),
        errno => Error::system(format!("read {}", path.display()), errno),
    };
    let bytes = read_once(path).map_err(missing)?;
    if let Ok(value) = serde_json::from_slice(&bytes) {
        return Ok(value);
    }
    // A file system of the network may give less than there is; what cannot be understood is read to its end.
    let bytes = std::fs::read(path).doing_with(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).doing_with(|| format!("understand {}", path.display()))
}

/// A small file by three system calls: a list of hundreds of containers is made of little else. A transfer that leaves room is
/// its last.
fn read_once(path: &std::path::Path) -> rustix::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    let mut bytes = Vec::with_capacity(8192);
    loop {
        let room = bytes.capacity() - bytes.len();
        if rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))? < room {
            return Ok(bytes);
        }
        bytes.reserve(bytes.capacity());
    }
}

fn write_json<T: Serialize>(folder: &std::path::Path, name: &str, value: &T) -> Result<()> {
    let path = folder.join(name);
    let text = serde_json::to_vec(value).doing_with(|| format!("write {}", path.display()))?;
    write_file(&path, &text).doing_with(|| format!("write {}", path.display()))
}

fn write_file(path: &std::path::Path, text: &[u8]) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file: File| file.write_all(text))
}

/// Writes over what a file has, in the blocks that it has, with spaces where the old text was longer.
fn overwrite_file(path: &std::path::Path, mut text: Vec<u8>) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len() as usize;
    text.resize(text.len().max(length), b' ');
    file.write_all_at(&text, 0)
}

/// Readers see the old or the new file, never half of one. On a full disk the old one is overwritten in one piece instead: a
/// state that could not be told any more would be worse than one that a reader might catch half-way.
pub(crate) fn replace_json<T: Serialize>(
    folder: &std::path::Path,
    name: &str,
    value: &T,
) -> Result<()> {
    let (fresh, path) = (folder.join(format!(".{name}.new")), folder.join(name));
    let text = serde_json::to_vec(value).doing_with(|| format!("write {}", path.display()))?;
    let written = write_file(&fresh, &text).and_then(|()| std::fs::rename(&fresh, &path));
    match written {
        Err(e) if e.kind() == ErrorKind::StorageFull => {
            let _ = std::fs::remove_file(&fresh);
            overwrite_file(&path, text).map_err(|_| e)
        }
        other => other,
    }
    .doing_with(|| format!("write {}", path.display()))
}

/// Removes a container's folder with all that is in it, never following a link.
pub(crate) fn remove_folder(path: &std::path::Path) -> Result<()> {
    let named = || Error::internal(format!("{} is no container's folder", path.display()));
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(named());
    };
    silo_image::remove_tree(crate::rootfs::open_folder(parent)?, name)
}
