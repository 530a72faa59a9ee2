//! What flag values must fit: asked only when such a flag was typed.

use silo_types::{Doing, Result};

/// CPUs that are online.
pub fn cpu_count() -> Result<u32> {
    Ok(count(&read("/sys/devices/system/cpu/online")?))
}

/// One more than the highest number of a CPU.
pub fn cpu_numbers() -> Result<u32> {
    Ok(highest(&read("/sys/devices/system/cpu/online")?) + 1)
}

/// One more than the highest number of a memory node; 1 on hosts without NUMA.
pub fn memory_nodes() -> u32 {
    read("/sys/devices/system/node/online").map_or(1, |list| highest(&list) + 1)
}

/// The caller's working folder.
pub fn folder() -> Result<String> {
    let folder = std::env::current_dir().doing("find the working folder")?;
    Ok(folder.to_string_lossy().into_owned())
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).doing_with(|| format!("read {path}"))
}

/// First and last number of each part of the kernel's `0-3,5`.
fn ranges(list: &str) -> impl Iterator<Item = (u32, u32)> {
    list.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.parse().ok()?, last.parse().ok()?))
    })
}

fn count(list: &str) -> u32 {
    let sum: u32 = ranges(list)
        .map(|(first, last)| last.saturating_sub(first) + 1)
        .sum();
    sum.max(1)
}

fn highest(list: &str) -> u32 {
    ranges(list).map(|(_, last)| last).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel() {
        assert_eq!((count("0-3,5\n"), highest("0-3,5\n")), (5, 5));
        assert_eq!((count("0"), highest("0")), (1, 0));
        assert_eq!((count(""), highest("")), (1, 0));
        assert!(cpu_count().unwrap() >= 1);
    }
}
