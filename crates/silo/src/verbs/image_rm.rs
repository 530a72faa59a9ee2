//! `rmi`, `image rm`: removes names of images, and images.

use clap::Args;
use silo_image::Removed;
use silo_types::{Kind, Result};

use super::complain;
use crate::{
    cli::{Context, Run},
    output::print,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct ImageRm {
    /// Take the name away even if containers use the image
    #[arg(short, long)]
    force: bool,
    /// Accepted for Docker's sake: images here have no parents
    #[arg(long)]
    no_prune: bool,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Run for ImageRm {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let mut code = 0;
        for name in &self.images {
            match engine
                .images()
                .remove(name, self.force, &|id| engine.image_users(id))
            {
                Ok(removed) => print(&told(&removed))?,
                Err(error) if self.force && error.kind() == Kind::NotFound => complain(&error),
                Err(error) => {
                    complain(&error);
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}

/// Docker's lines.
pub(super) fn told(removed: &Removed) -> String {
    let names = removed
        .untagged
        .iter()
        .map(|name| format!("Untagged: {name}\n"));
    let ids = removed.deleted.iter().map(|id| format!("Deleted: {id}\n"));
    names.chain(ids).collect()
}
