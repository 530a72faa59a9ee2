//! Programs that use up one thing, as fast as they can, and say what they got: the lessons about limits need them. All
//! react to SIGINT and SIGTERM at once and free what they took. One of them, `hold`, takes exactly what it is told.

pub mod cpu;
pub mod fork;
pub mod hold;
pub mod io;
pub mod mem;
pub mod progress;

use std::time::Duration;

use crate::cli::Options;
use crate::size;

/// The duration of an option; `None` when it is not given or endless.
fn duration(options: &Options, letter: char) -> Result<Option<Duration>, String> {
    options.value(letter).map_or(Ok(None), size::duration)
}

/// The size of an option.
fn bytes(options: &Options, letter: char) -> Result<Option<u64>, String> {
    options.value(letter).map(size::parse).transpose()
}
