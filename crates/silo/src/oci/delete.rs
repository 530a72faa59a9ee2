//! `delete`: frees all that a container has.

use silo_runtime::container;
use silo_types::Result;

use super::{
    Verb,
    globals::Globals,
    options::{Opt, Order, Words, switch},
};

static OPTIONS: [Opt; 1] = [switch(
    "force",
    'f',
    "kill it first if it runs; no error if there is none",
)];

pub static VERB: Verb = Verb {
    name: "delete",
    about: "free all that a container has",
    usage: "CONTAINER",
    options: &OPTIONS,
    order: Order::Mixed,
    words: (1, 1),
    starts: false,
    run,
};

fn run(globals: &Globals, words: &Words) -> Result<i32> {
    let warnings = container::delete(&globals.root, &words.rest[0], words.has("force"))?;
    for warning in warnings {
        globals.log.warning(&warning.to_string());
    }
    Ok(0)
}
