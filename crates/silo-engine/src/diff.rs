//! What a container changed of its image: read from the upper layer of its overlay.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use silo_types::{Doing, Result};

use crate::{Engine, container::Container, rootfs::open_folder};

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    Changed,
    Added,
    Deleted,
}

impl ChangeKind {
    /// Docker's letter.
    pub fn letter(self) -> char {
        match self {
            ChangeKind::Changed => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        }
    }
}

/// One path that differs from the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// Absolute, inside the container.
    pub path: String,
}

impl Engine {
    /// All changes, by path.
    pub fn diff(&self, container: &Container) -> Result<Vec<Change>> {
        let folder = self.paths.container(container.id()).join("upper");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let image = self.images.resolve(&container.config.image.id)?;
        let lower: Vec<PathBuf> = image
            .layers
            .iter()
            .rev()
            .map(|layer| self.images.layer_dir(&layer.id))
            .collect();
        let upper = open_folder(&folder)?;
        let mut changes = Vec::new();
        walk(upper.as_fd(), "", &lower, &mut changes)?;
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }
}

/// An empty file that Silo made for one of its own mounts to lie on: not the container's doing.
fn is_own(path: &str, stat: &rustix::fs::Stat) -> bool {
    let own = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    let kind = FileType::from_raw_mode(stat.st_mode);
    kind == FileType::RegularFile && stat.st_size == 0 && own.contains(&path)
}

fn walk(
    folder: BorrowedFd<'_>,
    path: &str,
    lower: &[PathBuf],
    changes: &mut Vec<Change>,
) -> Result<()> {
    for entry in Dir::read_from(folder).doing_with(|| format!("list {path}/"))? {
        let entry = entry.doing_with(|| format!("list {path}/"))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let inside = format!("{path}/{}", name.to_string_lossy());
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .doing_with(|| format!("look at {inside}"))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if is_own(&inside, &stat) {
            continue;
        }
        let whiteout = kind == FileType::CharacterDevice && stat.st_rdev == 0;
        let known = lower.iter().any(|layer| {
            let below = layer.join(&inside[1..]);
            std::fs::symlink_metadata(below).is_ok()
        });
        changes.push(Change {
            kind: match (whiteout, known) {
                (true, _) => ChangeKind::Deleted,
                (false, true) => ChangeKind::Changed,
                (false, false) => ChangeKind::Added,
            },
            path: inside.clone(),
        });
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = rustix::fs::openat(folder, name, flags, Mode::empty())
                .doing_with(|| format!("open {inside}"))?;
            walk(below.as_fd(), &inside, lower, changes)?;
        }
    }
    Ok(())
}
