//! The process beside each container: it owns the container's kernel objects from start to end.
//!
//! Forked, not executed: its memory is shared with the command that started it until written to, and starting it costs what a
//! fork costs. It inherits the lock of the container's folder and one end of a socket pair, over which the command hears that
//! the program runs (or why not) and, when attached, its output.
//!
//! ```text
//! command ─ fork ─▶ monitor ─ clone ─▶ container
//!    ▲                │ start: root, network, control groups, process
//!    └── S, 1, 2, X ──┤ loop:  pidfd · output · clients · out of memory · timers
//!                     └ end:   teardown, state, restart or removal
//! ```

mod cause;
mod client;
mod end;
mod limits;
mod log;
mod oom;
mod quiet;
mod record;
mod requests;
mod run;
mod start;

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Instant,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use silo_image::Image;
use silo_types::{ContainerConfig, ContainerState, Doing, Error, ProcessId, Result};

use crate::{Engine, protocol, store::Locked};

pub(crate) use cause::boot_id;
pub(crate) use client::Client;
pub(crate) use limits::{nothing_to_undo, remember};
pub(crate) use run::Monitor;
pub(crate) use start::limit_swap;

/// What a monitor starts with.
pub(crate) struct Setup {
    pub(crate) locked: Locked,
    pub(crate) config: ContainerConfig,
    pub(crate) state: ContainerState,
    pub(crate) image: Image,
    /// The command joins the streams: (input, terminal size).
    pub(crate) attach: Option<Attach>,
    pub(crate) clock: Clock,
}

/// How the starting command is attached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attach {
    pub(crate) input: bool,
    /// Rows and columns; 0: unknown.
    pub(crate) size: (u16, u16),
}

/// Where the time of a start goes.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Instant,
    pub(crate) steps: Vec<(String, u64)>,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock {
            last: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// Ends a step: the time since the one before is its.
    pub(crate) fn step(&mut self, name: &str) {
        let now = Instant::now();
        let spent = now.duration_since(self.last).as_micros() as u64;
        self.steps.push((name.to_owned(), spent));
        self.last = now;
    }
}

/// Forks the monitor and returns the command's end of the conversation.
pub(crate) fn fork(engine: &Engine, setup: Setup) -> Result<OwnedFd> {
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .doing("make a socket pair")?;
    if silo_sys::process::fork().doing("fork the monitor")? != 0 {
        return Ok(ours);
    }
    drop(ours);
    let code = match become_monitor(&setup, &theirs) {
        Ok(()) => Monitor::run(engine, setup, theirs),
        Err(error) => {
            let reply = protocol::Reply::of(&Err(error));
            Client::new(theirs).send(protocol::packet_json(b'P', &reply));
            1
        }
    };
    silo_sys::process::exit_now(code)
}

/// A session of its own, no terminal, no descriptor of the command's but the lock and the socket.
fn become_monitor(setup: &Setup, socket: &OwnedFd) -> Result<()> {
    rustix::process::setsid().doing("start a session")?;
    let null = rustix::fs::open(
        c"/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .doing("open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).doing("let go of standard input")?;
    rustix::stdio::dup2_stdout(&null).doing("let go of standard output")?;
    rustix::stdio::dup2_stderr(&null).doing("let go of standard error")?;
    let kept = [
        setup.locked.lock.as_raw_fd(),
        socket.as_raw_fd(),
        null.as_raw_fd(),
    ];
    silo_sys::exec::close_others(&kept).doing("close the command's descriptors")?;
    rustix::process::chdir(c"/").doing("leave the command's folder")?;
    rename(&setup.config);
    silo_sys::signal::ignore(&[1, 2, 3, 13]);
    Ok(())
}

/// `ps` on the host shows `silo: monitor of NAME` instead of the command that it was forked from.
fn rename(config: &ContainerConfig) {
    let _ = rustix::thread::set_name(c"silo-monitor");
    let _ = silo_runtime::retitle(&format!(
        "silo: monitor of {} ({})",
        config.name,
        config.id.short()
    ));
}

/// A process by number and start time; one that has ended already but was not waited for has both.
pub(crate) fn process_id(pid: i32) -> Result<ProcessId> {
    let start_time = silo_observe::start_time(pid)?
        .ok_or_else(|| Error::internal(format!("process {pid} vanished")))?;
    Ok(ProcessId { pid, start_time })
}

/// The socket that later commands connect to. Its folder is closed to others.
fn listen(engine: &Engine, config: &ContainerConfig) -> Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .doing("make the control socket")?;
    let path = engine.paths.socket(&config.id);
    let address = crate::client::address(&engine.paths, &config.id)?;
    match rustix::net::bind(&socket, &address.name) {
        Err(rustix::io::Errno::ADDRINUSE) => {
            // Left by a monitor that was killed: we hold the lock, so it is nobody's.
            std::fs::remove_file(&path).doing_with(|| format!("remove {}", path.display()))?;
            rustix::net::bind(&socket, &address.name)
        }
        other => other,
    }
    .doing_with(|| format!("bind {}", path.display()))?;
    rustix::net::listen(socket.as_fd(), 64).doing("listen on the control socket")?;
    Ok(socket)
}
