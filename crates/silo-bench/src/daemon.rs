//! Docker and Podman made ready: dockerd in this view of the system, and the `lab` image for both.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use silo_types::{Doing, Error, Result};

use crate::{measure::output, tools::Tools};

pub const SOCKET: &str = "unix:///run/docker-bench.sock";

pub const IMAGE: &str = "localhost/lab:bench";

/// dockerd, ended when dropped.
pub struct Daemon {
    child: Child,
    /// Control groups that it and podman make and leave.
    groups: Vec<PathBuf>,
}

impl Daemon {
    pub fn start(tools: &Tools) -> Result<Daemon> {
        let log = tools.work.join("dockerd.log");
        let log = File::create(&log).doing_with(|| format!("make {}", log.display()))?;
        let groups = left_groups()
            .into_iter()
            .filter(|group| !group.exists())
            .collect();
        let child = Command::new("dockerd")
            .args(["-H", SOCKET, "--exec-opt", "native.cgroupdriver=cgroupfs"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .doing("start dockerd")?;
        let daemon = Daemon { child, groups };
        let patience = Instant::now() + Duration::from_secs(60);
        while output(&mut docker(&["version"])).is_err() {
            if Instant::now() > patience {
                return Err(Error::conflict(
                    "dockerd does not answer: see dockerd.log in the work folder",
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        // Only folders that were not there before; one that is in use stays.
        for group in &self.groups {
            let _ = fs::remove_dir(group);
        }
    }
}

/// The folders above their containers, in every hierarchy.
fn left_groups() -> Vec<PathBuf> {
    let top = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(&top)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let tops: Vec<PathBuf> = hierarchies.chain([top.clone()]).collect();
    let names = ["docker", "libpod_parent/conmon", "libpod_parent"];
    names
        .iter()
        .flat_map(|name| tops.iter().map(move |top| top.join(name)))
        .collect()
}

pub fn docker(words: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["-H", SOCKET]).args(words);
    command
}

pub fn podman(words: &[&str]) -> Command {
    let mut command = Command::new("podman");
    command.args(words);
    command
}

/// The very files of Silo's image, for both.
pub fn import_lab(tools: &Tools) -> Result<()> {
    let archive = tools.work.join("lab.tar").display().to_string();
    output(
        Command::new("tar")
            .arg("-C")
            .arg(&tools.rootfs)
            .args(["-cf", &archive, "."]),
    )?;
    output(&mut docker(&["import", &archive, IMAGE]))?;
    output(&mut podman(&["import", "-q", &archive, IMAGE])).map(drop)
}
