//! `cp` between the host and a container: both sides are descriptors, a link of the container leads nowhere but into it, and
//! nothing runs inside (CVE-2018-15664, CVE-2019-14271).
//!
//! A tar stream goes through a pipe from the side that packs to the side that unpacks. This uses a thread: no container is
//! cloned by a process that copies.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};
use silo_image::{PackOptions, UnpackOptions, unpack, write_tar, write_tar_entry};
use silo_types::{Doing, Error, Result};

use crate::{Engine, container::Container};

/// How to copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// `-a`: owners as they are.
    pub archive: bool,
    /// `-L`: what a link leads to, not the link.
    pub follow: bool,
}

/// One side of a copy: paths are resolved below `root` (a container) or as the host has them.
struct Side {
    root: Option<OwnedFd>,
}

/// A place on one side: a name in an open folder. The name is empty for the top of a tree.
struct Place {
    folder: OwnedFd,
    name: String,
    /// What is there.
    kind: Option<FileType>,
}

impl Engine {
    /// `cp CONTAINER:SOURCE DESTINATION`
    pub fn copy_out(
        &self,
        container: &Container,
        source: &str,
        destination: &str,
        options: CopyOptions,
    ) -> Result<()> {
        let owner = match options.archive {
            true => None,
            false => Some((
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            )),
        };
        let from = self.side(container)?;
        copy(
            &from,
            source,
            &Side { root: None },
            destination,
            options,
            owner,
        )
    }

    /// `cp SOURCE CONTAINER:DESTINATION`
    pub fn copy_in(
        &self,
        container: &Container,
        source: &str,
        destination: &str,
        options: CopyOptions,
    ) -> Result<()> {
        let owner = (!options.archive).then_some((0, 0));
        let to = self.side(container)?;
        refuse_read_only(container)?;
        copy(
            &Side { root: None },
            source,
            &to,
            destination,
            options,
            owner,
        )
    }

    /// `cp CONTAINER:SOURCE -`: a tar stream.
    pub fn copy_out_tar(
        &self,
        container: &Container,
        source: &str,
        out: &mut dyn Write,
        options: CopyOptions,
    ) -> Result<()> {
        let from = self.side(container)?;
        let place = from.find(source, options.follow)?;
        place.pack(&place.name, out)
    }

    /// `cp - CONTAINER:DESTINATION`: unpacks a tar stream into a folder.
    pub fn copy_in_tar(
        &self,
        container: &Container,
        destination: &str,
        archive: &mut dyn Read,
        options: CopyOptions,
    ) -> Result<()> {
        let to = self.side(container)?;
        refuse_read_only(container)?;
        let folder = to.open_folder(destination)?;
        let owner = (!options.archive).then_some((0, 0));
        unpack(folder.as_fd(), archive, &unpack_options(owner)).map(drop)
    }

    fn side(&self, container: &Container) -> Result<Side> {
        Ok(Side {
            root: Some(self.open_view(container)?),
        })
    }
}

fn refuse_read_only(container: &Container) -> Result<()> {
    if container.config.files.read_only {
        return Err(Error::conflict(format!(
            "container {} has a read-only root file system: nothing can be copied into it",
            container.name()
        )));
    }
    Ok(())
}

fn unpack_options(owner: Option<(u32, u32)>) -> UnpackOptions {
    UnpackOptions {
        whiteouts: false,
        owner,
        keep_kind: true,
        cross_mounts: true,
    }
}

/// Docker's rules (docker-container-cp(1)): into an existing folder under the source's name, or under the destination's own name;
/// a source that ends in `/.` means what is in it.
fn copy(
    from: &Side,
    source: &str,
    to: &Side,
    destination: &str,
    options: CopyOptions,
    owner: Option<(u32, u32)>,
) -> Result<()> {
    let contents = source.ends_with("/.") || source == ".";
    let wanted = from.find(source, options.follow)?;
    let is_folder = wanted.kind == Some(FileType::Directory);
    let target = to.locate(destination)?;
    let into = match target.kind {
        Some(FileType::Directory) => Some(target.open()?),
        Some(_) if is_folder => {
            return Err(Error::invalid(format!(
                "cannot copy a folder over the file {destination}"
            )));
        }
        Some(_) => None,
        None if !is_folder && destination.ends_with('/') => {
            return Err(Error::not_found(format!("no such folder: {destination}")));
        }
        None => None,
    };
    let (folder, name) = match into {
        Some(folder) if contents && is_folder => (folder, String::new()),
        Some(folder) => (folder, wanted.name.clone()),
        None => (target.folder, target.name.clone()),
    };
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(|| wanted.pack(&name, &mut File::from(writer)));
        let unpacked = unpack(folder.as_fd(), File::from(reader), &unpack_options(owner));
        let packed = packing
            .join()
            .unwrap_or_else(|_| Err(Error::internal("packing panicked")));
        match (unpacked, packed) {
            // The one who failed first is the cause; the other only saw the pipe break.
            (Err(error), Err(packing)) if packing.to_string().contains("broken pipe") => Err(error),
            (_, Err(error)) | (Err(error), _) => Err(error),
            (Ok(_), Ok(())) => Ok(()),
        }
    })
    .map_err(|e| e.context(format!("copy {source} to {destination}")))
}

impl Side {
    fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        match &self.root {
            None => rustix::fs::openat(CWD, path, flags, Mode::empty()),
            Some(root) => {
                let inside = path.trim_start_matches('/');
                let inside = if inside.is_empty() { "." } else { inside };
                let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
                silo_sys::inside::open(root, inside, flags, resolve)
            }
        }
    }

    fn open_folder(&self, path: &str) -> Result<OwnedFd> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|e| absent(path, e))
    }

    /// What must be there.
    fn find(&self, path: &str, follow: bool) -> Result<Place> {
        let mut path = path.to_owned();
        for _ in 0..40 {
            let place = self.locate(&path)?;
            match place.kind {
                None => return Err(absent(&path, Errno::NOENT)),
                Some(FileType::Symlink) if follow => {
                    let link =
                        rustix::fs::readlinkat(&place.folder, place.name.as_str(), Vec::new())
                            .doing_with(|| format!("read the link {path}"))?;
                    let link = link.to_string_lossy().into_owned();
                    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    path = match link.starts_with('/') {
                        true => link,
                        false => format!("{parent}/{link}"),
                    };
                }
                Some(_) => return Ok(place),
            }
        }
        Err(Error::invalid(format!("{path}: too many links")))
    }

    /// The folder of a path, opened, and the last name in it, which may be absent.
    fn locate(&self, path: &str) -> Result<Place> {
        let whole = path.trim_end_matches("/.").trim_end_matches('/');
        let (parent, name) = match whole.rsplit_once('/') {
            Some((parent, name)) => (if parent.is_empty() { "/" } else { parent }, name),
            None if whole.is_empty() && path.starts_with('/') => ("/", ""),
            None => (".", whole),
        };
        if matches!(name, "" | "." | "..") {
            let folder = self.open_folder(if whole.is_empty() { parent } else { whole })?;
            return Ok(Place {
                folder,
                name: String::new(),
                kind: Some(FileType::Directory),
            });
        }
        let folder = self.open_folder(parent)?;
        let kind = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(e) => return Err(Error::system(format!("look at {path}"), e)),
        };
        let mut place = Place {
            folder,
            name: name.to_owned(),
            kind,
        };
        // A destination that is a link to a folder means the folder.
        if kind == Some(FileType::Symlink)
            && path.ends_with('/')
            && let Ok(folder) = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
        {
            place = Place {
                folder,
                name: String::new(),
                kind: Some(FileType::Directory),
            };
        }
        Ok(place)
    }
}

impl Place {
    /// The folder that this place is.
    fn open(&self) -> Result<OwnedFd> {
        let name = if self.name.is_empty() {
            "."
        } else {
            &self.name
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, name, flags, Mode::empty())
            .doing_with(|| format!("open the folder {name}"))
    }

    /// Packs what is here under another name; an empty one means its contents.
    fn pack(&self, as_name: &str, out: &mut dyn Write) -> Result<()> {
        let options = PackOptions { cross_mounts: true };
        if self.name.is_empty() || as_name.is_empty() {
            let top: BorrowedFd<'_>;
            let opened;
            if self.name.is_empty() {
                top = self.folder.as_fd();
            } else {
                opened = self.open()?;
                top = opened.as_fd();
            }
            return write_tar(top, out, &options);
        }
        write_tar_entry(self.folder.as_fd(), &self.name, as_name, out, &options)
    }
}

fn absent(path: &str, error: Errno) -> Error {
    match error {
        Errno::NOENT => Error::not_found(format!("no such file or folder: {path}")),
        Errno::NOTDIR => Error::invalid(format!("not a folder: {path}")),
        other => Error::system(format!("open {path}"), other),
    }
}
