//! `ls`, `ps`: lists containers.

use clap::Args;
use silo_engine::{Container, Engine};
use silo_types::{MountKind, NetworkMode, Result, Status};

use crate::{
    cli::{Context, Run},
    documents::{CONTAINERS, ContainerRow, Filters, matches_pattern},
    output::{Listing, Row, print},
    terminal,
};

const FILTERS: [&str; 12] = [
    "id", "name", "label", "label!", "exited", "status", "ancestor", "before", "since", "volume",
    "network", "is-task",
];

/// What is left out on narrower and narrower terminals.
const NARROWER: [&str; 6] = [
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.Status}}\t{{.Names}}",
    "{{.ID}}\t{{.Image}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    "{{.ID}}\t{{.Image}}\t{{.Status}}\t{{.Names}}",
    "{{.ID}}\t{{.Status}}\t{{.Names}}",
];

/// Its flags.
#[derive(Args, Debug)]
pub struct Ls {
    /// Show those that do not run, too
    #[arg(short, long)]
    all: bool,
    /// Show what a condition holds for, such as status=exited or label=KEY
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
    /// Show every process of the host instead, with its container
    #[arg(long)]
    host: bool,
    /// Show the last so many, whatever their state
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<i64>,
    /// Show the last one, whatever its state
    #[arg(short, long)]
    latest: bool,
    /// Cut nothing short
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Show the sizes of files
    #[arg(short, long)]
    size: bool,
}

impl Run for Ls {
    fn run(self, context: &Context) -> Result<i32> {
        let filters = Filters::parse(&self.filter, &FILTERS)?;
        let engine = context.engine()?;
        if self.host {
            let text = super::ls_host::list(&engine, &self.format, self.quiet, !self.no_trunc)?;
            print(&text)?;
            return Ok(0);
        }
        let all = engine.list()?;
        let selection = Selection::new(&engine, &filters, &all)?;
        let last = match (self.latest, self.last) {
            (true, _) => Some(1),
            (false, Some(n)) if n >= 0 => Some(n as usize),
            _ => None,
        };
        let every = self.all || last.is_some() || filters.has("status");
        let sizes = self.size || self.format.contains(".Size");
        let rows: Vec<Row> = all
            .iter()
            .filter(|c| every || c.state.status.is_up() || c.state.status == Status::Restarting)
            .filter(|c| selection.holds(c))
            .take(last.unwrap_or(usize::MAX))
            .map(|container| self.row(&engine, container, sizes))
            .collect();
        let text = self.listing().render(&self.format, self.quiet, &rows)?;
        print(&self.fitting(text, &rows)?)?;
        Ok(0)
    }
}

impl Ls {
    fn listing(&self) -> Listing {
        Listing {
            table: match self.size {
                true => {
                    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}"
                }
                false => CONTAINERS.table,
            },
            ..CONTAINERS
        }
    }

    /// On a terminal the widest table that it has room for: a line that is broken at the edge cannot be read. Without ports the
    /// first to go is their column.
    fn fitting(&self, mut text: String, rows: &[Row]) -> Result<String> {
        let chosen = !matches!(self.format.trim(), "" | "table");
        if chosen || self.quiet || self.size || self.no_trunc || !terminal::stdout_is_terminal() {
            return Ok(text);
        }
        let room = match terminal::size().1 {
            0 => 80,
            columns => usize::from(columns),
        };
        let has_ports = rows.iter().any(|row| row.fields["Ports"] != "");
        for table in NARROWER {
            if text
                .lines()
                .all(|line| line.trim_end().chars().count() <= room)
            {
                break;
            }
            if has_ports == table.contains(".Ports") {
                text = Listing {
                    table,
                    ..CONTAINERS
                }
                .render("", false, rows)?;
            }
        }
        Ok(text)
    }

    fn row(&self, engine: &Engine, container: &Container, sizes: bool) -> Row {
        let of_files = || {
            let image = engine.images().resolve(&container.config.image.id);
            (
                engine.written_bytes(container.id()),
                image.map_or(0, |image| image.size),
            )
        };
        ContainerRow {
            config: &container.config,
            state: &container.state,
            truncate: !self.no_trunc,
            local_time: !matches!(self.format.trim(), "" | "table"),
            sizes: sizes.then(of_files),
        }
        .row()
    }
}

/// The filters with what they name looked up.
struct Selection<'a> {
    filters: &'a Filters,
    /// Ids of images named by `ancestor`.
    ancestors: Vec<String>,
    /// Made before, after: nanoseconds since the epoch.
    before: Option<u64>,
    since: Option<u64>,
    all: &'a [Container],
}

impl<'a> Selection<'a> {
    fn new(engine: &Engine, filters: &'a Filters, all: &'a [Container]) -> Result<Selection<'a>> {
        let images = filters.values("ancestor").iter();
        let ancestors = images
            .filter_map(|name| engine.images().resolve(name).ok())
            .map(|image| image.id.to_string())
            .collect();
        let created = |key: &str| -> Result<Option<u64>> {
            let named = filters.values(key).first();
            let found = named.map(|name| engine.find(name)).transpose()?;
            Ok(found.map(|container| container.config.created))
        };
        Ok(Selection {
            filters,
            ancestors,
            before: created("before")?,
            since: created("since")?,
            all,
        })
    }

    fn holds(&self, container: &Container) -> bool {
        let (config, state) = (&container.config, &container.state);
        let filters = self.filters;
        filters.any("id", |v| config.id.as_str().starts_with(v))
            && filters.any("name", |v| matches_pattern(v, &state.name))
            && filters.labels(&config.labels)
            && filters.any("exited", |v| {
                state.status == Status::Exited && v.parse() == Ok(state.exit_code)
            })
            && filters.any("status", |v| state.status.as_str() == v)
            && filters.any("ancestor", |_| self.ancestors.contains(&config.image.id))
            && filters.any("volume", |v| has_mount(container, v))
            && filters.any("network", |v| self.on_network(container, v))
            && filters.any("is-task", |v| v == "false")
            && self.before.is_none_or(|before| config.created < before)
            && self.since.is_none_or(|since| config.created > since)
    }

    fn on_network(&self, container: &Container, name: &str) -> bool {
        match &container.config.network.mode {
            NetworkMode::Bridge => name == "bridge",
            NetworkMode::None => name == "none",
            NetworkMode::Host => name == "host",
            NetworkMode::Container(id) => {
                let other = self.all.iter().find(|c| c.id().as_str() == id);
                other.is_some_and(|other| self.on_network(other, name))
            }
        }
    }
}

/// By a volume's name, a folder of the host, or the place inside.
fn has_mount(container: &Container, wanted: &str) -> bool {
    container.config.files.mounts.iter().any(|mount| {
        mount.target == wanted
            || match &mount.kind {
                MountKind::Bind { source, .. } => source == wanted,
                MountKind::Volume { name, .. } => name == wanted,
                MountKind::Tmpfs { .. } => false,
            }
    })
}
