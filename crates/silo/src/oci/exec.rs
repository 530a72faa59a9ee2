//! `exec`: a further process in a container.

use std::{os::fd::AsFd, path::PathBuf};

use oci_spec::runtime::{Capabilities, Process, Spec};
use rustix::thread::{CpuSet, sched_getaffinity};
use silo_cgroup::Cgroup;
use silo_engine::Session;
use silo_runtime::{
    Entry, Stdio, Warn, bundle, capabilities,
    container::{self, hold},
    seccomp::Filter,
    state::{Life, Record, Seen},
};
use silo_types::{Doing, Error, Result};

use super::{
    Verb, console,
    create::{open_from_3, preserve_fds, told_filter},
    globals::Globals,
    options::{self, Opt, Order, Words, switch, value},
};
use crate::terminal;

static OPTIONS: [Opt; 19] = [
    value(
        "process",
        'p',
        "FILE",
        "process.json: what to run, in the specification's form",
    ),
    value("cwd", '\0', "FOLDER", "working directory"),
    value("env", 'e', "NAME=VALUE", "set a variable"),
    switch("tty", 't', "on a terminal"),
    value("user", 'u', "UID[:GID]", "as this user"),
    value("additional-gids", 'g', "GID", "with this group besides"),
    value("cap", 'c', "CAP", "with this capability besides"),
    switch("detach", 'd', "return when it runs"),
    value("pid-file", '\0', "FILE", "where to write the pid"),
    value(
        "console-socket",
        '\0',
        "SOCKET",
        "where to send the terminal",
    ),
    value(
        "preserve-fds",
        '\0',
        "N",
        "hand over N descriptors from 3 on",
    ),
    switch("no-new-privs", '\0', "no program may gain privileges"),
    switch(
        "ignore-paused",
        '\0',
        "also in a paused container: it waits for the others",
    ),
    value(
        "cgroup",
        '\0',
        "PATH",
        "in this group below the container's",
    ),
    value("process-label", '\0', "LABEL", "SELinux label to run with"),
    value("apparmor", '\0', "PROFILE", "AppArmor profile to run with"),
    switch("no-subreaper", '\0', "taken for callers of runc"),
    value("pidfd-socket", '\0', "SOCKET", "where to send a pidfd"),
    value("umask", '\0', "MASK", "octal mask of new files"),
];

pub static VERB: Verb = Verb {
    name: "exec",
    about: "run a process in a container",
    usage: "CONTAINER COMMAND [ARG...]",
    options: &OPTIONS,
    order: Order::First,
    words: (1, usize::MAX),
    starts: true,
    run,
};

fn run(globals: &Globals, words: &Words) -> Result<i32> {
    let seen = globals.root.look(&words.rest[0])?;
    check(&seen, words)?;
    let log = &globals.log;
    let spec = seen.spec()?;
    let process = process(&spec, words)?;
    let detach = words.has("detach");
    let socket = console::check(words, process.terminal().unwrap_or(false), detach)?;
    let hear = |text: &str| log.warning(text);
    let session = enter(&seen, &spec, &process, words, Warn(&hear))?;
    let pid = session.pid;
    log.debug(&format!(
        "nsexec container setup: process {pid} has joined control groups and namespaces"
    ));
    log.debug(&format!(
        "nsexec[{pid}]: affinity: {}",
        born_with(&process)?
    ));
    log.debug("child process in init(): joined");
    let profile = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    told_filter(globals, profile);
    log.debug("setns_init: about to exec: done, the program runs");
    hand_over(session, words, socket, detach)
}

fn check(seen: &Seen, words: &Words) -> Result<()> {
    if matches!(seen.life(), Life::Creating | Life::Stopped) {
        return Err(Error::conflict("cannot exec in a stopped container"));
    }
    if !words.has("ignore-paused") && container::status_word(seen) == "paused" {
        return Err(Error::conflict(
            "cannot exec in a paused container (use --ignore-paused to override)",
        ));
    }
    Ok(())
}

fn enter(
    seen: &Seen,
    spec: &Spec,
    process: &Process,
    words: &Words,
    warn: Warn<'_>,
) -> Result<Session> {
    let gone = || Error::conflict("cannot exec in a stopped container");
    let main = seen.main().ok_or_else(gone)?;
    let target = hold(main).ok_or_else(gone)?;
    let group = match seen.record.cgroup.is_empty() {
        true => None,
        false => Some(group(&seen.record, words)?),
    };
    let born_in = match &group {
        Some(group) => group.open_dir_fd()?,
        None => None,
    };
    let profile = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    let state = silo_runtime::hooks::state(spec, &seen.record.id, &seen.record.bundle);
    let entry = Entry {
        target: target.as_fd(),
        namespaces: silo_runtime::namespaces_of(main.pid)?,
        process,
        linux: spec.linux().as_ref(),
        state: Some(&state),
        seccomp: profile.map(Filter::new).transpose()?,
        stdio: match process.terminal().unwrap_or(false) {
            true => Stdio::Terminal(process.console_size().map_or((0, 0), |size| {
                let short = |side: u64| u16::try_from(side).unwrap_or(u16::MAX);
                (short(size.height()), short(size.width()))
            })),
            false => Stdio::Inherit,
        },
        cgroup: born_in.as_ref().map(AsFd::as_fd),
        doors: group.map(|group| group.entry(false)).transpose()?,
        preserved_fds: open_from_3(preserve_fds(words)?)?,
        all_processors: true,
        plain_terminal: !words.has("detach") && !console::is_screen(),
        shares_mounts: silo_runtime::shares_mounts(spec),
        warn: Some(warn),
    };
    silo_runtime::enter(entry).map(Session::from)
}

/// The container's group, or one below it, which must be there: `PATH`, or for one hierarchy of v1 `CONTROLLER[,…]:PATH`.
fn group(record: &Record, words: &Words) -> Result<Cgroup> {
    let mut group = container::group_of(record)?;
    for text in words.all("cgroup").filter(|text| !text.is_empty()) {
        let (names, path) = match text.split_once(':') {
            Some((names, path)) => (Some(names), path),
            None => (None, text),
        };
        let path = path.trim_matches('/');
        if path.split('/').any(|part| part == "..") {
            return Err(Error::invalid(format!("bad sub cgroup path: {text}")));
        }
        let places = match names {
            None => vec![None],
            Some(names) => names
                .split(',')
                .map(|name| place(&group, name).map(Some))
                .collect::<Result<_>>()?,
        };
        for place in places {
            if !path.is_empty() {
                group = group.below(place, path)?;
            }
        }
    }
    let dirs = (0..group.layout().hierarchies().len()).map(|place| group.dir(place));
    for dir in dirs {
        if !std::path::Path::new(dir).is_dir() {
            return Err(Error::not_found(format!(
                "error adding pid of the new process to cgroups: {dir} does not exist: no such file or directory"
            )));
        }
    }
    Ok(group)
}

fn place(group: &Cgroup, name: &str) -> Result<usize> {
    let hierarchies = group.layout().hierarchies().iter();
    let mut labels = hierarchies.map(|hierarchy| hierarchy.label());
    labels
        .position(|label| label.split(',').any(|one| one == name))
        .ok_or_else(|| Error::not_found(format!("unknown controller {name} in --cgroup")))
}

fn hand_over(
    mut session: Session,
    words: &Words,
    socket: Option<&str>,
    detach: bool,
) -> Result<i32> {
    let master = session.terminal.take();
    let passed = match (&master, socket) {
        (Some(master), Some(socket)) => console::send(socket, master),
        _ => Ok(()),
    };
    let passed = passed.and_then(|()| console::send_pidfd(words, session.pidfd.as_fd(), "setns"));
    if let Err(error) = passed.and_then(|()| console::write_pid(words, session.pid)) {
        session.signal(silo_types::Signal::KILL);
        return Err(error);
    }
    if detach {
        return Ok(0);
    }
    match master {
        Some(master) => terminal::relay(&session, master.as_fd(), true),
        None => terminal::wait(&session),
    }
}

/// The processors that the process was born with, as a mask: those asked for, or else the caller's.
fn born_with(process: &Process) -> Result<String> {
    let asked = process.exec_cpu_affinity().as_ref();
    let asked = asked.and_then(|affinity| affinity.initial().as_deref());
    let places: Vec<usize> = match asked.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => silo_cgroup::parse::list(text)
            .unwrap_or_default()
            .into_iter()
            .flat_map(|(low, high)| low as usize..=high as usize)
            .collect(),
        None => {
            let own = sched_getaffinity(None).doing("ask for the processors")?;
            (0..CpuSet::MAX_CPU)
                .filter(|cpu| own.is_set(*cpu))
                .collect()
        }
    };
    let mut digits = vec![0u8; places.iter().max().map_or(1, |last| last / 4 + 1)];
    for cpu in places {
        digits[cpu / 4] |= 1 << (cpu % 4);
    }
    let digits = digits.iter().rev().map(|digit| format!("{digit:x}"));
    Ok(format!("0x{}", digits.collect::<String>()))
}

/// What to run: a file's, or the container's own with what was typed over it.
fn process(spec: &Spec, words: &Words) -> Result<Process> {
    let file = words.get("process").filter(|path| !path.is_empty());
    let process = match file {
        Some(path) => {
            let text = std::fs::read(path).doing_with(|| format!("read {path}"))?;
            bundle::parse_process(&text, path.as_ref())?
        }
        None => typed(spec, words)?,
    };
    bundle::check_process(&process)?;
    Ok(process)
}

fn typed(spec: &Spec, words: &Words) -> Result<Process> {
    let mut process = spec
        .process()
        .clone()
        .ok_or_else(|| Error::invalid("the container has no process to take settings from"))?;
    let args = words.rest[1..].to_vec();
    if args.is_empty() {
        return Err(Error::invalid("exec: a command is needed"));
    }
    process
        .set_args(Some(args))
        .set_terminal(Some(words.has("tty")))
        .set_console_size(None);
    if let Some(cwd) = words.get("cwd").filter(|cwd| !cwd.is_empty()) {
        process.set_cwd(PathBuf::from(cwd));
    }
    if let Some(profile) = words.get("apparmor").filter(|name| !name.is_empty()) {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if let Some(label) = words.get("process-label").filter(|label| !label.is_empty()) {
        process.set_selinux_label(Some(label.to_owned()));
    }
    if words.has("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(words.all("env").map(str::to_owned));
    process.set_env(Some(env));
    let given = |name: &str| {
        words
            .get(name)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    if let Some(label) = given("process-label") {
        process.set_selinux_label(Some(label));
    }
    if let Some(profile) = given("apparmor") {
        process.set_apparmor_profile(Some(profile));
    }
    set_user(&mut process, words)?;
    add_capabilities(&mut process, words)?;
    Ok(process)
}

fn set_user(process: &mut Process, words: &Words) -> Result<()> {
    let user = process.user_mut();
    if let Some(text) = words.get("user").filter(|text| !text.is_empty()) {
        let (uid, gid) = match text.split_once(':') {
            Some((uid, gid)) => (uid, Some(gid)),
            None => (text, None),
        };
        user.set_uid(options::number("user", uid)?);
        if let Some(gid) = gid {
            user.set_gid(options::number("user", gid)?);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for gid in words.all("additional-gids") {
        groups.push(options::number("additional-gids", gid)?);
    }
    if !groups.is_empty() {
        user.set_additional_gids(Some(groups));
    }
    if let Some(mask) = words.get("umask") {
        let mask = u32::from_str_radix(mask, 8)
            .map_err(|_| Error::invalid(format!("invalid umask {mask:?}: octal digits")))?;
        user.set_umask(Some(mask));
    }
    Ok(())
}

/// Into the sets that a program of root's has them in, as runc does.
fn add_capabilities(process: &mut Process, words: &Words) -> Result<()> {
    let mut added = Capabilities::new();
    for text in words.all("cap") {
        added.insert(capabilities::parse(text)?);
    }
    if added.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<Capabilities>| {
        let own = set.iter().flatten().copied();
        Some(own.chain(added.iter().copied()).collect())
    };
    let (bounding, effective, permitted) = (
        with(sets.bounding()),
        with(sets.effective()),
        with(sets.permitted()),
    );
    // The kernel keeps none in the ambient set that is not inheritable.
    if sets
        .inheritable()
        .as_ref()
        .is_some_and(|set| !set.is_empty())
    {
        let ambient = with(sets.ambient());
        sets.set_ambient(ambient);
    }
    sets.set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted);
    process.set_capabilities(Some(sets));
    Ok(())
}
