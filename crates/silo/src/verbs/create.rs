//! `create`: makes a container without starting it.

use std::{fs::File, io::Write};

use clap::Args;
use silo_types::{ContainerConfig, Doing, Error, Result};

use super::warn;
use crate::{
    cli::{Context, Run},
    flags::{self, CreateFlags},
    output::print_line,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Create {
    #[command(flatten)]
    create: CreateFlags,
}

impl Run for Create {
    fn run(self, context: &Context) -> Result<i32> {
        let mut config = flags::config(&self.create, false)?;
        super::place(&mut config)?;
        // Who will attach is not known yet: input stays open for whoever does.
        config.stdio.stdin_once = self.create.process.interactive;
        let mut id_file = IdFile::new(&self.create.general.cidfile)?;
        let created = context.engine()?.create(config)?;
        id_file.write(&created.config)?;
        warn(&created.warnings);
        print_line(created.config.id.as_str())?;
        Ok(0)
    }
}

/// `--cidfile`: opened before anything is made, removed again when nothing was.
pub(super) struct IdFile(Option<(String, File, bool)>);

impl IdFile {
    pub(super) fn new(path: &str) -> Result<IdFile> {
        if path.is_empty() {
            return Ok(IdFile(None));
        }
        let opened = File::options().write(true).create_new(true).open(path);
        match opened {
            Ok(file) => Ok(IdFile(Some((path.to_owned(), file, false)))),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::conflict(format!(
                    "container id file found, make sure the other container isn't running or delete {path}"
                )))
            }
            Err(e) => Err(Error::system(
                format!("make the container id file {path}"),
                e,
            )),
        }
    }

    pub(super) fn write(&mut self, config: &ContainerConfig) -> Result<()> {
        let Some((path, file, written)) = &mut self.0 else {
            return Ok(());
        };
        file.write_all(config.id.as_str().as_bytes())
            .doing_with(|| format!("write the container id file {path}"))?;
        *written = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if let Some((path, _, false)) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
