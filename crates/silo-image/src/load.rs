//! `silo load`: archives of `docker save` and OCI image layouts, as one tar stream (OCI image specification, "image-layout.md").
//!
//! The files of the archive are spooled under numbers, with their digests: no name from the archive ever touches the file system,
//! and files may come in any order.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use silo_types::{Doing, Error, ImageRef, Result};

use crate::{
    compress::decompress,
    config::{Document, host_architecture},
    digest::{Digest, HashReader},
    image::{Image, ImageLayer},
    manifest::{Descriptor, DockerImage, IMAGE_NAME, Index, Manifest, OCI_INDEX, REF_NAME},
    refs::key,
    session::{LayerFile, Session},
    store::{ImageStore, read_limited},
    tar::{Kind, Reader},
    unpack::clean,
};

/// Most files that an archive of images may have.
const MAX_FILES: usize = 100_000;

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub id: Digest,
    /// The names that it got; empty: the archive has none for it.
    pub references: Vec<String>,
}

impl ImageStore {
    /// Brings all images of an archive, plain or compressed with gzip or zstd. Digests of blobs and layers are verified; all images
    /// come in together or none does.
    ///
    /// # Errors
    /// `Invalid` when the archive is malformed or something in it is not what its digest says.
    pub fn load(&self, reader: impl Read) -> Result<Vec<Loaded>> {
        let mut session = Session::new(self)?;
        let archive = Archive::spool(&mut session, reader)?;
        let loaded = if archive.has("oci-layout") && archive.has("index.json") {
            archive.load_layout(&mut session)?
        } else if archive.has("manifest.json") {
            archive.load_docker(&mut session)?
        } else {
            return Err(Error::invalid(
                "the archive has neither index.json nor manifest.json: it holds no saved images; a root file system is brought by 'silo import'",
            ));
        };
        session.commit()?;
        Ok(loaded)
    }
}

/// A file of the archive.
struct Spooled {
    path: PathBuf,
    digest: Digest,
    size: u64,
}

/// All files of the archive by their cleaned names, and the links among them.
#[derive(Default)]
struct Archive {
    files: HashMap<String, Spooled>,
    links: HashMap<String, String>,
}

impl Archive {
    fn spool(session: &mut Session, reader: impl Read) -> Result<Archive> {
        let mut archive = Archive::default();
        let mut tar = Reader::new(decompress(reader)?.1);
        while let Some(entry) = tar.next()? {
            let name = utf8(clean(&entry.path)?)?;
            match entry.kind {
                Kind::File if entry.sparse.is_none() => {
                    let path = session.new_path();
                    let mut file = File::create_new(&path).doing("create a temporary file")?;
                    let mut hashed = HashReader::new(&mut tar);
                    io::copy(&mut hashed, &mut file)
                        .doing_with(|| format!("read {name:?} of the archive"))?;
                    let size = hashed.count;
                    let digest = hashed.finish().0;
                    archive.files.insert(name, Spooled { path, digest, size });
                }
                // Old versions of docker save link a layer that several images share.
                Kind::Symlink => {
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    let target = [folder.as_bytes(), b"/", &entry.link].concat();
                    archive.links.insert(name, utf8(clean(&target)?)?);
                }
                Kind::HardLink => {
                    archive.links.insert(name, utf8(clean(&entry.link)?)?);
                }
                Kind::Directory => {}
                _ => {
                    return Err(Error::invalid(format!(
                        "{name:?} does not belong into an archive of images"
                    )));
                }
            }
            if archive.files.len() + archive.links.len() > MAX_FILES {
                return Err(Error::invalid(format!(
                    "the archive has more than {MAX_FILES} files"
                )));
            }
        }
        tar.finish()?;
        Ok(archive)
    }

    fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn get(&self, name: &str) -> Result<&Spooled> {
        let mut at = name;
        for _ in 0..8 {
            if let Some(file) = self.files.get(at) {
                return Ok(file);
            }
            match self.links.get(at) {
                Some(target) => at = target,
                None => break,
            }
        }
        Err(Error::invalid(format!("the archive lacks {name:?}")))
    }

    fn document(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.get(name)?;
        let doing = || format!("read {name:?} of the archive");
        read_limited(File::open(&file.path).doing_with(doing)?).doing_with(doing)
    }

    /// The file of a blob, checked against its descriptor.
    fn blob(&self, descriptor: &Descriptor) -> Result<&Spooled> {
        let file = self.get(&format!("blobs/sha256/{}", descriptor.digest.hex()))?;
        match file.digest == descriptor.digest && file.size == descriptor.size {
            true => Ok(file),
            false => Err(Error::invalid(format!(
                "blob {} of the archive has other content than its digest or size says",
                descriptor.digest
            ))),
        }
    }

    fn document_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.blob(descriptor)?;
        self.document(&format!("blobs/sha256/{}", descriptor.digest.hex()))
    }

    fn load_docker(&self, session: &mut Session) -> Result<Vec<Loaded>> {
        let mut loaded = Vec::new();
        for image in self.docker_images()? {
            let config = self.document(&image.config)?;
            let named = image
                .config
                .rsplit('/')
                .next()
                .unwrap_or("")
                .trim_end_matches(".json");
            if Digest::from_hex(named).is_some_and(|digest| digest != Digest::of(&config)) {
                return Err(Error::invalid(format!(
                    "{:?} has other content than its name says",
                    image.config
                )));
            }
            let document = Document::parse(&config)?;
            let files = image.layers.iter().map(|name| Ok((self.get(name)?, None)));
            let layers = self.add_layers(session, &document, files)?;
            let manifest = session.add_manifest(&config, &layers)?;
            let names = names(image.repo_tags.iter().flatten())?;
            loaded.push(add_image(
                session, &config, manifest, document, layers, names,
            )?);
        }
        Ok(loaded)
    }

    fn docker_images(&self) -> Result<Vec<DockerImage>> {
        let bytes = self.document("manifest.json")?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::invalid(format!("malformed manifest.json: {e}")))
    }

    fn load_layout(&self, session: &mut Session) -> Result<Vec<Loaded>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Layout {
            image_layout_version: String,
        }
        let layout: Layout = serde_json::from_slice(&self.document("oci-layout")?)
            .map_err(|e| Error::invalid(format!("malformed oci-layout: {e}")))?;
        if !layout.image_layout_version.starts_with("1.") {
            return Err(Error::unsupported(format!(
                "OCI layout of version {:?}: only 1.x is known",
                layout.image_layout_version
            )));
        }
        let docker = if self.has("manifest.json") {
            self.docker_images()?
        } else {
            Vec::new()
        };
        let index = Index::parse(&self.document("index.json")?, OCI_INDEX)?;
        let mut loaded = Vec::new();
        for descriptor in index.manifests.iter().filter(|d| !is_attestation(d)) {
            let manifest = self.choose(descriptor, 0)?;
            let image = self.load_manifest(session, descriptor, &manifest, &docker)?;
            loaded.push(image);
        }
        Ok(loaded)
    }

    /// The manifest for this machine behind a descriptor of the index.
    fn choose(&self, descriptor: &Descriptor, depth: u32) -> Result<Descriptor> {
        if descriptor.is_manifest() {
            return Ok(descriptor.clone());
        }
        if !descriptor.is_index() || depth > 2 {
            return Err(Error::unsupported(format!(
                "{} is of the media type {:?}, which is no image",
                descriptor.digest, descriptor.media_type
            )));
        }
        let index = Index::parse(&self.document_blob(descriptor)?, &descriptor.media_type)?;
        let fits = |d: &&Descriptor| {
            let here = |p: &crate::manifest::Platform| {
                p.os == "linux" && p.architecture == host_architecture()
            };
            d.platform.as_ref().is_none_or(here) && !is_attestation(d)
        };
        match index.manifests.iter().find(fits) {
            Some(child) => self.choose(child, depth + 1),
            None => Err(Error::unsupported(format!(
                "index {} has no image for linux/{}",
                descriptor.digest,
                host_architecture()
            ))),
        }
    }

    fn load_manifest(
        &self,
        session: &mut Session,
        top: &Descriptor,
        descriptor: &Descriptor,
        docker: &[DockerImage],
    ) -> Result<Loaded> {
        let bytes = self.document_blob(descriptor)?;
        let manifest = Manifest::parse(&bytes, &descriptor.media_type)?;
        let config = self.document_blob(&manifest.config)?;
        let document = Document::parse(&config)?;
        let files = manifest.layers.iter();
        let files = files.map(|layer| Ok((self.blob(layer)?, Some(&layer.media_type[..]))));
        let layers = self.add_layers(session, &document, files)?;
        let digest = session.add_document(&bytes)?;
        let hex = manifest.config.digest.hex();
        let tags = docker.iter().filter(|image| image.config.contains(&hex));
        let mut names = names(tags.flat_map(|image| image.repo_tags.iter().flatten()))?;
        names.extend(layout_name(top));
        names.sort();
        names.dedup();
        add_image(session, &config, digest, document, layers, names)
    }

    fn add_layers<'a>(
        &self,
        session: &mut Session,
        document: &Document,
        files: impl ExactSizeIterator<Item = Result<(&'a Spooled, Option<&'a str>)>>,
    ) -> Result<Vec<ImageLayer>> {
        let ids = &document.rootfs.diff_ids;
        if ids.len() != files.len() {
            return Err(Error::invalid(format!(
                "the image has {} layers and its configuration names {}",
                files.len(),
                ids.len()
            )));
        }
        let mut layers = Vec::new();
        for (file, id) in files.zip(ids) {
            let (file, media_type) = file?;
            let layer = LayerFile {
                path: &file.path,
                digest: file.digest,
                size: file.size,
                media_type,
            };
            layers.push(session.add_file(&layer, *id)?);
        }
        Ok(layers)
    }
}

fn add_image(
    session: &mut Session,
    config: &[u8],
    manifest: Digest,
    document: Document,
    layers: Vec<ImageLayer>,
    names: Vec<String>,
) -> Result<Loaded> {
    let id = session.add_document(config)?;
    session.add_image(Image::new(id, manifest, document, layers), names.clone());
    Ok(Loaded {
        id,
        references: names,
    })
}

/// Build tools put statements about an image beside it, as an image for the platform `unknown`.
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor
        .platform
        .as_ref()
        .is_some_and(|p| p.os == "unknown")
}

fn names<'a>(tags: impl Iterator<Item = &'a String>) -> Result<Vec<String>> {
    tags.map(|tag| key(&tag.parse::<ImageRef>()?)).collect()
}

/// The name in an index, if it is a whole one and not only a tag.
fn layout_name(descriptor: &Descriptor) -> Option<String> {
    let whole = descriptor.annotations.get(IMAGE_NAME);
    let short = descriptor
        .annotations
        .get(REF_NAME)
        .filter(|name| name.contains([':', '/']));
    let reference: ImageRef = whole.or(short)?.parse().ok()?;
    key(&reference).ok()
}

fn utf8(name: Vec<u8>) -> Result<String> {
    String::from_utf8(name)
        .map_err(|_| Error::invalid("a name in the archive of images is not UTF-8"))
}
