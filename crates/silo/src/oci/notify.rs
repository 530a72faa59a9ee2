//! `NOTIFY_SOCKET`, sd_notify(3): who started this command waits until the container's program says that it is ready.
//!
//! The program gets a socket of its own below /run/notify. The line that begins with `READY=` is handed on, with who the main process
//! is; what else it says stays here, since the caller's service manager believes this command and knows no process of the container's.

use std::{
    fs,
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::PathBuf,
};

use oci_spec::runtime::{MountBuilder, Spec};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketAddrUnix, SocketFlags, SocketType, bind, connect, recv, sendmsg, socket_with,
    },
    pipe::{PipeFlags, pipe_with},
};
use silo_types::{Doing, Error, Result};

use super::globals::Globals;

const VARIABLE: &str = "NOTIFY_SOCKET";
const FILE: &str = "notify.sock";
/// Where the program finds it.
const INSIDE: &str = "/run/notify";
/// How long the service manager may take to read what it was told.
const READS: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// Somebody waits for a container to be ready.
pub struct Notify {
    host: String,
    folder: PathBuf,
}

impl Notify {
    /// `None`: nobody does.
    pub fn asked(globals: &Globals, id: &str) -> Option<Notify> {
        let host = std::env::var(VARIABLE).ok()?;
        (!host.is_empty()).then(|| Notify {
            host,
            folder: globals.root.notify_folder(id),
        })
    }

    /// The program finds its socket by the same variable.
    pub fn add_to(&self, spec: &mut Spec) -> Result<()> {
        let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned);
        let mount = MountBuilder::default()
            .destination(INSIDE)
            .typ("bind")
            .source(&self.folder)
            .options(options)
            .build()
            .doing("describe the mount of the notify socket")?;
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        mounts.push(mount);
        spec.set_mounts(Some(mounts));
        if let Some(process) = spec.process_mut() {
            let mut env = process.env().clone().unwrap_or_default();
            env.push(format!("{VARIABLE}={INSIDE}/{FILE}"));
            process.set_env(Some(env));
        }
        Ok(())
    }

    /// Listens, if the container was made with it.
    pub fn listen(self) -> Result<Option<Listening>> {
        let doing = || format!("listen at {}", self.folder.join(FILE).display());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(&self.folder, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.doing_with(doing)?,
        };
        let socket = datagrams()?;
        // By descriptor: the path may be longer than a socket's name can be.
        let path = format!("/proc/self/fd/{}/{FILE}", folder.as_raw_fd());
        let address = SocketAddrUnix::new(path.as_str()).doing_with(doing)?;
        bind(&socket, &address).doing_with(doing)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).doing_with(doing)?;
        Ok(Some(Listening {
            socket,
            host: self.host,
        }))
    }
}

fn datagrams() -> Result<OwnedFd> {
    socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .doing("make a socket")
}

/// The container's socket, before its program runs.
pub struct Listening {
    socket: OwnedFd,
    host: String,
}

impl Listening {
    /// Waits until the program is ready and tells who waits for it, with the number of the process that is to be watched. A program
    /// that ends before leaves nothing to be told.
    pub fn hand_on(&self, program: BorrowedFd<'_>, watched: i32) -> Result<()> {
        let Some(ready) = self.ready(program)? else {
            return Ok(());
        };
        let doing = || format!("tell {} that the container is ready", self.host);
        let host = datagrams()?;
        let address = match self.host.strip_prefix('@') {
            Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
            None => SocketAddrUnix::new(self.host.as_str()),
        };
        connect(&host, &address.doing_with(doing)?).doing_with(doing)?;
        let tell = |text: &[u8], passed: &[BorrowedFd<'_>]| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !passed.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(passed));
            }
            sendmsg(
                &host,
                &[IoSlice::new(text)],
                &mut control,
                SendFlags::NOSIGNAL,
            )
            .doing_with(doing)
            .map(drop)
        };
        tell(format!("{ready}\n").as_bytes(), &[])?;
        tell(format!("MAINPID={watched}\n").as_bytes(), &[])?;
        // It closes the pipe when it has read all before, sd_notify_barrier(3): this process must not be gone before that.
        let (read, closed) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
        tell(b"BARRIER=1", &[closed.as_fd()])?;
        drop(closed);
        let mut ends = [PollFd::new(&read, PollFlags::IN)];
        match poll(&mut ends, Some(&READS)) {
            Ok(0) => Err(Error::internal(format!(
                "{} was told that the container is ready, and has not read it within 30 s",
                self.host
            ))),
            _ => Ok(()),
        }
    }

    /// The same in a process beside this one, which has the container to look after, and with which it ends.
    pub fn hand_on_beside(self, program: BorrowedFd<'_>) -> Result<()> {
        let own = std::process::id();
        if silo_sys::process::fork().doing("fork for the notify socket")? != 0 {
            return Ok(());
        }
        let _ = silo_sys::process::set_parent_death_signal(9);
        let told = self.hand_on(program, own as i32);
        silo_sys::process::exit_now(i32::from(told.is_err()));
    }

    /// The line that says so; `None`: the program has ended.
    fn ready(&self, program: BorrowedFd<'_>) -> Result<Option<String>> {
        loop {
            let mut fds = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::from_borrowed_fd(program, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::system("wait for the container", error)),
            }
            let (spoke, ended) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            if spoke {
                let mut packet = [0u8; 4096];
                let got = recv(&self.socket, &mut packet, RecvFlags::DONTWAIT);
                let got = got.map_or(0, |(got, _)| got);
                let text = String::from_utf8_lossy(&packet[..got]);
                if let Some(line) = text.lines().find(|line| line.starts_with("READY=")) {
                    return Ok(Some(line.to_owned()));
                }
            } else if ended {
                return Ok(None);
            }
        }
    }
}
