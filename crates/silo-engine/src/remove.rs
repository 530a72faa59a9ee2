//! Undoing: the teardown of what the kernel holds, the removal of files, the repair after a crash.
//!
//! What has to be undone follows from the configuration alone (the control group's path, the interface's name and the address
//! lease come from the id), so there is no list that could be lost: a start that failed, an end, `rm` and the repair of a
//! container whose monitor was killed all run the same teardown. Mounts need none: a root is mounted in the container's own
//! namespace only and goes with its last process.

use silo_cgroup::{Cgroup, CgroupPath, Layout};
use silo_types::{
    ContainerConfig, ContainerId, ContainerState, Error, Kind, Lost, ProcessId, Result, Status,
};

use crate::{
    Engine,
    container::Container,
    create::now,
    events::Event,
    lifecycle::{Asked, fresh_state, not_up},
    network::Teardown,
    protocol::{Freed, Request},
    store::{self, Aside, Locked},
};

/// A removal that has begun.
#[derive(Debug)]
pub struct Removal {
    container: Container,
    /// Told when it is waited for.
    ending: Result<Ending>,
    force: bool,
}

#[derive(Debug)]
enum Ending {
    /// It did not run.
    Stopped,
    Asked(Asked),
}

impl Removal {
    pub fn id(&self) -> &ContainerId {
        self.container.id()
    }
}

impl Engine {
    /// Control group of a container, below each hierarchy's root.
    pub(crate) fn cgroup_path(&self, config: &ContainerConfig) -> String {
        match config.resources.cgroup_parent.trim_matches('/') {
            "" => format!("/{}/{}", self.cgroup_parent(), config.id),
            parent => format!("/{parent}/{}", config.id),
        }
    }

    /// Name of the group above the containers: `silo`, with a suffix for another `--root` than the usual one.
    pub(crate) fn cgroup_parent(&self) -> String {
        format!("silo{}", self.paths.suffix())
    }

    /// The control group of a container, whether it exists or not.
    pub fn cgroup(&self, config: &ContainerConfig) -> Result<Cgroup> {
        let path = CgroupPath::new(&self.cgroup_path(config))?;
        Ok(Cgroup::at(self.layout()?, &path))
    }

    /// The host's hierarchies, looked for once.
    pub(crate) fn layout(&self) -> Result<&Layout> {
        if let Some(layout) = self.layout.get() {
            return Ok(layout);
        }
        let layout = Layout::detect()?;
        Ok(self.layout.get_or_init(|| layout))
    }

    /// Gives back all that the kernel holds for a container; idempotent, goes on past errors and returns them.
    pub(crate) fn teardown(&self, config: &ContainerConfig, how: Teardown) -> Vec<Error> {
        let mut errors = self.detach_network(config, how);
        match self.cgroup(config) {
            Ok(cgroup) => {
                errors.extend(cgroup.raze());
            }
            Err(error) => errors.push(error),
        }
        errors
    }

    /// Removes a container. A running one only by `force`; with `volumes` its anonymous volumes go, too.
    ///
    /// Everything is freed when it returns; the figures say how much.
    pub fn remove(&self, container: &Container, force: bool, volumes: bool) -> Result<Freed> {
        let ending = self.begin_end(container, force, false)?;
        self.remove_ended(container, ending, force, volumes)
    }

    /// The first half for one of many: it is told to end, and nobody waits, so that all of them end at the same time. Its network
    /// link is left to the kernel, which removes those of many at once much sooner than one after another: who removes the last
    /// of them calls [`Engine::await_links`].
    pub fn begin_removal(&self, container: Container, force: bool) -> Removal {
        let ending = self.begin_end(&container, force, true);
        Removal {
            container,
            ending,
            force,
        }
    }

    /// The second half: all but its link is freed when it returns.
    pub fn end_removal(&self, removal: Removal, volumes: bool) -> Result<Freed> {
        self.remove_ended(&removal.container, removal.ending?, removal.force, volumes)
    }

    /// Returns when the network links of these containers are gone.
    pub fn await_links(&self, removed: &[ContainerId]) -> Result<()> {
        let ids: Vec<&str> = removed.iter().map(ContainerId::as_str).collect();
        self.bridge()?.await_gone(&ids)
    }

    fn begin_end(&self, container: &Container, force: bool, leave_links: bool) -> Result<Ending> {
        let (name, status) = (container.name(), container.state.status);
        if matches!(status, Status::Created | Status::Exited | Status::Dead) {
            return Ok(Ending::Stopped);
        }
        if !force {
            return Err(Error::conflict(format!(
                "container {name} is {}: stop it before removing it, or use --force",
                status.as_str()
            )));
        }
        let asked = self.ask_to_end(container, &Request::End { leave_links })?;
        Ok(Ending::Asked(asked))
    }

    fn remove_ended(
        &self,
        container: &Container,
        ending: Ending,
        force: bool,
        volumes: bool,
    ) -> Result<Freed> {
        let mut freed = Freed::default();
        let stopped = matches!(ending, Ending::Stopped);
        if let Ending::Asked(asked) = ending
            && let Some(exit) = self.await_end(container, asked)?
        {
            freed = exit.freed;
        }
        let waits = || match stopped {
            true => not_up(&self.container(container.id())?),
            false => Ok(()),
        };
        let locked = match store::lock_soon(&self.paths, container.id(), container.name(), waits) {
            Ok(locked) => locked,
            // `--rm` was faster.
            Err(e) if e.kind() == Kind::NotFound && !stopped => return Ok(freed),
            Err(e) if e.kind() == Kind::Conflict && stopped => {
                let now = self.container(container.id())?;
                return match now.state.status.is_up() {
                    // Another command has started it since it was looked at.
                    true => self.remove(&now, force, volumes),
                    false => Err(e),
                };
            }
            Err(e) => return Err(e),
        };
        self.finish_end(container)?;
        freed.disk_bytes = self.written_bytes(container.id());
        // Its monitor has written the end meanwhile.
        let state = store::read_state(&self.paths, container.id())
            .ok()
            .flatten();
        let state = state.as_ref().unwrap_or(&container.state);
        self.delete(&locked, &container.config, state, volumes)?;
        Ok(freed)
    }

    /// Frees what a monitor that was killed on its way out has left. Its socket, the last thing that it removes, tells.
    fn finish_end(&self, container: &Container) -> Result<()> {
        let socket = self.paths.socket(container.id());
        if !socket.exists() {
            return Ok(());
        }
        if let Some(main) = container.state.main {
            kill_process(main);
        }
        match self.teardown(&container.config, Teardown::Whole).pop() {
            Some(error) => Err(error.context(format!("remove {}", container.name()))),
            None => std::fs::remove_file(&socket).or_else(|e| match e.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(Error::system(format!("remove {}", socket.display()), e)),
            }),
        }
    }

    /// Deletes a container's files: set aside by one rename, it is gone for everybody; a removal that is killed after that is
    /// finished by the next `ls`.
    pub(crate) fn delete(
        &self,
        locked: &Locked,
        config: &ContainerConfig,
        state: &ContainerState,
        volumes: bool,
    ) -> Result<()> {
        let aside = self.set_aside(locked, config, state, volumes)?;
        self.delete_aside(&aside, config, state)
    }

    /// The first half of a deletion: the container is gone for everybody, and its name is free.
    pub(crate) fn set_aside(
        &self,
        locked: &Locked,
        config: &ContainerConfig,
        state: &ContainerState,
        volumes: bool,
    ) -> Result<Aside> {
        let aside = Aside {
            id: config.id.clone(),
            volumes,
        };
        store::set_aside(&self.paths, locked, &aside)?;
        store::release_name(&self.paths, &state.name, &config.id)?;
        self.record(self.removal(config, state));
        Ok(aside)
    }

    /// The second half: its files.
    pub(crate) fn delete_aside(
        &self,
        aside: &Aside,
        config: &ContainerConfig,
        state: &ContainerState,
    ) -> Result<()> {
        if aside.volumes {
            self.remove_anonymous_volumes(config);
        }
        let path = aside.path(&self.paths);
        self.bury(&path, config, state);
        store::remove_folder(&path)
    }

    /// Ends a removal that was killed half-way.
    pub(crate) fn finish_removal(&self, aside: &Aside) -> Result<()> {
        if store::is_being_removed(&self.paths, aside) {
            return Ok(());
        }
        let path = aside.path(&self.paths);
        store::release_names(&self.paths, &aside.id);
        if aside.volumes
            && let Ok(config) = store::read_json(&path.join("config.json"))
        {
            self.remove_anonymous_volumes(&config);
        }
        store::remove_folder(&path)
    }

    fn remove_anonymous_volumes(&self, config: &ContainerConfig) {
        for name in config.files.anonymous_volumes() {
            self.remove_anonymous_volume(name);
        }
    }

    /// A container whose state says that it lives, and whose monitor does not: what is left of it is ended and freed, and the
    /// state says so. One that another command repairs at this moment is returned as it is.
    pub(crate) fn repair(
        &self,
        config: &ContainerConfig,
        state: ContainerState,
    ) -> Result<ContainerState> {
        let Some(locked) = store::try_lock(&self.paths, &config.id)? else {
            return Ok(state);
        };
        // It may have been repaired or started again while we looked.
        let mut state =
            store::read_state(&self.paths, &config.id)?.unwrap_or_else(|| fresh_state(config));
        let socket = self.paths.socket(&config.id);
        if !is_live(state.status) && !socket.exists() {
            return Ok(state);
        }
        if let Some(main) = state.main.filter(|_| is_live(state.status)) {
            kill_process(main);
        }
        let errors = self.teardown(config, Teardown::Whole);
        if !is_live(state.status) && !config.life.auto_remove {
            // Killed before it had started, or after the end was written: the state is true as it is.
            let _ = std::fs::remove_file(&socket);
            return Ok(state);
        }
        state.status = Status::Exited;
        state.main = None;
        state.ip.clear();
        state.exit_code = 137;
        state.finished = now();
        let lost = crate::why::lost(&state);
        let how = match lost {
            Lost::Machine => "the machine was restarted while it ran",
            Lost::Monitor | Lost::MonitorOutOfMemory => "its monitor was killed",
        };
        state.last.lost = Some(lost);
        state.monitor = None;
        state.error = match errors.first() {
            None => format!("{how}: the container was ended and freed"),
            Some(error) => format!("{how}; not all could be freed: {error}"),
        };
        self.record(Event::of_container(config, &state.name, "die").with("exitCode", 137));
        if config.life.auto_remove {
            self.delete(&locked, config, &state, true)?;
            let _ = std::fs::remove_file(&socket);
            return Err(Error::not_found(format!(
                "no such container: {}",
                state.name
            )));
        }
        locked.write_state(&state)?;
        // Last: while it is there, the next command repairs again.
        let _ = std::fs::remove_file(&socket);
        Ok(state)
    }
}

/// A state that only a monitor can uphold.
fn is_live(status: Status) -> bool {
    matches!(
        status,
        Status::Running | Status::Paused | Status::Restarting | Status::Removing
    )
}

/// Kills a process if it is still the one that was meant, and waits until it has gone.
fn kill_process(process: ProcessId) {
    let Some(pid) = rustix::process::Pid::from_raw(process.pid) else {
        return;
    };
    let flags = rustix::process::PidfdFlags::empty();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, flags) else {
        return;
    };
    if !silo_observe::is_alive(process) {
        return;
    }
    let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
    let mut fds = [rustix::event::PollFd::new(
        &pidfd,
        rustix::event::PollFlags::IN,
    )];
    let five_seconds = rustix::event::Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    let _ = rustix::event::poll(&mut fds, Some(&five_seconds));
}
