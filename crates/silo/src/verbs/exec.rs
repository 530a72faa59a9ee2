//! `exec`: a further process in a running container.

use std::os::fd::AsFd;

use clap::Args;
use silo_engine::{ExecSpec, ExecStreams};
use silo_types::{Error, Result, parse};

use crate::{
    cli::{Context, Run},
    flags, terminal,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Exec {
    /// Leave it running in the background
    #[arg(short, long)]
    detach: bool,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Environment variable, as KEY=VALUE, or KEY for the caller's value
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// File of environment variables, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// User and group, by name or number
    #[arg(
        short,
        long,
        value_name = "USER[:GROUP]",
        default_value = "",
        hide_default_value = true
    )]
    user: String,
    /// Working folder inside the container
    #[arg(
        short,
        long,
        value_name = "FOLDER",
        default_value = "",
        hide_default_value = true
    )]
    workdir: String,
    /// Give it every capability, and no seccomp filter
    #[arg(long)]
    privileged: bool,
    /// Keys that leave a terminal: an exec session ends with it
    #[arg(long, value_name = "KEYS", hide = true)]
    detach_keys: Option<String>,
    /// CONTAINER COMMAND [ARG...]
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_name = "CONTAINER COMMAND [ARG...]", help_heading = "Arguments")]
    words: Vec<String>,
}

impl Run for Exec {
    fn run(self, context: &Context) -> Result<i32> {
        let (name, args) = match self.words.split_first() {
            Some((name, args)) if !args.is_empty() => (name, args),
            _ => {
                // As Docker's, with the exit code of a wrong number of words.
                eprintln!(
                    "silo: \"silo exec\" requires at least 2 arguments: a container and a command\nSee 'silo exec --help'."
                );
                return Ok(1);
            }
        };
        if self.detach_keys.is_some() {
            return Err(Error::unsupported(
                "--detach-keys cannot be honoured: an exec session ends with its terminal, use -d to leave it running",
            ));
        }
        let terminal_wanted = self.tty && !self.detach;
        if terminal_wanted && self.interactive && !terminal::stdin_is_terminal() {
            return Err(Error::conflict(
                "the input device is not a TTY: leave -t out, or run it on a terminal",
            ));
        }
        let asked = ExecSpec {
            args: args.to_vec(),
            env: flags::env(&self.env_file, &self.env)?,
            cwd: self.workdir.clone(),
            user: flags::value("user", &self.user, parse::user(&self.user))?,
            privileged: self.privileged,
        };
        let streams = match (self.detach, self.tty) {
            (true, _) => ExecStreams::Nowhere,
            (false, true) => ExecStreams::Terminal(terminal::size()),
            (false, false) => ExecStreams::Own {
                input: self.interactive,
            },
        };
        let engine = context.engine()?;
        let session = engine.exec(&engine.find(name)?, &asked, streams)?;
        match &session.terminal {
            _ if self.detach => Ok(0),
            Some(terminal) => terminal::relay(&session, terminal.as_fd(), self.interactive),
            None => terminal::wait(&session),
        }
    }
}
