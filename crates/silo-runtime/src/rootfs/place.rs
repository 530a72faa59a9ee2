//! Finding and making places inside the root, by descriptor: no path string is resolved twice.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{self, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use silo_sys::inside;
use silo_types::{Doing, Error, Result};

use super::Rootfs;

/// As many links as the kernel follows, path_resolution(7).
const MOST_LINKS: u32 = 40;

impl Rootfs {
    /// A path inside, through no symlink, if it is there: what is masked or protected lies in our own /proc and /sys.
    pub(super) fn existing(&self, path: &str) -> Result<Option<OwnedFd>> {
        let found = inside::open(
            &self.root,
            path.trim_start_matches('/'),
            OFlags::PATH | OFlags::CLOEXEC,
            ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
        );
        match found {
            Ok(target) => Ok(Some(target)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
            Err(error) => Err(Error::system(format!("open {path}"), error)),
        }
    }

    /// The place where a mount goes, if it is there.
    pub(super) fn find(&self, path: &str) -> Result<Option<OwnedFd>> {
        let below = path.trim_start_matches('/');
        let name = if below.is_empty() { "." } else { below };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match inside::open(&self.root, name, flags, way_to(below)) {
            Ok(target) => Ok(Some(target)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(Error::invalid(format!(
                "{path} is or goes through a symbolic link of the image: it must be mounted on ordinary directory"
            ))),
            Err(error) => Err(Error::system(format!("open {path}"), error)),
        }
    }

    /// The same, made if it is not there.
    pub(super) fn target(&self, path: &str, kind: FileType) -> Result<OwnedFd> {
        if let Some(found) = self.find(path)? {
            return Ok(found);
        }
        let below = path.trim_start_matches('/');
        if kind == FileType::Directory {
            return make_folders(&self.root, below, way_to(below))
                .doing_with(|| format!("make the folder {path}"));
        }
        self.make_file(below, MOST_LINKS)
            .doing_with(|| format!("make {path}"))?;
        self.find(path)?
            .ok_or_else(|| Error::conflict(format!("{path} was removed meanwhile")))
    }

    /// An empty file with the folders above it; where a link to what is not there lies, what it leads to, inside.
    fn make_file(&self, below: &str, links_left: u32) -> rustix::io::Result<()> {
        let (parent, last) = below.rsplit_once('/').unwrap_or((".", below));
        let folder = make_folders(&self.root, parent, way_to(below))?;
        let mode = Mode::from_raw_mode(0o644);
        match fs::mknodat(&folder, last, FileType::RegularFile, mode, 0) {
            Err(Errno::EXIST) => {}
            made => return made,
        }
        let link = match fs::readlinkat(&folder, last, Vec::new()) {
            Ok(link) if links_left > 0 => link,
            Ok(_) => return Err(Errno::LOOP),
            // It was made meanwhile, and is no link.
            Err(_) => return Ok(()),
        };
        let link = link.to_str().map_err(|_| Errno::ILSEQ)?;
        let next = match link.strip_prefix('/') {
            Some(from_top) => from_top.to_owned(),
            None => format!("{parent}/{link}"),
        };
        self.make_file(&next, links_left - 1)
    }

    /// The mount of a path inside, as it is by now, to be seen at another place, too.
    pub(super) fn open_inside(&self, path: &str, recursive: bool) -> Result<OwnedFd> {
        let place = self
            .find(path)?
            .ok_or_else(|| Error::not_found(format!("bind source {path} of the container")))?;
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        if recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        open_tree(&place, "", flags).doing_with(|| format!("bind source {path} of the container"))
    }

    /// A folder inside, with all above it, made where missing.
    pub(crate) fn make_folder(&self, path: &str) -> Result<()> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        make_folders(&self.root, path, resolve)
            .map(drop)
            .doing_with(|| path.to_owned())
    }
}

/// How a path inside is followed: through links of the image nowhere but inside, and through none where the kernel's files lie.
fn way_to(below: &str) -> ResolveFlags {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut parts = below.split('/').filter(|part| !matches!(*part, "" | "."));
    match parts.next() {
        Some("proc" | "sys" | "dev") => resolve | ResolveFlags::NO_SYMLINKS,
        _ => resolve,
    }
}

/// mkdir -p inside the root, one component at a time by descriptor; symlinks of the image resolve inside it.
pub(super) fn make_folders(
    root: &OwnedFd,
    path: &str,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut links_left = MOST_LINKS;
    let mut done = String::from(".");
    let mut at = inside::open(root, ".", flags, resolve)?;
    let mut left: Vec<String> = parts_reversed(path);
    while let Some(part) = left.pop() {
        let before = done.clone();
        done.push('/');
        done.push_str(&part);
        match inside::open(root, &done, flags, resolve) {
            Ok(folder) => at = folder,
            Err(Errno::NOENT) => {
                let parent = inside::open(root, &before, flags, resolve)?;
                match fs::mkdirat(&parent, part.as_str(), Mode::from_raw_mode(0o755)) {
                    Ok(()) => {}
                    // A link to what is not there yet: that is made, inside.
                    Err(Errno::EXIST) if links_left > 0 => {
                        links_left -= 1;
                        let link = fs::readlinkat(&parent, part.as_str(), Vec::new())?;
                        let link = link.to_str().map_err(|_| Errno::ILSEQ)?;
                        done = match link.starts_with('/') {
                            true => String::from("."),
                            false => before,
                        };
                        left.extend(parts_reversed(link));
                        continue;
                    }
                    Err(Errno::EXIST) => return Err(Errno::LOOP),
                    Err(error) => return Err(error),
                }
                at = inside::open(root, &done, flags, resolve)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

fn parts_reversed(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|p| !p.is_empty() && *p != ".");
    parts.rev().map(str::to_owned).collect()
}
