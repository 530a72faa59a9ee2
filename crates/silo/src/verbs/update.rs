//! `update`: changes the limits of containers, also while they run.

use clap::Args;
use silo_engine::{Update, overlay_resources};
use silo_types::{Resources, Result, parse};

use super::each_container;
use crate::{
    cli::{Context, Run},
    flags::{self, LimitFlags},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct UpdateVerb {
    #[command(flatten)]
    limits: LimitFlags,
    /// no, always, unless-stopped or on-failure[:RETRIES]
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER", help_heading = "Arguments")]
    containers: Vec<String>,
}

impl Run for UpdateVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let asked = flags::limits(&self.limits)?;
        let restart = self.restart.as_ref();
        let restart = restart
            .map(|typed| flags::value("restart", typed, parse::restart(typed)))
            .transpose()?;
        let update = Update {
            resources: (asked != Resources::default()).then(|| asked.clone()),
            restart,
            may_kill: false,
        };
        let engine = context.engine()?;
        each_container(&engine, &self.containers, |container| {
            parse::check_resources(&overlay_resources(container.resources(), &asked))?;
            engine.update(container, &update)
        })
    }
}
