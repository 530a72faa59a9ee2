//! `load`: images from an archive made by `save`, here or by Docker, or an OCI layout.

use std::io::IsTerminal;

use clap::Args;
use silo_types::{Error, Result};

use super::image_import::open;
use crate::{
    cli::{Context, Run},
    output::print_line,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Load {
    /// The archive; standard input unless given
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true
    )]
    input: String,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
}

impl Run for Load {
    fn run(self, context: &Context) -> Result<i32> {
        if self.input == "-" && std::io::stdin().is_terminal() {
            return Err(Error::invalid(
                "requested load from stdin, but stdin is empty: use --input, or redirect it",
            ));
        }
        let engine = context.engine()?;
        for loaded in engine.images().load(open(&self.input)?)? {
            if self.quiet {
                continue;
            }
            for reference in &loaded.references {
                print_line(&format!("Loaded image: {reference}"))?;
            }
            if loaded.references.is_empty() {
                print_line(&format!("Loaded image ID: {}", loaded.id))?;
            }
        }
        Ok(0)
    }
}
