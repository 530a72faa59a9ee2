//! Undoing: the teardown of what the kernel holds, the removal of files, the repair after a crash.
//!
//! What has to be undone follows from the configuration alone (the control group's path, the interface's name and the address
//! lease come from the id), so there is no list that could be lost: a start that failed, an end, `rm` and the repair of a
//! container whose monitor was killed all run the same teardown. Mounts need none: a root is mounted in the container's own
//! namespace only and goes with its last process.

use silo_cgroup::{Cgroup, CgroupPath, Layout};
use silo_types::{ContainerConfig, ContainerState, Error, MountKind, ProcessId, Result, Status};

use crate::{
    Engine,
    container::Container,
    create::now,
    events::Event,
    lifecycle::fresh_state,
    network::Teardown,
    protocol::{Freed, Request},
    store::{self, Locked},
};

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
        Ok(Cgroup::at(&Layout::detect()?, &path))
    }

    /// Gives back all that the kernel holds for a container; idempotent, goes on past errors and returns them.
    pub(crate) fn teardown(&self, config: &ContainerConfig, how: Teardown) -> Vec<Error> {
        let mut errors = self.detach_network(config, how);
        match self.cgroup(config) {
            Ok(cgroup) => {
                let left = cgroup.procs(false).is_ok_and(|pids| !pids.is_empty());
                if left && let Err(error) = cgroup.kill_all() {
                    errors.push(error);
                }
                errors.extend(cgroup.destroy());
            }
            Err(error) => errors.push(error),
        }
        errors
    }

    /// Removes a container. A running one only by `force`; with `volumes` its anonymous volumes go, too.
    ///
    /// Everything is freed when it returns; the figures say how much.
    pub fn remove(&self, container: &Container, force: bool, volumes: bool) -> Result<Freed> {
        let name = container.name();
        let mut freed = Freed::default();
        let stopped = matches!(
            container.state.status,
            Status::Created | Status::Exited | Status::Dead
        );
        if !stopped {
            if !force {
                return Err(Error::conflict(format!(
                    "container {name} is {}: stop it before removing it, or use --force",
                    container.state.status.as_str()
                )));
            }
            if let Some(exit) = self.end(container, &Request::End)? {
                freed = exit.freed;
            }
        }
        let locked = match store::lock_soon(&self.paths, container.id(), name) {
            Ok(locked) => locked,
            // `--rm` was faster.
            Err(e) if e.kind() == silo_types::Kind::NotFound && !stopped => return Ok(freed),
            Err(e) => return Err(e),
        };
        freed.disk_bytes = self.written_bytes(container.id());
        self.delete(&locked, &container.config, &container.state, volumes)?;
        Ok(freed)
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
        let aside = store::set_aside(&self.paths, locked, &config.id)?;
        store::release_name(&self.paths, &state.name, &config.id)?;
        self.bury(&self.paths.containers().join(&aside), config, state);
        store::finish_removal(&self.paths, &aside)?;
        if volumes {
            for mount in &config.files.mounts {
                if let MountKind::Volume {
                    name,
                    anonymous: true,
                    ..
                } = &mount.kind
                {
                    self.remove_anonymous_volume(name);
                }
            }
        }
        self.record(Event::of_container(config, &state.name, "destroy"));
        Ok(())
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
        state.monitor = None;
        state.ip.clear();
        state.exit_code = 137;
        state.finished = now();
        state.error = match errors.first() {
            None => "its monitor was killed: the container was ended and freed".to_owned(),
            Some(error) => format!("its monitor was killed; not all could be freed: {error}"),
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
