//! What can be typed after `run` and `create`, in groups, and how it becomes a [`silo_types::ContainerConfig`].
//!
//! Two stages: the structs here hold words as typed (no I/O); [`config`] reads the files they name, asks the host what they must
//! fit, and fills the configuration.

mod config;
mod groups;
mod host;
mod not_yet;
#[cfg(test)]
mod tests;

pub use config::{config, env, limits};
pub use groups::{CreateFlags, LimitFlags};
pub use not_yet::NotYet;

use silo_types::Result;

/// Parses a flag's value; an error names both: `invalid argument "x" for "--cpus": …`.
pub fn value<T>(flag: &str, typed: &str, parsed: Result<T>) -> Result<T> {
    parsed.map_err(|e| {
        let mut shown: String = typed.chars().take(80).collect();
        if shown.len() < typed.len() {
            shown.push('…');
        }
        e.context(format!("invalid argument {shown:?} for \"--{flag}\""))
    })
}
