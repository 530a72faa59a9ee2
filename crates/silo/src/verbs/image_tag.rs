//! `tag`: gives an image a further name.

use clap::Args;
use silo_types::Result;

use crate::cli::{Context, Run};

/// Its flags.
#[derive(Args, Debug)]
pub struct Tag {
    /// Name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The further name
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

impl Run for Tag {
    fn run(self, context: &Context) -> Result<i32> {
        let name = self.name.parse()?;
        context.engine()?.images().tag(&self.image, &name)?;
        Ok(0)
    }
}
