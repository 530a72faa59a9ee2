//! `kill`: sends a signal.

use clap::Args;
use silo_types::{Result, Signal};

use super::each_container;
use crate::{
    cli::{Context, Run},
    flags,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Kill {
    /// Signal to send
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Run for Kill {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let signal: Signal = flags::value("signal", &self.signal, self.signal.parse())?;
        each_container(&engine, &self.containers, |container| {
            engine.kill(container, signal)
        })
    }
}
