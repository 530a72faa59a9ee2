//! Bringing images in: everything is made in a folder of `tmp/`, synced, and moved into the store as the last step.
//!
//! Used by `import`, `load` and the built-in image; a pull from a registry will use the same. A crash at any moment leaves at most a
//! folder in `tmp/` and layers or blobs without an image: the next removal or `doctor` sweeps them.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};
use silo_types::{Doing, Error, Result};
use zstd::stream::write::Encoder;

use crate::{
    compress::{Compression, decompress},
    digest::{Digest, HashReader},
    image::{Image, ImageLayer, LayerId},
    manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST},
    store::{Hold, ImageStore, publish, random_name, read_json, write_synced},
    tree::remove_path,
    unpack::apply_layer,
};

/// zstd level of plain layers at rest: its default, the best ratio at the speed of a disk.
const REST_LEVEL: i32 = 3;

/// `layer.json`.
#[derive(Serialize, Deserialize)]
struct LayerFacts {
    /// Bytes of the layer's files.
    size: u64,
}

/// An open transaction.
pub(crate) struct Session<'a> {
    store: &'a ImageStore,
    _hold: Hold,
    folder: PathBuf,
    files: u64,
    /// What is to be moved into the store, and where to.
    pending: Vec<(PathBuf, PathBuf)>,
    /// Layers that are pending, with the bytes of their files.
    new_layers: HashMap<LayerId, u64>,
    images: Vec<(Image, Vec<String>)>,
}

/// A layer as an archive brings it.
pub(crate) struct LayerFile<'a> {
    pub path: &'a Path,
    /// Of the file itself.
    pub digest: Digest,
    pub size: u64,
    /// As its manifest says; `None`: no manifest.
    pub media_type: Option<&'a str>,
}

/// What a pass over a plain layer found.
struct Pass {
    id: LayerId,
    plain_size: u64,
}

impl<'a> Session<'a> {
    pub fn new(store: &'a ImageStore) -> Result<Session<'a>> {
        let hold = store.hold()?;
        let folder = store.path("tmp").join(random_name()?);
        let mut builder = fs::DirBuilder::new();
        builder
            .mode(0o700)
            .create(&folder)
            .doing_with(|| format!("create {}", folder.display()))?;
        Ok(Session {
            store,
            _hold: hold,
            folder,
            files: 0,
            pending: Vec::new(),
            new_layers: HashMap::new(),
            images: Vec::new(),
        })
    }

    /// A path for a new temporary file.
    pub fn new_path(&mut self) -> PathBuf {
        self.files += 1;
        self.folder.join(self.files.to_string())
    }

    /// Adds a layer from a stream that is kept nowhere else: unpacks it, and keeps it compressed at rest.
    pub fn add_stream(&mut self, plain: impl Read) -> Result<ImageLayer> {
        let packed = self.new_path();
        let tee = Tee {
            from: plain,
            to: encoder(&packed)?,
        };
        let (pass, size, tee) = self.unpack_new(tee, None)?;
        finish_encoder(tee.to, &packed)?;
        let target = format!("blobs/sha256/{}.zst", pass.id.hex());
        self.pending.push((packed, self.store.path(&target)));
        let blob = Descriptor::new(OCI_LAYER, pass.id, pass.plain_size);
        Ok(ImageLayer {
            id: pass.id,
            size,
            blob,
        })
    }

    /// Adds a layer from a file, compressed or plain, that must have the digest `id` when it is plain.
    pub fn add_file(&mut self, file: &LayerFile, id: LayerId) -> Result<ImageLayer> {
        let source = File::open(file.path).doing("open a layer")?;
        let (compression, plain) = decompress(source)?;
        let media_type = layer_type(compression);
        check_media_type(file, compression)?;
        let blob = Descriptor::new(
            file.media_type.unwrap_or(media_type),
            file.digest,
            file.size,
        );
        let have_blob = self.store.has_blob(file.digest);
        let size = match self.layer_size(id)? {
            Some(size) if have_blob => size,
            Some(size) => {
                let (pass, _) = read_through(plain, |plain| {
                    io::copy(plain, &mut io::sink())
                        .doing("read a layer")
                        .map(drop)
                })?;
                check_id(&pass, id)?;
                size
            }
            None => self.unpack_new(plain, Some(id))?.1,
        };
        if !have_blob {
            self.keep_blob(file, compression)?;
        }
        Ok(ImageLayer { id, size, blob })
    }

    fn keep_blob(&mut self, file: &LayerFile, compression: Compression) -> Result<()> {
        let target = self.store.path("blobs/sha256").join(file.digest.hex());
        if compression != Compression::None {
            self.pending.push((file.path.to_path_buf(), target));
            return Ok(());
        }
        let target = target.with_extension("zst");
        if self.pending.iter().any(|(_, other)| *other == target) {
            return Ok(());
        }
        let packed = self.new_path();
        let mut encoder = encoder(&packed)?;
        let copied = File::open(file.path).and_then(|mut plain| io::copy(&mut plain, &mut encoder));
        copied.doing("compress a layer")?;
        finish_encoder(encoder, &packed)?;
        self.pending.push((packed, target));
        Ok(())
    }

    /// Bytes of the files of a layer that the store has, or that is pending.
    fn layer_size(&self, id: LayerId) -> Result<Option<u64>> {
        if let Some(size) = self.new_layers.get(&id) {
            return Ok(Some(*size));
        }
        let facts = self.store.path("layers").join(id.hex()).join("layer.json");
        Ok(read_json::<LayerFacts>(&facts)?.map(|facts| facts.size))
    }

    /// Unpacks a plain layer into a new folder, which becomes pending.
    fn unpack_new<R: Read>(&mut self, plain: R, id: Option<LayerId>) -> Result<(Pass, u64, R)> {
        let folder = self.new_path();
        let content = self.layer_folder(&folder)?;
        let mut size = 0;
        let (pass, plain) = read_through(plain, |plain| {
            size = apply_layer(content.as_fd(), plain)?.bytes;
            Ok(())
        })?;
        if let Some(id) = id {
            check_id(&pass, id)?;
        }
        let facts = serde_json::to_vec(&LayerFacts { size }).doing("write layer.json")?;
        write_synced(&folder.join("layer.json"), &facts).doing("write layer.json")?;
        let target = self.store.path("layers").join(pass.id.hex());
        self.pending.push((folder, target));
        self.new_layers.insert(pass.id, size);
        Ok((pass, size, plain))
    }

    fn layer_folder(&self, folder: &Path) -> Result<OwnedFd> {
        let content = folder.join("fs");
        let doing = || format!("create {}", content.display());
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&content)
            .doing_with(doing)?;
        // The root of a container is readable by all its users unless the image says otherwise.
        fs::set_permissions(&content, Permissions::from_mode(0o755)).doing_with(doing)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &content, flags, Mode::empty()).doing_with(doing)
    }

    /// Keeps a document (configuration, manifest) under its digest.
    pub fn add_document(&mut self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if !self.store.has_blob(digest) {
            let path = self.new_path();
            write_synced(&path, bytes).doing("write a document")?;
            let target = self.store.path("blobs/sha256").join(digest.hex());
            self.pending.push((path, target));
        }
        Ok(digest)
    }

    /// Makes and keeps the manifest of an image that came without one.
    pub fn add_manifest(&mut self, config: &[u8], layers: &[ImageLayer]) -> Result<Digest> {
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            config: Descriptor::new(OCI_CONFIG, Digest::of(config), config.len() as u64),
            layers: layers.iter().map(|layer| layer.blob.clone()).collect(),
        };
        let bytes = serde_json::to_vec(&manifest).doing("write a manifest")?;
        self.add_document(&bytes)
    }

    /// An image whose parts were all added, and the names that it gets.
    pub fn add_image(&mut self, image: Image, names: Vec<String>) {
        self.images.push((image, names));
    }

    /// Makes everything visible: the content first, then the records, then the names.
    pub fn commit(mut self) -> Result<()> {
        // One sync for all: what gets its final name is on the disk before.
        let folder = File::open(&self.folder).doing("open the temporary folder")?;
        rustix::fs::syncfs(&folder).doing("write the image to the disk")?;
        let mut published = HashSet::new();
        for (from, to) in &self.pending {
            if published.insert(to) {
                publish(from, to)?;
            }
        }
        let images = std::mem::take(&mut self.images);
        for (image, _) in &images {
            let path = self.store.record_path(image.id);
            if !image.builtin.is_empty() || !path.exists() {
                self.store.write_json(&path, image)?;
            }
        }
        self.store.change_refs(|refs| {
            for (image, names) in images {
                refs.references
                    .extend(names.into_iter().map(|name| (name, image.id)));
            }
        })
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // What cannot be removed is found by the next sweep.
        let _ = remove_path(&self.folder);
    }
}

fn layer_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => OCI_LAYER,
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// A manifest must say how its layers are packed.
fn check_media_type(file: &LayerFile, compression: Compression) -> Result<()> {
    let Some(said) = file.media_type else {
        return Ok(());
    };
    let right = match compression {
        Compression::None => said.ends_with("tar"),
        Compression::Gzip => said.ends_with("gzip"),
        Compression::Zstd => said.ends_with("zstd"),
    };
    match right {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "layer {} is called {said:?} and is packed otherwise",
            file.digest
        ))),
    }
}

fn check_id(pass: &Pass, id: LayerId) -> Result<()> {
    match pass.id == id {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "layer {id} has other content than its configuration says ({}): the archive is damaged or forged",
            pass.id
        ))),
    }
}

/// Runs `work` on a stream while it is hashed, then reads the stream to its end.
fn read_through<R: Read>(
    plain: R,
    work: impl FnOnce(&mut HashReader<R>) -> Result<()>,
) -> Result<(Pass, R)> {
    let mut reader = HashReader::new(plain);
    work(&mut reader)?;
    let plain_size = reader.count;
    let (id, plain) = reader.finish();
    Ok((Pass { id, plain_size }, plain))
}

fn encoder(path: &Path) -> Result<Encoder<'static, File>> {
    let doing = || format!("create {}", path.display());
    let file = File::create_new(path).doing_with(doing)?;
    let mut encoder = Encoder::new(file, REST_LEVEL).doing_with(doing)?;
    encoder.include_checksum(true).doing_with(doing)?;
    Ok(encoder)
}

fn finish_encoder(encoder: Encoder<'static, File>, path: &Path) -> Result<()> {
    encoder
        .finish()
        .doing_with(|| format!("write {}", path.display()))
        .map(drop)
}

/// Writes what is read through it.
struct Tee<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.to.write_all(&buffer[..n])?;
        Ok(n)
    }
}
