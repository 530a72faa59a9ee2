//! The processes below this one, and the memory that they use, from /proc.

use std::{fs, path::PathBuf};

use silo_types::{Doing, Result};

/// A process that a command of ours left running.
#[derive(Debug)]
pub struct Descendant {
    pub pid: i32,
    /// Inside a pid namespace of its own: a container's process, not an engine's.
    pub inside: bool,
}

/// All of them, parents before children.
pub fn all() -> Result<Vec<Descendant>> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let depth = levels(own)?;
    let mut found = Vec::new();
    let mut open = children(own)?;
    while let Some(pid) = open.pop() {
        // One that ended meanwhile is none.
        let Ok(levels) = levels(pid) else { continue };
        open.extend(children(pid).unwrap_or_default());
        found.push(Descendant {
            pid,
            inside: levels > depth,
        });
    }
    Ok(found)
}

/// Proportional set size in bytes: each page counts as its share among those who map it.
pub fn pss(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).doing_with(|| format!("read {path}"))?;
    Ok(field(&text, "Pss:")
        .and_then(|value| value.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024)
}

fn children(pid: i32) -> Result<Vec<i32>> {
    let path = PathBuf::from(format!("/proc/{pid}/task/{pid}/children"));
    let text = fs::read_to_string(&path).doing_with(|| format!("read {}", path.display()))?;
    Ok(text
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// How many pid namespaces, from ours inwards, know the process.
fn levels(pid: i32) -> Result<usize> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).doing_with(|| format!("read {path}"))?;
    Ok(field(&text, "NSpid:").map_or(0, |pids| pids.split_whitespace().count()))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}
