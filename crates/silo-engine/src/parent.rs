//! A control group above containers, with limits of its own: `--cgroup-parent` for a lesson or a batch.

use silo_cgroup::{Cgroup, CgroupPath, Existing, Layout};
use silo_types::{Resources, Result};

use crate::{Engine, resources};

/// Removed when dropped; containers below must have ended by then.
#[derive(Debug)]
pub struct CgroupParent(Cgroup);

impl Engine {
    /// Makes the group `name` in every hierarchy with these limits, which hold for all containers below together.
    pub fn make_cgroup_parent(&self, name: &str, limits: &Resources) -> Result<CgroupParent> {
        let path = CgroupPath::new(&format!("/{}", name.trim_matches('/')))?;
        let layout = Layout::detect()?;
        let mut linux = resources::limits(limits, &resources::block_device)?;
        linux.set_devices(Some(resources::device_rules(&[], true)));
        Cgroup::create(&layout, &path, &linux, Existing::Refuse).map(CgroupParent)
    }

    /// Removes a group that [`Engine::make_cgroup_parent`] made and whose maker was killed; nothing when it is not there.
    pub fn remove_cgroup_parent(&self, name: &str) -> Result<()> {
        let path = CgroupPath::new(&format!("/{}", name.trim_matches('/')))?;
        match Cgroup::at(&Layout::detect()?, &path).destroy().pop() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Removes the group above all of this engine's containers, if there is none; the next container makes it anew.
    pub fn remove_empty_group(&self) -> Result<()> {
        let path = CgroupPath::new(&format!("/{}", self.cgroup_parent()))?;
        let layout = Layout::detect()?;
        if !Cgroup::list_below(&layout, &path)?.is_empty() {
            return Ok(());
        }
        match Cgroup::at(&layout, &path).destroy().pop() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for CgroupParent {
    fn drop(&mut self) {
        // What still runs below keeps it; `doctor` tells.
        self.0.destroy();
    }
}
