//! `ps`: the processes of a container, by the host's numbers.

use std::collections::HashMap;

use silo_observe::{
    HostFacts, Names, Proc,
    ps::{PsContext, PsRequest, Table},
};
use silo_runtime::container;
use silo_types::{Doing, Error, Result};

use super::{
    Verb,
    globals::Globals,
    options::{Opt, Order, Words, value},
};
use crate::output::{align_cells, print, utc_offset};

static OPTIONS: [Opt; 1] = [value("format", 'f', "table|json", "how to print")];

pub static VERB: Verb = Verb {
    name: "ps",
    about: "list the processes of a container",
    usage: "CONTAINER [PS OPTIONS]",
    options: &OPTIONS,
    order: Order::First,
    words: (1, usize::MAX),
    starts: false,
    run,
};

fn run(globals: &Globals, words: &Words) -> Result<i32> {
    let seen = globals.root.look(&words.rest[0])?;
    let pids = container::group_of(&seen.record)?.procs(false)?;
    match words.get("format").unwrap_or("table") {
        "json" => {
            let text = serde_json::to_string(&pids).doing("write the list")?;
            print(&(text + "\n"))?;
        }
        "table" => print(&table(&pids, &words.rest[1..])?)?,
        other => {
            return Err(Error::invalid(format!(
                "invalid format option {other:?}: table or json"
            )));
        }
    }
    Ok(0)
}

fn table(pids: &[i32], options: &[String]) -> Result<String> {
    let request = match options {
        [] => PsRequest::parse(&["-ef"])?,
        options => PsRequest::parse(options)?,
    };
    let processes = Proc::host()?.collect(pids, request.want());
    let none = HashMap::new();
    let mut table = request.table(
        &processes,
        &PsContext {
            host: &HostFacts::now(),
            names: &Names::host()?,
            utc_offset_seconds: utc_offset(),
            execs: &none,
            containers: &none,
        },
    );
    right_align(&mut table);
    Ok(align_cells(&table, 6))
}

/// Numbers of processes end below each other, as ps(1) prints them and its readers expect.
fn right_align(table: &mut Table) {
    const WIDTH: usize = 7;
    for column in 0..table.header.len() {
        if matches!(table.header[column].as_str(), "PID" | "PPID") {
            let rows = table.rows.iter_mut();
            for row in std::iter::once(&mut table.header).chain(rows) {
                row[column] = format!("{:>WIDTH$}", row[column]);
            }
        }
    }
}
