//! Finding and making places inside the root, by descriptor: no path string is resolved twice.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{self, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use silo_types::{Doing, Error, Result};

use super::Rootfs;

impl Rootfs {
    /// A path inside, through no symlink, if it is there: what is masked or protected lies in our own /proc and /sys.
    pub(super) fn existing(&self, path: &str) -> Result<Option<OwnedFd>> {
        let found = fs::openat2(
            &self.root,
            path.trim_start_matches('/'),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
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
        let inside = path.trim_start_matches('/');
        let top = inside.split('/').next().unwrap_or("");
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if matches!(top, "proc" | "sys" | "dev") {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let name = if inside.is_empty() { "." } else { inside };
        match fs::openat2(&self.root, name, flags, Mode::empty(), resolve) {
            Ok(target) => return Ok(target),
            Err(Errno::NOENT) => {}
            Err(Errno::LOOP) => {
                return Err(Error::invalid(format!(
                    "{path} of the image is or goes through a symbolic link"
                )));
            }
            Err(error) => return Err(Error::system(format!("open {path}"), error)),
        }
        let (parent, last) = inside.rsplit_once('/').unwrap_or((".", inside));
        let folder = make_folders(&self.root, parent, resolve)
            .doing_with(|| format!("make the folder {parent}"))?;
        let made = if kind == FileType::Directory {
            fs::mkdirat(&folder, last, Mode::from_raw_mode(0o755))
        } else {
            fs::mknodat(
                &folder,
                last,
                FileType::RegularFile,
                Mode::from_raw_mode(0o644),
                0,
            )
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::system(format!("make {path}"), error)),
        }
        fs::openat2(&self.root, name, flags, Mode::empty(), resolve)
            .doing_with(|| format!("open {path}"))
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
    let mut done = String::from(".");
    let mut at = fs::openat2(root, ".", flags, Mode::empty(), resolve)?;
    for part in path.split('/').filter(|p| !p.is_empty() && *p != ".") {
        let before = done.clone();
        done.push('/');
        done.push_str(part);
        at = match fs::openat2(root, &done, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT) => {
                let parent = fs::openat2(root, &before, flags, Mode::empty(), resolve)?;
                match fs::mkdirat(&parent, part, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                fs::openat2(root, &done, flags, Mode::empty(), resolve)?
            }
            other => other?,
        };
    }
    Ok(at)
}
