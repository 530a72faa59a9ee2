//! `logs`: what a container wrote.

use std::io::Write;

use clap::Args;
use silo_engine::{LogLine, LogOptions};
use silo_types::{Error, Result};

use crate::{
    cli::{Context, Run},
    output::since,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Logs {
    /// Wait for more until the container ends
    #[arg(short, long)]
    follow: bool,
    /// From a moment on, such as 10m or 2026-01-02T03:04:05Z
    #[arg(long, value_name = "MOMENT")]
    since: Option<String>,
    /// Up to a moment
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
    /// The last so many lines, or all
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Put the moment before each line
    #[arg(short, long)]
    timestamps: bool,
    /// Accepted for Docker's sake: Silo keeps no further details
    #[arg(long, hide = true)]
    details: bool,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Run for Logs {
    fn run(self, context: &Context) -> Result<i32> {
        let moment = |what: &str, typed: &Option<String>| {
            typed.as_ref().map(|typed| since(what, typed)).transpose()
        };
        let options = LogOptions {
            follow: self.follow,
            since: moment("since", &self.since)?,
            until: moment("until", &self.until)?,
            tail: tail(&self.tail)?,
        };
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let mut printer = Printer::new(self.timestamps, self.follow);
        engine.logs(&container, &options, &mut |line| printer.print(line))?;
        printer.finish();
        Ok(0)
    }
}

/// `all`, a negative number as in Docker, or so many.
fn tail(typed: &str) -> Result<Option<usize>> {
    if typed == "all" {
        return Ok(None);
    }
    match typed.parse::<i64>() {
        Ok(lines) => Ok(usize::try_from(lines).ok()),
        Err(_) => Err(Error::invalid(format!(
            "invalid argument {typed:.80?} for \"--tail\" flag: use a number or all"
        ))),
    }
}

/// Both streams to where they belong, in their order.
struct Printer {
    timestamps: bool,
    /// Each line is shown at once.
    live: bool,
    out: std::io::BufWriter<std::io::Stdout>,
}

impl Printer {
    fn new(timestamps: bool, live: bool) -> Printer {
        Printer {
            timestamps,
            live,
            out: std::io::BufWriter::with_capacity(64 * 1024, std::io::stdout()),
        }
    }

    /// False when nobody reads any more.
    fn print(&mut self, line: &LogLine) -> bool {
        let stamp = match self.timestamps {
            true => format!("{} ", line.time),
            false => String::new(),
        };
        if line.stream == "stderr" {
            let shown = self.out.flush();
            return shown.is_ok() && write!(std::io::stderr(), "{stamp}{}", line.log).is_ok();
        }
        let written = write!(self.out, "{stamp}{}", line.log);
        written.is_ok() && (!self.live || self.out.flush().is_ok())
    }

    fn finish(mut self) {
        // A reader that went away has seen enough.
        let _ = self.out.flush();
    }
}
