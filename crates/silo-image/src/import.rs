//! `silo import`: a root file system as a tar stream becomes an image of one layer.

use std::{
    io::Read,
    time::{SystemTime, UNIX_EPOCH},
};

use silo_types::{Doing, ImageRef, Result};

use crate::{
    changes::apply_changes,
    compress::decompress,
    config::{Document, HistoryEntry, ImageConfig, RootFs, host_architecture, rfc3339},
    image::{Image, ImageLayer},
    refs::key,
    session::Session,
    store::ImageStore,
};

impl ImageStore {
    /// Makes an image of a tar stream (plain, gzip or zstd), names it if `reference` is given, and sets its configuration by
    /// `changes`: instructions such as `CMD ["sh"]`, `ENV A=b`, `WORKDIR /x`, `USER`, `ENTRYPOINT`, `EXPOSE`, `VOLUME`, `LABEL`,
    /// `STOPSIGNAL`. `message` is the comment in its history; empty: `imported`.
    pub fn import(
        &self,
        reader: impl Read,
        reference: Option<&ImageRef>,
        changes: &[String],
        message: &str,
    ) -> Result<Image> {
        let names: Vec<String> = reference.map(key).transpose()?.into_iter().collect();
        let mut config = ImageConfig::default();
        apply_changes(&mut config, changes)?;
        let mut session = Session::new(self)?;
        let layer = session.add_stream(decompress(reader)?.1)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let created = rfc3339(now.as_nanos() as u64);
        let comment = if message.is_empty() {
            "imported"
        } else {
            message
        };
        let document = one_layer(config, &layer, created, comment);
        let mut image = add_one_layer_image(&mut session, document, layer)?;
        session.add_image(image.clone(), names);
        session.commit()?;
        image.references = self.refs()?.of(image.id);
        Ok(image)
    }
}

/// The configuration document of an image of one layer.
pub(crate) fn one_layer(
    config: ImageConfig,
    layer: &ImageLayer,
    created: String,
    comment: &str,
) -> Document {
    Document {
        architecture: host_architecture().to_owned(),
        os: "linux".to_owned(),
        variant: String::new(),
        author: String::new(),
        config,
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![layer.id],
        },
        history: vec![HistoryEntry {
            created: created.clone(),
            comment: comment.to_owned(),
            ..HistoryEntry::default()
        }],
        created,
    }
}

/// Keeps the documents of an image of one layer.
pub(crate) fn add_one_layer_image(
    session: &mut Session,
    document: Document,
    layer: ImageLayer,
) -> Result<Image> {
    let bytes = serde_json::to_vec(&document).doing("write the image's configuration")?;
    let layers = vec![layer];
    let manifest = session.add_manifest(&bytes, &layers)?;
    let id = session.add_document(&bytes)?;
    Ok(Image::new(id, manifest, document, layers))
}
