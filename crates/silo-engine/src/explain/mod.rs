//! What isolates a container, point by point, and the same as commands to type.
//!
//! Called by `explain`. Of one that runs, the kernel is asked what really holds; of one that does not, its configuration says
//! what would. [`points`] is pure.

mod commands;
mod points;
mod shell;

use serde::Serialize;
use silo_cgroup::{Layout, Mode};
use silo_observe::Proc;
use silo_runtime::capabilities::CapSet;
use silo_types::{NamespaceMode, NetworkMode, Result};

use crate::{Engine, container::Container, spec};

use points::{Facts, Space};
pub use points::{Point, Risk};

/// Everything that `explain` tells, the largest risk first.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub container: String,
    pub id: String,
    /// The kernel was asked; else it is what would hold.
    pub live: bool,
    pub points: Vec<Point>,
}

/// Kinds of namespaces in the order in which they are told.
const KINDS: [&str; 8] = ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user", "time"];

impl Engine {
    /// What isolates the container.
    pub fn explain(&self, container: &Container) -> Result<Explanation> {
        let config = &container.config;
        let live = container.main_process().ok();
        let mut facts = Facts {
            config,
            limits: container.resources(),
            spaces: self.planned_spaces(container),
            capabilities: spec::capability_set(config)?,
            filtered: !config.security.privileged
                && config.security.seccomp != silo_types::SeccompChoice::Unconfined,
            no_new_privileges: config.security.no_new_privileges,
            uid: None,
            sensitive: self.paths.root.clone(),
            is_v2: Layout::detect().is_ok_and(|layout| layout.mode() == Mode::V2),
        };
        if let Some(main) = live {
            let proc = Proc::host()?;
            let rights = proc.rights(main.pid)?;
            facts.capabilities = CapSet::from_bits(rights.bounding);
            facts.filtered = rights.seccomp == 2;
            facts.no_new_privileges = rights.no_new_privileges;
            facts.uid = Some(rights.uid);
            for namespace in proc.namespaces(main.pid)? {
                // Who runs Silo in a namespace of their own means that one when they say "host".
                let shared = namespace.shared_with_host || namespace.shared_with_self;
                let space = facts
                    .spaces
                    .iter_mut()
                    .find(|(kind, _)| *kind == namespace.kind);
                if let (Some((_, space)), true) = (space, shared) {
                    *space = Space::Host;
                }
            }
        }
        Ok(Explanation {
            container: container.name().to_owned(),
            id: container.id().to_string(),
            live: live.is_some(),
            points: points::all(&facts),
        })
    }

    /// The namespaces by the configuration alone.
    fn planned_spaces(&self, container: &Container) -> Vec<(&'static str, Space)> {
        let modes = &container.config.namespaces;
        let other = |id: &str| {
            Space::Other(
                self.find(id)
                    .map_or_else(|_| id.to_owned(), |c| c.name().to_owned()),
            )
        };
        let of = |mode: &NamespaceMode| match mode {
            NamespaceMode::Private => Space::Own,
            NamespaceMode::Host => Space::Host,
            NamespaceMode::Container(id) => other(id),
        };
        let space = |kind: &str| match kind {
            "pid" => of(&modes.pid),
            "ipc" => of(&modes.ipc),
            "uts" => of(&modes.uts),
            "cgroup" => of(&modes.cgroup),
            "net" => match &container.config.network.mode {
                NetworkMode::Host => Space::Host,
                NetworkMode::Container(id) => other(id),
                NetworkMode::Bridge | NetworkMode::None => Space::Own,
            },
            "mnt" => Space::Own,
            _ => Space::Host,
        };
        KINDS.iter().map(|kind| (*kind, space(kind))).collect()
    }
}

#[cfg(test)]
mod tests;
