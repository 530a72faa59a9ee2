//! `start`: lets the program of a waiting container run.

use std::os::fd::AsFd;

use silo_runtime::container;
use silo_types::Result;

use super::{
    Verb,
    globals::Globals,
    notify::Notify,
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
    let id = &words.rest[0];
    let listening = match Notify::asked(globals, id) {
        Some(notify) => notify.listen()?,
        None => None,
    };
    if let Some(error) = container::start(&globals.root, id)? {
        // The specification wants an error and leaves open how it is told (runtime.md, "Errors"): there was nothing that could not
        // be started.
        globals.log.error(&error.to_string());
    }
    if let Some(listening) = listening
        && let Some(main) = globals.root.look(id)?.main()
        && let Some(program) = container::hold(main)
        && let Err(error) = listening.hand_on(program.as_fd(), main.pid)
    {
        globals.log.warning(&error.to_string());
    }
    Ok(0)
}
