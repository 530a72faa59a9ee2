//! A further process in a running container. The command is its parent: its streams are the command's own, and a terminal is
//! relayed by the command, so no monitor stands between.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::Process as OciProcess;
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid},
};
use serde::{Deserialize, Serialize};
use silo_runtime::{Entry, Running, Stdio, capabilities::CapSet};
use silo_sys::clone::ns;
use silo_types::{Doing, Error, ProcessId, Result, Status};

use crate::{
    Engine, container::Container, create::now, filter, rootfs::open_process_root, spec, store,
    users,
};

/// What is to run.
#[derive(Clone, Debug, Default)]
pub struct ExecSpec {
    pub args: Vec<String>,
    /// `KEY=VALUE`, over the container's.
    pub env: Vec<String>,
    /// Empty: the container's.
    pub cwd: String,
    /// Empty: the container's.
    pub user: String,
    pub privileged: bool,
}

/// Where its streams go.
#[derive(Debug)]
pub enum ExecStreams {
    /// The command's own; without input, /dev/null.
    Own { input: bool },
    /// A terminal of the container with (rows, columns).
    Terminal((u16, u16)),
    /// Nowhere: `exec -d`.
    Nowhere,
}

/// A process that was started in a container.
#[derive(Debug)]
pub struct Session {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Master of its terminal.
    pub terminal: Option<OwnedFd>,
    record: Option<std::path::PathBuf>,
}

/// What `top` tells about an exec session: kept in the container's folder while it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExecRecord {
    pub id: String,
    pub process: ProcessId,
    /// The host's user who typed it.
    pub by: String,
    /// Nanoseconds since the epoch.
    pub started: u64,
    pub args: Vec<String>,
}

impl Engine {
    /// Starts a process in the container; returns when its program has been executed.
    ///
    /// Errors: Conflict when it does not run or is paused; CommandNotFound and CommandNotExecutable.
    pub fn exec(
        &self,
        container: &Container,
        asked: &ExecSpec,
        streams: ExecStreams,
    ) -> Result<Session> {
        silo_runtime::ensure_sealed()?;
        let main = container.main_process()?;
        if container.state.status == Status::Paused {
            return Err(Error::conflict(format!(
                "container {} is paused, unpause the container before exec",
                container.name()
            )));
        }
        let target = open_main(main, container.name())?;
        let process = self.exec_process(container, asked, main, &streams)?;
        let cgroup = self.cgroup(&container.config)?;
        let born_in = cgroup.open_dir_fd()?;
        let detached = matches!(streams, ExecStreams::Nowhere);
        let filter = match asked.privileged {
            true => None,
            false => filter::of(
                &container.config.security,
                spec::capability_set(&container.config)?,
            )?,
        };
        let entry = Entry {
            target: target.as_fd(),
            namespaces: ns::MOUNT | ns::UTS | ns::IPC | ns::NET | ns::CGROUP | ns::PID,
            process: &process,
            linux: None,
            seccomp: filter,
            state: None,
            stdio: stdio(streams)?,
            cgroup: born_in.as_ref().map(AsFd::as_fd),
            doors: Some(cgroup.entry(false)?),
            preserved_fds: 0,
            plain_terminal: false,
            all_processors: false,
            shares_mounts: false,
            warn: None,
        };
        let mut session = Session::from(silo_runtime::enter(entry)?);
        // Short-lived processes are gone before anybody could ask about them.
        if detached || session.terminal.is_some() {
            session.record = self.write_record(container, asked, session.pid);
        }
        if detached {
            session.record = None;
        }
        Ok(session)
    }

    fn exec_process(
        &self,
        container: &Container,
        asked: &ExecSpec,
        main: ProcessId,
        streams: &ExecStreams,
    ) -> Result<OciProcess> {
        let config = &container.config;
        let root = open_process_root(main)?;
        let passwd = users::read_inside(root.as_fd(), "etc/passwd")?;
        let group = users::read_inside(root.as_fd(), "etc/group")?;
        let (user, added) = match asked.user.as_str() {
            "" => (
                config.process.user.as_str(),
                config.process.groups.as_slice(),
            ),
            user => (user, Default::default()),
        };
        let identity = users::resolve(user, added, &passwd, &group)?;
        let mut env = config.process.env.clone();
        let mut put = |name: &str, variable: String| {
            env.retain(|known| known.split('=').next() != Some(name));
            env.push(variable);
        };
        if matches!(streams, ExecStreams::Terminal(_)) {
            put("TERM", "TERM=xterm".to_owned());
        }
        let own_home = config.process.env.iter().any(|v| v.starts_with("HOME="));
        if !own_home || !asked.user.is_empty() {
            put("HOME", format!("HOME={}", identity.home));
        }
        for variable in &asked.env {
            let name = variable.split('=').next().unwrap_or_default();
            put(name, variable.clone());
        }
        let cwd = match asked.cwd.as_str() {
            "" => config.process.cwd.as_str(),
            cwd if cwd.starts_with('/') => cwd,
            cwd => {
                return Err(Error::invalid(format!(
                    "the working directory '{cwd}' is invalid, it needs to be an absolute path"
                )));
            }
        };
        let capabilities = match asked.privileged {
            true => CapSet::of_this_process()?,
            false => spec::capability_set(config)?,
        };
        let mut process = OciProcess::default();
        process
            .set_user(spec::user(&identity))
            .set_args(Some(asked.args.clone()))
            .set_env(Some(env))
            .set_cwd(cwd.into())
            .set_no_new_privileges(Some(config.security.no_new_privileges))
            .set_rlimits(spec::rlimits(&config.process.ulimits)?)
            .set_capabilities(Some(capabilities.to_oci()));
        Ok(process)
    }

    fn write_record(
        &self,
        container: &Container,
        asked: &ExecSpec,
        pid: i32,
    ) -> Option<std::path::PathBuf> {
        let folder = self.paths.container(container.id()).join("exec");
        crate::paths::make_private(&folder).ok()?;
        let number = u16::from_le_bytes(store::random().ok()?);
        let record = ExecRecord {
            id: format!("{number:04x}"),
            process: ProcessId {
                pid,
                start_time: silo_observe::start_time(pid).ok()??,
            },
            by: std::env::var("SUDO_USER")
                .or_else(|_| std::env::var("USER"))
                .unwrap_or_else(|_| "root".to_owned()),
            started: now(),
            args: asked.args.clone(),
        };
        let name = format!("{pid}.json");
        store::replace_json(&folder, &name, &record).ok()?;
        Some(folder.join(name))
    }

    /// Sessions of a container whose process still runs; the rest are forgotten by the way.
    pub fn exec_sessions(&self, container: &Container) -> Vec<ExecRecord> {
        let folder = self.paths.container(container.id()).join("exec");
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let record: ExecRecord = store::read_json(&entry.path()).ok()?;
                let alive = silo_observe::is_alive(record.process);
                if !alive {
                    let _ = std::fs::remove_file(entry.path());
                }
                alive.then_some(record)
            })
            .collect()
    }
}

/// A process of this command's that no container of the engine knows of.
impl From<Running> for Session {
    fn from(running: Running) -> Session {
        Session {
            pid: running.pid,
            pidfd: running.pidfd,
            terminal: running.terminal,
            record: None,
        }
    }
}

impl Session {
    /// Waits for its end: 0–255, 128 + signal.
    pub fn wait(&self) -> Result<i32> {
        let status = loop {
            let id = WaitId::PidFd(self.pidfd.as_fd());
            match waitid(id, WaitIdOptions::EXITED) {
                Ok(status) => break status,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(Error::system("wait for the process", e)),
            }
        };
        if let Some(record) = &self.record {
            let _ = std::fs::remove_file(record);
        }
        let status = status.ok_or_else(|| Error::internal("the process has no end"))?;
        Ok(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, signal) => 128 + signal.unwrap_or(9),
        })
    }

    pub fn signal(&self, signal: silo_types::Signal) {
        let _ = silo_sys::signal::pidfd_send(self.pidfd.as_fd(), signal.number());
    }
}

/// A pidfd of the main process, checked to be still the one that was meant.
fn open_main(main: ProcessId, name: &str) -> Result<OwnedFd> {
    let gone = || Error::conflict(format!("container {name} is not running"));
    let pid = Pid::from_raw(main.pid).ok_or_else(gone)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
    if silo_observe::is_alive(main) {
        Ok(pidfd)
    } else {
        Err(gone())
    }
}

fn stdio(streams: ExecStreams) -> Result<Stdio> {
    let null = || {
        rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .doing("open /dev/null")
    };
    let copy = |fd: std::os::fd::BorrowedFd<'_>| {
        rustix::io::fcntl_dupfd_cloexec(fd, 3).doing("copy a stream")
    };
    Ok(match streams {
        ExecStreams::Terminal(size) => Stdio::Terminal(size),
        ExecStreams::Nowhere => Stdio::Given([null()?, null()?, null()?]),
        ExecStreams::Own { input } => Stdio::Given([
            match input {
                true => copy(std::io::stdin().as_fd())?,
                false => null()?,
            },
            copy(std::io::stdout().as_fd())?,
            copy(std::io::stderr().as_fd())?,
        ]),
    })
}
