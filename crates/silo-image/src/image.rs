//! An image as the rest of Silo sees it.

use serde::{Deserialize, Serialize};

use crate::{
    config::{Document, ImageConfig},
    digest::Digest,
    manifest::Descriptor,
};

/// Names a layer: the digest of its plain tar (OCI image specification, "Layer DiffID").
pub type LayerId = Digest;

/// A local image: its record, and the names that it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Digest of the configuration document.
    pub id: Digest,
    /// Digest of the manifest: what a registry knows the image by.
    pub manifest: Digest,
    /// Nanoseconds since the epoch; 0: unknown.
    pub created: u64,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    pub os: String,
    #[serde(default)]
    pub variant: String,
    #[serde(default)]
    pub author: String,
    /// Bytes of the files of all layers.
    pub size: u64,
    /// The lowest first.
    pub layers: Vec<ImageLayer>,
    pub config: ImageConfig,
    /// Version of the built-in image that this is; empty: not built in.
    #[serde(default)]
    pub builtin: String,
    /// Its names, `repository:tag`, in order; empty: dangling. Kept in `refs.json`.
    #[serde(skip)]
    pub references: Vec<String>,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLayer {
    pub id: LayerId,
    /// Bytes of its files.
    pub size: u64,
    /// The archive that it came as.
    pub blob: Descriptor,
}

impl Image {
    pub(crate) fn new(
        id: Digest,
        manifest: Digest,
        document: Document,
        layers: Vec<ImageLayer>,
    ) -> Image {
        Image {
            id,
            manifest,
            created: document.created_ns(),
            size: layers.iter().map(|layer| layer.size).sum(),
            architecture: document.architecture,
            os: document.os,
            variant: document.variant,
            author: document.author,
            layers,
            config: document.config,
            builtin: String::new(),
            references: Vec::new(),
        }
    }
}
