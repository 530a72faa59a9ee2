//! `( … )`, `$( … )`, background lists and pipeline stages that are no plain program: a new process of this same program,
//! which gets the shell's state and its part of the tree through a memory file. (fork(2) without exec is not offered by
//! any safe interface; the price is about a millisecond.)

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command as Process;
use std::rc::Rc;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::ast::Command;
use super::state::{Options, Shell, Variable};

/// First argument of such a process; the second is the memory file's descriptor.
pub const MARK: &str = "--subshell";

#[derive(Serialize, Deserialize)]
struct Snapshot {
    variables: Vec<(String, Variable)>,
    functions: Vec<(String, Command)>,
    aliases: Vec<(String, String)>,
    positional: Vec<String>,
    name: String,
    options: Options,
    status: i32,
    pid: u32,
    last_background: Option<u32>,
    loops: u32,
    body: Command,
}

/// The path by which this program can start itself.
pub fn own_program() -> &'static str {
    if std::path::Path::new("/proc/self/exe").exists() {
        "/proc/self/exe"
    } else {
        "/bin/sh"
    }
}

/// A process, not yet started, that will run `body`, and the file that must stay open until it is.
///
/// # Errors
/// When the memory file cannot be written.
pub fn process(shell: &Shell, body: &Command) -> io::Result<(Process, File)> {
    let snapshot = Snapshot {
        variables: shell
            .variables
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        functions: shell
            .functions
            .iter()
            .map(|(k, v)| (k.clone(), (**v).clone()))
            .collect(),
        aliases: shell
            .aliases
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        positional: shell.positional.clone(),
        name: shell.name.clone(),
        options: Options {
            interactive: false,
            ..shell.options
        },
        status: shell.status,
        pid: shell.pid,
        last_background: shell.last_background,
        loops: shell.loops,
        body: body.clone(),
    };
    // Without CLOEXEC: the child inherits it under the same number.
    let mut file = File::from(memfd_create("subshell", MemfdFlags::empty())?);
    file.write_all(&serde_json::to_vec(&snapshot)?)?;
    let mut process = Process::new(own_program());
    process
        .arg0("sh")
        .args([MARK, &file.as_raw_fd().to_string()]);
    Ok((process, file))
}

/// In the new process: the state and the body, from the descriptor named in the arguments.
///
/// # Errors
/// When there is no such descriptor or it holds something else.
pub fn resume(descriptor: &str) -> io::Result<(Shell, Command)> {
    let number: i32 = descriptor.parse().map_err(io::Error::other)?;
    let bytes = std::fs::read(format!("/proc/self/fd/{number}")).map_err(|e| {
        let way_out = "a subshell needs /proc; try 'mount -t proc proc /proc'";
        io::Error::new(e.kind(), way_out)
    })?;
    nix::unistd::close(number)?;
    let snapshot: Snapshot = serde_json::from_slice(&bytes)?;
    let mut shell = Shell::new(snapshot.name);
    shell.variables = snapshot.variables.into_iter().collect();
    shell.functions = snapshot
        .functions
        .into_iter()
        .map(|(name, body)| (name, Rc::new(body)))
        .collect();
    shell.aliases = snapshot.aliases.into_iter().collect();
    shell.positional = snapshot.positional;
    shell.options = snapshot.options;
    shell.status = snapshot.status;
    shell.pid = snapshot.pid;
    shell.last_background = snapshot.last_background;
    shell.loops = snapshot.loops;
    Ok((shell, snapshot.body))
}
