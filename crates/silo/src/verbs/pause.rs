//! `pause`, `unpause`: freezes all processes of containers, and lets them go on.

use clap::Args;
use silo_types::Result;

use super::each_container;
use crate::cli::{Context, Run};

/// Its flags.
#[derive(Args, Debug)]
pub struct Pause {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Run for Pause {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        each_container(&engine, &self.containers, |c| engine.pause(c))
    }
}

/// Its flags.
#[derive(Args, Debug)]
pub struct Unpause {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Run for Unpause {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        each_container(&engine, &self.containers, |c| engine.unpause(c))
    }
}
