//! Throw-away network namespaces: one as the host, others as containers, none of them the machine's own.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use silo_net::{Bridge, NetAttachment, Netns, Request, configure_inside};
use silo_types::ContainerId;

/// A network namespace, kept by a sleeping process that is killed with this value.
pub struct Space {
    keeper: Child,
    file: File,
}

impl Space {
    pub fn new() -> Space {
        let mut keeper = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo; exec sleep 300"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut ready = [0];
        let stdout = keeper.stdout.as_mut().unwrap();
        stdout
            .read_exact(&mut ready)
            .expect("the namespace is made");
        let file = File::open(format!("/proc/{}/ns/net", keeper.id())).unwrap();
        Space { keeper, file }
    }

    pub fn pid(&self) -> u32 {
        self.keeper.id()
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Moves the calling thread in, for good.
    pub fn enter(&self) {
        move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Runs `work` on a thread of its own inside.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// Runs a command line inside; its output if it succeeds.
    pub fn sh(&self, line: &str) -> Result<String, String> {
        self.inside(|| sh(line))
    }

    /// True if `address` answers one ping from inside.
    pub fn pings(&self, address: impl std::fmt::Display) -> bool {
        self.sh(&format!("ping -n -c 1 -W 1 {address}")).is_ok()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Runs a command line in the thread's namespace: its output, or what it said when it failed.
pub fn sh(line: &str) -> Result<String, String> {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!(
            "{line}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        )),
    }
}

/// The host of a test: the calling thread is moved into a new namespace, with a state folder.
pub struct Host {
    pub space: Space,
    pub dir: tempfile::TempDir,
}

impl Host {
    pub fn new() -> Host {
        let space = Space::new();
        space.enter();
        let dir = tempfile::Builder::new()
            .prefix("silo-test-net-")
            .tempdir()
            .unwrap();
        Host { space, dir }
    }

    /// A bridge with a name of this test process.
    pub fn bridge(&self) -> Bridge {
        let name = format!("silot{}", std::process::id());
        Bridge::new(self.dir.path().join("network"), &name).unwrap()
    }
}

pub fn id(byte: u8) -> ContainerId {
    ContainerId::from_bytes([byte; 32])
}

/// A container with nothing but its network.
pub struct Attached {
    pub space: Space,
    pub net: NetAttachment,
}

pub fn attach(bridge: &Bridge, byte: u8) -> Attached {
    let id = id(byte);
    let request = Request {
        id: &id,
        ip: None,
        mac: None,
    };
    let pending = bridge.prepare(&request).unwrap();
    let space = Space::new();
    let net = pending.connect(Netns::Fd(space.fd())).unwrap();
    space.inside(|| configure_inside(&net)).unwrap();
    Attached { space, net }
}
