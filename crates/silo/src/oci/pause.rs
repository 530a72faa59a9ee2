//! `pause` and `resume`: all processes of a container stand still, and go on.

use silo_runtime::{container, state::Seen};
use silo_types::{Error, Result};

use super::{
    Verb,
    globals::Globals,
    options::{Order, Words},
};

pub static PAUSE: Verb = Verb {
    name: "pause",
    about: "freeze all processes of a container",
    usage: "CONTAINER",
    options: &[],
    order: Order::Mixed,
    words: (1, 1),
    starts: false,
    run: pause,
};

pub static RESUME: Verb = Verb {
    name: "resume",
    about: "let the processes of a paused container go on",
    usage: "CONTAINER",
    options: &[],
    order: Order::Mixed,
    words: (1, 1),
    starts: false,
    run: resume,
};

fn pause(globals: &Globals, words: &Words) -> Result<i32> {
    let seen = globals.root.look(&words.rest[0])?;
    match status(&seen) {
        "running" | "created" => container::group_of(&seen.record)?.freeze().map(|()| 0),
        _ => Err(Error::conflict("container not running")),
    }
}

fn resume(globals: &Globals, words: &Words) -> Result<i32> {
    let seen = globals.root.look(&words.rest[0])?;
    match status(&seen) {
        "paused" => container::group_of(&seen.record)?.thaw().map(|()| 0),
        _ => Err(Error::conflict("container not paused")),
    }
}

fn status(seen: &Seen) -> &'static str {
    container::status_word(seen)
}
