//! `silo save`: one tar archive that is an OCI image layout and at the same time what `docker load` reads.
//!
//! Blobs are given back as they came in, so the archive loads with the same ids and digests everywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
};

use serde::Serialize;
use silo_types::{Doing, Error, ImageRef, Result};

use crate::{
    digest::Digest,
    image::Image,
    manifest::{Descriptor, DockerImage, IMAGE_NAME, Index, OCI_INDEX, OCI_MANIFEST, REF_NAME},
    refs::familiar,
    store::ImageStore,
    tar::{Entry, Kind, Writer},
};

impl ImageStore {
    /// Writes the images that `references` mean as one archive. A repository without a tag stands for all its tags, as Docker has
    /// it; an image given by its id has no name in the archive.
    pub fn save(&self, references: &[&str], out: impl Write) -> Result<()> {
        let _hold = self.hold()?;
        let images = self.chosen(references)?;
        let mut writer = Writer::new(out);
        for folder in ["blobs/", "blobs/sha256/"] {
            writer.append(
                &Entry::new(Kind::Directory, folder.as_bytes(), 0o755),
                &mut io::empty(),
            )?;
        }
        let mut written = BTreeSet::new();
        for (image, _) in images.values() {
            self.save_blobs(image, &mut writer, &mut written)?;
        }
        self.save_documents(images.values(), &mut writer)?;
        writer.finish().map(drop)
    }

    /// The images to save by id, each with its chosen names.
    fn chosen(&self, references: &[&str]) -> Result<BTreeMap<Digest, (Image, BTreeSet<String>)>> {
        let refs = self.refs()?;
        let mut images: BTreeMap<Digest, (Image, BTreeSet<String>)> = BTreeMap::new();
        let mut add = |image: Image, name: Option<String>| {
            let chosen = images
                .entry(image.id)
                .or_insert_with(|| (image, BTreeSet::new()));
            chosen.1.extend(name);
        };
        for text in references {
            let parsed = text.parse::<ImageRef>().ok().filter(|r| r.digest.is_none());
            let bare = parsed.as_ref().filter(|r| r.repository == *text);
            let all: Vec<_> = bare.map_or_else(Vec::new, |r| {
                refs.in_repository(familiar(&r.repository)).collect()
            });
            for (name, _) in &all {
                add(self.resolve(name)?, Some((*name).clone()));
            }
            if all.is_empty() {
                let image = self.resolve(text)?;
                let name = parsed
                    .and_then(|r| crate::refs::key(&r).ok())
                    .filter(|k| image.references.contains(k));
                add(image, name);
            }
        }
        Ok(images)
    }

    fn save_blobs(
        &self,
        image: &Image,
        writer: &mut Writer<impl Write>,
        written: &mut BTreeSet<Digest>,
    ) -> Result<()> {
        for digest in [image.id, image.manifest] {
            if written.insert(digest) {
                let bytes = self.document_blob(digest)?;
                append(
                    writer,
                    &blob_path(digest),
                    bytes.len() as u64,
                    &mut &bytes[..],
                )?;
            }
        }
        for layer in &image.layers {
            if written.insert(layer.blob.digest) {
                let mut blob = self.open_blob(layer.blob.digest)?;
                append(
                    writer,
                    &blob_path(layer.blob.digest),
                    layer.blob.size,
                    &mut blob,
                )?;
            }
        }
        Ok(())
    }

    fn save_documents<'a>(
        &self,
        images: impl Iterator<Item = &'a (Image, BTreeSet<String>)>,
        writer: &mut Writer<impl Write>,
    ) -> Result<()> {
        let mut index = Index {
            schema_version: 2,
            media_type: OCI_INDEX.to_owned(),
            manifests: Vec::new(),
        };
        let mut docker = Vec::new();
        for (image, names) in images {
            let manifest = self.manifest_descriptor(image)?;
            index.manifests.extend(named(&manifest, names));
            docker.push(DockerImage {
                config: blob_path(image.id),
                repo_tags: (!names.is_empty()).then(|| names.iter().cloned().collect()),
                layers: image
                    .layers
                    .iter()
                    .map(|l| blob_path(l.blob.digest))
                    .collect(),
            });
        }
        append_json(writer, "index.json", &index)?;
        append_json(writer, "manifest.json", &docker)?;
        append_json(
            writer,
            "oci-layout",
            &BTreeMap::from([("imageLayoutVersion", "1.0.0")]),
        )
    }

    fn manifest_descriptor(&self, image: &Image) -> Result<Descriptor> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            media_type: Option<String>,
        }
        let bytes = self.document_blob(image.manifest)?;
        let kind: Kind = serde_json::from_slice(&bytes).doing("read a manifest")?;
        let media_type = kind.media_type.unwrap_or_else(|| OCI_MANIFEST.to_owned());
        Ok(Descriptor::new(
            &media_type,
            image.manifest,
            bytes.len() as u64,
        ))
    }
}

/// One descriptor per name, or one without a name.
fn named(manifest: &Descriptor, names: &BTreeSet<String>) -> Vec<Descriptor> {
    let with_name = |name: &String| {
        let mut descriptor = manifest.clone();
        let tag = name.rsplit_once(':').map_or("", |(_, tag)| tag);
        descriptor
            .annotations
            .insert(IMAGE_NAME.to_owned(), whole_name(name));
        descriptor
            .annotations
            .insert(REF_NAME.to_owned(), tag.to_owned());
        descriptor
    };
    match names.is_empty() {
        true => vec![manifest.clone()],
        false => names.iter().map(with_name).collect(),
    }
}

/// With the registry that Docker means when none is named.
fn whole_name(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn append_json(writer: &mut Writer<impl Write>, path: &str, value: &impl Serialize) -> Result<()> {
    let bytes =
        serde_json::to_vec(value).map_err(|e| Error::internal(format!("write {path}: {e}")))?;
    append(writer, path, bytes.len() as u64, &mut &bytes[..])
}

fn append(
    writer: &mut Writer<impl Write>,
    path: &str,
    size: u64,
    data: &mut dyn Read,
) -> Result<()> {
    let mut entry = Entry::new(Kind::File, path.as_bytes(), 0o644);
    entry.size = size;
    writer.append(&entry, data)
}
