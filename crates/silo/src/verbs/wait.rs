//! `wait`: waits until containers end, and prints their exit codes.

use clap::Args;
use silo_types::Result;

use super::complain;
use crate::{
    cli::{Context, Run},
    output::print_line,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Wait {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Run for Wait {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let mut code = 0;
        for name in &self.containers {
            match engine
                .find(name)
                .and_then(|container| engine.wait(&container))
            {
                Ok(ended) => print_line(&ended.to_string())?,
                Err(error) => {
                    complain(&error);
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}
