//! `lab`: the guided lessons.

use std::ffi::OsString;

use clap::Args;
use silo_types::{Error, Result};

use crate::{
    cli::{Context, Run},
    lab::{self, Lab},
    output::print_line,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct LabVerb {
    /// Play it without waiting for Enter; ends with 1 when a check fails
    #[arg(long)]
    auto: bool,
    /// process-isolation; without a name, the lessons are listed
    #[arg(value_name = "LESSON")]
    lesson: Option<String>,
}

impl Run for LabVerb {
    fn run(self, context: &Context) -> Result<i32> {
        match self.lesson.as_deref() {
            None => {
                print_line("process-isolation   a container is just processes of the host")?;
                Ok(0)
            }
            Some("process-isolation") => {
                let engine = context.engine()?;
                Lab::new(&engine, self.auto).play()?;
                Ok(0)
            }
            Some(other) => Err(Error::not_found(format!(
                "no such lesson: {other:.80}: there is process-isolation"
            ))),
        }
    }
}

/// The hidden verb that runs this program on a terminal of its own.
#[derive(Args, Debug)]
pub struct OnTerminal {
    /// Words of a command line
    #[arg(num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Run for OnTerminal {
    fn run(self, _: &Context) -> Result<i32> {
        Err(lab::on_terminal(&self.words))
    }
}
