//! A network namespace for each test: loopback is up, nothing leads out.

use std::{
    fs::File,
    io::Read,
    os::fd::AsFd,
    process::{Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Moves the calling thread, and what it starts from now on, into a fresh network namespace. It goes with the last of them.
pub fn enter_own() {
    // A process makes it, because unshare(2) is not offered to safe code; it ends when its input does.
    let mut maker = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && echo && read end"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare of util-linux");
    let mut ready = [0];
    let made = maker.stdout.take().unwrap().read_exact(&mut ready);
    made.expect("a network namespace, as root, with ip of iproute2");
    let namespace = File::open(format!("/proc/{}/ns/net", maker.id())).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    drop(maker.stdin.take());
    maker.wait().unwrap();
}
