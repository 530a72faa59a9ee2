//! Processes that ended and were not waited for.
//!
//! A control group does not list them (since Linux 5.2), and version 1 says of them that they are in its root: only their parents
//! know them, each thread its own children.

use crate::{Proc, stat::Stat};

impl Proc {
    /// These processes with the zombies among their children, ascending.
    pub fn with_zombies(&self, mut pids: Vec<i32>) -> Vec<i32> {
        let mut found = Vec::new();
        for pid in &pids {
            let Ok(threads) = std::fs::read_dir(self.path().join(format!("{pid}/task"))) else {
                continue;
            };
            for thread in threads.flatten() {
                let children = std::fs::read_to_string(thread.path().join("children"));
                let children = children.unwrap_or_default();
                let children = children.split_ascii_whitespace();
                found.extend(children.filter_map(|child| child.parse::<i32>().ok()));
            }
        }
        found.retain(|child| self.zombies_parent(*child).is_some());
        pids.append(&mut found);
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// The parent of a zombie; `None` of any other process.
    pub(crate) fn zombies_parent(&self, pid: i32) -> Option<i32> {
        let mut buffer = Vec::new();
        self.process(pid)
            .and_then(|folder| folder.read(c"stat", &mut buffer))
            .ok()?;
        let stat = Stat::parse(&buffer)?;
        stat.is_zombie().then_some(stat.ppid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_nobody_waits_for_is_found() {
        let own = std::process::id() as i32;
        let proc = Proc::host().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !proc.with_zombies(vec![own]).contains(&pid) {
            assert!(std::time::Instant::now() < end, "{pid} is not found");
        }
        child.wait().unwrap();
        let left = proc.with_zombies(vec![own]);
        assert!(left.contains(&own) && !left.contains(&pid));
    }
}
