//! `checkpoint` and `restore`: a container's processes go to a folder, and go on from there, by CRIU where it is installed.

use std::{os::fd::AsFd, path::PathBuf};

use silo_engine::Session;
use silo_runtime::{
    Warn, container,
    criu::{self, CgroupsMode, Checkpoint, Restore, Settings},
};
use silo_types::{Error, Result};

use super::{
    Verb, console, create,
    globals::Globals,
    options::{Opt, Order, Words, switch, value},
};
use crate::terminal;

const IMAGES: Opt = value(
    "image-path",
    '\0',
    "FOLDER",
    "where the images lie (./checkpoint)",
);
const WORK: Opt = value(
    "work-path",
    '\0',
    "FOLDER",
    "where logs are written (beside the images)",
);
const TCP: Opt = switch("tcp-established", '\0', "allow open connections");
const UNIX: Opt = switch("ext-unix-sk", '\0', "allow sockets that lead outside");
const SHELL: Opt = switch("shell-job", '\0', "allow a terminal of the caller's");
const LOCKS: Opt = switch("file-locks", '\0', "keep file locks");
const CGROUPS: Opt = value(
    "manage-cgroups-mode",
    '\0',
    "soft|full|strict|ignore",
    "what CRIU does about control groups (ignore: they are made as at a start)",
);
const EMPTY: Opt = value(
    "empty-ns",
    '\0',
    "network",
    "a namespace that is restored empty",
);
const DEDUP: Opt = switch("auto-dedup", '\0', "drop memory that a later image has");
const LAZY: Opt = switch("lazy-pages", '\0', "memory comes when it is asked for");

static CHECKPOINT_OPTIONS: [Opt; 17] = [
    IMAGES,
    WORK,
    value(
        "parent-path",
        '\0',
        "FOLDER",
        "images of an earlier --pre-dump",
    ),
    switch("leave-running", '\0', "let it run on"),
    TCP,
    switch(
        "tcp-skip-in-flight",
        '\0',
        "leave out connections that are still being made",
    ),
    switch(
        "link-remap",
        '\0',
        "name open files that have no name any more",
    ),
    UNIX,
    SHELL,
    LAZY,
    value(
        "status-fd",
        '\0',
        "N",
        "written to when lazy pages can be asked for",
    ),
    value("page-server", '\0', "ADDRESS:PORT", "who takes the memory"),
    LOCKS,
    switch("pre-dump", '\0', "memory only; it runs on"),
    CGROUPS,
    EMPTY,
    DEDUP,
];

static RESTORE_OPTIONS: [Opt; 18] = [
    value(
        "console-socket",
        '\0',
        "SOCKET",
        "where to send the terminal",
    ),
    IMAGES,
    WORK,
    TCP,
    UNIX,
    SHELL,
    LOCKS,
    CGROUPS,
    value(
        "bundle",
        'b',
        "FOLDER",
        "folder of config.json (the present one)",
    ),
    switch("detach", 'd', "return when it runs"),
    value("pid-file", '\0', "FILE", "where to write the pid"),
    switch("no-subreaper", '\0', "taken for callers of runc"),
    switch("no-pivot", '\0', "taken for callers of runc"),
    EMPTY,
    DEDUP,
    LAZY,
    value(
        "lsm-profile",
        '\0',
        "TYPE:NAME",
        "another profile of a security module than it had",
    ),
    value(
        "lsm-mount-context",
        '\0',
        "TEXT",
        "SELinux context of its mounts",
    ),
];

pub static CHECKPOINT: Verb = Verb {
    name: "checkpoint",
    about: "write a running container to a folder (CRIU)",
    usage: "CONTAINER",
    options: &CHECKPOINT_OPTIONS,
    order: Order::Mixed,
    words: (1, 1),
    starts: true,
    run: checkpoint,
};

pub static RESTORE: Verb = Verb {
    name: "restore",
    about: "let a container go on from such a folder (CRIU)",
    usage: "CONTAINER",
    options: &RESTORE_OPTIONS,
    order: Order::Mixed,
    words: (1, 1),
    starts: true,
    run: restore,
};

fn given<'a>(words: &'a Words, name: &str) -> Option<&'a str> {
    words.get(name).filter(|text| !text.is_empty())
}

fn folder(words: &Words, name: &str) -> Result<Option<PathBuf>> {
    let absolute = |text: &str| {
        std::path::absolute(text).map_err(|error| Error::system(format!("--{name} {text}"), error))
    };
    given(words, name).map(absolute).transpose()
}

fn settings(words: &Words) -> Result<Settings> {
    let cgroups = match given(words, "manage-cgroups-mode") {
        None => None,
        Some("soft") => Some(CgroupsMode::Soft),
        Some("full") => Some(CgroupsMode::Full),
        Some("strict") => Some(CgroupsMode::Strict),
        Some("ignore") => Some(CgroupsMode::Ignore),
        Some(_) => return Err(Error::invalid("Invalid manage-cgroups-mode value")),
    };
    let mut empty_namespaces = 0;
    for name in words.all("empty-ns").filter(|name| !name.is_empty()) {
        match name {
            // CLONE_NEWNET
            "network" => empty_namespaces |= 0x4000_0000,
            other => {
                return Err(Error::invalid(format!(
                    "namespace {other} is not supported"
                )));
            }
        }
    }
    let images = match folder(words, "image-path")? {
        Some(images) => images,
        None => std::path::absolute("checkpoint")
            .map_err(|error| Error::system("the folder checkpoint", error))?,
    };
    Ok(Settings {
        images,
        work: folder(words, "work-path")?,
        tcp_established: words.has("tcp-established"),
        ext_unix_sk: words.has("ext-unix-sk"),
        shell_job: words.has("shell-job"),
        file_locks: words.has("file-locks"),
        auto_dedup: words.has("auto-dedup"),
        lazy_pages: words.has("lazy-pages"),
        cgroups,
        empty_namespaces,
    })
}

fn checkpoint(globals: &Globals, words: &Words) -> Result<i32> {
    let page_server = given(words, "page-server").map(|text| {
        let bad = || Error::invalid("Use --page-server ADDRESS:PORT to specify page server");
        let (address, port) = text.rsplit_once(':').ok_or_else(bad)?;
        Ok::<_, Error>((address.to_owned(), port.parse().map_err(|_| bad())?))
    });
    let order = Checkpoint {
        settings: settings(words)?,
        leave_running: words.has("leave-running"),
        pre_dump: words.has("pre-dump"),
        parent: given(words, "parent-path").map(str::to_owned),
        page_server: page_server.transpose()?,
        status_fd: words.number("status-fd")?.filter(|fd| *fd >= 0),
        link_remap: words.has("link-remap"),
        skips_in_flight: words.has("tcp-skip-in-flight"),
    };
    for warning in criu::checkpoint(&globals.root, &words.rest[0], &order)? {
        globals.log.warning(&warning.to_string());
    }
    Ok(0)
}

fn restore(globals: &Globals, words: &Words) -> Result<i32> {
    let bundle = create::load(globals, words)?;
    let detach = words.has("detach");
    let socket = console::check(words, create::wants_terminal(&bundle), detach)?;
    let hear = |text: &str| globals.log.warning(text);
    let order = Restore {
        settings: settings(words)?,
        id: &words.rest[0],
        bundle: &bundle,
        systemd: globals.systemd,
        warn: Some(Warn(&hear)),
        lsm_profile: given(words, "lsm-profile").map(str::to_owned),
        lsm_mount_context: given(words, "lsm-mount-context").map(str::to_owned),
    };
    let mut running = criu::restore(&globals.root, &order)?;
    let master = running.terminal.take();
    let passed = match (socket, &master) {
        (Some(socket), Some(master)) => console::send(socket, master),
        _ => Ok(()),
    };
    if let Err(error) = passed.and_then(|()| console::write_pid(words, running.pid)) {
        container::delete(&globals.root, order.id, true)?;
        return Err(error);
    }
    if detach {
        return Ok(0);
    }
    let session = Session::from(running);
    let code = match master {
        Some(master) => terminal::relay(&session, master.as_fd(), true),
        None => terminal::wait(&session),
    }?;
    for warning in container::delete(&globals.root, order.id, true)? {
        globals.log.warning(&warning.to_string());
    }
    Ok(code)
}
