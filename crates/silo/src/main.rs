//! Silo's command line: containers that you can see through.
#![forbid(unsafe_code)]

use std::path::Path;

mod builtin;
mod cli;
mod dash;
mod documents;
mod flags;
mod gotemplate;
mod lab;
mod live;
mod oci;
mod output;
mod plot;
mod terminal;
mod verbs;
mod web;

fn main() {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    let is_runtime = Path::new(&name).file_name() == Some(oci::PROGRAM.as_ref());
    std::process::exit(match is_runtime {
        true => oci::main(&words),
        false => cli::main(words),
    });
}
