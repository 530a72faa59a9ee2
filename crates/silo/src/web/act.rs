//! What a page may change: limits of a container, and signals to it or to a process of it. Never a process of the host's own.

use serde_json::{Value, json};
use silo_engine::{Container, Engine, Preview, Update, overlay_resources};
use silo_types::{ByteSize, Error, ProcessId, Resources, Result, Signal, parse};

use super::{
    past::visible,
    routes::{Deed, Kill, Limits},
};
use crate::{
    live::{gone, send_to_process},
    verbs,
};

pub fn perform(engine: &Engine, deed: &Deed) -> Result<Value> {
    match deed {
        Deed::Preview(limits) => {
            let (container, asked) = understood(engine, limits)?;
            Ok(forecast(&engine.preview_limits(&container, &asked)?))
        }
        Deed::Limit(limits) => limit(engine, limits),
        Deed::Undo(undo) => {
            let container = engine.find(&undo.container)?;
            engine.undo_limits(&container)?;
            Ok(
                json!({"text": format!("limits of {} are as before the last change", container.name())}),
            )
        }
        Deed::Kill(kill) => signal(engine, kill),
    }
}

/// In the words of `silo limit`.
fn forecast(preview: &Preview) -> Value {
    let lines = verbs::limit::forecast(preview).into_iter();
    let lines = lines.map(|(label, text)| json!({"label": label, "text": visible(&text)}));
    let memory = preview.memory.as_ref();
    json!({
        "running": preview.running,
        "lines": lines.collect::<Vec<Value>>(),
        "kills": memory.map_or(0, |memory| memory.victims.len()),
        "refused": memory.is_some_and(|memory| memory.refused),
    })
}

fn limit(engine: &Engine, limits: &Limits) -> Result<Value> {
    let (container, asked) = understood(engine, limits)?;
    if asked == Resources::default() {
        return Err(Error::invalid("no limit was named"));
    }
    if !limits.force && limits.memory.is_some() {
        let only_memory = Resources {
            memory: asked.memory,
            ..Resources::default()
        };
        refuse_kills(&engine.preview_limits(&container, &only_memory)?)?;
    }
    let update = Update {
        resources: Some(asked),
        restart: None,
        may_kill: limits.force,
    };
    engine.update(&container, &update)?;
    Ok(json!({"text": format!("{}: {}", container.name(), words(limits))}))
}

fn refuse_kills(preview: &Preview) -> Result<()> {
    match preview.memory.as_ref().map_or(0, |m| m.victims.len()) {
        0 => Ok(()),
        count => Err(Error::conflict(format!(
            "{count} of its processes would be killed, so nothing was changed: allow that, or choose more memory"
        ))),
    }
}

fn understood(engine: &Engine, limits: &Limits) -> Result<(Container, Resources)> {
    let container = engine.find(&limits.container)?;
    let asked = resources(limits)?;
    parse::check_resources(&overlay_resources(container.resources(), &asked))?;
    Ok((container, asked))
}

fn resources(limits: &Limits) -> Result<Resources> {
    let mut asked = Resources {
        memory: limits.memory,
        pids_limit: limits.pids,
        ..Resources::default()
    };
    match limits.cpu {
        None => {}
        // Quota and period have a word for none, processors have not.
        Some(-1) => (asked.cpu_quota, asked.cpu_period) = (Some(-1), Some(100_000)),
        Some(cpu @ 1..) => asked.nano_cpus = Some(cpu.saturating_mul(1_000_000)),
        Some(_) => {
            return Err(Error::invalid(
                "a limit of processors is above 0, or -1: none",
            ));
        }
    }
    let bad = |limit: Option<i64>| limit.is_some_and(|limit| limit == 0 || limit < -1);
    if bad(limits.memory) || bad(limits.pids) {
        return Err(Error::invalid("a limit is above 0, or -1: none"));
    }
    Ok(asked)
}

fn words(limits: &Limits) -> String {
    let mut all = Vec::new();
    let mut say = |name: &str, limit: Option<i64>, text: &dyn Fn(u64) -> String| {
        if let Some(limit) = limit {
            let set = u64::try_from(limit).map_or("no limit".to_owned(), text);
            all.push(format!("{name} {set}"));
        }
    };
    say("memory", limits.memory, &|bytes| {
        ByteSize(bytes).to_string()
    });
    say("processors", limits.cpu, &|cpu| {
        format!("{}", cpu as f64 / 1000.0)
    });
    say("processes", limits.pids, &|count| count.to_string());
    all.join(", ")
}

fn signal(engine: &Engine, kill: &Kill) -> Result<Value> {
    let container = engine.find(&kill.container)?;
    let signal = Signal::from_number(kill.signal)?;
    let Some(pid) = kill.pid else {
        engine.kill(&container, signal)?;
        return Ok(json!({"text": format!("sent {signal} to {}", container.name())}));
    };
    let start_time = kill
        .start
        .ok_or_else(|| Error::invalid("a process is named by its number and its start"))?;
    if !engine.processes(&container)?.contains(&pid) {
        return Err(gone(pid).context(format!("container {}", container.name())));
    }
    send_to_process(ProcessId { pid, start_time }, signal)?;
    let name = container.name();
    Ok(json!({"text": format!("sent {signal} to process {pid} of {name}")}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_as_they_are_asked_for() {
        let asked = |memory, cpu, pids| {
            resources(&Limits {
                memory,
                cpu,
                pids,
                ..Limits::default()
            })
        };
        let all = asked(Some(5 << 20), Some(500), Some(7)).unwrap();
        assert_eq!(all.memory, Some(5 << 20));
        assert_eq!(
            (all.nano_cpus, all.pids_limit),
            (Some(500_000_000), Some(7))
        );
        let none = asked(Some(-1), Some(-1), Some(-1)).unwrap();
        assert_eq!((none.memory, none.cpu_quota), (Some(-1), Some(-1)));
        assert_eq!(none.nano_cpus, None);
        for (memory, cpu, pids) in [
            (Some(0), None, None),
            (None, Some(-2), None),
            (None, None, Some(-5)),
        ] {
            assert!(asked(memory, cpu, pids).is_err());
        }
        let text = words(&Limits {
            memory: Some(64 << 20),
            cpu: Some(1500),
            pids: Some(-1),
            ..Limits::default()
        });
        assert_eq!(text, "memory 64MiB, processors 1.5, processes no limit");
    }
}
