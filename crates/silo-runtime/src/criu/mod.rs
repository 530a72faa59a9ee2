//! Checkpoint and restore: a container's processes are written to a folder, and go on from there later, by CRIU (criu.org).
//!
//! Called by `silo oci checkpoint` and `restore`. The container's folder is held meanwhile. A checkpoint that fails leaves the
//! container running, since CRIU lets go of it; a restore that fails leaves nothing, as a failed start does.

mod checkpoint;
mod confine;
mod images;
mod mounts;
mod protobuf;
mod restore;
mod service;

pub use checkpoint::{Checkpoint, checkpoint};
pub use restore::{Restore, restore};

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use silo_sys::clone::ns;
use silo_types::{Doing, Error, Result};

use crate::{plan::Plan, shared::shares_mounts};
use protobuf::{FEATURES, Message, VERSION};
use service::{Forsaken, Service};

/// Settings that both ways share, by their names on the command line.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where the images lie.
    pub images: PathBuf,
    /// Where logs are written; `None`: beside the images.
    pub work: Option<PathBuf>,
    pub tcp_established: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub auto_dedup: bool,
    pub lazy_pages: bool,
    /// `manage-cgroups-mode`; `None`: the groups are Silo's, and CRIU leaves them alone.
    pub cgroups: Option<CgroupsMode>,
    /// Namespaces that are not written besides the network's, as CLONE_NEW* bits.
    pub empty_namespaces: u64,
}

/// What CRIU does about control groups, by its numbers (`criu_cg_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupsMode {
    Ignore = 0,
    Soft = 3,
    Full = 4,
    Strict = 5,
}

/// CRIU reads this configuration of its own besides, with runc's word for it.
fn configuration(spec: &Spec, options: &mut Message) {
    let annotations = spec.annotations().as_ref();
    match annotations.and_then(|all| all.get("org.criu.config")) {
        Some(none) if none.is_empty() => {}
        Some(file) => options.text(51, file),
        None => options.text(51, "/etc/criu/runc.conf"),
    }
}

/// Namespaces of others that images only name, and CRIU is given again: kind, and its name there.
const NAMED: [(u64, &str, &str); 2] = [
    (ns::NET, "net", "extRootNetNS"),
    (ns::PID, "pid", "extRootPidNS"),
];

/// Tells CRIU which of its namespaces are somebody else's.
fn name_namespaces(plan: &Plan, pid: i32, options: &mut Message) -> Result<()> {
    for (flag, kind, name) in NAMED {
        if plan.joined_namespaces.iter().any(|join| join.0 == flag) {
            let path = format!("/proc/{pid}/ns/{kind}");
            let inode = fs::metadata(&path).doing(path)?.ino();
            options.text(37, &format!("{kind}[{inode}]:{name}"));
        }
    }
    Ok(())
}

/// CRIU has to have the container's mounts for itself.
///
/// Errors: Unsupported.
fn check_own_mounts(spec: &Spec) -> Result<()> {
    match shares_mounts(spec) {
        true => Err(Error::unsupported(
            "a container without a mount namespace of its own can be neither checkpointed nor restored",
        )),
        false => Ok(()),
    }
}

/// Asks whether CRIU and the kernel can do what was asked for.
///
/// Errors: Unsupported.
fn check_features(tracks: bool, lazy: bool) -> Result<()> {
    if !tracks && !lazy {
        return Ok(());
    }
    let mut features = Message::default();
    features.switch(1, tracks);
    features.switch(2, lazy);
    let mut request = Message::default();
    request.number(1, FEATURES);
    request.message(5, &features);
    let mut service = Service::start(&[], Forsaken::Dies, || Ok(()))?;
    let answer = service.ask(&request, |_, _| Ok(()))?;
    let lacking = match (tracks && !answer.tracks, lazy && !answer.is_lazy) {
        (true, _) => {
            "MemTrack: the kernel does not follow changes of memory, which --pre-dump and --parent-path need"
        }
        (_, true) => "LazyPages: the kernel does not let others bring memory later",
        _ => return Ok(()),
    };
    Err(Error::unsupported(format!(
        "criu is missing features: {lacking}"
    )))
}

/// The first CRIU that keeps "gains no privileges" (`no_new_privs`); older ones would restore a process without.
const KEEPS_NO_NEW_PRIVILEGES: (u64, u64) = (3, 19);

/// Asks CRIU how old it is, because of a process that gains no privileges.
///
/// Errors: Unsupported.
fn check_age() -> Result<()> {
    let mut request = Message::default();
    request.number(1, VERSION);
    let mut service = Service::start(&[], Forsaken::Dies, || Ok(()))?;
    let (major, minor) = service.ask(&request, |_, _| Ok(()))?.version;
    if (major, minor) >= KEEPS_NO_NEW_PRIVILEGES {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "criu {major}.{minor} does not keep no_new_privs, which processes of this container have: criu 3.19 or newer does"
    )))
}

/// A descriptor of the caller's, to write to.
///
/// Errors: Invalid when it is not open, or not for writing.
fn writable(fd: i32) -> Result<std::os::fd::OwnedFd> {
    let path = format!("/proc/self/fd/{fd}");
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, Mode::empty());
    opened.doing_with(|| format!("invalid --status-fd argument {fd}: not writable"))
}
