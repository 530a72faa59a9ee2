//! The way of a first process into a user or a time namespace.
//!
//! The namespaces of a container belong to its user namespace, so that must be entered before they are made; and the offsets of
//! a time namespace must be set before anybody is in it. Neither can be had by cloning right into them. So the process that the
//! caller cloned goes ahead, and clones one that goes on in its place, as a sibling:
//!
//! ```text
//! caller                  passage                                 first process
//!   clone ─────────────────▶ control groups, sources of the host
//!                            joins, user namespace, time offsets
//!                            clone ──────────────────────────────▶ other namespaces, root, program
//!         ◀───────────────── Moved: its pid and pidfd
//!   waits ◀───────────────── ends
//! ```
//!
//! A namespace of the host can be joined only before the user namespace, one of another container's user namespace only after it
//! by who has no privileges on the host: both are tried.

use std::{
    fs::File,
    io::Write,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use oci_spec::runtime::{Capability, User};
use rustix::{
    fs::{self, CWD, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::DumpableBehavior,
    thread,
};
use silo_sys::{
    clone::{self, Cloned, ns},
    process,
};
use silo_types::{Doing, Error, Result};

use crate::{
    capabilities::CapSet,
    channel::{Channel, Message},
    create::Stdio,
    id_map::IdMaps,
    plan::{Plan, Rlimit, UserNamespace},
    rootfs::IdSpaces,
};

/// Whether the caller has privileges where it is, so that it opens the host's files before it enters a user namespace.
pub(crate) fn is_privileged() -> Result<bool> {
    Ok(CapSet::of_this_process()?.contains(Capability::SysAdmin))
}

/// Makes the user namespaces of the plan: the container's, and those of mounts with maps of their own.
pub(crate) fn make_id_spaces(plan: &Plan) -> Result<IdSpaces> {
    use crate::plan::MountMaps;
    let user = match &plan.user_namespace {
        None => None,
        Some(UserNamespace::New(maps)) => Some(maps.make_namespace()?),
        Some(UserNamespace::Joined(path)) => Some(open_joined(path)?),
    };
    let mut spaces = IdSpaces {
        user,
        of_mounts: Vec::new(),
    };
    let mut made: Vec<(&IdMaps, usize)> = Vec::new();
    for (at, step) in plan.mounts.iter().enumerate() {
        let Some(MountMaps::Own(maps)) = &step.id_map else {
            continue;
        };
        let space = match made.iter().find(|(known, _)| *known == maps) {
            Some((_, place)) => spaces.of_mounts[*place]
                .1
                .try_clone()
                .doing("copy a descriptor")?,
            None => maps
                .make_namespace()
                .map_err(|e| e.context(format!("mount {}", step.target)))?,
        };
        made.push((maps, spaces.of_mounts.len()));
        spaces.of_mounts.push((at, space));
    }
    Ok(spaces)
}

fn open_joined(path: &std::path::Path) -> Result<OwnedFd> {
    let joined = crate::create::open_namespace(path)?;
    let own = fs::stat("/proc/self/ns/user").doing("/proc/self/ns/user")?;
    let other = fs::fstat(&joined).doing_with(|| path.display().to_string())?;
    match (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino) {
        true => Err(Error::invalid(format!(
            "the user namespace {} is the caller's own: leave it out to share it",
            path.display()
        ))),
        false => Ok(joined),
    }
}

/// What goes through.
pub(crate) struct Passage<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) user: Option<BorrowedFd<'a>>,
    pub(crate) joins: &'a [(u64, OwnedFd)],
    pub(crate) of_process: &'a User,
}

impl Passage<'_> {
    /// Goes through and returns in the process that goes on; the one that called ends.
    pub(crate) fn go(&self, channel: &Channel) -> Result<()> {
        // Its own files in /proc are the caller's only as long as it does not hide.
        let offsets = match self.plan.time_offsets.as_str() {
            "" => None,
            _ => Some(open_offsets()?),
        };
        // Who is in a joined namespace must not look at this process before it is the program (CVE-2016-9962).
        hide()?;
        raise_limits(&self.plan.rlimits);
        let later = self.join_what_can_be()?;
        if let Some(user) = self.user {
            drop_groups()?;
            clone::setns(user, ns::USER).doing("join the user namespace")?;
            for (flag, namespace) in later {
                clone::setns(namespace.as_fd(), *flag).doing("join a namespace")?;
            }
            become_root(self.of_process)?;
        }
        if self.plan.new_namespaces & ns::TIME != 0 {
            clone::unshare(ns::TIME).doing("make a time namespace")?;
        }
        if let Some(mut offsets) = offsets {
            offsets
                .write_all(self.plan.time_offsets.as_bytes())
                .doing("set the offsets of the time namespace")?;
        }
        go_on_as_sibling(self.plan.new_namespaces & ns::PID, channel)
    }

    /// Joins what can be joined before the user namespace; returns the rest.
    fn join_what_can_be(&self) -> Result<Vec<&(u64, OwnedFd)>> {
        let mut later = Vec::new();
        for join in self.joins {
            match clone::setns(join.1.as_fd(), join.0) {
                Ok(()) => {}
                Err(error)
                    if self.user.is_some()
                        && error.raw_os_error() == Some(Errno::PERM.raw_os_error()) =>
                {
                    later.push(join);
                }
                Err(error) => return Err(Error::system("join a namespace", error)),
            }
        }
        Ok(later)
    }
}

pub(crate) fn hide() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .doing("hide from the container")
}

/// Clones a process with new `namespaces` that goes on from here as the caller's sibling; the caller tells its parent, and ends.
///
/// It goes on only when that is told: nothing that it says may come before.
pub(crate) fn go_on_as_sibling(namespaces: u64, channel: &Channel) -> Result<()> {
    let (waits, told) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
    match clone::clone_sibling(namespaces).doing("clone the first process")? {
        Cloned::Child => {
            drop(told);
            match rustix::io::read(&waits, &mut [0u8; 1]) {
                Ok(1) => Ok(()),
                // The parent was not told of this process, or is gone.
                _ => process::exit_now(1),
            }
        }
        Cloned::Parent { pid, pidfd } => {
            let done = channel
                .send(&Message::Moved(pid, pidfd))
                .and_then(|()| rustix::io::write(&told, b"x").doing("let it go on"));
            process::exit_now(i32::from(done.is_err()))
        }
    }
}

/// Before a user namespace is entered: one that denies it lets nobody give up groups any more, user_namespaces(7), "setgroups". Who
/// has no privileges keeps them.
pub(crate) fn drop_groups() -> Result<()> {
    match thread::set_thread_groups(&[]) {
        Ok(()) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(Error::system("drop the supplementary groups", error)),
    }
}

/// Root of the user namespace, or the process's own user where root is not mapped. Without groups, unless they must be kept.
pub(crate) fn become_root(of_process: &User) -> Result<()> {
    drop_groups()?;
    let group = |gid: u32| {
        let gid = Gid::from_raw(gid);
        thread::set_thread_res_gid(gid, gid, gid)
    };
    let user = |uid: u32| {
        let uid = Uid::from_raw(uid);
        thread::set_thread_res_uid(uid, uid, uid)
    };
    match group(0) {
        Err(Errno::INVAL) => group(of_process.gid()),
        done => done,
    }
    .doing_with(|| format!("become group 0 or {} inside", of_process.gid()))?;
    match user(0) {
        Err(Errno::INVAL) => user(of_process.uid()),
        done => done,
    }
    .doing_with(|| format!("become user 0 or {} inside", of_process.uid()))
}

/// The file of the calling process's next time namespace. Opened on the host, whose privileges count.
fn open_offsets() -> Result<File> {
    fs::openat(
        CWD,
        "/proc/self/timens_offsets",
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map(File::from)
    .doing("open /proc/self/timens_offsets")
}

/// Hard limits above the caller's own are root's of the host to give; the limits are set at the end all the same.
pub(crate) fn raise_limits(limits: &[Rlimit]) {
    for limit in limits {
        if let Ok((soft, hard)) = process::rlimit(limit.resource)
            && limit.hard > hard
        {
            let _ = process::set_rlimit(limit.resource, soft, limit.hard);
        }
    }
}

/// Pipes of the host become the user's inside, who could not open them again by /dev/stdout otherwise.
pub(crate) fn give_pipes(stdio: &Stdio, maps: &IdMaps, of_process: &User) -> Result<()> {
    let (Some(uid), Some(gid)) = (
        maps.host_uid(of_process.uid()),
        maps.host_gid(of_process.gid()),
    ) else {
        return Ok(());
    };
    let give = |fd: BorrowedFd<'_>| -> Result<()> {
        let stat = fs::fstat(fd).doing("stat a standard stream")?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
            fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .doing("give away a standard stream")?;
        }
        Ok(())
    };
    match stdio {
        Stdio::Given(given) => given.iter().try_for_each(|fd| give(fd.as_fd())),
        Stdio::Inherit => {
            let own = [
                rustix::stdio::stdin(),
                rustix::stdio::stdout(),
                rustix::stdio::stderr(),
            ];
            own.into_iter().try_for_each(give)
        }
        Stdio::Terminal(_) => Ok(()),
    }
}
