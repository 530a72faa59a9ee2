//! `inspect` of a volume in Docker's shape.

use silo_engine::Volume;

use super::ordered::{Ordered, object};
use crate::output::rfc3339;

/// The document; `mountpoint` is where its files lie.
pub fn volume(volume: &Volume, mountpoint: &str) -> Ordered {
    object! {
        "CreatedAt" => rfc3339(volume.created),
        "Driver" => "local",
        "Labels" => &volume.labels,
        "Mountpoint" => mountpoint,
        "Name" => volume.name.as_str(),
        "Options" => object! {},
        "Scope" => "local",
    }
}
