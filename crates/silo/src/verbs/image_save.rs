//! `save`: images to an archive that `load` takes, here or in Docker.

use std::{
    fs::File,
    io::{BufWriter, IsTerminal, Write},
};

use clap::Args;
use silo_types::{Doing, Error, Result};

use crate::cli::{Context, Run};

/// Its flags.
#[derive(Args, Debug)]
pub struct Save {
    /// File to write; standard output unless given
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Run for Save {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        let names: Vec<&str> = self.images.iter().map(String::as_str).collect();
        let Some(path) = &self.output else {
            let out = std::io::stdout().lock();
            if out.is_terminal() {
                return Err(Error::invalid(
                    "refusing to save to a terminal: use --output, or redirect it",
                ));
            }
            engine.images().save(&names, out)?;
            return Ok(0);
        };
        // Whole or not there at all.
        let unfinished = format!("{path}.silo-{}", std::process::id());
        let doing = || format!("write {path}");
        let saved = File::create(&unfinished)
            .doing_with(doing)
            .and_then(|file| {
                let mut out = BufWriter::new(file);
                engine.images().save(&names, &mut out)?;
                out.flush().doing_with(doing)?;
                std::fs::rename(&unfinished, path).doing_with(doing)
            });
        if saved.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        saved.map(|()| 0)
    }
}
