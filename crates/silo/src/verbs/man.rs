//! `man`: writes the manual pages, one for each command.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man as Page;
use silo_types::{Doing, Result};

use crate::{
    cli::{self, Context, Run},
    output::print,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Man {
    /// Folder to write to; without it, the page of silo itself goes to standard output
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Run for Man {
    fn run(self, _: &Context) -> Result<i32> {
        let mut tree = cli::tree();
        tree.build();
        let Some(folder) = &self.dir else {
            print(&String::from_utf8_lossy(&page(&tree)?))?;
            return Ok(0);
        };
        std::fs::create_dir_all(folder).doing_with(|| format!("make {}", folder.display()))?;
        write(&tree, folder)?;
        Ok(0)
    }
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    Page::new(command.clone())
        .source(concat!("silo ", env!("CARGO_PKG_VERSION")))
        .manual("Silo")
        .render(&mut text)
        .doing("write a manual page")?;
    // What stands behind the options are examples (man-pages(7) has a section for them) and words, a line each by their blanks.
    let text = String::from_utf8_lossy(&text)
        .replace(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n.nf\n")
        .replace("\nWords:\n", "\n.fi\n.SH WORDS\n.nf\n")
        .replace(".SH EXTRA\nWords:\n", ".SH WORDS\n.nf\n");
    Ok(text.into_bytes())
}

fn write(command: &clap::Command, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?).doing_with(|| format!("write {}", path.display()))?;
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| write(below, folder))
}
