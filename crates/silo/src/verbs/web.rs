//! `web`: the task manager as a page on this machine.

use clap::Args;
use silo_types::Result;

use crate::{
    cli::{Context, Run},
    web,
};

const EXAMPLES: &str = "Examples:
  silo web                        Look: open the address that it prints
  silo web --control              Also change limits and send signals
  silo web --listen 127.0.0.1:0   On any port that is free
  ssh -t -L 7456:127.0.0.1:7456 HOST silo web
                                  From another machine: open the address there

It serves this machine alone, to whoever has the token in the address, until Ctrl-C.";

/// Its flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WebVerb {
    /// Loopback address and port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = web::LISTEN)]
    listen: String,
    /// Let the page change limits and send signals
    #[arg(long)]
    control: bool,
}

impl Run for WebVerb {
    fn run(self, context: &Context) -> Result<i32> {
        web::run(context, &self.listen, self.control)
    }
}
