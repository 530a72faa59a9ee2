//! `top`: the processes of a container, seen from both worlds.
//!
//! With ps options, or when nobody watches, these are Docker's columns; on a terminal it is the view of both worlds.

use std::{collections::HashMap, time::Duration};

use clap::Args;
use silo_engine::{Container, Engine};
use silo_observe::{
    CpuSample, ExecNote, HostFacts, Names, Proc, Style, TopFacts, TopInputs, TopView, Want,
    ps::{PsContext, PsRequest},
};
use silo_types::{Error, Result};

use crate::{
    cli::{Context, Run},
    output::{ago, align_cells, print, utc_offset},
    terminal,
};

/// Docker's least width of a column of `top`.
const LEAST: usize = 20;

/// How long processors are watched before the view is shown.
const WATCH: Duration = Duration::from_millis(100);

/// Its flags.
#[derive(Args, Debug)]
pub struct Top {
    /// Docker's columns, also on a terminal
    #[arg(long)]
    compat: bool,
    /// json: the view of both worlds as a document
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// CONTAINER [PS OPTIONS]
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_name = "CONTAINER [PS OPTIONS]", help_heading = "Arguments")]
    words: Vec<String>,
}

impl Run for Top {
    fn run(self, context: &Context) -> Result<i32> {
        let (name, options) = self
            .words
            .split_first()
            .ok_or_else(|| Error::invalid("a container is required"))?;
        let request = PsRequest::parse(options)?;
        let engine = context.engine()?;
        let container = engine.find(name)?;
        let text = match self.format.as_deref() {
            Some("json") => {
                let view = both_worlds(&engine, &container, None)?;
                let json = serde_json::to_string(&view);
                json.map_err(|e| Error::internal(format!("write the view: {e}")))? + "\n"
            }
            Some(other) => {
                return Err(Error::invalid(format!(
                    "unknown format '{other:.80}': use json"
                )));
            }
            None if !options.is_empty() || self.compat || !terminal::stdout_is_terminal() => {
                table(&engine, &container, &request)?
            }
            None => on_terminal(&engine, &container)?,
        };
        print(&text)?;
        Ok(0)
    }
}

fn on_terminal(engine: &Engine, container: &Container) -> Result<String> {
    let view = both_worlds(engine, container, Some(WATCH))?;
    let style = match crate::output::Style::of_stdout() {
        crate::output::Style::Plain => Style::Plain,
        crate::output::Style::Coloured => Style::Ansi,
    };
    let width = match terminal::size().1 {
        0 => 80,
        columns => usize::from(columns),
    };
    Ok(view.lines(width, style).join("\n") + "\n")
}

fn table(engine: &Engine, container: &Container, request: &PsRequest) -> Result<String> {
    let proc = Proc::host()?;
    let pids = engine.processes(container)?;
    let host = HostFacts::now();
    let processes = proc.collect(&pids, request.want());
    let execs = notes(engine, container)
        .into_iter()
        .map(|(pid, note)| (pid, note.id))
        .collect();
    let containers = pids
        .iter()
        .map(|pid| (*pid, container.name().to_owned()))
        .collect();
    let table = request.table(
        &processes,
        &PsContext {
            host: &host,
            names: &Names::host()?,
            utc_offset_seconds: utc_offset(),
            execs: &execs,
            containers: &containers,
        },
    );
    Ok(align_cells(&table, LEAST))
}

/// The view; processors are watched for `watch`, else the mean of a process's life is shown.
fn both_worlds(engine: &Engine, container: &Container, watch: Option<Duration>) -> Result<TopView> {
    let proc = Proc::host()?;
    let main = container.main_process()?;
    let pids = engine.processes(container)?;
    let earlier = watch.map(|watch| {
        let sample = CpuSample::take(&proc, &pids);
        std::thread::sleep(watch);
        sample
    });
    let host = HostFacts::now();
    let processes = proc.collect(&engine.processes(container)?, Want::TOP);
    let later = CpuSample::of(&processes, &host);
    let mut facts = facts(engine, container);
    facts.namespaces = proc.namespaces(main.pid).unwrap_or_default();
    let execs = notes(engine, container);
    let inputs = TopInputs {
        processes: &processes,
        host: &host,
        names: &Names::of_container(&proc, main.pid)?,
        cpu: earlier.as_ref().map(|earlier| (earlier, &later)),
        execs: &execs,
    };
    Ok(TopView::build(facts, &inputs))
}

fn facts(engine: &Engine, container: &Container) -> TopFacts {
    let limits = container.resources();
    let by_quota = match (limits.cpu_quota, limits.cpu_period) {
        (Some(quota), period) if quota > 0 => Some(quota as f64 / period.unwrap_or(100_000) as f64),
        _ => None,
    };
    let sample = engine.sampler(container).and_then(|mut s| s.sample()).ok();
    let memory = sample.as_ref().and_then(|s| s.stats.memory);
    let throttle = sample.as_ref().and_then(|s| s.stats.cpu?.throttle);
    TopFacts {
        name: container.name().to_owned(),
        id: container.id().to_string(),
        up_seconds: Some(ago(container.state.started).as_secs()),
        cpus: limits.nano_cpus.map(|nano| nano as f64 / 1e9).or(by_quota),
        memory_limit_bytes: limits.memory.and_then(|bytes| u64::try_from(bytes).ok()),
        anon_bytes: memory.map(|memory| memory.anon),
        file_bytes: memory.map(|memory| memory.file),
        throttled_percent: throttle.map(|t| match t.periods {
            0 => 0.0,
            periods => t.throttled as f64 * 100.0 / periods as f64,
        }),
        namespaces: Vec::new(),
    }
}

/// Who came by `exec`, by host pid.
fn notes(engine: &Engine, container: &Container) -> HashMap<i32, ExecNote> {
    let sessions = engine.exec_sessions(container).into_iter();
    sessions
        .map(|session| {
            let note = ExecNote {
                id: session.id,
                by: session.by,
                age_seconds: ago(session.started).as_secs(),
            };
            (session.process.pid, note)
        })
        .collect()
}
