//! `images`, `image ls`: lists images.

use clap::Args;
use silo_image::Image;
use silo_types::{ImageRef, Result, parse};

use crate::{
    cli::{Context, Run},
    documents::{Filters, IMAGES, image_row, matches_pattern},
    output::{Listing, Row, print},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct ImageLs {
    /// Accepted for Docker's sake: no image is hidden
    #[arg(short, long)]
    all: bool,
    /// Add the digests of manifests
    #[arg(long)]
    digests: bool,
    /// Show what a condition holds for: dangling=true, reference=NAME, label=KEY, before=IMAGE, since=IMAGE
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// table, json, or a Go template
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Cut nothing short
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Only images of this name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

impl Run for ImageLs {
    fn run(self, context: &Context) -> Result<i32> {
        let known = [
            "dangling",
            "reference",
            "label",
            "label!",
            "before",
            "since",
        ];
        let filters = Filters::parse(&self.filter, &known)?;
        let engine = context.engine()?;
        let created = |key: &str| -> Result<Option<u64>> {
            let named = filters.values(key).first();
            let found = named
                .map(|name| engine.images().resolve(name))
                .transpose()?;
            Ok(found.map(|image| image.created))
        };
        let (before, since) = (created("before")?, created("since")?);
        let dangling = filters.values("dangling").first();
        let dangling = dangling
            .map(|typed| parse::truth("dangling", typed))
            .transpose()?;
        let users = match self.format.contains(".Containers") {
            true => engine.list()?,
            false => Vec::new(),
        };
        let mut rows = Vec::new();
        for image in engine.images().list()? {
            let holds = dangling.is_none_or(|wanted| image.references.is_empty() == wanted)
                && filters.labels(&image.config.labels)
                && before.is_none_or(|before| image.created < before)
                && since.is_none_or(|since| image.created > since);
            if !holds {
                continue;
            }
            let id = image.id.to_string();
            let users = users.iter().filter(|c| c.config.image.id == id).count();
            rows.extend(self.rows(&image, &filters, users));
        }
        if self.quiet {
            // An id once, however many names it has.
            rows.dedup_by(|a, b| a.fields["ID"] == b.fields["ID"]);
        }
        print(&self.listing().render(&self.format, self.quiet, &rows)?)?;
        Ok(0)
    }
}

impl ImageLs {
    fn listing(&self) -> Listing {
        Listing {
            table: match self.digests {
                true => {
                    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
                }
                false => IMAGES.table,
            },
            ..IMAGES
        }
    }

    /// One for each name that is wanted.
    fn rows(&self, image: &Image, filters: &Filters, users: usize) -> Vec<Row> {
        let row = |reference: Option<&str>| image_row(image, reference, !self.no_trunc, users);
        if image.references.is_empty() {
            let named = self.name.is_some() || filters.has("reference");
            return match named {
                true => Vec::new(),
                false => vec![row(None)],
            };
        }
        let wanted = |reference: &&String| {
            self.name
                .as_ref()
                .is_none_or(|name| is_called(reference, name))
                && filters.any("reference", |v| is_called(reference, v))
        };
        image
            .references
            .iter()
            .filter(wanted)
            .map(|reference| row(Some(reference)))
            .collect()
    }
}

/// A repository, a repository with a tag, or a pattern with `*` at an end.
fn is_called(reference: &str, wanted: &str) -> bool {
    if wanted.contains('*') {
        let (repository, _) = reference.rsplit_once(':').unwrap_or((reference, ""));
        let text = if wanted.contains(':') {
            reference
        } else {
            repository
        };
        let pattern = match (wanted.strip_prefix('*'), wanted.strip_suffix('*')) {
            (Some(rest), Some(_)) => rest.trim_end_matches('*').to_owned(),
            (Some(end), None) => format!("{end}$"),
            (None, Some(start)) => format!("^{start}"),
            (None, None) => return false,
        };
        return matches_pattern(&pattern, text);
    }
    let (Ok(reference), Ok(parsed)) = (reference.parse::<ImageRef>(), wanted.parse::<ImageRef>())
    else {
        return false;
    };
    let tag_given = wanted
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    reference.repository == parsed.repository && (!tag_given || reference.tag == parsed.tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (reference, wanted, holds) in [
            ("debian:12", "debian", true),
            ("debian:12", "debian:12", true),
            ("debian:12", "debian:11", false),
            ("debian:12", "deb", false),
            ("debian:12", "deb*", true),
            ("debian:12", "*ian", true),
            ("debian:12", "*:12", true),
            ("debian:12", "NOT A NAME", false),
        ] {
            assert_eq!(is_called(reference, wanted), holds, "{reference} {wanted}");
        }
    }
}
