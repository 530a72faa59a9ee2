//! Silo's command line: containers that you can see through.
#![forbid(unsafe_code)]

mod builtin;
mod cli;
mod dash;
mod documents;
mod flags;
mod gotemplate;
mod lab;
mod output;
mod plot;
mod terminal;
mod verbs;

fn main() {
    std::process::exit(cli::main(std::env::args_os().skip(1).collect()));
}
