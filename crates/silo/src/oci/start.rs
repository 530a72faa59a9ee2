//! `start`: lets the program of a waiting container run.

use silo_runtime::container;
use silo_types::Result;

use super::{
    Verb,
    globals::Globals,
    options::{Order, Words},
};

pub static VERB: Verb = Verb {
    name: "start",
    about: "let the program of a container run",
    usage: "CONTAINER",
    options: &[],
    order: Order::Mixed,
    words: (1, 1),
    starts: false,
    run,
};

fn run(globals: &Globals, words: &Words) -> Result<i32> {
    if let Some(error) = container::start(&globals.root, &words.rest[0])? {
        // The specification wants an error and leaves open how it is told (runtime.md, "Errors"): there was nothing that could not
        // be started.
        globals.log.error(&error.to_string());
    }
    Ok(0)
}
