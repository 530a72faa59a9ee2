//! What really happened in a lab: for the hand-out.

use silo_types::ByteSize;

use super::{script::Pane, vt::Line, world::World};

/// A lab that was played.
#[derive(Debug, Default)]
pub struct Record {
    pub title: String,
    /// Moment, nanoseconds since the epoch.
    pub started: u64,
    pub steps: Vec<Told>,
    /// Why it ended early; empty: it did not.
    pub broken: String,
}

/// A step that was played.
#[derive(Debug, Default)]
pub struct Told {
    pub title: String,
    pub text: Vec<String>,
    pub deeds: Vec<Done>,
    /// Who was there at its end: both pids, and limits.
    pub containers: Vec<String>,
}

/// Something that was done.
#[derive(Debug)]
pub enum Done {
    Typed {
        pane: Pane,
        command: String,
        output: Vec<Line>,
        checks: Vec<Checked>,
    },
    /// A picture.
    Plot(String),
}

#[derive(Clone, Debug)]
pub struct Checked {
    pub words: String,
    pub holds: bool,
    /// What was seen; may be empty.
    pub what: String,
}

impl Checked {
    /// `it is gone: 1.00 processors`
    pub fn text(&self) -> String {
        match self.what.is_empty() {
            true => self.words.clone(),
            false => format!("{}: {}", self.words, self.what),
        }
    }
}

/// `pinger: pid 1 inside is 12345 on the host · memory limit 256MiB · 1 processor`
pub fn containers(world: &World<'_>) -> Vec<String> {
    let mut all = world.below();
    all.sort_by_key(|container| container.config.created);
    let told = all.iter().map(|container| {
        let mut text = container.name().to_owned();
        match container.main_process() {
            Ok(main) => text += &format!(": pid 1 inside is pid {} on the host", main.pid),
            Err(_) => {
                text += &format!(
                    ": {} with {}",
                    container.state.status.as_str(),
                    container.state.exit_code
                )
            }
        }
        let limits = container.resources();
        if let Some(memory) = limits.memory.and_then(|bytes| u64::try_from(bytes).ok()) {
            text += &format!(" · memory limit {}", ByteSize(memory));
        }
        if let Some(nano) = limits.nano_cpus {
            text += &format!(" · at most {} processors", nano as f64 / 1e9);
        }
        if let Some(pids) = limits.pids_limit.filter(|pids| *pids > 0) {
            text += &format!(" · at most {pids} processes");
        }
        text
    });
    told.collect()
}
