//! A container as commands see it: its configuration and its state, checked against the live process.

use silo_types::{
    ContainerConfig, ContainerId, ContainerState, Error, Kind, ProcessId, Result, Status,
};

use crate::{Engine, store};

/// What is known about a container at the time of asking.
#[derive(Clone, Debug)]
pub struct Container {
    pub config: ContainerConfig,
    pub state: ContainerState,
}

impl Container {
    pub fn id(&self) -> &ContainerId {
        &self.config.id
    }

    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The main process; Conflict when it does not run.
    pub fn main_process(&self) -> Result<ProcessId> {
        match (self.state.status.is_up(), self.state.main) {
            (true, Some(main)) => Ok(main),
            _ => Err(Error::conflict(format!(
                "container {} is not running",
                self.name()
            ))),
        }
    }

    /// The limits in force: as created, or as last updated.
    pub fn resources(&self) -> &silo_types::Resources {
        self.state
            .resources
            .as_ref()
            .unwrap_or(&self.config.resources)
    }
}

impl Engine {
    /// By name, by id, or by a prefix of an id that no other container has.
    pub fn find(&self, reference: &str) -> Result<Container> {
        let id = self.find_id(reference)?;
        self.container(&id)
    }

    pub fn find_id(&self, reference: &str) -> Result<ContainerId> {
        let wanted = reference.strip_prefix('/').unwrap_or(reference);
        let shown: String = wanted.chars().take(80).collect();
        let missing = || Error::not_found(format!("no such container: {shown}"));
        if wanted.is_empty() || wanted.len() > 255 || wanted.contains('/') {
            return Err(missing());
        }
        if let Some(id) = store::read_name(&self.paths, wanted)
            && self.paths.container(&id).exists()
        {
            return Ok(id);
        }
        if !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let mut found: Vec<ContainerId> = store::ids(&self.paths)?
            .into_iter()
            .filter(|id| id.as_str().starts_with(wanted))
            .collect();
        match found.len() {
            0 => Err(missing()),
            1 => Ok(found.swap_remove(0)),
            n => Err(Error::invalid(format!(
                "{n} containers have ids that begin with {shown}: give more digits"
            ))),
        }
    }

    /// Every container, the newest first. One whose folder is being made or removed is left out.
    pub fn list(&self) -> Result<Vec<Container>> {
        let found = store::scan(&self.paths)?;
        for aside in &found.removed {
            // One that cannot be removed, such as for a mount in it, must not hide the others; `doctor` tells.
            let _ = self.finish_removal(aside);
        }
        self.clear_graveyard();
        let (all, unfinished) = self.read_all(&found)?;
        for id in unfinished {
            let _ = store::remove_debris(&self.paths, id);
        }
        Ok(all)
    }

    /// The same, and nothing is tidied: for `doctor`, which tells first.
    pub fn look(&self) -> Result<Vec<Container>> {
        self.read_all(&store::scan(&self.paths)?)
            .map(|(all, _)| all)
    }

    /// Names of the containers that are made of an image.
    pub fn image_users(&self, image: &silo_image::Digest) -> Result<Vec<String>> {
        let id = image.to_string();
        let all = self.list()?;
        let users = all.iter().filter(|c| c.config.image.id == id);
        Ok(users.map(|c| c.name().to_owned()).collect())
    }

    /// The containers of a scan, the newest first, and those that are not finished.
    fn read_all<'s>(
        &self,
        found: &'s store::Scan,
    ) -> Result<(Vec<Container>, Vec<&'s ContainerId>)> {
        let mut all = Vec::with_capacity(found.ids.len());
        let mut unfinished = Vec::new();
        for id in &found.ids {
            match self.container(id) {
                Ok(container) => all.push(container),
                Err(e) if e.kind() == Kind::NotFound => unfinished.push(id),
                // One that cannot be read must not hide the others; asking for it by name says why.
                Err(_) => {}
            }
        }
        // They are large: each is moved once.
        all.sort_by_cached_key(|c| std::cmp::Reverse(c.config.created));
        Ok((all, unfinished))
    }

    /// Reads a container; one whose monitor died is repaired first.
    pub fn container(&self, id: &ContainerId) -> Result<Container> {
        let config = store::read_config(&self.paths, id)
            .map_err(|e| e.context(format!("container {}", id.short())))?;
        let state = self.checked_state(&config)?;
        Ok(Container { config, state })
    }

    fn checked_state(&self, config: &ContainerConfig) -> Result<ContainerState> {
        let state = match store::read_state(&self.paths, &config.id)? {
            Some(state) => state,
            None => ContainerState {
                name: config.name.clone(),
                ..ContainerState::default()
            },
        };
        let live = matches!(
            state.status,
            Status::Running | Status::Paused | Status::Restarting | Status::Removing
        );
        let monitored = |m: &ProcessId| silo_observe::is_alive(*m);
        let healthy = match live {
            true => state.monitor.as_ref().is_some_and(monitored),
            // The socket is the first thing that a monitor makes and the last that it removes.
            false => !self.paths.socket(&config.id).exists(),
        };
        match healthy {
            true => Ok(state),
            false => self.repair(config, state),
        }
    }
}
