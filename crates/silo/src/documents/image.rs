//! `inspect` of an image in Docker's shape.

use serde_json::Value;
use silo_image::Image;

use super::ordered::{Ordered, object};
use crate::output::rfc3339;

/// The document.
pub fn image(image: &Image) -> Ordered {
    let layers: Vec<String> = image
        .layers
        .iter()
        .map(|layer| layer.id.to_string())
        .collect();
    let config = serde_json::to_value(&image.config).unwrap_or_default();
    object! {
        "Id" => image.id.to_string(),
        "RepoTags" => image.references.as_slice(),
        "RepoDigests" => Vec::<String>::new(),
        "Parent" => "",
        "Comment" => "",
        "Created" => rfc3339(image.created),
        "DockerVersion" => "",
        "Author" => image.author.as_str(),
        "Config" => config,
        "Architecture" => image.architecture.as_str(),
        "Variant" => image.variant.as_str(),
        "Os" => image.os.as_str(),
        "Size" => image.size,
        "GraphDriver" => object! { "Data" => Value::Null, "Name" => "overlay2" },
        "RootFS" => object! { "Type" => "layers", "Layers" => layers },
        "Metadata" => object! { "LastTagTime" => rfc3339(0) },
        "Descriptor" => object! { "digest" => image.manifest.to_string() },
    }
}
