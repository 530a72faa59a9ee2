//! Packing a tree into a tar stream: `silo export`, `silo cp` out of a container.
//!
//! The tree may belong to a running, hostile container: every folder is opened by descriptor from the top without following a
//! link, files are opened without blocking and checked to be regular, and sizes are those of the open descriptor.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use silo_types::{Doing, Error, Result};

use crate::{
    tar::{Entry, Kind, MAX_PATH, Writer},
    tree::{at, join, list, open_below},
    unpack::is_kept_xattr,
};

/// How a tree is packed.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackOptions {
    /// Also what is mounted below the folder (a container's volumes); else mount points are packed as empty folders.
    pub cross_mounts: bool,
}

/// Packs everything in the folder `dir`, itself included as `./`, names in order. Sockets are left out.
pub fn write_tar(dir: BorrowedFd<'_>, out: impl Write, options: &PackOptions) -> Result<()> {
    let mut packer = Packer::new(dir, out, options);
    let stat = rustix::fs::fstat(dir).doing("look at the folder")?;
    let mut top = entry_of(&stat, Kind::Directory, b"./");
    top.xattrs = xattrs(dir).doing("read the folder's attributes")?;
    packer.writer.append(&top, &mut io::empty())?;
    packer.folders(Vec::new(), Vec::new())?;
    packer.writer.finish().map(drop)
}

/// Packs `name` of the folder `dir` (with all below, if it is a folder) under the name `as_name`.
///
/// # Errors
/// `NotFound` when it is absent.
pub fn write_tar_entry(
    dir: BorrowedFd<'_>,
    name: &str,
    as_name: &str,
    out: impl Write,
    options: &PackOptions,
) -> Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(Error::internal(format!("{name:?} is not a single name")));
    }
    let mut packer = Packer::new(dir, out, options);
    let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {
            return Err(Error::not_found(format!(
                "no such file or directory: {name}"
            )));
        }
        other => other.doing_with(|| format!("look at {name}"))?,
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let (path, shown) = (name.as_bytes(), as_name.as_bytes());
        packer.folder_entry(path, shown)?;
        packer.folders(path.to_vec(), shown.to_vec())?;
    } else {
        packer.item(dir, name.as_bytes(), as_name.as_bytes(), &stat)?;
    }
    packer.writer.finish().map(drop)
}

struct Packer<'a, W> {
    top: BorrowedFd<'a>,
    writer: Writer<W>,
    same_mount: bool,
    /// First name of each file that has several.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a, W: Write> Packer<'a, W> {
    fn new(top: BorrowedFd<'a>, out: W, options: &PackOptions) -> Packer<'a, W> {
        Packer {
            top,
            writer: Writer::new(out),
            same_mount: !options.cross_mounts,
            linked: HashMap::new(),
        }
    }

    /// Packs what is in the folder at `path` below the top, under the name `shown`, and in all folders below it.
    fn folders(&mut self, path: Vec<u8>, shown: Vec<u8>) -> Result<()> {
        let mut pending = vec![(path, shown)];
        while let Some((path, shown)) = pending.pop() {
            let open = open_below(self.top, &path, self.same_mount);
            let Some(folder) = open.doing_with(|| at("open", &path))? else {
                continue;
            };
            let mut names = list(&folder).doing_with(|| at("list", &path))?;
            names.sort();
            let mut below = Vec::new();
            for name in names {
                let name = name.to_bytes();
                let Ok(stat) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                    continue;
                };
                let (item, item_shown) = (join(&path, name), join(&shown, name));
                if item.len() >= MAX_PATH {
                    return Err(Error::invalid(format!(
                        "a path is longer than {MAX_PATH} bytes"
                    )));
                }
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    self.folder_entry(&item, &item_shown)?;
                    below.push((item, item_shown));
                } else {
                    self.item(folder.as_fd(), name, &item_shown, &stat)?;
                }
            }
            pending.extend(below.into_iter().rev());
        }
        Ok(())
    }

    fn folder_entry(&mut self, path: &[u8], shown: &[u8]) -> Result<()> {
        let open = open_below(self.top, path, false);
        let Some(folder) = open.doing_with(|| at("open", path))? else {
            return Ok(());
        };
        let stat = rustix::fs::fstat(&folder).doing_with(|| at("look at", path))?;
        let mut entry = entry_of(&stat, Kind::Directory, &[shown, b"/"].concat());
        entry.xattrs = xattrs(&folder).doing_with(|| at("read the attributes of", path))?;
        self.writer.append(&entry, &mut io::empty())
    }

    /// Packs anything but a folder.
    fn item(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        shown: &[u8],
        stat: &Stat,
    ) -> Result<()> {
        if stat.st_nlink > 1 {
            if let Some(first) = self.linked.get(&(stat.st_dev, stat.st_ino)) {
                let mut entry = entry_of(stat, Kind::HardLink, shown);
                entry.link = first.clone();
                return self.writer.append(&entry, &mut io::empty());
            }
            self.linked
                .insert((stat.st_dev, stat.st_ino), shown.to_vec());
        }
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return self.file(folder, name, shown),
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            _ => return Ok(()),
        };
        let mut entry = entry_of(stat, kind, shown);
        if kind == Kind::Symlink {
            match rustix::fs::readlinkat(folder, name, Vec::new()) {
                Ok(target) => entry.link = target.into_bytes(),
                Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
                Err(error) => return Err(error).doing_with(|| at("read", shown)),
            }
        }
        self.writer.append(&entry, &mut io::empty())
    }

    fn file(&mut self, folder: BorrowedFd<'_>, name: &[u8], shown: &[u8]) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: OwnedFd = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
            other => other.doing_with(|| at("open", shown))?,
        };
        let stat = rustix::fs::fstat(&file).doing_with(|| at("look at", shown))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let mut entry = entry_of(&stat, Kind::File, shown);
        entry.size = stat.st_size as u64;
        entry.xattrs = xattrs(&file).doing_with(|| at("read the attributes of", shown))?;
        self.writer.append(&entry, &mut File::from(file))
    }
}

fn entry_of(stat: &Stat, kind: Kind, path: &[u8]) -> Entry {
    let mut entry = Entry::new(kind, path, stat.st_mode & 0o7777);
    entry.uid = stat.st_uid;
    entry.gid = stat.st_gid;
    entry.mtime = (stat.st_mtime, stat.st_mtime_nsec as u32);
    if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
        entry.device = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
    }
    entry
}

/// The attributes that images carry.
fn xattrs(file: impl AsFd) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::flistxattr(&file, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for name in names[..length]
        .split(|&b| b == 0)
        .filter(|n| is_kept_xattr(n))
    {
        let mut value = vec![0; 64 * 1024];
        match rustix::fs::fgetxattr(&file, name, &mut value[..]) {
            Ok(length) => all.push((name.to_vec(), value[..length].to_vec())),
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
