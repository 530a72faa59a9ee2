//! Changes of limits while the container runs, and the way back.

use oci_spec::runtime::LinuxResources;
use silo_cgroup::{Controller, Version};
use silo_types::{Error, Resources, Result};

use super::run::Monitor;
use crate::{events::Event, resources};

/// Changes that can be taken back.
const MOST_CHANGES: usize = 8;

impl Monitor<'_> {
    pub(super) fn update(&mut self, asked: &Resources, may_kill: bool) -> Result<()> {
        let before = self.limits_now();
        let after = resources::overlay(&before, asked);
        self.set_limits(asked, may_kill)?;
        remember(&mut self.state.limits_before, before);
        self.changed_to(after);
        Ok(())
    }

    /// Sets the limits before the last change again.
    pub(super) fn undo_update(&mut self) -> Result<()> {
        let Some(before) = self.state.limits_before.last().cloned() else {
            return Err(nothing_to_undo(&self.state.name));
        };
        let mut asked = resources::way_back(&self.limits_now(), &before);
        self.complete_sets(&mut asked);
        self.set_limits(&asked, false)?;
        self.state.limits_before.pop();
        self.changed_to(before);
        Ok(())
    }

    fn limits_now(&self) -> Resources {
        let now = self.state.resources.as_ref();
        now.unwrap_or(&self.config.resources).clone()
    }

    fn set_limits(&self, asked: &Resources, may_kill: bool) -> Result<()> {
        let Some(main) = &self.main else {
            return Ok(());
        };
        let mut limits = resources::limits(asked, &resources::block_device)?;
        let layout = main.cgroup.layout();
        let is_v2 = |place: usize| layout.hierarchies()[place].version == Version::V2;
        if layout.place(Controller::Memory).is_some_and(is_v2) {
            unprotect(&mut limits);
        }
        // v2 would kill to get below what is in use.
        if let Some(memory) = limits.memory_mut() {
            memory.set_check_before_update(Some(!may_kill));
        }
        main.cgroup.update(&limits)
    }

    /// "All CPUs" has no word of its own on v1: it is what the group above has.
    fn complete_sets(&self, asked: &mut Resources) {
        let Some(main) = &self.main else { return };
        let place = main.cgroup.layout().place(Controller::Cpuset);
        let Some((above, _)) = place.and_then(|place| main.cgroup.dir(place).rsplit_once('/'))
        else {
            return;
        };
        for (set, file) in [
            (&mut asked.cpuset_cpus, "cpuset.cpus"),
            (&mut asked.cpuset_mems, "cpuset.mems"),
        ] {
            if set.as_str() == resources::ALL {
                let effective = std::fs::read_to_string(format!("{above}/{file}.effective"));
                let all = effective.or_else(|_| std::fs::read_to_string(format!("{above}/{file}")));
                *set = all.unwrap_or_default().trim().to_owned();
            }
        }
    }

    fn changed_to(&mut self, after: Resources) {
        self.state.resources = Some(after);
        self.record(super::record::Look::Changed);
        let event = Event::of_container(&self.config, &self.state.name, "update");
        self.engine.record(event);
    }
}

/// No reservation is -1 on v1; on v2, where it protects, that would be protection of everything: there it is 0.
fn unprotect(limits: &mut LinuxResources) {
    let Some(memory) = limits.memory_mut() else {
        return;
    };
    if memory.reservation() == Some(-1) {
        memory.set_reservation(None);
        let mut files = limits.unified().clone().unwrap_or_default();
        files.insert("memory.low".to_owned(), "0".to_owned());
        limits.set_unified(Some(files));
    }
}

pub(crate) fn remember(changes: &mut Vec<Resources>, before: Resources) {
    changes.push(before);
    let surplus = changes.len().saturating_sub(MOST_CHANGES);
    changes.drain(..surplus);
}

pub(crate) fn nothing_to_undo(name: &str) -> Error {
    Error::conflict(format!(
        "no limit of container {name} was changed: there is nothing to undo"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reservation_protects_nothing_on_v2() {
        let asked = Resources {
            memory_reservation: Some(-1),
            ..Resources::default()
        };
        let mut limits = resources::limits(&asked, &resources::block_device).unwrap();
        unprotect(&mut limits);
        assert_eq!(limits.memory().as_ref().unwrap().reservation(), None);
        assert_eq!(limits.unified().as_ref().unwrap()["memory.low"], "0");
        let some = Resources {
            memory_reservation: Some(64 << 20),
            ..Resources::default()
        };
        let mut limits = resources::limits(&some, &resources::block_device).unwrap();
        unprotect(&mut limits);
        assert!(limits.unified().is_none());
    }

    #[test]
    fn eight_changes_are_kept() {
        let mut changes = Vec::new();
        for n in 0..20 {
            let before = Resources {
                pids_limit: Some(n),
                ..Resources::default()
            };
            remember(&mut changes, before);
        }
        let kept: Vec<_> = changes.iter().filter_map(|r| r.pids_limit).collect();
        assert_eq!(kept, (12..20).collect::<Vec<_>>());
    }
}
