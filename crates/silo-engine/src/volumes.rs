//! Named and anonymous volumes: a folder each, `volumes/NAME/_data`, and what a container's mounts take from the host.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
};

use rustix::fs::{FileType, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};
use silo_image::{PackOptions, UnpackOptions, unpack, write_tar};
use silo_types::{ContainerConfig, Doing, Error, Kind, MountKind, MountSpec, Result, check_name};

use crate::{Engine, create::now, paths::make_private, rootfs::open_folder, store};

/// A volume: `volume.json` beside its data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Volume {
    pub name: String,
    /// Nanoseconds since the epoch.
    pub created: u64,
    pub labels: BTreeMap<String, String>,
    pub anonymous: bool,
}

impl Engine {
    /// Makes a volume; one that exists is returned as it is, as Docker.
    pub fn create_volume(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
        anonymous: bool,
    ) -> Result<Volume> {
        let name = match name {
            "" => store::new_id()?.to_string(),
            name => name.to_owned(),
        };
        check_name("volume", &name)?;
        if let Ok(volume) = self.volume(&name) {
            return Ok(volume);
        }
        let volume = Volume {
            created: now(),
            labels,
            anonymous,
            name,
        };
        make_private(&self.paths.volumes())?;
        let made = self.fill_volume_folder(&volume);
        if made.is_err() {
            let _ = self.delete_volume(&volume.name);
        }
        made.map(|()| volume)
    }

    fn fill_volume_folder(&self, volume: &Volume) -> Result<()> {
        let folder = self.paths.volumes().join(&volume.name);
        make_private(&folder)?;
        let data = folder.join("_data");
        match std::fs::create_dir(&data) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
        .doing_with(|| format!("make the folder {}", data.display()))?;
        store::replace_json(&folder, "volume.json", volume)
    }

    pub fn volume(&self, name: &str) -> Result<Volume> {
        check_name("volume", name)?;
        store::read_json(&self.paths.volumes().join(name).join("volume.json")).map_err(|e| match e
            .kind()
        {
            Kind::NotFound => Error::not_found(format!("no such volume: {name}")),
            _ => e,
        })
    }

    /// Where its files lie on the host.
    pub fn volume_data(&self, name: &str) -> PathBuf {
        self.paths.volumes().join(name).join("_data")
    }

    /// All volumes by name.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        let mut found: Vec<Volume> = std::fs::read_dir(self.paths.volumes())
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| self.volume(entry.file_name().to_str()?).ok())
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Containers that use a volume, by short id.
    pub fn volume_users(&self, name: &str) -> Result<Vec<String>> {
        let uses = |mount: &MountSpec| matches!(&mount.kind, MountKind::Volume { name: used, .. } if used == name);
        Ok(self
            .look()?
            .iter()
            .filter(|c| c.config.files.mounts.iter().any(uses))
            .map(|c| c.id().short().to_owned())
            .collect())
    }

    /// Removes a volume; Conflict while a container uses it.
    pub fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        if let Err(error) = self.volume(name) {
            return match (force, error.kind()) {
                (true, Kind::NotFound) => Ok(()),
                _ => Err(error),
            };
        }
        let users = self.volume_users(name)?;
        if !users.is_empty() {
            return Err(Error::conflict(format!(
                "volume {name} is in use by {}: remove the container first",
                users.join(", ")
            )));
        }
        self.delete_volume(name)
    }

    pub(crate) fn remove_anonymous_volume(&self, name: &str) {
        if self.volume_users(name).is_ok_and(|users| users.is_empty()) {
            let _ = self.delete_volume(name);
        }
    }

    pub(crate) fn delete_volume(&self, name: &str) -> Result<()> {
        let folder = open_folder(&self.paths.volumes())?;
        silo_image::remove_tree(folder, name)
    }

    /// Host sources of the container's mounts, in their order; volumes are made, and an empty one is filled from the image.
    pub(crate) fn mount_sources(
        &self,
        config: &ContainerConfig,
        root: BorrowedFd<'_>,
    ) -> Result<Vec<PathBuf>> {
        config
            .files
            .mounts
            .iter()
            .map(|mount| self.mount_source(mount, root))
            .collect()
    }

    fn mount_source(&self, mount: &MountSpec, root: BorrowedFd<'_>) -> Result<PathBuf> {
        match &mount.kind {
            MountKind::Tmpfs { .. } => Ok(PathBuf::new()),
            MountKind::Bind {
                source,
                create_source,
                ..
            } => {
                let path = PathBuf::from(source);
                if !path.exists() {
                    if !create_source {
                        return Err(Error::invalid(format!(
                            "bind source path does not exist: {source}"
                        )));
                    }
                    std::fs::create_dir_all(&path)
                        .doing_with(|| format!("make the bind source {source}"))?;
                }
                Ok(path)
            }
            MountKind::Volume {
                name,
                anonymous,
                no_copy,
                subpath,
            } => {
                self.create_volume(name, BTreeMap::new(), *anonymous)?;
                let data = self.volume_data(name);
                if !no_copy && !mount.read_only && subpath.is_empty() {
                    fill_from_image(&data, root, &mount.target)?;
                }
                if subpath.is_empty() {
                    return Ok(data);
                }
                inside_volume(&data, subpath)
            }
        }
    }
}

/// A folder inside a volume, reached through no link: `volume-subpath`. Who has the volume may put one there at any time, so the
/// runtime follows none either ([`silo_runtime::PLAIN_SOURCE`]); the path to the volume must have none for that.
fn inside_volume(data: &std::path::Path, subpath: &str) -> Result<PathBuf> {
    let folder = open_folder(data)?;
    silo_sys::inside::open(
        &folder,
        subpath,
        OFlags::PATH | OFlags::CLOEXEC,
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )
    .map_err(|e| Error::system(format!("volume subpath {subpath}"), e).with_kind(Kind::Invalid))?;
    let data = data
        .canonicalize()
        .doing_with(|| format!("look at {}", data.display()))?;
    Ok(data.join(subpath))
}

/// Copies what the image has at `target` into an empty volume, by descriptors on both sides: links lead nowhere else.
fn fill_from_image(data: &std::path::Path, root: BorrowedFd<'_>, target: &str) -> Result<()> {
    let empty = std::fs::read_dir(data)
        .doing_with(|| format!("list {}", data.display()))?
        .next()
        .is_none();
    if !empty {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let inside = target.trim_start_matches('/');
    let Ok(source) = silo_sys::inside::open(root, inside, flags, resolve) else {
        return Ok(());
    };
    let stat = rustix::fs::fstat(&source).doing("look at the image's folder")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    // Through a file, not a pipe: this process has one thread.
    let mut archive = tempfile()?;
    write_tar(source.as_fd(), &mut archive, &PackOptions::default())?;
    use std::io::Seek;
    archive
        .rewind()
        .doing("rewind the copy of the image's folder")?;
    let folder = open_folder(data)?;
    unpack(folder.as_fd(), archive, &UnpackOptions::default())
        .map(drop)
        .map_err(|e| e.context(format!("fill the volume from {target} of the image")))
}

fn tempfile() -> Result<std::fs::File> {
    rustix::fs::memfd_create(c"silo-copy", rustix::fs::MemfdFlags::CLOEXEC)
        .map(std::fs::File::from)
        .doing("make a file in memory")
}
