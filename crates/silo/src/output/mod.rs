//! Everything about what is shown: tables, `--format`, durations, sizes, colours, standard output.

mod format;
mod human;
mod stdout;
mod style;
mod table;
mod time;

pub use format::{Listing, Row, document};
pub use human::{duration, ellipsis, quoted, size};
pub use stdout::{print, print_line};
pub use style::Style;
pub use table::{align, align_to};
pub use time::{ago, local, local_rfc3339, now, rfc3339, rfc3339_seconds, since, utc_offset};
