//! The leak check: when a test is over, nothing of its host may be left.

use std::{fs, path::Path};

use super::{Host, MARK, kernel};

impl Host {
    /// Removes all containers and volumes, has `doctor` look, and says what is there still.
    fn leaks(&self) -> Vec<String> {
        let mut left = Vec::new();
        if !self.root.exists() {
            return self.kernel_leaks();
        }
        let ids = self.silo(&["ps", "-aq", "--no-trunc"]);
        let ids: Vec<&str> = ids.out.lines().collect();
        if !ids.is_empty() {
            let removed = self.silo(&[&["rm", "-f", "-v"], ids.as_slice()].concat());
            if removed.code != 0 {
                left.push(format!("not removed: {removed}"));
            }
        }
        let pruned = self.silo(&["volume", "prune", "--all", "--force"]);
        if pruned.code != 0 {
            left.push(format!("volumes are not pruned: {pruned}"));
        }
        // Files of a container that removed itself may still be on their way out.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
        while !entries(&self.root.join("containers")).is_empty() && std::time::Instant::now() < end
        {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for (folder, what) in [
            (self.root.join("containers"), "folder of a container"),
            (self.root.join("names"), "name"),
            (self.root.join("volumes"), "volume"),
            (self.run.clone(), "run-time file"),
        ] {
            left.extend(
                entries(&folder)
                    .into_iter()
                    .map(|name| format!("{what}: {name}")),
            );
        }
        left.extend(self.kernel_leaks());
        // Last, so that it hides nothing.
        let doctor = self.silo(&["doctor", "--fix"]);
        if doctor.code != 0 || doctor.out.contains("unfinished") {
            left.push(format!("doctor: {doctor}"));
        }
        left
    }

    fn kernel_leaks(&self) -> Vec<String> {
        let mut left = Vec::new();
        let group = self.group();
        for name in [&group].into_iter().chain(&self.parents) {
            let groups = kernel::groups_below(name);
            left.extend(
                groups
                    .iter()
                    .map(|g| format!("control group: {}", g.display())),
            );
        }
        let root = self.base.display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let inside = format!("{root}/root/");
        left.extend(
            mounts
                .lines()
                .filter(|l| l.contains(&inside))
                .map(|l| format!("mount: {l}")),
        );
        // The kernel takes a dead container's link down by itself, within some 50 ms.
        let foreign = || {
            kernel::links()
                .into_iter()
                .filter(|l| *l != "lo" && *l != group)
        };
        let end = std::time::Instant::now() + super::patient(std::time::Duration::from_secs(2));
        while foreign().next().is_some() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        left.extend(foreign().map(|link| format!("network link: {link}")));
        // A monitor that has said its last word, or a process that was just killed, needs a moment to end.
        while !self.processes().is_empty() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        left.extend(
            self.processes()
                .into_iter()
                .map(|p| format!("process: {p}")),
        );
        left
    }

    /// Processes that were started for this host or are in its control groups. One that has ended and only waits for the
    /// system's first process to take note is over.
    pub fn processes(&self) -> Vec<String> {
        let mark = format!("{MARK}={}\0", self.mark);
        let group = format!("/{}/", self.group());
        let own = std::process::id().to_string();
        let mut found = Vec::new();
        for pid in entries(Path::new("/proc")) {
            if !pid.bytes().all(|b| b.is_ascii_digit()) || pid == own {
                continue;
            }
            let folder = Path::new("/proc").join(&pid);
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            let marked = environment
                .windows(mark.len())
                .any(|w| w == mark.as_bytes());
            let groups = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
            let ours = groups.contains(&group)
                || self
                    .parents
                    .iter()
                    .any(|p| groups.contains(&format!("/{p}/")));
            if (marked || ours) && !kernel::is_dead_orphan(&pid) {
                let words = fs::read(folder.join("cmdline")).unwrap_or_default();
                let words = String::from_utf8_lossy(&words).replace('\0', " ");
                found.push(format!("{pid} {words}"));
            }
        }
        found
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(name)
        .collect()
}

impl Drop for Host {
    fn drop(&mut self) {
        let left = self.leaks();
        for name in [&self.group()].into_iter().chain(&self.parents) {
            kernel::remove_parent(name);
        }
        let _ = fs::remove_dir_all(&self.base);
        let text = format!("left behind by {}:\n  {}", self.mark, left.join("\n  "));
        match (left.is_empty(), std::thread::panicking()) {
            (true, _) => {}
            (false, true) => eprintln!("{text}"),
            (false, false) => panic!("{text}"),
        }
    }
}
