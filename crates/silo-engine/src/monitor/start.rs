//! From a configuration to a running process: the steps of a start, each undone by the one teardown when a later one fails.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use oci_spec::runtime::LinuxNamespaceType;
use rustix::{
    pipe::{PipeFlags, pipe_with},
    pty::{OpenptFlags, ioctl_tiocgptpeer},
};
use silo_cgroup::{Cgroup, Existing, Layout, OomWatch};
use silo_image::Image;
use silo_runtime::{CgroupView, Request, Root, Running, Standalone, Stdio};
use silo_types::{
    ContainerConfig, ContainerId, Doing, Error, NamespaceMode, NetworkMode, ProcessId, Result,
};

use super::Clock;
use crate::{
    Engine, filter,
    network::{Prepared, Teardown},
    resources,
    spec::{self, Facts},
    users,
};

/// The kernel objects of a running container, as its monitor holds them.
pub(crate) struct Main {
    pub(crate) process: ProcessId,
    pub(crate) pidfd: OwnedFd,
    pub(crate) input: Option<OwnedFd>,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) error: Option<OwnedFd>,
    pub(crate) terminal: Option<OwnedFd>,
    /// The other end, kept open: a terminal that nobody inside has open would be ready to be read for ever (EIO).
    pub(crate) _terminal_peer: Option<OwnedFd>,
    pub(crate) cgroup: Cgroup,
    pub(crate) oom: Option<OomWatch>,
    pub(crate) ip: String,
}

/// What is started, from the monitor's point of view.
pub(crate) struct Start<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) config: &'a ContainerConfig,
    /// Limits in force: as created or as updated.
    pub(crate) resources: &'a silo_types::Resources,
    pub(crate) folder: &'a std::path::Path,
    pub(crate) image: &'a Image,
    pub(crate) size: (u16, u16),
}

impl Start<'_> {
    /// Starts the main process. On failure the teardown has run and nothing is left.
    pub(crate) fn run(&self, clock: &mut Clock) -> Result<Main> {
        let started = self.steps(clock);
        if started.is_err() {
            // The cause is what the user must hear; what the teardown finds is for `doctor`.
            let _ = self.engine.teardown(self.config, Teardown::Whole);
        }
        started
    }

    fn steps(&self, clock: &mut Clock) -> Result<Main> {
        let config = self.config;
        let root = self.engine.open_root(config, self.image, self.folder)?;
        clock.step("rootfs");
        let mut network = self.engine.prepare_network(config, self.folder)?;
        let facts = self.facts(root.as_fd(), &network)?;
        let process_config = complete_environment(config, &facts);
        let spec = spec::make(process_config.as_ref().unwrap_or(config), &facts)?;
        clock.step("plan");
        let layout = Layout::detect()?;
        let cgroup = self.make_cgroup(&layout, &facts.cgroup, &spec)?;
        clock.step("cgroup");
        let view = CgroupView::of(&layout);
        let born_in = cgroup.open_dir_fd()?;
        let mut pipes = Pipes::new(config)?;
        let request = Request {
            spec: &spec,
            root: Root::Mount(root),
            stage: self.engine.paths.stage(),
            stdio: pipes.childs(self.size),
            view: &view,
            cgroup: born_in.as_ref().map(AsFd::as_fd),
            entry: Some(cgroup.entry(false)?),
            seccomp: filter::of(&config.security, spec::capability_set(config)?)?,
            state: None,
            init: config.life.init,
            die_with_parent: true,
            configure: network.configure(config),
            connect: network.connect(),
            standalone: Standalone {
                groups: cgroup.dirs().to_vec(),
                ..Standalone::default()
            },
        };
        let created = silo_runtime::create(request)?;
        clock.step("clone");
        let path = format!("/proc/{}/cgroup", created.pid());
        let running = created.start_when(|| {
            let groups = std::fs::read_to_string(&path).doing_with(|| format!("read {path}"))?;
            cgroup.confirm(&groups)
        })?;
        clock.step("setup and exec");
        self.main(running, pipes, cgroup, &network)
    }

    fn main(
        &self,
        running: Running,
        pipes: Pipes,
        cgroup: Cgroup,
        network: &Prepared,
    ) -> Result<Main> {
        let oom = OomWatch::new(&cgroup).ok();
        let peer = running.terminal.as_ref().and_then(|master| {
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            ioctl_tiocgptpeer(master, flags).ok()
        });
        Ok(Main {
            process: super::process_id(running.pid)?,
            pidfd: running.pidfd,
            input: pipes.input,
            output: pipes.output,
            error: pipes.error,
            terminal: running.terminal,
            _terminal_peer: peer,
            cgroup,
            oom,
            ip: network.ip(),
        })
    }

    fn facts(&self, root: BorrowedFd<'_>, network: &Prepared) -> Result<Facts> {
        let config = self.config;
        let passwd = users::read_inside(root, "etc/passwd")?;
        let group = users::read_inside(root, "etc/group")?;
        let asked = &config.process;
        let mut facts = Facts {
            identity: users::resolve(&asked.user, &asked.groups, &passwd, &group)?,
            sources: self.engine.mount_sources(config, root)?,
            etc_files: network.write_etc_files(self.engine, config, self.folder)?,
            cgroup: self.engine.cgroup_path(config),
            ..Facts::default()
        };
        facts.devices = resources::devices_of(config)?;
        facts.thermal = resources::thermal_files();
        self.shared_namespaces(&mut facts)?;
        Ok(facts)
    }

    fn shared_namespaces(&self, facts: &mut Facts) -> Result<()> {
        use LinuxNamespaceType as T;
        let modes = &self.config.namespaces;
        let mut join = |kind: T, file: &str, id: &str| -> Result<i32> {
            let other = self.engine.shared_with(id)?;
            let pid = other.main_process()?.pid;
            facts
                .joins
                .push((kind, PathBuf::from(format!("/proc/{pid}/ns/{file}"))));
            Ok(pid)
        };
        for (mode, kind, file) in [
            (&modes.pid, T::Pid, "pid"),
            (&modes.uts, T::Uts, "uts"),
            (&modes.ipc, T::Ipc, "ipc"),
            (&modes.cgroup, T::Cgroup, "cgroup"),
        ] {
            if let NamespaceMode::Container(id) = mode {
                join(kind, file, id)?;
            }
        }
        if let NetworkMode::Container(id) = &self.config.network.mode {
            join(T::Network, "net", id)?;
            self.engine.mark_shared(&ContainerId::parse(id)?)?;
        }
        match &modes.ipc {
            NamespaceMode::Private => {}
            NamespaceMode::Host => facts.shm_source = Some(PathBuf::from("/dev/shm")),
            NamespaceMode::Container(id) => {
                let pid = self.engine.shared_with(id)?.main_process()?.pid;
                facts.shm_source = Some(PathBuf::from(format!("/proc/{pid}/root/dev/shm")));
            }
        }
        Ok(())
    }

    fn make_cgroup(
        &self,
        layout: &Layout,
        path: &str,
        spec: &oci_spec::runtime::Spec,
    ) -> Result<Cgroup> {
        let path = silo_cgroup::CgroupPath::new(path)?;
        let linux = spec.linux().as_ref();
        let asked = linux.and_then(|l| l.resources().as_ref());
        let devices = asked.and_then(|r| r.devices().clone());
        let mut limits = resources::limits(self.resources, &resources::block_device)?;
        limits.set_devices(devices);
        limit_swap(&mut limits);
        Cgroup::create(layout, &path, &limits, Existing::Refuse)
    }
}

/// HOME is the user's of the container's /etc/passwd unless it was set.
fn complete_environment(config: &ContainerConfig, facts: &Facts) -> Option<ContainerConfig> {
    let has_home = config.process.env.iter().any(|v| v.starts_with("HOME="));
    if has_home {
        return None;
    }
    let mut config = config.clone();
    config
        .process
        .env
        .push(format!("HOME={}", facts.identity.home));
    Some(config)
}

/// Docker's rule where the host has swap: with a memory limit alone, as much swap again.
pub(crate) fn limit_swap(limits: &mut oci_spec::runtime::LinuxResources) {
    let Some(memory) = limits.memory_mut() else {
        return;
    };
    if let (Some(limit), None) = (memory.limit(), memory.swap())
        && limit > 0
        && has_swap()
    {
        memory.set_swap(Some(limit.saturating_mul(2)));
    }
}

/// /proc/swaps has a header and a line for each.
fn has_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

/// The monitor's ends of the streams, and the child's until they are handed over.
#[derive(Default)]
struct Pipes {
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    child: Option<[OwnedFd; 3]>,
}

impl Pipes {
    fn new(config: &ContainerConfig) -> Result<Pipes> {
        if config.stdio.tty {
            return Ok(Pipes::default());
        }
        let pipe = || pipe_with(PipeFlags::CLOEXEC).doing("make a pipe");
        let (input, childs_input) = match config.stdio.open_stdin {
            true => {
                let (reader, writer) = pipe()?;
                rustix::io::ioctl_fionbio(&writer, true).doing("set up a pipe")?;
                (Some(writer), reader)
            }
            false => (None, open_null()?),
        };
        let (output, childs_output) = pipe()?;
        let (error, childs_error) = pipe()?;
        Ok(Pipes {
            input,
            output: Some(output),
            error: Some(error),
            child: Some([childs_input, childs_output, childs_error]),
        })
    }

    fn childs(&mut self, size: (u16, u16)) -> Stdio {
        match self.child.take() {
            Some(ends) => Stdio::Given(ends),
            None => Stdio::Terminal(size),
        }
    }
}

fn open_null() -> Result<OwnedFd> {
    rustix::fs::open(
        c"/dev/null",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|e| Error::system("open /dev/null", e))
}
