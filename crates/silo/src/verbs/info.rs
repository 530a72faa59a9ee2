//! `info`: the engine and its host in figures.

use clap::Args;
use silo_types::{ByteSize, Result};

use crate::{
    cli::{Context, Run},
    documents::{Ordered, object},
    output::{document, print, wrap},
    terminal,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct InfoVerb {
    /// json, or a Go template
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
}

impl Run for InfoVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let info = context.engine()?.info()?;
        let facts: Ordered = object! {
            "Containers" => info.containers,
            "ContainersRunning" => info.running,
            "ContainersPaused" => info.paused,
            "ContainersStopped" => info.stopped,
            "Images" => info.images,
            "Driver" => "overlay2",
            "LoggingDriver" => "json-file",
            "CgroupDriver" => "cgroupfs",
            "CgroupVersion" => info.cgroup_version.as_str(),
            "CgroupLayout" => info.cgroup_layout.as_str(),
            "KernelVersion" => info.kernel.as_str(),
            "OperatingSystem" => info.operating_system.as_str(),
            "OSType" => "linux",
            "Architecture" => info.architecture.as_str(),
            "NCPU" => info.cpus,
            "MemTotal" => info.memory_bytes,
            "DockerRootDir" => info.root.as_str(),
            "RunDir" => info.run.as_str(),
            "Name" => info.hostname.as_str(),
            "ServerVersion" => env!("CARGO_PKG_VERSION"),
            "DefaultRuntime" => "silo",
        };
        if !self.format.is_empty() {
            let text = match self.format.as_str() {
                "json" => serde_json::to_string(&facts).unwrap_or_default() + "\n",
                template => document(template, &facts.value())?,
            };
            print(&text)?;
            return Ok(0);
        }
        let lines = [
            ("Silo version", env!("CARGO_PKG_VERSION").to_owned()),
            ("Containers", info.containers.to_string()),
            (" Running", info.running.to_string()),
            (" Paused", info.paused.to_string()),
            (" Stopped", info.stopped.to_string()),
            ("Images", info.images.to_string()),
            ("Storage driver", "overlay".to_owned()),
            ("Log driver", "json-file".to_owned()),
            ("Cgroup version", info.cgroup_version),
            ("Cgroup layout", info.cgroup_layout),
            ("Kernel version", info.kernel),
            ("Operating system", info.operating_system),
            ("Architecture", info.architecture),
            ("CPUs", info.cpus.to_string()),
            ("Total memory", ByteSize(info.memory_bytes).to_string()),
            ("Name", info.hostname),
            ("Root folder", info.root),
            ("Run folder", info.run),
        ];
        let text: String = lines
            .iter()
            .map(|(name, value)| wrapped(&format!("{name}: {value}")))
            .collect();
        print(&text)?;
        Ok(0)
    }
}

/// As it is, but on a terminal that it does not fit.
fn wrapped(line: &str) -> String {
    let width = match (terminal::stdout_is_terminal(), terminal::size().1) {
        (false, _) => usize::MAX,
        (true, 0) => 80,
        (true, columns) => usize::from(columns),
    };
    let pieces = wrap(line, width.saturating_sub(2));
    pieces.join("\n  ") + "\n"
}
