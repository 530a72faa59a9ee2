//! `start`: starts stopped containers.

use clap::Args;
use silo_engine::Streams;
use silo_types::{Error, Result};

use super::{each_container, run, warn};
use crate::{
    cli::{Context, Run},
    terminal::{self, Attachment},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Start {
    /// Join the container's output, and end with its exit code
    #[arg(short, long)]
    attach: bool,
    /// Join its standard input, too
    #[arg(short, long)]
    interactive: bool,
    /// Keys that leave the container's terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to the container (true unless given)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_default_value = true)]
    sig_proxy: String,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Run for Start {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        if !self.attach && !self.interactive {
            return each_container(&engine, &self.containers, |container| {
                if container.state.status.is_up() {
                    return Ok(());
                }
                match engine.start(container, None) {
                    Ok(started) => {
                        warn(&started.info.warnings);
                        Ok(())
                    }
                    // Somebody else did, meanwhile.
                    Err(_) if engine.container(container.id())?.state.status.is_up() => Ok(()),
                    Err(error) => Err(error),
                }
            });
        }
        let [name] = &self.containers[..] else {
            return Err(Error::invalid(
                "you cannot start and attach multiple containers at once",
            ));
        };
        let container = engine.find(name)?;
        let stdio = &container.config.stdio;
        let how = Attachment {
            tty: stdio.tty,
            input: self.interactive && stdio.open_stdin,
            output: true,
            errors: true,
            proxy: silo_types::parse::truth("sig-proxy", &self.sig_proxy)?,
            detach_keys: run::detach_keys(self.detach_keys.as_deref())?,
        };
        let streams = Streams {
            input: how.input,
            output: true,
            size: match how.tty {
                true => terminal::size(),
                false => (0, 0),
            },
        };
        if container.state.status.is_up() {
            let connection = engine.attach(&container, streams)?;
            let ended = terminal::attach(&connection, &how)?;
            return run::exit_code(&engine, container.id().as_str(), ended);
        }
        let started = engine.start(&container, Some(streams))?;
        warn(&started.info.warnings);
        run::join(&engine, &started, &how)
    }
}
