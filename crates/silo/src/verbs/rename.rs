//! `rename`: gives a container another name.

use clap::Args;
use silo_types::{Result, check_name};

use crate::cli::{Context, Run};

/// Its flags.
#[derive(Args, Debug)]
pub struct Rename {
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The name to come
    #[arg(value_name = "NEW-NAME")]
    name: String,
}

impl Run for Rename {
    fn run(self, context: &Context) -> Result<i32> {
        let name = self.name.strip_prefix('/').unwrap_or(&self.name);
        check_name("container", name)?;
        let engine = context.engine()?;
        engine.rename(&engine.find(&self.container)?, name)?;
        Ok(0)
    }
}
