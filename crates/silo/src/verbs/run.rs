//! `run`: makes a container, starts it, and joins its streams.

use clap::Args;
use silo_engine::{Engine, Started, Streams};
use silo_types::{ContainerConfig, Error, Result, parse};

use super::{create::IdFile, warn};
use crate::{
    cli::{Context, Run},
    flags::{self, CreateFlags},
    output::{print_line, wrap},
    terminal::{self, Attachment, Ended},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct RunVerb {
    /// Leave it running in the background and print its id
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the container's terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to the container (true unless given)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_default_value = true)]
    sig_proxy: String,
    /// Tell how long each step of the start took
    #[arg(long)]
    timing: bool,
    #[command(flatten)]
    create: CreateFlags,
}

impl Run for RunVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let mut config = flags::config(&self.create, self.detach)?;
        super::place(&mut config)?;
        let how = self.attachment(&config)?;
        let mut id_file = IdFile::new(&self.create.general.cidfile)?;
        let engine = context.engine()?;
        let streams = (!self.detach).then(|| Streams {
            input: how.input,
            output: true,
            size: match how.tty {
                true => terminal::size(),
                false => (0, 0),
            },
        });
        let started = engine.run(config, streams, &mut |config| id_file.write(config))?;
        warn(&started.info.warnings);
        if self.timing {
            let width = match terminal::size().1 {
                0 => usize::MAX,
                columns => usize::from(columns),
            };
            eprintln!("{}", timing(&started.info.timing, width));
        }
        match started.connection {
            None => {
                print_line(started.config.id.as_str())?;
                Ok(0)
            }
            Some(_) => join(&engine, &started, &how),
        }
    }
}

impl RunVerb {
    fn attachment(&self, config: &ContainerConfig) -> Result<Attachment> {
        let stdio = &config.stdio;
        if stdio.tty && stdio.attach_stdin && !self.detach && !terminal::stdin_is_terminal() {
            return Err(Error::invalid(
                "the input device is not a TTY: leave -t out, or run it on a terminal",
            ));
        }
        Ok(Attachment {
            tty: stdio.tty,
            input: stdio.attach_stdin && stdio.open_stdin,
            output: stdio.attach_stdout,
            errors: stdio.attach_stderr,
            proxy: parse::truth("sig-proxy", &self.sig_proxy)?,
            detach_keys: detach_keys(self.detach_keys.as_deref())?,
        })
    }
}

/// Docker's ctrl-p,ctrl-q unless other keys are given.
pub(super) fn detach_keys(typed: Option<&str>) -> Result<Vec<u8>> {
    match typed {
        None => Ok(parse::DEFAULT_DETACH_KEYS.to_vec()),
        Some(typed) => flags::value("detach-keys", typed, parse::detach_keys(typed)),
    }
}

/// Relays until it ends; its exit code.
pub(super) fn join(engine: &Engine, started: &Started, how: &Attachment) -> Result<i32> {
    let Some(connection) = &started.connection else {
        return Ok(0);
    };
    let ended = terminal::attach(connection, how)?;
    exit_code(engine, started.config.id.as_str(), ended)
}

/// What a command that was attached ends with.
pub(super) fn exit_code(engine: &Engine, id: &str, ended: Ended) -> Result<i32> {
    match ended {
        Ended::Exit(exit) => Ok(exit.code),
        Ended::Detached => {
            eprintln!("read escape sequence");
            Ok(0)
        }
        Ended::Unread => Ok(128 + 13),
        // Reading the container repairs it and says how it ended.
        Ended::Lost => match engine.find(id) {
            Ok(container) if container.state.error.is_empty() => Ok(container.state.exit_code),
            Ok(container) => Err(Error::internal(container.state.error)),
            Err(_) => Err(Error::internal(
                "the container's monitor has gone, and the container with it",
            )),
        },
    }
}

/// `9.8 ms: rootfs 1.4 · clone 2.1 · …`, a step and its time never torn apart.
fn timing(steps: &[(String, u64)], width: usize) -> String {
    let total: u64 = steps.iter().map(|(_, microseconds)| microseconds).sum();
    let ms = |microseconds: u64| format!("{:.1}", microseconds as f64 / 1000.0);
    let each: Vec<String> = steps
        .iter()
        .map(|(step, microseconds)| format!("{step} {}", ms(*microseconds)).replace(' ', TIED))
        .collect();
    let text = format!("{} ms: {}", ms(total), each.join(&format!("{TIED}· ")));
    wrap(&text, width).join("\n").replace(TIED, " ")
}

/// A blank at which no line is broken.
const TIED: &str = "\u{a0}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timing_is_one_line() {
        let steps = [("create".to_owned(), 400), ("clone".to_owned(), 2150)];
        assert_eq!(timing(&steps, usize::MAX), "2.5 ms: create 0.4 · clone 2.1");
        assert_eq!(timing(&steps, 24), "2.5 ms: create 0.4 ·\nclone 2.1");
    }
}
