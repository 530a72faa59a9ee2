//! `stop`: asks containers to end, and kills them after a while.

use clap::Args;
use silo_types::{Result, Signal};

use super::each_container;
use crate::{
    cli::{Context, Run},
    flags,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Stop {
    #[command(flatten)]
    how: StopFlags,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// What `stop` and `restart` share.
#[derive(Args, Debug)]
pub(super) struct StopFlags {
    /// Signal to send
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds until it is killed; -1: never
    #[arg(
        short = 't',
        long = "timeout",
        visible_alias = "time",
        value_name = "SECONDS"
    )]
    timeout: Option<i64>,
}

impl StopFlags {
    pub(super) fn signal(&self) -> Result<Option<Signal>> {
        let signal = self.signal.as_ref();
        signal
            .map(|typed| flags::value("signal", typed, typed.parse()))
            .transpose()
    }

    pub(super) fn timeout(&self) -> Option<i64> {
        self.timeout
    }
}

impl Run for Stop {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let signal = self.how.signal()?;
        each_container(&engine, &self.containers, |container| {
            engine.stop(container, signal, self.how.timeout())
        })
    }
}
