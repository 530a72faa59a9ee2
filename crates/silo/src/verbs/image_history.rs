//! `history`: how an image was made.

use clap::Args;
use silo_image::HistoryEntry;
use silo_types::Result;

use crate::{
    cli::{Context, Run},
    output::{Listing, Row, ago, duration, ellipsis, local, print, since, size},
};

const HISTORY: Listing = Listing {
    table: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    quiet: "{{.ID}}",
    headers: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
};

/// Its flags.
#[derive(Args, Debug)]
pub struct History {
    /// table, json, or a Go template
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Sizes and moments for people (true unless given)
    #[arg(short = 'H', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_default_value = true)]
    human: String,
    /// Cut nothing short
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Name or id
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl Run for History {
    fn run(self, context: &Context) -> Result<i32> {
        let human = silo_types::parse::truth("human", &self.human)?;
        let engine = context.engine()?;
        let image = engine.images().resolve(&self.image)?;
        let id = match self.no_trunc {
            true => image.id.to_string(),
            false => image.id.short(),
        };
        let steps = engine.images().history(&image)?;
        let rows: Vec<Row> = steps
            .iter()
            .enumerate()
            // The newest step is the image; the others have no images of their own.
            .map(|(at, step)| self.row(step, if at == 0 { &id } else { "<missing>" }, human))
            .collect();
        print(&HISTORY.render(&self.format, self.quiet, &rows)?)?;
        Ok(0)
    }
}

impl History {
    fn row(&self, step: &HistoryEntry, id: &str, human: bool) -> Row {
        let created = since("created", &step.created).ok();
        let by = step.created_by.replace('\t', " ");
        let since = match created {
            Some(moment) if human => format!("{} ago", duration(ago(moment))),
            Some(_) => step.created.clone(),
            None => "N/A".to_owned(),
        };
        Row::new([
            ("ID", id.to_owned()),
            ("CreatedSince", since),
            ("CreatedAt", created.map_or_else(String::new, local)),
            (
                "CreatedBy",
                if self.no_trunc { by } else { ellipsis(&by, 45) },
            ),
            (
                "Size",
                match human {
                    true => size(step.size, 3),
                    false => step.size.to_string(),
                },
            ),
            ("Comment", step.comment.clone()),
        ])
    }
}
