//! What a container used, kept: a small file beside it that its monitor writes and everybody may read.
//!
//! ```text
//! monitor ─▶ Writer ─▶ containers/ID/recording ─▶ reader ─▶ Series ─▶ stats, plot, what-if, dash
//!                      │ rm
//!                      ▼
//!                      graveyard/MOMENT-ID/          for an hour
//! ```
//! [`moment`] names the figures, [`block`] turns them into bytes and back (pure), [`ring`] places blocks in the file,
//! [`series`] reads what lies between moments, [`what_if`] judges limits that were not set. Readers never write.

mod block;
mod glance;
mod grave;
mod moment;
mod ring;
mod series;
mod what_if;

pub use glance::Glance;
pub(crate) use glance::read_at;
pub use grave::{Grave, Recording};
pub use moment::Moment;
pub(crate) use ring::Writer;
pub use series::{Series, Step};
pub use what_if::{Asked, Outcome, what_if};

/// Name of the file in a container's folder.
pub(crate) const FILE: &str = "recording";
