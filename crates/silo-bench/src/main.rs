//! Times Silo against other engines on this machine and prints a report in Markdown.
//!
//! Started by `bench/peers` inside a view of the system where Silo and its peers see the same control groups, network and
//! folders. Every comparison is one interleaved run; nothing is judged against a figure of another day.
#![forbid(unsafe_code)]

mod bare;
mod bundle;
mod daemon;
mod descendants;
mod machine;
mod measure;
mod report;
mod rows;
mod summary;
mod tools;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use silo_types::{Doing, Result};

use crate::{report::Report, tools::Tools};

/// What to measure, and with what.
#[derive(Debug, Parser)]
#[command(about = "Times Silo against other engines: see bench/README.md")]
pub struct Options {
    /// Silo's binary.
    #[arg(long)]
    pub silo: PathBuf,
    /// Folder for state and bundles; on a disk, not on tmpfs.
    #[arg(long)]
    pub work: PathBuf,
    /// Runs of each command in a comparison.
    #[arg(long, default_value_t = 200)]
    pub rounds: usize,
    /// Running containers while `ls` and `top` are timed.
    #[arg(long, default_value_t = 200)]
    pub containers: usize,
    /// Containers started one after another.
    #[arg(long, default_value_t = 500)]
    pub starts: usize,
    /// Whole engines too: podman, Docker, runc. Takes minutes.
    #[arg(long)]
    pub all: bool,
    /// Only these rows.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Row>,
    /// Only read these files ten times a second: the floor under what recording costs.
    #[arg(long, value_delimiter = ',', hide = true)]
    bare: Vec<PathBuf>,
}

/// One measurement of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Row {
    Run,
    Runtime,
    Exec,
    Many,
    /// What a monitor costs beside a busy container, and beside an idle one.
    Recorder,
    Starts,
    Gone,
    Engines,
    /// What is shown against what was made.
    Truth,
}

impl Options {
    fn rows(&self) -> Vec<Row> {
        let all = Row::value_variants().iter().copied();
        all.filter(|row| match self.only.as_slice() {
            [] => *row != Row::Truth && (*row != Row::Engines || self.all),
            only => only.contains(row),
        })
        .collect()
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.bare.as_slice() {
        [] => measure_all(&options),
        files => bare::run(files),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("silo-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(options: &Options) -> Result<()> {
    // Monitors outlive the command that started them: they become our children, so that we can wait for their end.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .doing("adopt orphaned processes")?;
    let tools = Tools::prepare(options)?;
    let mut report = Report::default();
    let load_before = machine::load();
    let mut done = Ok(());
    for row in options.rows() {
        eprintln!("silo-bench: {}", rows::title(row));
        done = rows::measure(row, options, &tools, &mut report);
        tools.silo.remove_all();
        if done.is_err() {
            break;
        }
    }
    print!("{}", machine::heading(&tools, &load_before));
    print!("{report}");
    done
}
