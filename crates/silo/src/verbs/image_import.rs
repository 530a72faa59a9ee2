//! `import`: makes an image of a tar archive of files.

use std::{fs::File, io::Read};

use clap::Args;
use silo_types::{Doing, Error, ImageRef, Result};

use crate::{
    cli::{Context, Run},
    output::print_line,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Import {
    /// Instruction of a Dockerfile, such as CMD ["sh"] or ENV A=b
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Remark for the image's history
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    message: String,
    /// The archive, plain or compressed; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,
    /// Name of the image
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

impl Run for Import {
    fn run(self, context: &Context) -> Result<i32> {
        let name: Option<ImageRef> = self.name.as_ref().map(|name| name.parse()).transpose()?;
        let reader = open(&self.file)?;
        let engine = context.engine()?;
        let image = engine
            .images()
            .import(reader, name.as_ref(), &self.change, &self.message)?;
        print_line(&image.id.to_string())?;
        Ok(0)
    }
}

/// A file, or standard input for `-`.
pub(super) fn open(path: &str) -> Result<Box<dyn Read>> {
    if path == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    if path.starts_with("http://") || path.starts_with("https://") {
        return Err(Error::unsupported(
            "archives are not fetched from a network: download it first",
        ));
    }
    Ok(Box::new(
        File::open(path).doing_with(|| format!("open {path:.200}"))?,
    ))
}
