//! What commands do to containers: run, start, stop, kill, pause, update, rename, wait, attach.

use silo_types::{
    ContainerConfig, ContainerState, Error, Kind, Resources, RestartPolicy, Result, Signal, Status,
};

use crate::{
    Engine,
    client::Connection,
    container::Container,
    events::Event,
    monitor::{self, Attach, Clock, Setup},
    protocol::{Exit, FromMonitor, Request, StartedInfo},
    resources, store,
};

/// How a command joins a container's streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    pub input: bool,
    pub output: bool,
    /// Rows and columns of its terminal; 0: it has none.
    pub size: (u16, u16),
}

/// A container whose program has been executed.
#[derive(Debug)]
pub struct Started {
    pub config: ContainerConfig,
    pub info: StartedInfo,
    /// With streams asked for: carries output and the exit.
    pub connection: Option<Connection>,
}

/// What `update` changes; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct Update {
    pub resources: Option<Resources>,
    pub restart: Option<RestartPolicy>,
    /// A memory limit below what is in use is set all the same, and the kernel kills to get there; else it is refused.
    pub may_kill: bool,
}

/// Who was asked to end a container.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It does not run.
    Nobody,
    /// Its monitor is just leaving.
    Gone,
    Monitor(Connection),
}

impl Engine {
    /// Creates and starts in one go. Returns when the program has been executed; an error says why it was not
    /// ([`Kind::CommandNotFound`] and its kin), and then the container stays as created unless it removes itself.
    ///
    /// `created` hears the configuration before the start: for `--cidfile`.
    pub fn run(
        &self,
        config: ContainerConfig,
        streams: Option<Streams>,
        created: &mut dyn FnMut(&ContainerConfig) -> Result<()>,
    ) -> Result<Started> {
        silo_runtime::ensure_sealed()?;
        let mut clock = Clock::new();
        // Until the configuration is on disk, nothing else says that the image is used.
        let hold = self.images.hold()?;
        let image = self.images.resolve(&config.image.reference)?;
        let (locked, config) = self.make(config, &image)?;
        drop(hold);
        clock.step("create");
        if let Err(error) = created(&config) {
            let state = fresh_state(&config);
            let _ = self.delete(&locked, &config, &state, true);
            return Err(error);
        }
        let setup = Setup {
            state: fresh_state(&config),
            config: config.clone(),
            locked,
            image,
            attach: attach(streams),
            clock,
        };
        self.launch(setup, config, streams)
    }

    /// Starts a container that exists.
    ///
    /// Errors: Conflict when it is up, also when another command starts it meanwhile.
    pub fn start(&self, container: &Container, streams: Option<Streams>) -> Result<Started> {
        silo_runtime::ensure_sealed()?;
        let clock = Clock::new();
        let config = container.config.clone();
        not_up(container)?;
        let locked = store::lock_soon(&self.paths, &config.id, container.name(), || {
            not_up(&self.container(&config.id)?)
        })?;
        let mut state = self.container(&config.id)?.state;
        state.stopped_by_user = false;
        state.restart_count = 0;
        let setup = Setup {
            state,
            image: self.images.resolve(&config.image.id)?,
            config: config.clone(),
            locked,
            attach: attach(streams),
            clock,
        };
        self.launch(setup, config, streams)
    }

    fn launch(
        &self,
        setup: Setup,
        config: ContainerConfig,
        streams: Option<Streams>,
    ) -> Result<Started> {
        let connection = Connection::new(monitor::fork(self, setup)?);
        loop {
            match connection.receive()? {
                Some(FromMonitor::Started(info)) => {
                    return Ok(Started {
                        config,
                        info,
                        connection: streams.map(|_| connection),
                    });
                }
                Some(FromMonitor::Reply(reply)) => {
                    reply.into_result()?;
                }
                Some(_) => {}
                None => {
                    return Err(Error::internal(format!(
                        "the monitor of {} died before the program started",
                        config.name
                    )));
                }
            }
        }
    }

    /// Joins the streams of a running container.
    pub fn attach(&self, container: &Container, streams: Streams) -> Result<Connection> {
        container.main_process()?;
        if container.state.status == Status::Paused {
            return Err(Error::conflict(format!(
                "container {} is paused: unpause it before attaching",
                container.name()
            )));
        }
        let connection = Connection::open(&self.paths, container)?;
        connection.ask(&Request::Attach {
            input: streams.input,
            output: streams.output,
        })?;
        if streams.size != (0, 0) {
            let (rows, columns) = streams.size;
            connection.ask(&Request::Resize { rows, columns })?;
        }
        Ok(connection)
    }

    /// Tells the terminal's size on a connection of its own.
    pub fn resize(&self, container: &Container, rows: u16, columns: u16) -> Result<()> {
        self.ask(container, &Request::Resize { rows, columns })
    }

    pub(crate) fn ask(&self, container: &Container, request: &Request) -> Result<()> {
        Connection::open(&self.paths, container)?.ask(request)
    }

    pub fn kill(&self, container: &Container, signal: Signal) -> Result<()> {
        container.main_process()?;
        self.ask(container, &Request::Kill { signal })
    }

    /// Asks it to end, waits `timeout` seconds (negative: for ever; `None`: its own), then kills it. Nothing to do for one
    /// that does not run.
    pub fn stop(
        &self,
        container: &Container,
        signal: Option<Signal>,
        timeout: Option<i64>,
    ) -> Result<()> {
        self.stop_or_restart(container, signal, timeout, false)
    }

    fn stop_or_restart(
        &self,
        container: &Container,
        signal: Option<Signal>,
        timeout: Option<i64>,
        restart: bool,
    ) -> Result<()> {
        let request = Request::Stop {
            signal,
            timeout,
            restart,
        };
        self.end(container, &request).map(drop)
    }

    /// Sends a request that ends the container and waits for its end.
    pub(crate) fn end(&self, container: &Container, request: &Request) -> Result<Option<Exit>> {
        let asked = self.ask_to_end(container, request)?;
        self.await_end(container, asked)
    }

    /// Sends a request that ends the container.
    pub(crate) fn ask_to_end(&self, container: &Container, request: &Request) -> Result<Asked> {
        let live = matches!(
            container.state.status,
            Status::Running | Status::Paused | Status::Restarting
        );
        if !live {
            return Ok(Asked::Nobody);
        }
        match Connection::open(&self.paths, container) {
            Ok(connection) => {
                connection.request(request)?;
                Ok(Asked::Monitor(connection))
            }
            Err(e) if e.kind() == Kind::Conflict => Ok(Asked::Gone),
            Err(e) => Err(e),
        }
    }

    /// Waits for the end that was asked for.
    pub(crate) fn await_end(&self, container: &Container, asked: Asked) -> Result<Option<Exit>> {
        let exit = match asked {
            Asked::Nobody => return Ok(None),
            Asked::Gone => None,
            Asked::Monitor(connection) => connection.exit()?,
        };
        self.wait_unlocked(container)?;
        Ok(exit)
    }

    /// Waits until the monitor has let go of the folder, but not for ever.
    pub(crate) fn wait_unlocked(&self, container: &Container) -> Result<()> {
        for _ in 0..store::LET_GO_MS {
            match store::try_lock(&self.paths, container.id()) {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => std::thread::sleep(std::time::Duration::from_millis(1)),
                Err(e) if e.kind() == Kind::NotFound => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Stops it when it runs, and starts it again.
    pub fn restart(
        &self,
        container: &Container,
        signal: Option<Signal>,
        timeout: Option<i64>,
    ) -> Result<()> {
        self.stop_or_restart(container, signal, timeout, true)?;
        let stopped = self.container(container.id())?;
        self.start(&stopped, None).map(drop)
    }

    pub fn pause(&self, container: &Container) -> Result<()> {
        container.main_process()?;
        self.ask(container, &Request::Pause)
    }

    pub fn unpause(&self, container: &Container) -> Result<()> {
        container.main_process()?;
        self.ask(container, &Request::Unpause)
    }

    /// Changes limits and restart policy; of a stopped container for its next start.
    pub fn update(&self, container: &Container, update: &Update) -> Result<()> {
        if container.state.monitor.is_some() {
            let resources = update.resources.clone().map(Box::new);
            let restart = update.restart;
            let may_kill = update.may_kill;
            let request = Request::Update {
                resources,
                restart,
                may_kill,
            };
            return self.ask(container, &request);
        }
        self.change(container, |state| {
            if let Some(asked) = &update.resources {
                monitor::remember(&mut state.limits_before, container.resources().clone());
                state.resources = Some(resources::overlay(container.resources(), asked));
            }
            state.restart = update.restart.or(state.restart);
            Ok(())
        })
    }

    pub fn rename(&self, container: &Container, name: &str) -> Result<()> {
        let up = !matches!(
            container.state.status,
            Status::Created | Status::Exited | Status::Dead
        );
        if up {
            let name = name.to_owned();
            return self.ask(container, &Request::Rename { name });
        }
        silo_types::check_name("container", name)?;
        self.change(container, |state| {
            store::take_name(&self.paths, name, container.id())?;
            state.name = name.to_owned();
            Ok(())
        })?;
        store::release_name(&self.paths, container.name(), container.id())?;
        let event = Event::of_container(&container.config, name, "rename");
        self.record(event.with("oldName", container.name()));
        Ok(())
    }

    /// Changes the state of a container that has no monitor.
    pub(crate) fn change(
        &self,
        container: &Container,
        change: impl FnOnce(&mut ContainerState) -> Result<()>,
    ) -> Result<()> {
        let locked = store::lock_soon(&self.paths, container.id(), container.name(), || Ok(()))?;
        let mut state = container.state.clone();
        change(&mut state)?;
        locked.write_state(&state)
    }

    /// Waits for the end of the main process; the exit code. One that does not run gives the code of its last run.
    pub fn wait(&self, container: &Container) -> Result<i32> {
        let live = matches!(
            container.state.status,
            Status::Running | Status::Paused | Status::Restarting
        );
        if live && let Ok(connection) = Connection::open(&self.paths, container) {
            connection.request(&Request::Wait)?;
            if let Some(exit) = connection.exit()? {
                return Ok(exit.code);
            }
        }
        match self.container(container.id()) {
            Ok(now) => Ok(now.state.exit_code),
            Err(e) if e.kind() == Kind::NotFound => Ok(container.state.exit_code),
            Err(e) => Err(e),
        }
    }
}

fn attach(streams: Option<Streams>) -> Option<Attach> {
    streams.map(|streams| Attach {
        input: streams.input,
        size: streams.size,
    })
}

pub(crate) fn fresh_state(config: &ContainerConfig) -> ContainerState {
    ContainerState {
        name: config.name.clone(),
        ..ContainerState::default()
    }
}

/// Errors: Conflict when it is up.
pub(crate) fn not_up(container: &Container) -> Result<()> {
    let status = container.state.status;
    match status.is_up() {
        true => Err(Error::conflict(format!(
            "container {} is already {}",
            container.name(),
            status.as_str()
        ))),
        false => Ok(()),
    }
}
