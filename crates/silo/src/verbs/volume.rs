//! `volume create`, `ls`, `rm`, `prune`.

use clap::Args;
use silo_engine::{Engine, Volume};
use silo_types::{Error, Kind, Result, parse};

use super::{complain, confirmed, each};
use crate::{
    cli::{Context, Run},
    documents::{Filters, VOLUMES, matches_pattern, volume_row},
    flags,
    output::{Row, print, print_line, size},
};

/// `volume create`
#[derive(Args, Debug)]
pub struct VolumeCreate {
    /// local
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    driver: String,
    /// Label, as KEY=VALUE
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Option of the driver
    #[arg(short, long, value_name = "OPTION", hide = true)]
    opt: Vec<String>,
    /// Its name; 64 digits unless given
    #[arg(value_name = "VOLUME", default_value = "", hide_default_value = true)]
    name: String,
}

impl Run for VolumeCreate {
    fn run(self, context: &Context) -> Result<i32> {
        if self.driver != "local" || !self.opt.is_empty() {
            return Err(Error::unsupported(
                "there are only local volumes without options: leave --driver and --opt out",
            ));
        }
        let labels = self.label.iter();
        let labels = labels
            .map(|typed| flags::value("label", typed, parse::label(typed)))
            .collect::<Result<_>>()?;
        let anonymous = self.name.is_empty();
        let volume = context
            .engine()?
            .create_volume(&self.name, labels, anonymous)?;
        print_line(&volume.name)?;
        Ok(0)
    }
}

/// `volume ls`
#[derive(Args, Debug)]
pub struct VolumeLs {
    /// Show what a condition holds for: name=PART, label=KEY, dangling=true, driver=local
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
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
}

impl Run for VolumeLs {
    fn run(self, context: &Context) -> Result<i32> {
        let known = ["name", "label", "label!", "dangling", "driver"];
        let filters = Filters::parse(&self.filter, &known)?;
        let dangling = filters.values("dangling").first();
        let dangling = dangling
            .map(|typed| parse::truth("dangling", typed))
            .transpose()?;
        let engine = context.engine()?;
        let mut rows: Vec<Row> = Vec::new();
        for volume in engine.volumes()? {
            let holds = filters.any("name", |v| matches_pattern(v, &volume.name))
                && filters.any("driver", |v| v == "local")
                && filters.labels(&volume.labels);
            if !holds {
                continue;
            }
            if let Some(wanted) = dangling
                && engine.volume_users(&volume.name)?.is_empty() != wanted
            {
                continue;
            }
            let data = engine.volume_data(&volume.name);
            rows.push(volume_row(&volume, &data.display().to_string()));
        }
        print(&VOLUMES.render(&self.format, self.quiet, &rows)?)?;
        Ok(0)
    }
}

/// `volume rm`
#[derive(Args, Debug)]
pub struct VolumeRm {
    /// What is not there is no error
    #[arg(short, long)]
    force: bool,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Run for VolumeRm {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        each(&self.volumes, |name| engine.remove_volume(name, self.force))
    }
}

/// `volume prune`
#[derive(Args, Debug)]
pub struct VolumePrune {
    /// Those with names, too
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what a condition holds for: label=KEY, label!=KEY
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

impl Run for VolumePrune {
    fn run(self, context: &Context) -> Result<i32> {
        let filters = Filters::parse(&self.filter, &["label", "label!"])?;
        let question = match self.all {
            true => "all local volumes not used by at least one container",
            false => "anonymous local volumes not used by at least one container",
        };
        if !self.force && !confirmed(question)? {
            return Ok(0);
        }
        let engine = context.engine()?;
        let (mut names, mut bytes, mut code) = (String::new(), 0, 0);
        for volume in engine.volumes()? {
            if !(self.all || volume.anonymous) || !filters.labels(&volume.labels) {
                continue;
            }
            let held = size_of(&engine, &volume);
            match engine.remove_volume(&volume.name, false) {
                Ok(()) => {
                    names += &format!("{}\n", volume.name);
                    bytes += held;
                }
                // In use.
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => {
                    complain(&error);
                    code = 1;
                }
            }
        }
        let deleted = match names.is_empty() {
            true => String::new(),
            false => format!("Deleted Volumes:\n{names}\n"),
        };
        print(&format!(
            "{deleted}Total reclaimed space: {}\n",
            size(bytes, 4)
        ))?;
        Ok(code)
    }
}

fn size_of(engine: &Engine, volume: &Volume) -> u64 {
    std::fs::File::open(engine.volume_data(&volume.name))
        .ok()
        .and_then(|folder| silo_image::tree_size(folder).ok())
        .unwrap_or(0)
}
