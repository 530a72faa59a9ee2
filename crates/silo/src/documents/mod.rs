//! Containers, images and volumes as documents: rows of lists, and `inspect` in Docker's shape.
//!
//! Pure: everything that is shown is handed in, so nothing here reads or asks.

mod container;
mod filter;
mod image;
mod ordered;
mod rows;
mod volume;

pub use container::{ContainerFacts, container};
pub use filter::{Filters, matches_pattern};
pub use image::image;
pub use ordered::Ordered;
pub(crate) use ordered::object;
pub use rows::{CONTAINERS, ContainerRow, IMAGES, VOLUMES, image_row, volume_row};
pub use volume::volume;
