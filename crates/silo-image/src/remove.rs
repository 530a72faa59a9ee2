//! Removing: names, images, and whatever no image needs any more.
//!
//! Names go first, then records, then content: a crash in between leaves content without an image, which the next sweep takes. The
//! caller says which containers use an image: such an image is never deleted, for the layers are under their feet.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use silo_types::{Doing, Error, ImageRef, Result};

use crate::{
    digest::Digest,
    image::Image,
    refs::{Refs, key},
    store::{Hold, ImageStore, names_in, random_name},
    tree::{remove_path, tree_size},
};

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Removed {
    /// Names taken away.
    pub untagged: Vec<String>,
    /// Ids of images deleted.
    pub deleted: Vec<Digest>,
    /// Bytes of files freed, unpacked layers and blobs together.
    pub bytes: u64,
}

/// Something in the store that belongs to no image.
#[derive(Clone, Debug, PartialEq)]
pub struct Leftover {
    pub path: PathBuf,
    pub bytes: u64,
}

/// Who uses an image: names of containers. Asked with the store held, so that no container is made meanwhile.
type UsedBy<'a> = &'a dyn Fn(&Digest) -> Result<Vec<String>>;

impl ImageStore {
    /// `silo image rm`: takes a name away; with the last name, or by id, deletes the image.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when containers use the image (with `force` a name is taken away even then, and the image stays until
    /// they are gone), or when an id stands for several names and `force` is not given.
    pub fn remove(&self, text: &str, force: bool, used_by: UsedBy) -> Result<Removed> {
        let lock = self.hold_alone()?;
        let image = self.resolve_stored(text)?;
        let name = text.parse::<ImageRef>().ok().and_then(|r| key(&r).ok());
        let name = name.filter(|name| image.references.contains(name));
        let users = used_by(&image.id)?;
        let last = image.references.len() <= 1;
        let mut removed = Removed::default();
        match name {
            Some(name) if !last || (force && !users.is_empty()) => {
                removed.untagged.push(name);
            }
            None if !last && !force => {
                return Err(Error::conflict(format!(
                    "image {} has several names ({}): remove these, or use --force",
                    image.id.short(),
                    image.references.join(", ")
                )));
            }
            _ if users.is_empty() => {
                removed.untagged.clone_from(&image.references);
                removed.deleted.push(image.id);
            }
            _ => return Err(in_use(&image, &users)),
        }
        self.take_away(&mut removed, &lock)?;
        Ok(removed)
    }

    /// `silo image prune`: deletes images without a name, and with `all` every image, that no container uses and `wanted` names.
    pub fn prune(
        &self,
        all: bool,
        used_by: UsedBy,
        wanted: &dyn Fn(&Image) -> bool,
    ) -> Result<Removed> {
        let lock = self.hold_alone()?;
        let mut removed = Removed::default();
        for image in self.list()? {
            if (all || image.references.is_empty())
                && wanted(&image)
                && used_by(&image.id)?.is_empty()
            {
                removed.untagged.extend(image.references);
                removed.deleted.push(image.id);
            }
        }
        self.take_away(&mut removed, &lock)?;
        Ok(removed)
    }

    fn take_away(&self, removed: &mut Removed, lock: &Hold) -> Result<()> {
        self.change_refs(|refs: &mut Refs| {
            refs.references
                .retain(|name, _| !removed.untagged.contains(name));
        })?;
        for id in &removed.deleted {
            let path = self.record_path(*id);
            fs::remove_file(&path).doing_with(|| format!("remove {}", path.display()))?;
        }
        removed.bytes = self.sweep_locked(lock)?;
        Ok(())
    }

    /// For `doctor`: what interrupted work left behind. None while something is being added.
    pub fn leftovers(&self) -> Result<Vec<Leftover>> {
        if !self.path("lock").exists() {
            return Ok(Vec::new());
        }
        let Some(_lock) = self.try_hold_alone()? else {
            return Ok(Vec::new());
        };
        let paths = self.unneeded()?;
        paths
            .into_iter()
            .map(|path| {
                Ok(Leftover {
                    bytes: bytes_of(&path)?,
                    path,
                })
            })
            .collect()
    }

    /// For `doctor --fix`: removes the leftovers, and says how many bytes that freed.
    pub fn sweep(&self) -> Result<u64> {
        if !self.path("lock").exists() {
            return Ok(0);
        }
        let lock = self.hold_alone()?;
        self.sweep_locked(&lock)
    }

    fn sweep_locked(&self, _lock: &Hold) -> Result<u64> {
        let mut freed = 0;
        for path in self.unneeded()? {
            freed += bytes_of(&path)?;
            // Out of sight at once: a half-removed layer must never look like one.
            let away = self.path("tmp").join(random_name()?);
            fs::rename(&path, &away).doing_with(|| format!("move {} away", path.display()))?;
            remove_path(&away)?;
        }
        Ok(freed)
    }

    /// Everything in `tmp`, `layers` and `blobs` that no record needs. The store must be held alone: whoever adds something holds it.
    fn unneeded(&self) -> Result<Vec<PathBuf>> {
        let mut layers = BTreeSet::new();
        let mut blobs = BTreeSet::new();
        for id in self.ids()? {
            let Some(image) = self.image(id, &Refs::default())? else {
                continue;
            };
            blobs.extend([image.id, image.manifest]);
            for layer in image.layers {
                layers.insert(layer.id);
                blobs.insert(layer.blob.digest);
            }
        }
        let mut unneeded = Vec::new();
        let mut collect = |folder: &str, needed: &BTreeSet<Digest>| -> Result<()> {
            let folder = self.path(folder);
            for name in names_in(&folder)? {
                let digest = Digest::from_hex(name.strip_suffix(".zst").unwrap_or(&name));
                if !digest.is_some_and(|digest| needed.contains(&digest)) {
                    unneeded.push(folder.join(name));
                }
            }
            Ok(())
        };
        collect("tmp", &BTreeSet::new())?;
        collect("layers", &layers)?;
        collect("blobs/sha256", &blobs)?;
        Ok(unneeded)
    }
}

fn bytes_of(path: &Path) -> Result<u64> {
    let doing = || format!("measure {}", path.display());
    let meta = path.symlink_metadata().doing_with(doing)?;
    match meta.is_dir() {
        true => tree_size(fs::File::open(path).doing_with(doing)?),
        false => Ok(meta.len()),
    }
}

fn in_use(image: &Image, users: &[String]) -> Error {
    Error::conflict(format!(
        "image {} is used by container {}: remove the containers first",
        image
            .references
            .first()
            .cloned()
            .unwrap_or_else(|| image.id.short()),
        users.join(", ")
    ))
}
