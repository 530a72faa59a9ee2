//! `diff`: what a container changed of its image.

use clap::Args;
use silo_types::Result;

use crate::{
    cli::{Context, Run},
    output::print,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Diff {
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Run for Diff {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let changes = engine.diff(&engine.find(&self.container)?)?;
        let lines = changes
            .iter()
            .map(|change| format!("{} {}\n", change.kind.letter(), change.path));
        print(&lines.collect::<String>())?;
        Ok(0)
    }
}
