//! `restart`: stops containers and starts them again.

use clap::Args;
use silo_types::Result;

use super::{each_container, stop::StopFlags};
use crate::cli::{Context, Run};

/// Its flags.
#[derive(Args, Debug)]
pub struct Restart {
    #[command(flatten)]
    how: StopFlags,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Run for Restart {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let signal = self.how.signal()?;
        each_container(&engine, &self.containers, |container| {
            engine.restart(container, signal, self.how.timeout())
        })
    }
}
