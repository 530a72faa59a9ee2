//! Everything about what is shown: tables, `--format`, durations, sizes, colours, standard output.

mod document;
mod format;
mod human;
mod sheet;
mod stdout;
mod style;
mod table;
mod time;

pub use document::{json_line, wants_json};
pub use format::{Listing, Row, document};
pub use human::{duration, ellipsis, quoted, short_span, signal_of, size};
pub use sheet::{Sheet, wrap};
pub use stdout::{print, print_line};
pub use style::Style;
pub use table::{align, align_cells, align_to};
pub use time::{
    ago, ago_words, clock, local, local_rfc3339, now, rfc3339, rfc3339_seconds, since, utc_offset,
};
