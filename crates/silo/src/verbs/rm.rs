//! `rm`: removes containers, and says what that freed.

use clap::Args;
use silo_engine::{Engine, Freed, Removal};
use silo_types::{ByteSize, Kind, Result};

use super::complain;
use crate::{
    cli::{Context, Run},
    output::print_line,
    terminal::stdout_is_terminal,
};

/// So many are told to end before the first is waited for: each has a connection.
const AT_ONCE: usize = 128;

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
        if let [name] = self.containers.as_slice() {
            let removed = engine
                .find(name)
                .and_then(|container| engine.remove(&container, self.force, self.volumes));
            return self.tell(name, removed);
        }
        let (mut code, mut gone) = (0, Vec::new());
        for names in self.containers.chunks(AT_ONCE) {
            for (name, removal) in names.iter().zip(self.begin(&engine, names)) {
                // One that was named twice is looked for when the first has gone.
                let removal = match removal {
                    Some(removal) => removal,
                    None => self.begin_one(&engine, name),
                };
                let removed = removal.and_then(|removal| {
                    let id = removal.id().clone();
                    let freed = engine.end_removal(removal, self.volumes)?;
                    gone.push(id);
                    Ok(freed)
                });
                code = code.max(self.tell(name, removed)?);
            }
        }
        if self.force {
            engine.await_links(&gone)?;
        }
        Ok(code)
    }
}

impl Rm {
    /// Tells those that run to end, all of them before the first is waited for: what an end waits for, it waits for at the same
    /// time as the others. `None` for one that is named again.
    fn begin(&self, engine: &Engine, names: &[String]) -> Vec<Option<Result<Removal>>> {
        let mut begun: Vec<Option<Result<Removal>>> = Vec::with_capacity(names.len());
        for name in names {
            let found = engine.find(name);
            let again = found.as_ref().is_ok_and(|container| {
                let ids = begun.iter().flatten().flatten().map(Removal::id);
                ids.into_iter().any(|id| id == container.id())
            });
            begun.push(match again {
                true => None,
                false => Some(found.map(|container| engine.begin_removal(container, self.force))),
            });
        }
        begun
    }

    fn begin_one(&self, engine: &Engine, name: &str) -> Result<Removal> {
        let container = engine.find(name)?;
        Ok(engine.begin_removal(container, self.force))
    }

    /// Says what became of one; the exit code.
    fn tell(&self, name: &str, removed: Result<Freed>) -> Result<i32> {
        match removed {
            Ok(freed) if !self.quiet && stdout_is_terminal() => {
                print_line(&format!("{name}{}", told(&freed)))?;
            }
            Ok(_) => print_line(name)?,
            // As Docker: what is not there need not be removed.
            Err(error) if self.force && error.kind() == Kind::NotFound => complain(&error),
            Err(error) => {
                complain(&error);
                return Ok(1);
            }
        }
        Ok(0)
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
