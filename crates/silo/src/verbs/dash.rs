//! `dash`: the task manager in the terminal.

use clap::Args;
use silo_types::{Error, Result};

use crate::{
    cli::{Context, Run},
    dash,
    output::{Style, print},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct DashVerb {
    /// json: one picture as a document, without a terminal
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
}

impl Run for DashVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        match self.format.as_str() {
            "" => dash::run(&engine, Style::of_stdout() == Style::Coloured),
            "json" => {
                print(&format!("{}\n", dash::document(&engine)?))?;
                Ok(0)
            }
            other => Err(Error::invalid(format!(
                "unknown format '{other:.80}': use json"
            ))),
        }
    }
}
