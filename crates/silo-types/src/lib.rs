//! The nouns of Silo: configuration, state, identifiers, references, sizes, errors.
//!
//! No I/O happens here; every other crate may use these types and nothing here knows another crate of Silo.
#![forbid(unsafe_code)]

mod config;
mod error;
mod id;
mod last;
pub mod parse;
mod reference;
mod signal;
mod size;
mod state;

pub use config::*;
pub use error::{Doing, Error, Kind, Result};
pub use id::{ContainerId, check_name, generate_name};
pub use last::{Asked, Handling, Ignored, LastRun, Lost, PastRun, Who};
pub use reference::ImageRef;
pub use signal::Signal;
pub use size::ByteSize;
pub use state::{Candidate, ContainerState, OomScope, ProcessId, Status, Victim};
