//! A process killed by the limit of a control group made here, read back from the kernel's log. Needs root.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use silo_observe::{Constraint, KernelLog, OomKill};

/// A memory control group of this test, removed on drop.
struct Group {
    path: PathBuf,
    name: String,
}

impl Group {
    /// `None` on hosts where this process may not make one.
    fn make() -> Option<Group> {
        let name = format!("silo-test-{}-oomlog", std::process::id());
        let v1 = PathBuf::from("/sys/fs/cgroup/memory");
        let (root, limit) = if v1.is_dir() {
            (v1, "memory.limit_in_bytes")
        } else {
            (PathBuf::from("/sys/fs/cgroup"), "memory.max")
        };
        let path = root.join(&name);
        fs::create_dir(&path).ok()?;
        let group = Group { path, name };
        fs::write(group.path.join(limit), "16777216").ok()?;
        Some(group)
    }

    /// Runs the shell script inside until it ends; gives its pid.
    fn run(&self, script: &str) -> i32 {
        let join = format!("echo $$ > {}/cgroup.procs && {script}", self.path.display());
        let mut child = Command::new("sh")
            .args(["-c", &join])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        child.wait().unwrap();
        pid
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.path).is_err() && Instant::now() < end {
            sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_victim_is_read_from_the_kernels_log() {
    let Ok(mut log) = KernelLog::open_at_end() else {
        println!("skipped: the kernel's log may not be read here");
        return;
    };
    assert_eq!(log.read_new().unwrap(), []);
    let Some(group) = Group::make() else {
        println!("skipped: no memory control group can be made here");
        return;
    };
    let pid = group.run("exec tail /dev/zero");
    let kill = wait_for(&mut log, pid);
    assert_eq!(
        (kill.command.as_str(), kill.constraint),
        ("tail", Constraint::Memcg)
    );
    assert_eq!(kill.memcg, format!("/{}", group.name));
    assert_eq!(kill.task_memcg, kill.memcg);
    assert!(
        kill.anon_bytes > 8 << 20 && kill.anon_bytes <= 16 << 20,
        "{}",
        kill.anon_bytes
    );
    assert!(kill.time_us > 0 && !kill.with_group);
    let again = KernelLog::open_at_start().unwrap().read_new().unwrap();
    assert!(again.contains(&kill));
}

fn wait_for(log: &mut KernelLog, pid: i32) -> OomKill {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let kills = log.read_new().unwrap();
        if let Some(kill) = kills.into_iter().find(|kill| kill.pid == pid) {
            return kill;
        }
        assert!(Instant::now() < end, "no record of the kill of {pid}");
        sleep(Duration::from_millis(10));
    }
}
