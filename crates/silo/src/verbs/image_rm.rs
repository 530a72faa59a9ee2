//! `rmi`, `image rm`: removes names of images, and images.

use clap::Args;
use silo_engine::Engine;
use silo_image::{Digest, Removed};
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
        let users = users(&engine)?;
        let mut code = 0;
        for name in &self.images {
            match engine
                .images()
                .remove(name, self.force, &|id| users_of(&users, id))
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

/// Image id and name of every container.
pub(super) fn users(engine: &Engine) -> Result<Vec<(String, String)>> {
    let all = engine.list()?;
    Ok(all
        .iter()
        .map(|c| (c.config.image.id.clone(), c.name().to_owned()))
        .collect())
}

pub(super) fn users_of(users: &[(String, String)], id: &Digest) -> Vec<String> {
    let id = id.to_string();
    let of_image = users.iter().filter(|(image, _)| *image == id);
    of_image.map(|(_, name)| name.clone()).collect()
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
