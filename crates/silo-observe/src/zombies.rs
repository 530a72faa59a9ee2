//! Processes that have ended and nobody waits for. Newer kernels take them out of their control group when they end (found on
//! 6.18, in both versions), so that they are looked for at their parents, which are still in it.
//!
//! Called by the engine's list of a container's processes.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{Proc, Want};

impl Proc {
    /// The zombies among the children of these processes, ascending: /proc/PID/task/TID/children, proc_pid_task(5).
    pub fn zombie_children(&self, pids: &[i32]) -> Vec<i32> {
        let mut children = BTreeSet::new();
        for pid in pids {
            let threads = self.path().join(pid.to_string()).join("task");
            for thread in fs::read_dir(threads).into_iter().flatten().flatten() {
                children.extend(listed(&thread.path().join("children")));
            }
        }
        let strange = |pid: &i32| !pids.contains(pid);
        let candidates: Vec<i32> = children.into_iter().filter(strange).collect();
        let all = self.collect(&candidates, Want::default());
        let zombies = all.iter().filter(|process| process.is_zombie());
        zombies.map(|process| process.host_pid).collect()
    }
}

/// Nothing where the kernel has no such file, or the thread has ended.
fn listed(path: &Path) -> Vec<i32> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let words = text.split_ascii_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_that_is_not_waited_for() {
        let proc = Proc::host().unwrap();
        let own = std::process::id() as i32;
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        let is_found = || proc.zombie_children(&[own]).contains(&pid);
        assert!(!is_found(), "it runs");
        drop(child.stdin.take());
        let mut end = Vec::new();
        std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut end).unwrap();
        let since = std::time::Instant::now();
        while !is_found() {
            assert!(since.elapsed().as_secs() < 60, "it is no zombie");
            std::thread::yield_now();
        }
        assert!(!proc.zombie_children(&[own, pid]).contains(&pid));
        child.wait().unwrap();
        assert!(!is_found());
    }
}
