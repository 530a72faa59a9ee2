//! `prune`: removes all stopped containers.

use clap::Args;
use silo_engine::Container;
use silo_types::{Result, Status};

use super::{complain, confirmed};
use crate::{
    cli::{Context, Run},
    documents::Filters,
    output::{print, since, size},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Prune {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what a condition holds for: label=KEY, label!=KEY, until=MOMENT
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

impl Run for Prune {
    fn run(self, context: &Context) -> Result<i32> {
        let filters = Filters::parse(&self.filter, &["label", "label!", "until"])?;
        let until = filters.values("until").first();
        let until = until.map(|typed| since("until", typed)).transpose()?;
        if !self.force && !confirmed("all stopped containers")? {
            return Ok(0);
        }
        let wanted = |container: &Container| {
            let stopped = matches!(
                container.state.status,
                Status::Created | Status::Exited | Status::Dead
            );
            stopped
                && until.is_none_or(|until| container.config.created < until)
                && filters.labels(&container.config.labels)
        };
        let engine = context.engine()?;
        let (mut ids, mut bytes, mut code) = (String::new(), 0, 0);
        for container in engine.list()?.iter().filter(|c| wanted(c)) {
            match engine.remove(container, false, false) {
                Ok(freed) => {
                    ids += &format!("{}\n", container.id());
                    bytes += freed.disk_bytes;
                }
                Err(error) => {
                    complain(&error);
                    code = 1;
                }
            }
        }
        let deleted = match ids.is_empty() {
            true => String::new(),
            false => format!("Deleted Containers:\n{ids}\n"),
        };
        print(&format!(
            "{deleted}Total reclaimed space: {}\n",
            size(bytes, 4)
        ))?;
        Ok(code)
    }
}
