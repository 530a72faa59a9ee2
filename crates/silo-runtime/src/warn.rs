//! Who hears what was asked for and is left out.
//!
//! Callers of `silo oci` send every container what most hosts have, and look into a log; with them it is told and left out. The
//! engine has nobody who would hear it: without a listener it is an error.

use silo_types::{Error, Result};

/// A listener, given a text each time.
#[derive(Clone, Copy)]
pub struct Warn<'a>(pub &'a dyn Fn(&str));

impl std::fmt::Debug for Warn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Warn")
    }
}

/// Goes on without what `error` says cannot be, if somebody hears it.
pub(crate) fn left_out(warn: Option<Warn<'_>>, error: Error) -> Result<()> {
    match warn {
        Some(warn) => {
            (warn.0)(&error.to_string());
            Ok(())
        }
        None => Err(error),
    }
}
