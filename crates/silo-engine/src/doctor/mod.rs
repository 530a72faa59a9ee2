//! What this host can enforce, and what a crash left behind: `doctor`, with `--fix`.
//!
//! `host` reads what the kernel says about itself, `trial` tries it in children that end at once; `orphans` finds what belongs to
//! no container, `mounts` what is mounted for one.

mod host;
mod mounts;
mod orphans;
mod trial;

use silo_cgroup::Layout;
use silo_types::Result;

use crate::Engine;

/// In this order they are told.
const AREAS: [&str; 5] = ["cgroup", "kernel", "files", "network", "rights"];

/// One thing found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `cgroup`, `kernel`, `files`, `network`, `rights`; of what was left behind also `container`, `image` and `lab`.
    pub area: &'static str,
    /// What it is about, a word for scripts.
    pub name: &'static str,
    /// How it is, in a line.
    pub text: String,
    /// What to do about it; empty: nothing.
    pub advice: String,
    /// Something is missing or left behind.
    pub trouble: bool,
    /// It was left behind and has been removed.
    pub fixed: bool,
}

/// Everything found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub host: Vec<Finding>,
    pub orphans: Vec<Finding>,
}

impl Finding {
    /// As it should be, or of no weight.
    fn fine(area: &'static str, name: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            area,
            name,
            text: text.into(),
            advice: String::new(),
            trouble: false,
            fixed: false,
        }
    }

    /// Something that `run` can be asked for and that this host does not give.
    fn missing(
        area: &'static str,
        name: &'static str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            advice: advice.into(),
            trouble: true,
            ..Finding::fine(area, name, text)
        }
    }

    /// The same with a word on it where there is nothing to be missed.
    fn with(self, advice: impl Into<String>) -> Finding {
        Finding {
            advice: advice.into(),
            ..self
        }
    }
}

impl Engine {
    /// Examines the host and the leftovers; `fix` removes these. The caller must have one thread: what the kernel can do is tried
    /// in children.
    pub fn doctor(&self, fix: bool) -> Result<Report> {
        let layout = Layout::detect()?;
        let mut host = host::all(&layout, &self.paths.root, &self.cgroup_parent());
        host.extend(trial::all(&self.paths.root));
        let orphans = self.orphans(fix)?;
        let graves = self.clear_graveyard();
        host.push(Finding::fine(
            "files",
            "recordings",
            format!("recordings of removed containers: {graves}, each kept for an hour"),
        ));
        host.sort_by_key(|found| AREAS.iter().position(|area| *area == found.area));
        Ok(Report { host, orphans })
    }
}
