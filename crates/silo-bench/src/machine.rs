//! What the figures were taken on, and the processor time that was used.

use std::{fs, time::Duration};

use crate::tools::Tools;

/// The three load averages, as /proc/loadavg says them.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Processor time of all children that ended and were waited for (proc_pid_stat(5): cutime + cstime, in ticks of 10 ms; the
/// rounding averages out over many runs).
pub fn cpu_of_children() -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u32 = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    TICK * ticks
}

/// First lines of the report: kernel, processor, tools, load.
pub fn heading(tools: &Tools, load_before: &str) -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let processors = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!(
        "# Silo beside its peers\n\n\
         - Machine: {processors} × {model}, Linux {}; load {load_before} before, {} after\n\
         - Tools: {}\n\
         - Control groups: {}\n\n",
        kernel.trim(),
        load(),
        tools.versions.join(", "),
        match std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            true => "v2",
            false => "v1 hierarchies",
        }
    )
}
