//! What is kept of a container whose maker has ended: a folder each, below the runtime's root.
//!
//! | file | what |
//! |---|---|
//! | `state.json` | who it is: small, replaced by rename |
//! | `config.json` | its specification as it was when it was made |
//! | `start` | the socket of `door`, while the container waits |
//!
//! Commands that make, start or remove a container hold flock(2) on its folder; those that only look, signal or change limits
//! do not. A folder without a living process is a stopped container, also when its maker was killed half-way: `delete` takes it.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use oci_spec::runtime::Spec;
use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use silo_types::{Doing, Error, ProcessId, Result};

use crate::{bundle, door, process};

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
const NOTIFY: &str = "notify";
/// How long another command may hold a container before this one gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest id: it is a file's name.
const LONGEST: usize = 255;

/// The folder with a folder for each container.
#[derive(Clone, Debug)]
pub struct StateRoot(PathBuf);

/// Who a container is. Times are nanoseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Record {
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: u64,
    pub annotations: BTreeMap<String, String>,
    /// `None` until everything is made.
    pub process: Option<ProcessId>,
    /// Its path in every hierarchy.
    pub cgroup: String,
    /// systemd's unit around it, if one was asked for.
    pub unit: Option<String>,
    /// That unit is one of its user's.
    pub unit_of_user: bool,
    /// It has no pid namespace of its own.
    pub shares_pids: bool,
    /// Its specification must be looked into at its start and removal.
    pub has_hooks: bool,
}

/// Where a container is in its life, but for "paused", which only its control group knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Creating,
    Created,
    Running,
    Stopped,
}

/// A container's folder, looked at without holding it.
#[derive(Debug)]
pub struct Seen {
    pub record: Record,
    /// User id of who made it.
    pub owner: u32,
    path: PathBuf,
    folder: OwnedFd,
    /// The one who looks holds the lock.
    is_ours: bool,
}

/// A container's folder with its lock.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    folder: OwnedFd,
}

impl StateRoot {
    pub fn at(path: &Path) -> Result<StateRoot> {
        let path = std::path::absolute(path).doing_with(|| format!("root {}", path.display()))?;
        Ok(StateRoot(path))
    }

    pub fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// Ids of all containers, in order.
    pub fn ids(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::system(format!("list {}", self.0.display()), error)),
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| check_id(name).is_ok())
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Takes an id: a folder, held.
    ///
    /// Errors: Conflict when it is taken.
    pub fn make(&self, id: &str) -> Result<Held> {
        check_id(id)?;
        let path = self.0.join(id);
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        let made = match builder.create(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                builder
                    .recursive(true)
                    .create(&self.0)
                    .doing_with(|| format!("make the folder {}", self.0.display()))?;
                builder.recursive(false).create(&path)
            }
            other => other,
        };
        match made {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::conflict("container with given ID already exists"));
            }
            Err(error) => {
                return Err(Error::system(
                    format!("make the folder {}", path.display()),
                    error,
                ));
            }
        }
        self.hold(id)
    }

    /// Waits for other commands, and holds the container.
    ///
    /// Errors: NotFound; Conflict when another command does not let go.
    pub fn hold(&self, id: &str) -> Result<Held> {
        let (path, folder) = self.open(id)?;
        let end = Instant::now() + PATIENCE;
        loop {
            match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::conflict(format!(
                        "container {id} is held by another command: try again"
                    )));
                }
                Err(error) => return Err(Error::system(format!("lock {}", path.display()), error)),
            }
        }
        let held = Held { path, folder };
        // It may have been removed while we waited.
        let stat = rustix::fs::fstat(&held.folder).doing("stat a container's folder")?;
        match stat.st_nlink {
            0 => Err(missing()),
            _ => Ok(held),
        }
    }

    /// Looks at a container.
    ///
    /// Errors: NotFound also for one of which only a folder exists, as its maker is at its beginning or was killed there.
    pub fn look(&self, id: &str) -> Result<Seen> {
        let (path, folder) = self.open(id)?;
        see(path, folder, false)
    }

    /// Where a container's program finds a socket of `silo oci start`, if it was made with [`Held::make_notify_folder`].
    pub fn notify_folder(&self, id: &str) -> PathBuf {
        self.0.join(id).join(NOTIFY)
    }

    fn open(&self, id: &str) -> Result<(PathBuf, OwnedFd)> {
        check_id(id)?;
        let path = self.0.join(id);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
            Ok(folder) => Ok((path, folder)),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(missing()),
            Err(error) => Err(Error::system(format!("open {}", path.display()), error)),
        }
    }
}

fn see(path: PathBuf, folder: OwnedFd, is_ours: bool) -> Result<Seen> {
    let file = path.join(STATE);
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(Error::system(format!("read {}", file.display()), error)),
    };
    let owner = fs::metadata(&file).map_or(0, |found| found.uid());
    let record =
        serde_json::from_slice(&text).doing_with(|| format!("understand {}", file.display()))?;
    Ok(Seen {
        record,
        owner,
        path,
        folder,
        is_ours,
    })
}

fn missing() -> Error {
    Error::not_found("container does not exist")
}

/// An id names a folder: letters, digits and `+ - . _`, and it leads nowhere else.
pub fn check_id(id: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    if id.is_empty() {
        return Err(Error::invalid("container id cannot be empty"));
    }
    if id.len() > LONGEST || matches!(id, "." | "..") || !id.bytes().all(good) {
        let shown: String = id.chars().take(80).collect();
        return Err(Error::invalid(format!(
            "invalid container ID format: {shown:?}: letters, digits, '+', '-', '.' and '_' make an id"
        )));
    }
    Ok(())
}

impl Seen {
    pub fn life(&self) -> Life {
        let Some(main) = self.record.process else {
            return match !self.is_ours && self.is_held() {
                true => Life::Creating,
                false => Life::Stopped,
            };
        };
        match process::same(main) {
            Some(facts) if !facts.has_ended() => match door::is_waiting(self.folder.as_fd()) {
                true => Life::Created,
                false => Life::Running,
            },
            _ => Life::Stopped,
        }
    }

    /// The main process, unless it has ended.
    pub fn main(&self) -> Option<ProcessId> {
        match self.life() {
            Life::Created | Life::Running => self.record.process,
            Life::Creating | Life::Stopped => None,
        }
    }

    /// The specification that it was made from.
    pub fn spec(&self) -> Result<Spec> {
        read_spec(&self.path)
    }

    fn is_held(&self) -> bool {
        let tried = rustix::fs::flock(&self.folder, FlockOperation::NonBlockingLockShared);
        if tried.is_ok() {
            let _ = rustix::fs::flock(&self.folder, FlockOperation::Unlock);
        }
        tried == Err(Errno::WOULDBLOCK)
    }
}

fn read_spec(folder: &Path) -> Result<Spec> {
    let file = folder.join(CONFIG);
    let text = fs::read(&file).doing_with(|| format!("read {}", file.display()))?;
    bundle::parse(&text, &file)
}

impl Held {
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same as [`StateRoot::look`], by who holds it: nobody is making it.
    pub fn look(&self) -> Result<Seen> {
        let folder = self.folder.try_clone().doing("hold a container's folder")?;
        see(self.path.clone(), folder, true)
    }

    /// Keeps the specification, before there is a record.
    pub(crate) fn write_config(&self, text: &[u8]) -> Result<()> {
        write(&self.path.join(CONFIG), text)
    }

    /// Readers see the old or the new record.
    pub(crate) fn write_record(&self, record: &Record) -> Result<()> {
        let path = self.path.join(STATE);
        let fresh = self.path.join(".state.json.new");
        let text = serde_json::to_vec(record).doing_with(|| format!("write {}", path.display()))?;
        write(&fresh, &text)?;
        fs::rename(&fresh, &path).doing_with(|| format!("replace {}", path.display()))
    }

    /// The specification; `None` when the maker was killed before it was kept.
    pub(crate) fn spec(&self) -> Option<Spec> {
        read_spec(&self.path).ok()
    }

    /// A folder that the container sees: the one in here that others may walk into.
    pub(crate) fn make_notify_folder(&self) -> Result<()> {
        let path = self.path.join(NOTIFY);
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .doing_with(|| format!("make {}", path.display()))
    }

    /// Removes the folder, and with it the id's being taken.
    pub(crate) fn remove(self) -> Result<()> {
        let doing = || format!("remove {}", self.path.display());
        for entry in fs::read_dir(&self.path).doing_with(doing)?.flatten() {
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => fs::remove_dir_all(entry.path()).doing_with(doing)?,
                false => fs::remove_file(entry.path()).doing_with(doing)?,
            }
        }
        fs::remove_dir(&self.path).doing_with(doing)
    }
}

/// Unlocked by hand: a copy of the descriptor, as the container's first process has until its program runs, keeps no lock alive.
impl Drop for Held {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.folder, FlockOperation::Unlock);
    }
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text))
        .doing_with(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silo_types::Kind;

    fn root() -> (tempfile::TempDir, StateRoot) {
        let folder = tempfile::tempdir().unwrap();
        let root = StateRoot::at(&folder.path().join("a/b")).unwrap();
        (folder, root)
    }

    #[test]
    fn ids_lead_nowhere() {
        for good in ["a", "A.b_c-d+1", "...", &"x".repeat(255)] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(256),
        ] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_taken_once_and_free_again() {
        let (_folder, root) = root();
        assert_eq!(root.ids().unwrap(), [""; 0]);
        let held = root.make("x").unwrap();
        assert_eq!(root.make("x").unwrap_err().kind(), Kind::Conflict);
        assert_eq!(root.look("x").unwrap_err().kind(), Kind::NotFound);
        let record = Record {
            id: "x".to_owned(),
            ..Record::default()
        };
        held.write_record(&record).unwrap();
        let seen = root.look("x").unwrap();
        assert_eq!((seen.life(), &seen.record), (Life::Creating, &record));
        drop(held);
        assert_eq!(seen.life(), Life::Stopped);
        assert_eq!(root.ids().unwrap(), ["x"]);
        root.hold("x").unwrap().remove().unwrap();
        assert_eq!(root.hold("x").unwrap_err().kind(), Kind::NotFound);
        drop(root.make("x").unwrap());
    }

    #[test]
    fn a_process_of_another_time_is_not_it() {
        let (_folder, root) = root();
        let held = root.make("x").unwrap();
        let own = process::identify(std::process::id() as i32).unwrap();
        let mut record = Record {
            process: Some(own),
            ..Record::default()
        };
        held.write_record(&record).unwrap();
        assert_eq!(root.look("x").unwrap().life(), Life::Running);
        record.process = Some(ProcessId {
            start_time: own.start_time + 1,
            ..own
        });
        held.write_record(&record).unwrap();
        assert_eq!(root.look("x").unwrap().life(), Life::Stopped);
    }
}
