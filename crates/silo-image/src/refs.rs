//! Names of images: `refs.json`, one small document replaced atomically.
//!
//! Read on the way of every `run`; written by tag, untag and whatever brings an image, under `refs.lock`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use silo_types::{Error, ImageRef, Result};

use crate::digest::Digest;

/// All names: `repository:tag` → image id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refs {
    pub references: BTreeMap<String, Digest>,
}

impl Refs {
    /// The names of one image, in order.
    pub fn of(&self, id: Digest) -> Vec<String> {
        let named = self.references.iter().filter(|(_, other)| **other == id);
        named.map(|(name, _)| name.clone()).collect()
    }

    /// The images that have a name with this repository.
    pub fn in_repository<'a>(
        &'a self,
        repository: &'a str,
    ) -> impl Iterator<Item = (&'a String, Digest)> {
        let same = move |name: &str| {
            name.rsplit_once(':')
                .is_some_and(|(left, _)| left == repository)
        };
        self.references
            .iter()
            .filter(move |(name, _)| same(name))
            .map(|(name, id)| (name, *id))
    }
}

/// The repository as it is stored: `docker.io/library/debian` is `debian`, as Docker shows it.
pub(crate) fn familiar(repository: &str) -> &str {
    let short = repository
        .strip_prefix("docker.io/")
        .or_else(|| repository.strip_prefix("index.docker.io/"))
        .unwrap_or(repository);
    short.strip_prefix("library/").unwrap_or(short)
}

/// The key of a name that is to be given to an image.
pub(crate) fn key(reference: &ImageRef) -> Result<String> {
    match (&reference.tag, &reference.digest) {
        (Some(tag), None) => Ok(format!("{}:{tag}", familiar(&reference.repository))),
        _ => Err(Error::invalid(format!(
            "cannot name an image {reference}: a name with a digest is given by a registry; use name:tag"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn familiar_names() {
        for (text, stored) in [
            ("docker.io/library/debian:12", "debian:12"),
            ("docker.io/team/app", "team/app:latest"),
            ("library/lab", "lab:latest"),
            (
                "registry.example:5000/library/x:1",
                "registry.example:5000/library/x:1",
            ),
        ] {
            assert_eq!(key(&text.parse().unwrap()).unwrap(), stored);
        }
    }
}
