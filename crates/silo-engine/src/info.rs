//! The engine and its host in figures: `info`.

use silo_cgroup::{Layout, Mode};
use silo_types::{Result, Status};

use crate::Engine;

/// What `info` tells.
#[derive(Clone, Debug, Default)]
pub struct Info {
    pub containers: usize,
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
    pub root: String,
    pub run: String,
    pub kernel: String,
    pub operating_system: String,
    pub architecture: String,
    pub cpus: usize,
    pub memory_bytes: u64,
    /// `1` (also hybrid) or `2`, as Docker.
    pub cgroup_version: String,
    /// The hierarchies, in words.
    pub cgroup_layout: String,
    pub hostname: String,
}

impl Engine {
    pub fn info(&self) -> Result<Info> {
        let containers = self.list()?;
        let count = |status: Status| {
            containers
                .iter()
                .filter(|c| c.state.status == status)
                .count()
        };
        let (running, paused) = (count(Status::Running), count(Status::Paused));
        let uname = rustix::system::uname();
        let layout = Layout::detect()?;
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let total = rustix::system::sysinfo();
        Ok(Info {
            containers: containers.len(),
            running,
            paused,
            stopped: containers.len() - running - paused,
            images: self.images.list()?.len(),
            root: self.paths.root.display().to_string(),
            run: self.paths.run.display().to_string(),
            kernel: text(uname.release()),
            operating_system: operating_system(),
            architecture: text(uname.machine()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: total.totalram as u64 * u64::from(total.mem_unit),
            cgroup_version: match layout.mode() {
                Mode::V2 => "2",
                Mode::V1 | Mode::Hybrid => "1",
            }
            .to_owned(),
            cgroup_layout: layout.to_string(),
            hostname: text(uname.nodename()),
        })
    }
}

fn operating_system() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(
            || "Linux".to_owned(),
            |name| name.trim_matches('"').to_owned(),
        )
}
