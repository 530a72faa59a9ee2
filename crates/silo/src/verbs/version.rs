//! `version`.

use clap::Args;
use silo_types::Result;

use crate::{
    cli::{Context, Run},
    documents::{Ordered, object},
    output::{document, print},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Version {
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

impl Run for Version {
    fn run(self, _: &Context) -> Result<i32> {
        let kernel = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let version = env!("CARGO_PKG_VERSION");
        // Without a daemon, client and server are one program.
        let side = || {
            object! {
                "Version" => version,
                "ApiVersion" => "",
                "Os" => std::env::consts::OS,
                "Arch" => std::env::consts::ARCH,
                "KernelVersion" => kernel.as_str(),
            }
        };
        let facts: Ordered = object! { "Client" => side(), "Server" => side() };
        let text = match self.format.as_str() {
            "" => format!(
                "Silo:\n Version:    {version}\n OS/Arch:    {}/{}\n Kernel:     {kernel}\n",
                std::env::consts::OS,
                std::env::consts::ARCH
            ),
            "json" => serde_json::to_string(&facts).unwrap_or_default() + "\n",
            template => document(template, &facts.value())?,
        };
        print(&text)?;
        Ok(0)
    }
}
