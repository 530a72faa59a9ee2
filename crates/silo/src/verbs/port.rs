//! `port`: published ports. There are none yet, so the list is empty.

use clap::Args;
use silo_types::{Error, Result};

use crate::cli::{Context, Run};

/// Its flags.
#[derive(Args, Debug)]
pub struct Port {
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Only this port of the container, such as 80/tcp
    #[arg(value_name = "PORT")]
    port: Option<String>,
}

impl Run for Port {
    fn run(self, context: &Context) -> Result<i32> {
        let container = context.engine()?.find(&self.container)?;
        match self.port {
            None => Ok(0),
            Some(port) => Err(Error::not_found(format!(
                "no public port '{port:.40}' published for {}",
                container.name()
            ))),
        }
    }
}
