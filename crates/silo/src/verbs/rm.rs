//! `rm`: removes containers, and says what that freed.

use clap::Args;
use silo_engine::Freed;
use silo_types::{ByteSize, Kind, Result};

use super::complain;
use crate::{
    cli::{Context, Run},
    output::print_line,
    terminal::stdout_is_terminal,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Rm {
    /// Kill it first when it runs
    #[arg(short, long)]
    force: bool,
    /// Remove its anonymous volumes, too
    #[arg(short, long)]
    volumes: bool,
    /// Print the names only
    #[arg(short, long)]
    quiet: bool,
    /// Remove a link between containers
    #[arg(short, long, hide = true)]
    link: bool,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Run for Rm {
    fn run(self, context: &Context) -> Result<i32> {
        if self.link {
            return Err(silo_types::Error::unsupported(
                "--link cannot be honoured: Silo has no links between containers",
            ));
        }
        let engine = context.engine()?;
        let (mut code, mut gone) = (0, Vec::new());
        let many = self.containers.len() > 1;
        for name in &self.containers {
            let removed = engine.find(name).and_then(|container| {
                if !many {
                    return engine.remove(&container, self.force, self.volumes);
                }
                let freed = engine.remove_of_many(&container, self.force, self.volumes)?;
                gone.push(container.id().clone());
                Ok(freed)
            });
            match removed {
                Ok(freed) if !self.quiet && stdout_is_terminal() => {
                    print_line(&format!("{name}{}", told(&freed)))?;
                }
                Ok(_) => print_line(name)?,
                // As Docker: what is not there need not be removed.
                Err(error) if self.force && error.kind() == Kind::NotFound => complain(&error),
                Err(error) => {
                    complain(&error);
                    code = 1;
                }
            }
        }
        if many && self.force {
            engine.await_links(&gone)?;
        }
        Ok(code)
    }
}

/// `: freed 412MiB, 3 processes, 1.2MiB of files`; empty when there was nothing.
fn told(freed: &Freed) -> String {
    let mut parts = Vec::new();
    if freed.memory_bytes > 0 {
        parts.push(format!("{} of memory", ByteSize(freed.memory_bytes)));
    }
    match freed.processes {
        0 => {}
        1 => parts.push("1 process".to_owned()),
        n => parts.push(format!("{n} processes")),
    }
    if freed.disk_bytes > 0 {
        parts.push(format!("{} of files", ByteSize(freed.disk_bytes)));
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(": freed {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed() {
        let freed = Freed {
            processes: 3,
            memory_bytes: 412 << 20,
            disk_bytes: 0,
        };
        assert_eq!(told(&freed), ": freed 412MiB of memory, 3 processes");
        assert_eq!(told(&Freed::default()), "");
    }
}
