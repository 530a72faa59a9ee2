//! System call filters: profile in, program out, and Silo's default profile.
//!
//! The runtime makes a [`Filter`] before it clones and loads it as one of the last steps before the container's program, after
//! the capabilities are set when `no_new_privs` is on, before it otherwise (the kernel wants CAP_SYS_ADMIN or `no_new_privs`).
//! What is loaded depends on the profile alone: a filter that cannot be made or loaded is an error, never a container without.

mod bpf;
mod calls;
mod compile;
mod profile;
mod syscalls;
#[cfg(test)]
mod tests;

use std::{io, os::fd::OwnedFd};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag, State};
use silo_sys::seccomp::{self as sys, Flags, SockFilter};
use silo_types::{Error, Result};

use crate::listener::Agent;

pub use compile::compile;
pub use profile::default_profile;

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "the tables of system calls are x86-64's: add those of this machine to seccomp/syscalls.rs"
);

/// A compiled profile with the way to attach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub program: Vec<SockFilter>,
    pub flags: Flags,
    /// Some call has the verdict NOTIFY: loading yields a listener.
    pub notifies: bool,
    /// Who gets the listener.
    pub agent: Option<Agent>,
}

impl Filter {
    /// Compiles a profile; errors as [`compile`].
    ///
    /// The flag TSYNC is left out, as in runc: the thread that loads the filter is the only one that lives on through exec. So is
    /// WAIT_KILLABLE_RECV when no call notifies, since the kernel refuses it then. A profile that says nothing of flags means
    /// SPEC_ALLOW, as with runc: a filter is no reason to slow all that runs under it (Linux from 5.16 has it so by itself).
    pub fn new(profile: &LinuxSeccomp) -> Result<Filter> {
        let notify = LinuxSeccompAction::ScmpActNotify;
        let notifies = profile
            .syscalls()
            .iter()
            .flatten()
            .any(|entry| entry.action() == notify);
        let has = |flag| profile.flags().iter().flatten().any(|f| *f == flag);
        Ok(Filter {
            program: compile(profile)?,
            flags: Flags {
                log: has(LinuxSeccompFilterFlag::SeccompFilterFlagLog),
                spec_allow: profile.flags().is_none()
                    || has(LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow),
                tsync: false,
                wait_killable_recv: notifies
                    && has(LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv),
            },
            notifies,
            agent: profile
                .listener_path()
                .as_ref()
                .filter(|_| notifies)
                .map(|path| Agent {
                    path: path.clone(),
                    metadata: profile.listener_metadata().clone(),
                }),
        })
    }

    /// The flags of seccomp(2) by their number, `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
    pub fn kernel_flags(&self) -> u32 {
        let flag = |is_set: bool, bit: u32| u32::from(is_set) << bit;
        flag(self.flags.tsync, 0)
            | flag(self.flags.log, 1)
            | flag(self.flags.spec_allow, 2)
            | flag(self.notifies, 3)
            | flag(self.flags.wait_killable_recv, 5)
    }

    /// A filter that notifies is of use only with an agent, which must be told whose process asks.
    pub(crate) fn check_agent(&self, state: Option<&State>) -> Result<()> {
        match (self.notifies, &self.agent, state) {
            (false, _, _) | (true, Some(_), Some(_)) => Ok(()),
            (true, None, _) => Err(Error::invalid(
                "a seccomp profile with SCMP_ACT_NOTIFY needs a listenerPath",
            )),
            (true, Some(_), None) => Err(Error::unsupported(
                "a seccomp profile with SCMP_ACT_NOTIFY needs a listener, which is not available here",
            )),
        }
    }

    /// Attaches the filter to the calling thread for good; the listener, if calls notify, is for the agent at the profile's
    /// `listenerPath`. Allocates nothing.
    pub fn load(&self) -> io::Result<Option<OwnedFd>> {
        match self.notifies {
            true => sys::load_with_listener(&self.program, self.flags).map(Some),
            false => sys::load(&self.program, self.flags).map(|()| None),
        }
    }
}
