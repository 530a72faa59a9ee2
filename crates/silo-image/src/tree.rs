//! Trees on disk: removing and measuring them without ever following a link.
//!
//! Called for layers, temporary folders and containers. Everything goes through descriptors: a process that swaps a folder for a
//! link meanwhile gains nothing (THREATS: 2022-21658). The number of open descriptors and the depth of the stack are bounded
//! however deep the tree is.

use std::{
    collections::HashSet,
    ffi::{CStr, CString},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags},
    io::Errno,
    path::Arg,
};
use silo_types::{Doing, Error, Result};

/// Folders deeper than this below the one being emptied are moved up to the top of the tree before they are emptied.
const MAX_DEPTH: usize = 24;

/// Room for directory entries: one getdents64(2) of a usual folder.
const ENTRIES_BUFFER: usize = 4096;

/// Removes `name`, a single name in the folder `dir`, with everything in it; absent is done.
///
/// Links are removed, not followed; another file system mounted below is never entered (the error says which). Goes on past
/// errors and returns the first.
pub fn remove_tree(dir: impl AsFd, name: impl Arg) -> Result<()> {
    let dir = dir.as_fd();
    let name = name.into_c_str().doing("remove a tree: bad name")?;
    let name: &CStr = &name;
    if name.to_bytes().contains(&b'/') {
        return Err(Error::internal(format!(
            "remove a tree: {name:?} is not a single name"
        )));
    }
    let shown = || format!("remove {}", name.to_string_lossy());
    match open_folder(dir, name) {
        Ok(top) => Remover::new(&top).run(dir, name).doing_with(shown),
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            ignore_absent(rustix::fs::unlinkat(dir, name, AtFlags::empty())).doing_with(shown)
        }
        Err(error) => Err(error).doing_with(shown),
    }
}

/// [`remove_tree`] for a path of Silo's own.
pub(crate) fn remove_path(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::internal(format!("{} has no parent", path.display())));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.doing_with(|| format!("open {}", parent.display()))?,
    };
    remove_tree(parent, name)
}

/// Opens the folder `name` itself: not through a link, not over a mount.
fn open_folder(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(
        dir,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
    )
}

fn ignore_absent(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// One removal.
struct Remover<'a> {
    top: &'a OwnedFd,
    /// How many deep folders were moved up.
    moved: u64,
    /// Something went away in this round.
    progress: bool,
    first_error: Option<Errno>,
}

impl<'a> Remover<'a> {
    fn new(top: &'a OwnedFd) -> Remover<'a> {
        Remover {
            top,
            moved: 0,
            progress: false,
            first_error: None,
        }
    }

    fn run(mut self, dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
        loop {
            self.progress = false;
            self.empty(self.top, 0);
            match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::NOTEMPTY | Errno::EXIST) if self.progress => {
                    rustix::fs::seek(self.top, rustix::fs::SeekFrom::Start(0))?;
                }
                Err(error) => return Err(self.first_error.unwrap_or(error)),
            }
        }
    }

    fn note(&mut self, result: rustix::io::Result<()>) {
        match ignore_absent(result) {
            Ok(()) => self.progress = true,
            Err(error) => {
                self.first_error.get_or_insert(error);
            }
        }
    }

    fn empty(&mut self, dir: &OwnedFd, depth: usize) {
        let mut buffer = Vec::<u8>::with_capacity(ENTRIES_BUFFER);
        let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.note(Err(error)),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                self.remove_folder(dir, name, depth);
                continue;
            }
            match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => self.remove_folder(dir, name, depth),
                result => self.note(result),
            }
        }
    }

    fn remove_folder(&mut self, dir: &OwnedFd, name: &CStr, depth: usize) {
        match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(Errno::NOTDIR) => {
                return self.note(rustix::fs::unlinkat(dir, name, AtFlags::empty()));
            }
            result => return self.note(result),
        }
        if depth == MAX_DEPTH {
            let up = format!(".silo-removing-{}", self.moved);
            self.moved += 1;
            return self.note(rustix::fs::renameat(dir, name, self.top, up));
        }
        match open_folder(dir.as_fd(), name) {
            Ok(folder) => {
                self.empty(&folder, depth + 1);
                self.note(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR));
            }
            Err(error) => self.note(Err(error)),
        }
    }
}

/// Bytes in the regular files below `dir`, each file counted once whatever number of names it has; other mounts are not entered.
///
/// `silo ps -s`: the size of a container is that of its upper folder, its virtual size adds the image's.
pub fn tree_size(dir: impl AsFd) -> Result<u64> {
    let mut total = 0;
    let mut linked = HashSet::new();
    walk(dir.as_fd(), &mut |_, stat| {
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if regular && (stat.st_nlink == 1 || linked.insert((stat.st_dev, stat.st_ino))) {
            total += stat.st_size as u64;
        }
    })?;
    Ok(total)
}

/// Calls `visit` with the path below `dir` and the status of everything in the tree, `dir` itself excepted. What vanishes
/// meanwhile is left out.
pub(crate) fn walk(
    dir: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&[u8], &rustix::fs::Stat),
) -> Result<()> {
    let mut pending: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let Some(folder) = open_below(dir, &path, true).doing_with(|| at("open", &path))? else {
            continue;
        };
        for name in list(&folder).doing_with(|| at("list", &path))? {
            let Ok(stat) = rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let below = join(&path, name.to_bytes());
            visit(&below, &stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                pending.push(below);
            }
        }
    }
    Ok(())
}

pub(crate) fn at(doing: &str, path: &[u8]) -> String {
    format!("{doing} /{}", String::from_utf8_lossy(path))
}

/// `folder/name`, without a slash in front.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    if !folder.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The folder at `path` below `dir` (empty: itself), without following any link; `None`: gone, no folder any more, or (with
/// `same_mount`) a mount.
pub(crate) fn open_below(
    dir: BorrowedFd<'_>,
    path: &[u8],
    same_mount: bool,
) -> rustix::io::Result<Option<OwnedFd>> {
    let path = if path.is_empty() { &b"."[..] } else { path };
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    if same_mount {
        resolve |= ResolveFlags::NO_XDEV;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entries of an open folder, without `.` and `..`.
pub(crate) fn list(folder: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); 8 * ENTRIES_BUFFER];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
