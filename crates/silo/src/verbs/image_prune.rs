//! `image prune`: removes images that nothing uses.

use clap::Args;
use silo_types::Result;

use super::{confirmed, image_rm};
use crate::{
    cli::{Context, Run},
    documents::Filters,
    output::{print, since, size},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct ImagePrune {
    /// Those with names, too
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what a condition holds for: label=KEY, label!=KEY, until=MOMENT
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

impl Run for ImagePrune {
    fn run(self, context: &Context) -> Result<i32> {
        let filters = Filters::parse(&self.filter, &["label", "label!", "until"])?;
        let until = filters.values("until").first();
        let until = until.map(|typed| since("until", typed)).transpose()?;
        let question = match self.all {
            true => "all images without at least one container",
            false => "all images without a name",
        };
        if !self.force && !confirmed(question)? {
            return Ok(0);
        }
        let engine = context.engine()?;
        let removed = engine
            .images()
            .prune(self.all, &|id| engine.image_users(id), &|image| {
                filters.labels(&image.config.labels)
                    && until.is_none_or(|until| image.created < until)
            })?;
        let lines = image_rm::told(&removed);
        let deleted = match lines.is_empty() {
            true => String::new(),
            false => format!("Deleted Images:\n{lines}\n"),
        };
        print(&format!(
            "{deleted}Total reclaimed space: {}\n",
            size(removed.bytes, 4)
        ))?;
        Ok(0)
    }
}
