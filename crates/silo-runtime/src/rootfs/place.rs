//! Finding and making places inside the root, by descriptor: no path string is resolved twice.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{self, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use silo_sys::inside;
use silo_types::{Doing, Error, Result};

use super::Rootfs;

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

    /// The place where a mount goes, made if it is not there.
    pub(super) fn target(&self, path: &str, kind: FileType) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let below = path.trim_start_matches('/');
        let top = below.split('/').next().unwrap_or("");
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if matches!(top, "proc" | "sys" | "dev") {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let name = if below.is_empty() { "." } else { below };
        match inside::open(&self.root, name, flags, resolve) {
            Ok(target) => return Ok(target),
            Err(Errno::NOENT) => {}
            Err(Errno::LOOP) => {
                return Err(Error::invalid(format!(
                    "{path} of the image is or goes through a symbolic link"
                )));
            }
            Err(error) => return Err(Error::system(format!("open {path}"), error)),
        }
        if kind == FileType::Directory {
            return make_folders(&self.root, below, resolve)
                .doing_with(|| format!("make the folder {path}"));
        }
        let (parent, last) = below.rsplit_once('/').unwrap_or((".", below));
        let folder = make_folders(&self.root, parent, resolve)
            .doing_with(|| format!("make the folder {parent}"))?;
        let made = fs::mknodat(
            &folder,
            last,
            FileType::RegularFile,
            Mode::from_raw_mode(0o644),
            0,
        );
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::system(format!("make {path}"), error)),
        }
        inside::open(&self.root, name, flags, resolve).doing_with(|| format!("open {path}"))
    }

    /// A folder inside, with all above it, made where missing.
    pub(crate) fn make_folder(&self, path: &str) -> Result<()> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        make_folders(&self.root, path, resolve)
            .map(drop)
            .doing_with(|| path.to_owned())
    }
}

/// mkdir -p inside the root, one component at a time by descriptor; symlinks of the image resolve inside it.
pub(super) fn make_folders(
    root: &OwnedFd,
    path: &str,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // As many links as the kernel follows, path_resolution(7).
    let mut links_left = 40;
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
