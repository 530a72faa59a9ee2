//! The agent that answers calls with the verdict SCMP_ACT_NOTIFY (config-linux.md, "Seccomp", `listenerPath`).
//!
//! The process that loads the filter hands the descriptor over by itself: it is the only one that has it, and who started it may be
//! gone. The agent's socket is a path of the host, so it is connected before the host's tree is left.

use std::{
    io::{IoSlice, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use oci_spec::runtime::{ContainerProcessState, SECCOMP_FD_NAME, State};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use silo_types::{Doing, Error, Result};

/// Where the agent listens, and what the profile has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub path: PathBuf,
    pub metadata: Option<String>,
}

/// A connection to the agent, with what it is to be told.
pub(crate) struct Listener {
    socket: UnixStream,
    told: ContainerProcessState,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Agent {
    /// Connects, with the privileges that the caller has on the host; `state` is the container's.
    pub(crate) fn connect(&self, state: &State) -> Result<Listener> {
        let socket = UnixStream::connect(&self.path).doing_with(|| {
            format!(
                "failed to connect with seccomp agent at {}",
                self.path.display()
            )
        })?;
        let mut told = ContainerProcessState::default();
        told.set_version(state.version().clone())
            .set_fds(vec![SECCOMP_FD_NAME.to_owned()])
            .set_metadata(self.metadata.clone())
            .set_state(state.clone());
        Ok(Listener { socket, told })
    }
}

impl Listener {
    /// Puts in the number by which the host's /proc knows the caller: its own may be that of another namespace.
    pub(crate) fn is_of_caller(&mut self) -> Result<()> {
        let own = std::fs::read_link("/proc/self").doing("/proc/self")?;
        let pid: i32 = own
            .to_str()
            .and_then(|pid| pid.parse().ok())
            .ok_or_else(|| Error::internal("/proc/self is no number"))?;
        self.told.set_pid(pid);
        self.told.state_mut().set_pid(Some(pid));
        Ok(())
    }

    /// Sends the descriptor with the state, once, and closes the connection.
    pub(crate) fn hand_over(self, listener: OwnedFd) -> Result<()> {
        let doing = "hand the seccomp listener to its agent";
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let passed = [listener.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&passed));
        let told = serde_json::to_vec(&self.told).doing(doing)?;
        let sent = sendmsg(
            &self.socket,
            &[IoSlice::new(&told)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .doing(doing)?;
        (&self.socket)
            .write_all(told.get(sent..).unwrap_or_default())
            .doing(doing)
    }
}
