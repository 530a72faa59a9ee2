//! From the words of a command line to a verb and back to an exit code.
//!
//! ```text
//! silo [GLOBAL OPTIONS] [GROUP] VERB [WORDS]
//!      └ global.rs ──┘ └ table.rs ┘ └ clap, for this verb alone
//! ```
//! Building the flags of all verbs takes longer than starting a container's first process, so only the verb that was typed is
//! built; help, man pages and completion build all.

mod context;
mod error;
mod examples;
mod global;
mod help;
mod table;
mod verb;

pub use context::Context;
pub use help::tree;
pub use table::VERBS;
#[cfg(test)]
pub(crate) use verb::pflag;
pub use verb::{Group, Run, Verb};

use std::ffi::OsString;

use silo_types::Result;

use self::{
    error::Failure,
    global::{Global, What},
};

/// Runs the command line; the exit code.
pub fn main(words: Vec<OsString>) -> i32 {
    match run(words) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(words: Vec<OsString>) -> Result<i32, Failure> {
    let (global, what, rest) = Global::parse(words)?;
    match what {
        What::Help => return done(help::overview()),
        What::Version => return done(help::version_line()),
        What::Verb => {}
    }
    if rest.first().is_some_and(|word| word == "oci") {
        // Callers count milliseconds, and its words are no flags of this parser's.
        return Ok(crate::oci::main(&rest[1..]));
    }
    let Some(found) = table::find(&rest)? else {
        return done(help::overview());
    };
    let verb = match found {
        table::Found::Group(group) => return done(help::group(group)),
        table::Found::Help(verb) => return done(help::of(verb)),
        table::Found::Verb(verb) => verb,
    };
    let context = Context::new(global);
    verb.verb.execute(&context, &verb.name, &rest[verb.taken..])
}

fn done(text: String) -> Result<i32, Failure> {
    crate::output::print(&text)?;
    Ok(0)
}
