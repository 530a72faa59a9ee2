//! `limit`: changes limits like `update`, but says first what that would take from a running container; and the way back.

use clap::Args;
use silo_engine::{MemoryPreview, Preview, Update, overlay_resources};
use silo_types::{ByteSize, Error, Resources, Result, parse};

use super::whois::limits as limit_words;
use crate::{
    cli::{Context, Run},
    flags::{self, LimitFlags},
    output::{Sheet, json_line, print, wants_json},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct LimitVerb {
    #[command(flatten)]
    limits: LimitFlags,
    /// Slow it above the memory limit, and kill nothing
    #[arg(long)]
    soft: bool,
    /// Tell what would happen, and change nothing
    #[arg(long)]
    preview: bool,
    /// Change it even when processes are killed for it
    #[arg(long)]
    force: bool,
    /// Set the limits before the last change again
    #[arg(long)]
    undo: bool,
    /// json: the preview as a document
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Name or id
    #[arg(required = true, value_name = "CONTAINER", help_heading = "Arguments")]
    container: String,
}

impl Run for LimitVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let json = wants_json(self.format.as_deref())?;
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let name = container.name().to_owned();
        let mut asked = flags::limits(&self.limits)?;
        if self.undo {
            if asked != Resources::default() {
                return Err(Error::invalid(
                    "--undo takes no limits: it sets those that were before",
                ));
            }
            let before = engine.undo_limits(&container)?;
            print(&match json {
                true => json_line(&serde_json::json!({"container": name, "limits": before}))?,
                false => format!("{name}: back to {}\n", limit_words(&before)),
            })?;
            return Ok(0);
        }
        if self.soft {
            soften(&mut asked, engine.slows_memory()?)?;
        }
        parse::check_resources(&overlay_resources(container.resources(), &asked))?;
        let preview = engine.preview_limits(&container, &asked)?;
        let is_change = asked != Resources::default();
        let refusal = refusal(&preview).filter(|_| is_change && !self.preview && !self.force);
        print(&match json {
            true => json_line(&preview)?,
            false => sheet(&preview, is_change).text(),
        })?;
        match refusal {
            Some(error) => Err(error),
            None if is_change && !self.preview => {
                let update = Update {
                    resources: Some(asked),
                    restart: None,
                    may_kill: self.force,
                };
                engine.update(&container, &update).map(|()| 0)
            }
            None => Ok(0),
        }
    }
}

/// The memory limit as one that slows: `memory.high`. v1 has none; its soft limit is where the kernel reclaims first when the
/// machine runs short.
fn soften(asked: &mut Resources, slows: bool) -> Result<()> {
    let Some(limit) = asked.memory.take() else {
        return Err(Error::invalid("--soft needs a memory limit: add -m SIZE"));
    };
    match slows {
        true => asked.memory_high = Some(limit),
        false => asked.memory_reservation = Some(limit),
    }
    Ok(())
}

/// A change that kills is not made by the way.
fn refusal(preview: &Preview) -> Option<Error> {
    let victims = &preview.memory.as_ref()?.victims;
    (!victims.is_empty()).then(|| {
        Error::conflict(format!(
            "{} of its processes would be killed, so nothing was changed: use --soft to slow it instead, or --force",
            victims.len()
        ))
    })
}

fn sheet(preview: &Preview, is_change: bool) -> Sheet {
    let name = &preview.container;
    let mut sheet = Sheet::new(match (is_change, preview.running) {
        (false, _) => format!("{name}: its limits"),
        (true, true) => format!("{name}: what the new limits do"),
        (true, false) => format!("{name}: new limits from its next start on"),
    });
    sheet.line("now", limit_words(&preview.before));
    if !is_change {
        return sheet;
    }
    sheet.line("then", limit_words(&preview.after));
    for (label, text) in forecast(preview) {
        sheet.line(label, text);
    }
    let taken = preview
        .memory
        .as_ref()
        .is_none_or(|m| m.victims.is_empty() && !m.refused);
    if taken {
        sheet.line("undo", format!("silo limit {name} --undo"));
    }
    sheet
}

/// What a running container would have taken from it, line by line: what it is about, and words.
pub fn forecast(preview: &Preview) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(memory) = &preview.memory {
        lines.push(("memory", memory_words(memory)));
        lines.extend(memory.victims.iter().map(|victim| {
            let text = format!(
                "pid {} (host {}) {} · {}",
                victim.pid,
                victim.host_pid,
                victim.command,
                ByteSize(victim.rss_bytes)
            );
            ("killed", text)
        }));
    }
    if let Some(cpu) = &preview.cpu {
        let used = format!("it uses {:.2} CPU now", cpu.used_cpus);
        let text = match cpu.used_cpus > cpu.cpus {
            true => format!("{used}: it will be slowed to {}", cpu.cpus),
            false => format!("{used}: enough is left"),
        };
        lines.push(("cpu", text));
    }
    if let Some(pids) = &preview.pids {
        let text = match pids.current > pids.limit {
            true => format!(
                "it has {}: none is killed, but it cannot start more until they are fewer than {}",
                pids.current, pids.limit
            ),
            false => format!("it has {}", pids.current),
        };
        lines.push(("processes", text));
    }
    lines
}

fn memory_words(memory: &MemoryPreview) -> String {
    let used = format!("{} in use", ByteSize(memory.usage));
    let (reclaimed, beyond) = (ByteSize(memory.reclaimed), ByteSize(memory.beyond));
    let cache = match memory.reclaimed {
        0 => String::new(),
        _ => format!("; {reclaimed} of cached files are dropped and read again when needed"),
    };
    match (memory.beyond, memory.soft, memory.refused) {
        (0, ..) if memory.reclaimed == 0 => format!("{used}: nothing is taken"),
        (0, ..) => format!("{used}{cache}"),
        (_, true, _) => format!(
            "{used}{cache}; {beyond} more than the limit: it is slowed, or reclaimed first when memory is short, and nothing is killed"
        ),
        (_, false, true) => format!(
            "{used}{cache}; {beyond} cannot be taken back: the kernel (groups v1) refuses such a limit, and kills nothing"
        ),
        (_, false, false) => format!("{used}{cache}; for {beyond} more, processes are killed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limits() {
        let asked = |slows| {
            let mut asked = Resources {
                memory: Some(7),
                ..Resources::default()
            };
            soften(&mut asked, slows).unwrap();
            (asked.memory, asked.memory_high, asked.memory_reservation)
        };
        assert_eq!(asked(true), (None, Some(7), None));
        assert_eq!(asked(false), (None, None, Some(7)));
        assert!(soften(&mut Resources::default(), true).is_err());
    }

    #[test]
    fn what_a_memory_limit_does() {
        let says = |reclaimed, beyond, soft, refused, text: &str| {
            let said = memory_words(&MemoryPreview {
                usage: 100 << 20,
                reclaimed,
                beyond,
                soft,
                refused,
                ..MemoryPreview::default()
            });
            assert!(said.contains(text), "{text}: {said}");
        };
        says(0, 0, false, false, "nothing is taken");
        says(1 << 20, 0, false, false, "1MiB of cached files are dropped");
        says(0, 1 << 20, false, false, "processes are killed");
        says(0, 1 << 20, false, true, "refuses");
        says(0, 1 << 20, true, false, "nothing is killed");
    }
}
