//! `lab`: guided lessons, built in or from files.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use silo_types::{Error, Result};

use crate::{
    cli::{Context, Run},
    lab::{self, How},
    output::{Sheet, Style, print, print_line},
    terminal,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct LabVerb {
    /// Play it unattended; ends with 1 when a check fails
    #[arg(long)]
    auto: bool,
    /// Write a page of what really happened: commands, output, curves
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// A lab's name or file; 'new FILE' writes a template, 'check FILE' looks for mistakes; nothing lists the labs
    #[arg(value_name = "LAB", num_args = 0..=2, help_heading = "Arguments")]
    words: Vec<String>,
}

impl Run for LabVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => list(),
            ["new", file] => {
                lab::write_template(file.as_ref())?;
                print_line(&format!(
                    "{file} is a lab that works: change it, then 'silo lab check {file}'"
                ))?;
                Ok(0)
            }
            ["check", file] => {
                let script = lab::read(file)?;
                print_line(&format!("{} is well formed", lab::describe(&script)))?;
                Ok(0)
            }
            [word @ ("new" | "check")] => Err(Error::invalid(format!(
                "'silo lab {word}' needs a file: silo lab {word} FILE"
            ))),
            [name] => self.play(context, name),
            [name, more, ..] => Err(Error::invalid(format!(
                "one lab at a time: {name:.80}, then {more:.80}"
            ))),
        }
    }
}

impl LabVerb {
    fn play(&self, context: &Context, name: &str) -> Result<i32> {
        let script = lab::read(name)?;
        let how = match self.auto {
            true => How::Auto,
            false if !terminal::stdout_is_terminal() || !terminal::stdin_is_terminal() => {
                return Err(Error::invalid(format!(
                    "a lab needs a terminal: 'silo lab {name:.80} --auto' plays it without one"
                )));
            }
            false => How::Live {
                coloured: Style::of_stdout() == Style::Coloured,
            },
        };
        lab::play(&context.engine()?, &script, how, self.html.as_deref())
    }
}

fn list() -> Result<i32> {
    let mut sheet = Sheet::new("labs");
    for (name, title) in lab::list()? {
        sheet.line(&name, title);
    }
    print(&sheet.text())?;
    print_line("\n'silo lab NAME' plays one, 'silo lab new FILE' begins one of your own.")?;
    Ok(0)
}

/// The hidden verb that runs a program on a terminal of its own.
#[derive(Args, Debug)]
pub struct OnTerminal {
    /// Words of a command line
    #[arg(num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Run for OnTerminal {
    fn run(self, _: &Context) -> Result<i32> {
        Err(lab::on_terminal(&self.words))
    }
}
