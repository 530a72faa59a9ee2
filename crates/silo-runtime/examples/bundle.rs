//! The smallest caller of the runtime: runs a specification in a root file system, and perhaps a second process beside its first.
//!
//! ```sh
//! bundle CONFIG ROOTFS STAGE [PROCESS]…
//! ```
//!
//! Standard streams are the caller's. It ends as the program does; with PROCESS (the `process` of a specification, each entered
//! when the one before it has ended) as the last of them, and the first one is killed. No control groups are made. The tests drive
//! this.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::ExitCode,
};

use oci_spec::runtime::{ContainerState, Process, Spec, State};
use rustix::process::{Pid, Signal, pidfd_send_signal};
use silo_runtime::{
    CgroupHierarchy, CgroupView, Entry, Request, Root, Running, Standalone, Stdio, create, enter,
    hooks::HookSet, seccomp::Filter,
};
use silo_types::{Doing, Error, Result};

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("bundle: {error}");
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn run() -> Result<u8> {
    let words: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [config, rootfs, stage, processes @ ..] = &words[..] else {
        return Err(Error::invalid(
            "usage: bundle CONFIG ROOTFS STAGE [PROCESS]…",
        ));
    };
    let spec: Spec = silo_runtime::document::read_spec(&read(config)?)?.0;
    let mut state = State::default();
    state
        .set_version("1.3.0".into())
        .set_id("bundle".into())
        .set_status(ContainerState::Creating)
        .set_bundle(rootfs.clone());
    let view = view()?;
    let hooks = HookSet::new(&spec, "bundle", rootfs);
    let mut created = create(Request {
        spec: &spec,
        root: Root::Path(rootfs.clone()),
        stage,
        stdio: match spec.process().as_ref().and_then(|p| p.terminal()) {
            Some(true) => Stdio::Terminal((0, 0)),
            _ => Stdio::Inherit,
        },
        view: &view,
        cgroup: None,
        entry: None,
        seccomp: None,
        state: Some(&state),
        init: false,
        die_with_parent: true,
        connect: None,
        configure: None,
        standalone: Standalone {
            hooks: hooks.as_ref(),
            ..Standalone::default()
        },
    })?;
    created.wait_ready()?;
    let first = created.start()?;
    if processes.is_empty() {
        return wait(&first);
    }
    let last = processes.iter().try_fold(0, |_, process| {
        beside(&first, &spec, process, &state).and_then(|second| wait(&second))
    });
    let _ = pidfd_send_signal(&first.pidfd, Signal::KILL);
    wait(&first)?;
    last
}

fn beside(first: &Running, spec: &Spec, process: &Path, state: &State) -> Result<Running> {
    let process: Process = silo_runtime::document::read_process(&read(process)?)?.0;
    let profile = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    enter(Entry {
        target: first.pidfd.as_fd(),
        namespaces: silo_runtime::namespaces_of(first.pid)?,
        process: &process,
        linux: spec.linux().as_ref(),
        seccomp: profile.map(Filter::new).transpose()?,
        state: Some(state),
        stdio: Stdio::Inherit,
        cgroup: None,
        doors: None,
        preserved_fds: 0,
        plain_terminal: false,
        all_processors: false,
        shares_mounts: silo_runtime::shares_mounts(spec),
        warn: None,
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).doing_with(|| format!("read {}", path.display()))
}

fn view() -> Result<CgroupView> {
    let groups = fs::read_to_string("/proc/self/cgroup").doing("/proc/self/cgroup")?;
    if groups.lines().count() == 1 && groups.starts_with("0::") {
        return Ok(CgroupView::V2);
    }
    let hierarchy = |line: &str| {
        let name = line.split(':').nth(1).unwrap_or_default();
        let (name, kind, options) = match name.strip_prefix("name=") {
            _ if name.is_empty() => ("unified", "cgroup2", vec![]),
            Some(named) => (named, "cgroup", vec!["none".to_owned(), name.to_owned()]),
            None => (name, "cgroup", name.split(',').map(str::to_owned).collect()),
        };
        CgroupHierarchy {
            name: name.to_owned(),
            kind: kind.to_owned(),
            options,
            links: Vec::new(),
        }
    };
    Ok(CgroupView::V1(groups.lines().map(hierarchy).collect()))
}

fn wait(running: &Running) -> Result<u8> {
    let status = rustix::process::waitpid(
        Pid::from_raw(running.pid),
        rustix::process::WaitOptions::empty(),
    )
    .doing("wait for the program")?;
    let status = status.map(|(_, status)| status);
    Ok(match status {
        Some(status) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code as u8,
            (_, Some(signal)) => 128 + signal as u8,
            _ => 125,
        },
        None => 125,
    })
}
