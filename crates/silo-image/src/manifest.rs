//! Manifests and indexes (OCI image specification, "manifest.md", "image-index.md") and Docker's `manifest.json`.
//!
//! One document must never pass for another kind (THREATS: 2021-41190): the media type must be the descriptor's, and fields of the
//! other kind are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use silo_types::{Error, Result};

use crate::digest::Digest;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYERS: [&str; 5] = [
    OCI_LAYER,
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
];

/// Annotation with the tag or the whole name (OCI image specification, "annotations.md").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd's and Docker's annotation with the whole name.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";

/// Points to content: what it is, its digest, its length in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
        }
    }

    pub(crate) fn is_index(&self) -> bool {
        matches!(&self.media_type[..], OCI_INDEX | DOCKER_INDEX)
    }

    pub(crate) fn is_manifest(&self) -> bool {
        matches!(&self.media_type[..], OCI_MANIFEST | DOCKER_MANIFEST)
    }
}

/// For what machine an image of an index is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
}

/// An image manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Parses and checks; `media_type` is what the descriptor of the document says.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Manifest> {
        let manifest: Manifest = parse_kind(bytes, media_type, &["manifests", "fsLayers"])?;
        if manifest.schema_version != 2 {
            return Err(malformed("schemaVersion is not 2"));
        }
        if !matches!(&manifest.config.media_type[..], OCI_CONFIG | DOCKER_CONFIG) {
            return Err(Error::unsupported(format!(
                "the manifest describes {:?}, which is no image that can run",
                manifest.config.media_type
            )));
        }
        match manifest
            .layers
            .iter()
            .find(|l| !LAYERS.contains(&&l.media_type[..]))
        {
            None => Ok(manifest),
            Some(layer) => Err(Error::unsupported(format!(
                "layer {} is of the unknown media type {:?}",
                layer.digest, layer.media_type
            ))),
        }
    }
}

/// An index of manifests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// Parses and checks; `media_type` is what the descriptor of the document says.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Index> {
        let index: Index = parse_kind(bytes, media_type, &["config", "layers"])?;
        match index.schema_version {
            2 => Ok(index),
            _ => Err(malformed("schemaVersion is not 2")),
        }
    }
}

/// One image of Docker's `manifest.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerImage {
    pub config: String,
    pub repo_tags: Option<Vec<String>>,
    pub layers: Vec<String>,
}

fn malformed(why: &str) -> Error {
    Error::invalid(format!("malformed manifest: {why}"))
}

fn parse_kind<T: DeserializeOwned>(bytes: &[u8], media_type: &str, foreign: &[&str]) -> Result<T> {
    let document: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(bytes).map_err(|e| malformed(&e.to_string()))?;
    let said = document
        .get("mediaType")
        .and_then(|v| v.as_str())
        .unwrap_or("");
    if !said.is_empty() && said != media_type {
        return Err(malformed(&format!(
            "it says {said:?} and is referred to as {media_type:?}"
        )));
    }
    if let Some(field) = foreign.iter().find(|f| document.contains_key(**f)) {
        return Err(malformed(&format!(
            "{field:?} does not belong into {media_type:?}"
        )));
    }
    serde_json::from_value(document.into()).map_err(|e| malformed(&e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_of_one_kind() {
        let digest = Digest::of(b"x");
        let config = Descriptor::new(OCI_CONFIG, digest, 1);
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.into(),
            config,
            layers: vec![Descriptor::new(OCI_LAYER, digest, 1)],
        };
        let text = serde_json::to_string(&manifest).unwrap();
        assert_eq!(
            Manifest::parse(text.as_bytes(), OCI_MANIFEST).unwrap(),
            manifest
        );
        assert!(Manifest::parse(text.as_bytes(), DOCKER_MANIFEST).is_err());
        assert!(Index::parse(text.as_bytes(), OCI_INDEX).is_err());
        let both = text.replacen('{', "{\"manifests\":[],", 1);
        assert!(Manifest::parse(both.as_bytes(), OCI_MANIFEST).is_err());
        let foreign = text.replace(
            OCI_LAYER,
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        );
        assert!(Manifest::parse(foreign.as_bytes(), OCI_MANIFEST).is_err());
    }
}
