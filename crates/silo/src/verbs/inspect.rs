//! `inspect`: all that is known, as one JSON list, or through a template.

use clap::Args;
use silo_engine::{Container, Engine};
use silo_types::{Error, Kind, Result};

use super::complain;
use crate::{
    cli::{Context, Run},
    documents::{self, ContainerFacts, Ordered},
    output::{document, print},
};

/// What all its forms share.
#[derive(Args, Debug)]
pub struct InspectFlags {
    /// json, or a Go template
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// Names or ids
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// `inspect`
#[derive(Args, Debug)]
pub struct Inspect {
    /// container, image or volume
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "",
        hide_default_value = true
    )]
    r#type: String,
    /// Add the sizes of a container's files
    #[arg(short, long)]
    size: bool,
    #[command(flatten)]
    flags: InspectFlags,
}

/// `container inspect`
#[derive(Args, Debug)]
pub struct InspectContainer {
    /// Add the sizes of files
    #[arg(short, long)]
    size: bool,
    #[command(flatten)]
    flags: InspectFlags,
}

/// `image inspect`
#[derive(Args, Debug)]
pub struct InspectImage {
    #[command(flatten)]
    flags: InspectFlags,
}

/// `volume inspect`
#[derive(Args, Debug)]
pub struct InspectVolume {
    #[command(flatten)]
    flags: InspectFlags,
}

impl Run for Inspect {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        match self.r#type.as_str() {
            "container" => self.flags.show(&|name| container(&engine, name, self.size)),
            "image" => self.flags.show(&|name| image(&engine, name)),
            "volume" => self.flags.show(&|name| volume(&engine, name)),
            "" => self.flags.show(&|name| anything(&engine, name, self.size)),
            other => Err(Error::invalid(format!(
                "\"{other:.80}\" is not a valid value for --type: use container, image or volume"
            ))),
        }
    }
}

impl Run for InspectContainer {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        self.flags.show(&|name| container(&engine, name, self.size))
    }
}

impl Run for InspectImage {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        self.flags.show(&|name| image(&engine, name))
    }
}

impl Run for InspectVolume {
    fn run(self, context: &Context) -> Result<i32> {
        let engine = context.engine()?;
        self.flags.show(&|name| volume(&engine, name))
    }
}

impl InspectFlags {
    /// Shows what was found, and complains of the rest.
    fn show(&self, find: &dyn Fn(&str) -> Result<Ordered>) -> Result<i32> {
        let mut found = Vec::new();
        let mut failed = Vec::new();
        for name in &self.names {
            match find(name) {
                Ok(document) => found.push(document),
                Err(error) => failed.push(error),
            }
        }
        let text = match self.format.as_str() {
            "" => Ordered::List(found).pretty() + "\n",
            "json" => {
                let list = serde_json::to_string(&Ordered::List(found));
                list.map_err(|e| Error::internal(format!("write the document: {e}")))? + "\n"
            }
            template => found
                .iter()
                .map(|found| document(template, &found.value()))
                .collect::<Result<String>>()?,
        };
        print(&text)?;
        failed.iter().for_each(complain);
        Ok(i32::from(!failed.is_empty()))
    }
}

fn anything(engine: &Engine, name: &str, size: bool) -> Result<Ordered> {
    let missing = |e: &Error| e.kind() == Kind::NotFound || e.kind() == Kind::Invalid;
    match container(engine, name, size) {
        Err(e) if e.kind() == Kind::NotFound => {}
        other => return other,
    }
    match image(engine, name) {
        Err(e) if missing(&e) => {}
        other => return other,
    }
    match volume(engine, name) {
        Err(e) if missing(&e) => Err(Error::not_found(format!("no such object: {name:.80}"))),
        other => other,
    }
}

fn container(engine: &Engine, name: &str, size: bool) -> Result<Ordered> {
    let found: Container = engine.find(name)?;
    let bridge = engine.attachment(found.id()).map(|attachment| {
        (
            attachment.gateway.to_string(),
            attachment.subnet.prefix(),
            attachment.mac.to_string(),
        )
    });
    let sizes = || {
        let written = engine.written_bytes(found.id());
        let image = engine.images().resolve(&found.config.image.id);
        (written, written + image.map_or(0, |image| image.size))
    };
    let paths = engine.paths();
    Ok(documents::container(&ContainerFacts {
        config: &found.config,
        state: &found.state,
        folder: paths.container(found.id()).display().to_string(),
        volumes: paths.volumes().display().to_string(),
        bridge,
        sizes: size.then(sizes),
    }))
}

fn image(engine: &Engine, name: &str) -> Result<Ordered> {
    Ok(documents::image(&engine.images().resolve(name)?))
}

fn volume(engine: &Engine, name: &str) -> Result<Ordered> {
    let found = engine.volume(name)?;
    let data = engine.volume_data(&found.name);
    Ok(documents::volume(&found, &data.display().to_string()))
}
