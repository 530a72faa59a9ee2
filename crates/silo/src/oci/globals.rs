//! Options before the verb.

use std::{ffi::OsString, path::Path};

use silo_runtime::{caller, scope, state::StateRoot};
use silo_types::{Error, Result};

use super::{
    log::Log,
    options::{self, HELP, Opt, Order, switch, value},
};

/// Where the state of containers lies when `--root` is not given.
const DEFAULT_ROOT: &str = "/run/silo/oci";

pub static OPTIONS: [Opt; 8] = [
    value(
        "root",
        '\0',
        "FOLDER",
        "where the state of containers lies (/run/silo/oci; below XDG_RUNTIME_DIR for who is not root)",
    ),
    value(
        "log",
        '\0',
        "FILE",
        "where to log, also errors (standard error)",
    ),
    value("log-format", '\0', "text|json", "form of the log"),
    switch("debug", '\0', "log more"),
    switch(
        "systemd-cgroup",
        '\0',
        "control groups are scopes of systemd's",
    ),
    value(
        "rootless",
        '\0',
        "auto|true|false",
        "taken for callers of runc; what is asked for decides",
    ),
    value(
        "criu",
        '\0',
        "PATH",
        "taken for callers of runc; the criu in PATH is used",
    ),
    switch("version", 'v', "print the version"),
];

/// As typed, with defaults.
#[derive(Debug)]
pub struct Globals {
    pub root: StateRoot,
    pub log: Log,
    /// The root was given, and is not the usual one, which nobody may have made yet.
    pub is_root_named: bool,
    pub version: bool,
    pub help: bool,
    /// Control groups are made by systemd.
    pub systemd: bool,
}

impl Globals {
    /// Takes the options; the rest begins with the verb.
    pub fn parse(words: &[OsString]) -> Result<(Globals, &[OsString])> {
        let parsed = options::parse(&OPTIONS, words, Order::First)?;
        let rest = &words[words.len() - parsed.rest.len()..];
        let json = match parsed.get("log-format") {
            None | Some("" | "text") => false,
            Some("json") => true,
            Some(other) => {
                return Err(Error::invalid(format!(
                    "unknown log-format {other:?}: text or json"
                )));
            }
        };
        let file = parsed.get("log").filter(|file| !file.is_empty());
        let log = Log {
            file: file.map(Into::into),
            json,
            debug: parsed.has("debug"),
        };
        log.check()?;
        let root = parsed.get("root").filter(|root| !root.is_empty());
        let named = root.is_some();
        let usual = match caller::run_folder() {
            Some(folder) => folder.join("silo/oci"),
            None => DEFAULT_ROOT.into(),
        };
        let globals = Globals {
            root: StateRoot::at(root.map_or(usual.as_path(), Path::new))?,
            log,
            is_root_named: named,
            version: parsed.has("version"),
            help: parsed.has(HELP),
            systemd: parsed.has("systemd-cgroup"),
        };
        Ok((globals, rest))
    }

    /// What cannot be had must not be gone on without.
    pub fn check(&self) -> Result<()> {
        match self.systemd {
            true => scope::check(),
            false => Ok(()),
        }
    }
}
