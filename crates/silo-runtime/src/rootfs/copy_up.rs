//! `tmpcopyup`: a new tmpfs filled with what it covers: files, folders, links and pipes with owner, mode and time.
//!
//! The image is hostile: everything is opened by name in a folder held open, following no link, and the depth is bounded.

use std::{fs::File, io, os::fd::OwnedFd};

use rustix::{
    fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid},
    io::Errno,
};
use silo_types::{Doing, Error, Result};

use crate::mount_options::MountOptions;

/// Each level holds two descriptors open.
const DEEPEST: usize = 200;

/// Copies what is in the folder `from` to the new mount `to`, which gets its owner and mode unless options say otherwise.
pub(super) fn copy_up(from: &OwnedFd, to: &OwnedFd, options: &MountOptions) -> Result<()> {
    let stat = fs::fstat(from).doing("stat what is copied")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let to = &fs::openat(to, c".", flags, Mode::empty()).doing("open the new mount")?;
    copy_folder(from, to, 0).map_err(|e| e.context("copy up"))?;
    let said = |key: &str| options.data.iter().any(|(name, _)| name == key);
    if !said("uid") && !said("gid") {
        fs::fchown(to, Some(uid(&stat)), Some(gid(&stat))).doing("set its owner")?;
    }
    if !said("mode") {
        fs::fchmod(to, mode(&stat)).doing("set its mode")?;
    }
    Ok(())
}

fn copy_folder(from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(Error::invalid(format!(
            "folders lie more than {DEEPEST} deep"
        )));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let listed = fs::openat(from, c".", flags, Mode::empty()).doing("open a folder")?;
    for entry in Dir::read_from(&listed).doing("list a folder")? {
        let entry = entry.doing("list a folder")?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        copy_entry(&listed, to, name, depth).map_err(|e| e.context(name.to_string_lossy()))?;
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &std::ffi::CStr, depth: usize) -> Result<()> {
    let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).doing("stat")?;
    let new = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | new;
            let source = fs::openat(from, name, flags, Mode::empty()).doing("open")?;
            fs::mkdirat(to, name, Mode::RWXU).doing("make")?;
            let copy = fs::openat(to, name, flags, Mode::empty()).doing("open the copy")?;
            copy_folder(&source, &copy, depth + 1)?;
        }
        FileType::RegularFile => {
            // What was a file may be a pipe by now, on which an open for reading would wait.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | new;
            let source = fs::openat(from, name, flags, Mode::empty()).doing("open")?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | new;
            let copy = fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR).doing("make")?;
            io::copy(&mut File::from(source), &mut File::from(copy)).doing("copy")?;
        }
        FileType::Symlink => {
            let target = fs::readlinkat(from, name, Vec::new()).doing("read the link")?;
            fs::symlinkat(target, to, name).doing("make the link")?;
        }
        kind => {
            fs::mknodat(to, name, kind, mode(&stat), stat.st_rdev).doing("make")?;
        }
    }
    settle(to, name, &stat)
}

/// Owner, mode and times of what was copied; the owner first, for a change of it clears set-user-id.
fn settle(to: &OwnedFd, name: &std::ffi::CStr, stat: &Stat) -> Result<()> {
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    fs::chownat(to, name, Some(uid(stat)), Some(gid(stat)), nofollow).doing("set the owner")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        fs::chmodat(to, name, mode(stat), AtFlags::empty()).doing("set the mode")?;
    }
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime,
            tv_nsec: stat.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec as _,
        },
    };
    match fs::utimensat(to, name, &times, nofollow) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(Error::system("set the time", error)),
    }
}

fn uid(stat: &Stat) -> Uid {
    Uid::from_raw(stat.st_uid)
}

fn gid(stat: &Stat) -> Gid {
    Gid::from_raw(stat.st_gid)
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}
