//! `attach`: joins the streams of a running container.

use clap::Args;
use silo_engine::Streams;
use silo_types::{Error, Result};

use super::run;
use crate::{
    cli::{Context, Run},
    terminal::{self, Attachment},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Attach {
    /// Do not join standard input
    #[arg(long)]
    no_stdin: bool,
    /// Keys that leave the container's terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to the container (true unless given)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_default_value = true)]
    sig_proxy: String,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Run for Attach {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let stdio = &container.config.stdio;
        let how = Attachment {
            tty: stdio.tty,
            input: stdio.open_stdin && !self.no_stdin,
            output: true,
            errors: true,
            proxy: silo_types::parse::truth("sig-proxy", &self.sig_proxy)?,
            detach_keys: run::detach_keys(self.detach_keys.as_deref())?,
        };
        if how.tty && how.input && !terminal::stdin_is_terminal() {
            return Err(Error::invalid(
                "the input device is not a TTY: use --no-stdin, or attach on a terminal",
            ));
        }
        let streams = Streams {
            input: how.input,
            output: true,
            size: match how.tty {
                true => terminal::size(),
                false => (0, 0),
            },
        };
        let connection = engine.attach(&container, streams)?;
        let ended = terminal::attach(&connection, &how)?;
        run::exit_code(&engine, container.id().as_str(), ended)
    }
}
