//! Groups and processes of a test, gone when the test is, whatever its outcome.
#![allow(dead_code)] // each test file uses its own part

use oci_spec::runtime::LinuxResources;
use silo_cgroup::{Cgroup, CgroupPath, Existing, Layout};
use silo_types::Result;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A subtree `/silo-test-PID-N` of its own in every hierarchy.
pub struct Scratch {
    pub layout: Layout,
    pub root: CgroupPath,
}

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("/silo-test-{}-{number}", std::process::id());
        Scratch {
            layout: Layout::detect().unwrap(),
            root: CgroupPath::new(&name).unwrap(),
        }
    }

    pub fn path(&self) -> CgroupPath {
        self.root.join("box").unwrap()
    }

    /// A group with these resources (JSON as in an OCI config).
    pub fn create(&self, json: &str) -> Result<Cgroup> {
        Cgroup::create(
            &self.layout,
            &self.path(),
            &resources(json),
            Existing::Refuse,
        )
    }

    /// The text of a v1 file of the group, or of a v2 one.
    pub fn read(&self, group: &Cgroup, file: &str) -> String {
        for place in 0..self.layout.hierarchies().len() {
            if let Ok(text) = std::fs::read_to_string(format!("{}/{file}", group.dir(place))) {
                return text.trim().to_owned();
            }
        }
        panic!("no {file} in {}", group.path());
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let group = Cgroup::at(&self.layout, &self.root);
        let killed = group.kill_all();
        let errors = group.destroy();
        if !std::thread::panicking() {
            killed.unwrap();
            assert!(errors.is_empty(), "{errors:?}");
            assert!(!group.exists());
        }
    }
}

pub fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

/// A shell that waits in front of its command until it is in the group. Killed and reaped at the end.
pub struct Job(pub Child);

impl Job {
    pub fn start(group: &Cgroup, command: &str) -> Job {
        let child = Command::new("sh")
            .args(["-c", &format!("read go; {command}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut job = Job(child);
        group.attach(job.pid()).unwrap();
        job.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        job
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `ready` says so.
#[track_caller]
pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !ready() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
