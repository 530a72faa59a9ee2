//! `create` and `run`: from a bundle to a container that waits, or to one that runs.

use std::{os::fd::AsFd, path::Path};

use oci_spec::runtime::{LinuxSeccomp, Process};
use silo_engine::{NetDevices, Session};
use silo_runtime::{
    Connect, Warn,
    bundle::Bundle,
    capabilities,
    container::{self, Made, Order as Making},
    seccomp::Filter,
};
use silo_types::{Error, Result};

use super::{
    Verb, console,
    globals::Globals,
    notify::Notify,
    options::{Opt, Order, Words, switch, value},
};
use crate::terminal;

const BUNDLE: Opt = value(
    "bundle",
    'b',
    "FOLDER",
    "folder of config.json (the present one)",
);
const CONSOLE: Opt = value(
    "console-socket",
    '\0',
    "SOCKET",
    "where to send the terminal",
);
const PID_FILE: Opt = value("pid-file", '\0', "FILE", "where to write the pid");
const PIDFD: Opt = value("pidfd-socket", '\0', "SOCKET", "where to send a pidfd");
const PRESERVE: Opt = value(
    "preserve-fds",
    '\0',
    "N",
    "hand over N descriptors from 3 on",
);
const NO_PIVOT: Opt = switch(
    "no-pivot",
    '\0',
    "taken for callers of runc; the root is always entered by pivot_root",
);
const KEYRING: Opt = switch("no-new-keyring", '\0', "keep the caller's session keyring");
const SUBREAPER: Opt = switch("no-subreaper", '\0', "taken for callers of runc");

static CREATE_OPTIONS: [Opt; 7] = [
    BUNDLE, CONSOLE, PID_FILE, PIDFD, NO_PIVOT, KEYRING, PRESERVE,
];

static RUN_OPTIONS: [Opt; 10] = [
    BUNDLE,
    CONSOLE,
    PID_FILE,
    PIDFD,
    NO_PIVOT,
    KEYRING,
    PRESERVE,
    SUBREAPER,
    switch("detach", 'd', "return when the program runs"),
    switch("keep", '\0', "keep the container when it has ended"),
];

pub static CREATE: Verb = Verb {
    name: "create",
    about: "make a container that waits for its start",
    usage: "CONTAINER",
    options: &CREATE_OPTIONS,
    order: Order::Mixed,
    words: (1, 1),
    starts: true,
    run: create,
};

pub static RUN: Verb = Verb {
    name: "run",
    about: "make a container and start it",
    usage: "CONTAINER",
    options: &RUN_OPTIONS,
    order: Order::Mixed,
    words: (1, 1),
    starts: true,
    run,
};

fn create(globals: &Globals, words: &Words) -> Result<i32> {
    let mut bundle = load(globals, words)?;
    if bundle.spec.process().is_none() {
        // It is needed by a start alone, which then fails (config.md, "Process").
        let mut none = Process::default();
        none.set_args(None);
        bundle.spec.set_process(Some(none));
    }
    let notify = notified(globals, words, &mut bundle)?;
    let socket = console::check(words, wants_terminal(&bundle), true)?;
    let how = Kind {
        waits: true,
        notify: notify.is_some(),
    };
    making(globals, words, &bundle, how, |made| {
        told_as_made(globals, &bundle, &made);
        made.detach(|made| hand_over(made, words, socket))
    })?;
    Ok(0)
}

fn run(globals: &Globals, words: &Words) -> Result<i32> {
    let mut bundle = load(globals, words)?;
    let mut notify = notified(globals, words, &mut bundle)?;
    let detach = words.has("detach");
    let socket = console::check(words, wants_terminal(&bundle), detach)?;
    let how = Kind {
        waits: false,
        notify: notify.is_some(),
    };
    let mut listening = None;
    let running = making(globals, words, &bundle, how, |made| {
        told_as_made(globals, &bundle, &made);
        made.start(|made| {
            hand_over(made, words, socket)?;
            if let Some(notify) = notify.take() {
                listening = notify.listen()?;
            }
            match &made.terminal {
                Some(master) if !console::is_screen() => silo_runtime::make_plain(master),
                _ => Ok(()),
            }
        })
    })?;
    globals
        .log
        .debug("init: closing the pipe to signal completion: the program runs");
    if let Some(listening) = listening {
        let told = match detach {
            true => listening.hand_on(running.pidfd.as_fd(), running.pid),
            false => listening.hand_on_beside(running.pidfd.as_fd()),
        };
        if let Err(error) = told {
            globals.log.warning(&error.to_string());
        }
    }
    if detach {
        return Ok(0);
    }
    let mut session = Session::from(running);
    let code = match session.terminal.take() {
        Some(master) => terminal::relay(&session, master.as_fd(), true),
        None => terminal::wait(&session),
    }?;
    if !words.has("keep") {
        for warning in container::delete(&globals.root, &words.rest[0], true)? {
            globals.log.warning(&warning.to_string());
        }
    }
    Ok(code)
}

/// Who waits for it to be ready, if somebody does; its program gets a socket then.
fn notified(globals: &Globals, words: &Words, bundle: &mut Bundle) -> Result<Option<Notify>> {
    let notify = Notify::asked(globals, &words.rest[0]);
    if let Some(notify) = &notify {
        notify.add_to(&mut bundle.spec)?;
    }
    Ok(notify)
}

/// What has happened, in the words that readers of runc's log look for.
fn told_as_made(globals: &Globals, bundle: &Bundle, made: &Made) {
    let log = &globals.log;
    let pid = made.pid();
    log.debug(&format!(
        "nsexec container setup: process {pid} is in its control groups and namespaces"
    ));
    log.debug(&format!(
        "child process in init(): process {pid} has its root and mounts, and waits"
    ));
    let profile = bundle
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.seccomp().as_ref());
    told_filter(globals, profile);
}

/// The flags of seccomp(2) that a filter is loaded with.
pub fn told_filter(globals: &Globals, profile: Option<&LinuxSeccomp>) {
    if let Some(profile) = profile.filter(|_| globals.log.debug)
        && let Ok(filter) = Filter::new(profile)
    {
        let flags = filter.kernel_flags();
        globals.log.debug(&format!("seccomp filter flags: {flags}"));
    }
}

pub fn load(globals: &Globals, words: &Words) -> Result<Bundle> {
    let path = words.get("bundle").filter(|path| !path.is_empty());
    let mut bundle = Bundle::load(Path::new(path.unwrap_or(".")))?;
    let process = bundle.spec.process().as_ref();
    for name in process.map(capabilities::not_ambient).unwrap_or_default() {
        globals.log.warning(&format!(
            "can't raise ambient capability {name}: it is not both permitted and inheritable"
        ));
    }
    if let Some(process) = bundle.spec.process_mut()
        && activated() > 0
    {
        let mut env = process.env().clone().unwrap_or_default();
        env.push(format!("LISTEN_FDS={}", activated()));
        env.push("LISTEN_PID=1".to_owned());
        let names = std::env::var("LISTEN_FDNAMES").ok();
        env.extend(names.map(|names| format!("LISTEN_FDNAMES={names}")));
        process.set_env(Some(env));
    }
    Ok(bundle)
}

/// How many sockets this process was given by who listens for it, sd_listen_fds(3): from descriptor 3 on, for the program.
fn activated() -> u32 {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    match number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => number("LISTEN_FDS").unwrap_or(0),
        // Meant for a process further up.
        _ => 0,
    }
}

pub fn wants_terminal(bundle: &Bundle) -> bool {
    let process = bundle.spec.process().as_ref();
    process.is_some_and(|process| process.terminal().unwrap_or(false))
}

/// What `create` and `run` do differently.
struct Kind {
    /// Its program waits for `start`.
    waits: bool,
    /// Somebody waits for it to be ready.
    notify: bool,
}

/// Makes a container, and goes on with it. Devices that it was given come back when either fails.
fn making<T>(
    globals: &Globals,
    words: &Words,
    bundle: &Bundle,
    how: Kind,
    go_on: impl FnOnce(Made) -> Result<T>,
) -> Result<T> {
    let hear = |text: &str| globals.log.warning(text);
    let devices = NetDevices::of(&bundle.spec)?;
    let connect = devices
        .as_ref()
        .map(|devices| move |pid| devices.move_to(pid));
    let order = Making {
        id: &words.rest[0],
        bundle,
        preserved_fds: open_from_3(preserve_fds(words)?.saturating_add(activated()))?,
        keyring: !words.has("no-new-keyring"),
        waits: how.waits,
        systemd: globals.systemd,
        warn: Some(Warn(&hear)),
        connect: connect.as_ref().map(|connect| Connect(connect)),
        notify: how.notify,
    };
    let done = container::make(&globals.root, &order).and_then(go_on);
    if let (Err(_), Some(devices)) = (&done, &devices)
        && let Err(error) = devices.take_back()
    {
        globals.log.warning(&error.to_string());
    }
    done
}

/// What `--preserve-fds` says.
pub fn preserve_fds(words: &Words) -> Result<u32> {
    Ok(words.number::<u32>("preserve-fds")?.unwrap_or(0))
}

/// So many descriptors go to the program. They must be there: a number in between would be one of Silo's own.
pub fn open_from_3(count: u32) -> Result<u32> {
    for fd in 3..3 + u64::from(count) {
        if std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_err() {
            return Err(Error::invalid(format!(
                "{count} descriptors are to be handed over: {fd} is not open"
            )));
        }
    }
    Ok(count)
}

fn hand_over(made: &mut Made, words: &Words, socket: Option<&str>) -> Result<()> {
    if let (Some(socket), Some(master)) = (socket, &made.terminal) {
        console::send(socket, master)?;
        made.terminal = None;
    }
    console::send_pidfd(words, made.pidfd(), "standard")?;
    console::write_pid(words, made.pid())
}
