//! `kill`: a signal to the main process, or to all of a container's.

use silo_runtime::{container, state::Life};
use silo_types::{Error, Result, Signal};

use super::{
    Verb,
    globals::Globals,
    options::{Opt, Order, Words, switch},
};

static OPTIONS: [Opt; 1] = [switch("all", 'a', "to every process of the container")];

pub static VERB: Verb = Verb {
    name: "kill",
    about: "send a signal to a container (TERM)",
    usage: "CONTAINER [SIGNAL]",
    options: &OPTIONS,
    order: Order::Mixed,
    words: (1, 2),
    starts: false,
    run,
};

fn run(globals: &Globals, words: &Words) -> Result<i32> {
    let text = words.rest.get(1).map_or("TERM", String::as_str);
    // 0 only asks whether it is there.
    let signal = match text {
        "0" => 0,
        text => text
            .parse::<Signal>()
            .map_err(|_| Error::invalid(format!("unknown signal {text:?}")))?
            .number(),
    };
    let seen = globals.root.look(&words.rest[0])?;
    if seen.life() == Life::Creating {
        return Err(Error::conflict("container not running"));
    }
    match words.has("all") {
        true => container::signal_all(&seen, signal),
        false => container::signal(&seen, signal),
    }
    .map(|()| 0)
}
