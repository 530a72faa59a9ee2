//! The image configuration document: parsed strictly once, when an image comes in (OCI image specification, "config.md").
//!
//! The document itself stays in the store byte for byte, for its digest is the image's id. It is hostile input: what it says never
//! becomes configuration of the engine, only defaults of a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use silo_types::{Error, Result};

use crate::digest::Digest;

/// Defaults for containers: the `config` object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageConfig {
    /// `user[:group]`, names or numbers; empty: root. Not checked here.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// `80/tcp`
    #[serde(
        deserialize_with = "keys",
        serialize_with = "as_keys",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub exposed_ports: Vec<String>,
    /// `KEY=VALUE`
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths inside the container, made absolute and cleaned lexically: still to be resolved inside the container's root.
    #[serde(
        deserialize_with = "keys",
        serialize_with = "as_keys",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub volumes: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// Docker's extensions, passed on as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
}

impl ImageConfig {
    /// Words with a NUL could not be handed to the kernel.
    fn has_nul(&self) -> bool {
        let single = [&self.user, &self.working_dir, &self.stop_signal];
        let lists = [Some(&self.env), self.entrypoint.as_ref(), self.cmd.as_ref()];
        let mut words = single
            .into_iter()
            .chain(lists.into_iter().flatten().flatten());
        words.any(|word| word.contains('\0'))
    }
}

/// One step in the making of an image, oldest first in the document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// RFC 3339; empty: unknown.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created: String,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// The step made no layer.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub empty_layer: bool,
    /// Bytes of the files of its layer. Not in the document: filled by [`crate::ImageStore::history`].
    #[serde(skip)]
    pub size: u64,
}

/// The whole document, as far as Silo reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Document {
    pub architecture: String,
    pub os: String,
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created: String,
    #[serde(default, deserialize_with = "or_default")]
    pub config: ImageConfig,
    pub rootfs: RootFs,
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<HistoryEntry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

/// More layers than the kernel stacks (OVL_MAX_STACK is 500) are never needed.
pub(crate) const MAX_LAYERS: usize = 500;

impl Document {
    /// Parses and checks.
    pub fn parse(bytes: &[u8]) -> Result<Document> {
        let bad = |why: String| Error::invalid(format!("malformed image configuration: {why}"));
        let mut document: Document =
            serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if document.rootfs.kind != "layers" {
            return Err(bad(format!(
                "rootfs type {:?} is not layers",
                document.rootfs.kind
            )));
        }
        if document.os != "linux" {
            return Err(Error::unsupported(format!(
                "the image is made for {:?}: only linux images run here",
                document.os
            )));
        }
        if document.rootfs.diff_ids.len() > MAX_LAYERS {
            return Err(bad(format!("more than {MAX_LAYERS} layers")));
        }
        if document.config.has_nul() {
            return Err(bad("a NUL byte in the process's words".into()));
        }
        for volume in &mut document.config.volumes {
            *volume = clean_volume(volume);
        }
        Ok(document)
    }

    /// Nanoseconds since the epoch; 0: unknown.
    pub fn created_ns(&self) -> u64 {
        let time: Option<jiff::Timestamp> = self.created.parse().ok();
        time.and_then(|t| u64::try_from(t.as_nanosecond()).ok())
            .unwrap_or(0)
    }
}

/// The time in an image's documents: RFC 3339, UTC, for nanoseconds since the epoch.
pub(crate) fn rfc3339(nanoseconds: u64) -> String {
    jiff::Timestamp::from_nanosecond(nanoseconds.into())
        .map_or_else(|_| String::new(), |t| t.to_string())
}

/// `/../etc/` becomes `/etc`: dots have no meaning above the root.
pub(crate) fn clean_volume(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The machine's architecture in the words of images.
pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Docker writes `null` for empty lists and objects.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Sets are written as objects with empty values.
fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let map = Option::<BTreeMap<String, serde::de::IgnoredAny>>::deserialize(from)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

fn as_keys<S: serde::Serializer>(keys: &[String], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(keys.iter().map(|key| (key, BTreeMap::<(), ()>::new())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOCKERS: &str = r#"{"architecture":"amd64","config":{"Hostname":"","Env":["A=b"],"Cmd":["sh"],"Volumes":{"/../../etc":{}},
        "ExposedPorts":{"80/tcp":{}},"Labels":null,"Entrypoint":null,"OnBuild":null,"ArgsEscaped":true},
        "created":"2024-05-06T07:08:09.123456789Z","os":"linux","history":[{"created_by":"x","empty_layer":true}],
        "rootfs":{"type":"layers","diff_ids":[]}}"#;

    #[test]
    fn dockers_documents_parse() {
        let document = Document::parse(DOCKERS.as_bytes()).unwrap();
        assert_eq!(document.config.volumes, ["/etc"]);
        assert_eq!(document.config.exposed_ports, ["80/tcp"]);
        assert_eq!(document.config.entrypoint, None);
        assert_eq!(document.created_ns(), 1_714_979_289_123_456_789);
        let again = serde_json::to_vec(&document).unwrap();
        assert_eq!(Document::parse(&again).unwrap(), document);
    }

    #[test]
    fn strange_documents_are_refused() {
        for (from, to) in [
            ("\"linux\"", "\"windows\""),
            ("\"layers\"", "\"other\""),
            ("\"diff_ids\":[]", "\"diff_ids\":[\"sha256:../../etc\"]"),
            ("\"A=b\"", "\"A=b\\u0000\""),
            ("\"sh\"", "7"),
        ] {
            assert!(
                Document::parse(DOCKERS.replace(from, to).as_bytes()).is_err(),
                "{to}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in ".{0,200}") {
            let _ = Document::parse(text.as_bytes());
            prop_assert!(!clean_volume(&text).split('/').any(|part| part == ".."));
        }
    }
}
