//! `state` and `list`: what is known of containers.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;
use silo_observe::Names;
use silo_runtime::{container, state::Seen};
use silo_types::{Doing, Error, Result};

use super::{
    Verb,
    globals::Globals,
    options::{Opt, Order, Words, switch, value},
};
use crate::output::{align_to, print, rfc3339};

pub static STATE: Verb = Verb {
    name: "state",
    about: "print the state of a container",
    usage: "CONTAINER",
    options: &[],
    order: Order::Mixed,
    words: (1, 1),
    starts: false,
    run: state,
};

static LIST_OPTIONS: [Opt; 2] = [
    value("format", 'f', "table|json", "how to print"),
    switch("quiet", 'q', "ids only"),
];

pub static LIST: Verb = Verb {
    name: "list",
    about: "list containers",
    usage: "",
    options: &LIST_OPTIONS,
    order: Order::Mixed,
    words: (0, 0),
    starts: false,
    run: list,
};

/// The specification's state, with runc's additions, in runc's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    pid: i32,
    status: &'static str,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    owner: String,
}

impl State<'_> {
    fn of<'a>(seen: &'a Seen, names: &Names) -> State<'a> {
        let record = &seen.record;
        State {
            oci_version: &record.oci_version,
            id: &record.id,
            // 0 for one that has ended.
            pid: seen.main().map_or(0, |main| main.pid),
            status: container::status_word(seen),
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: rfc3339(record.created),
            annotations: &record.annotations,
            owner: names.user(seen.owner),
        }
    }
}

fn state(globals: &Globals, words: &Words) -> Result<i32> {
    let seen = globals.root.look(&words.rest[0])?;
    let state = State::of(&seen, &Names::host()?);
    let text = serde_json::to_string_pretty(&state).doing("write the state")?;
    print(&(text + "\n"))?;
    Ok(0)
}

fn list(globals: &Globals, words: &Words) -> Result<i32> {
    if globals.is_root_named && !globals.root.exists() {
        return Err(Error::not_found("the folder of --root does not exist"));
    }
    // What is removed or only begun meanwhile is not listed.
    let ids = globals.root.ids()?;
    let seen: Vec<Seen> = ids
        .iter()
        .filter_map(|id| globals.root.look(id).ok())
        .collect();
    if words.has("quiet") {
        let lines: String = seen
            .iter()
            .map(|one| format!("{}\n", one.record.id))
            .collect();
        print(&lines)?;
        return Ok(0);
    }
    let names = Names::host()?;
    let states: Vec<State> = seen.iter().map(|one| State::of(one, &names)).collect();
    match words.get("format").unwrap_or("table") {
        "json" => {
            let text = serde_json::to_string(&states).doing("write the list")?;
            print(&(text + "\n"))?;
        }
        "table" => print(&table(&states))?,
        other => {
            return Err(Error::invalid(format!(
                "invalid format option {other:?}: table or json"
            )));
        }
    }
    Ok(0)
}

fn table(states: &[State]) -> String {
    let mut lines = String::from("ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n");
    for state in states {
        lines += &format!(
            "{}\t{}\t{}\t{}\t{}\t{}\n",
            state.id,
            state.pid,
            state.status,
            state.bundle.display(),
            state.created,
            state.owner
        );
    }
    align_to(&lines, 12)
}
