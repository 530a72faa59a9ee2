//! update: limits of a running container and of a stopped one.

use crate::common::{Host, kernel};

const MIB: u64 = 1 << 20;

#[test]
fn limits_of_a_running_container() {
    let host = Host::new();
    host.idle("box", &["-m", "128m"]);
    let pid = host.pid("box");
    assert_eq!(
        host.ok(&[
            "update",
            "-m",
            "96m",
            "--cpus",
            "0.3",
            "--pids-limit",
            "50",
            "box"
        ]),
        "box"
    );
    assert_eq!(kernel::number(pid, kernel::MEMORY), 96 * MIB);
    assert_eq!(kernel::cpu_quota(pid), (30_000, 100_000));
    assert_eq!(kernel::number(pid, kernel::PIDS), 50);
    let config = host.inspect("box")["HostConfig"].clone();
    assert_eq!(config["Memory"], 96 * MIB);
    assert_eq!(config["NanoCpus"], 300_000_000);
    host.ok(&["update", "--cpuset-cpus", "0", "-c", "256", "box"]);
    assert_eq!(kernel::read(pid, kernel::CPUS), "0");
    // What was updated outlives a restart.
    host.ok(&["restart", "-t", "0", "box"]);
    assert_eq!(kernel::number(host.pid("box"), kernel::MEMORY), 96 * MIB);
    assert_eq!(kernel::read(host.pid("box"), kernel::CPUS), "0");
    host.fails(&["update", "-m", "1m", "box"], 1, "6MB");
    host.fails(&["update", "--memory-swap", "32m", "box"], 1, "memoryswap");
    host.fails(&["update", "-m", "64m", "nosuch"], 1, "nosuch");
    assert_eq!(kernel::number(host.pid("box"), kernel::MEMORY), 96 * MIB);
}

#[test]
fn of_a_stopped_container_for_its_next_start() {
    let host = Host::new();
    host.waiting("box");
    host.ok(&["update", "-m", "64m", "--restart", "always", "box"]);
    host.ok(&["start", "box"]);
    assert_eq!(kernel::number(host.pid("box"), kernel::MEMORY), 64 * MIB);
    assert_eq!(
        host.inspect("box")["HostConfig"]["RestartPolicy"]["Name"],
        "always"
    );
    crate::common::signal(host.pid("box"), 9);
    crate::common::until("its return", || host.inspect("box")["RestartCount"] == 1);
    host.ok(&["update", "--restart", "no", "box"]);
    host.fails(&["update", "--restart", "sometimes", "box"], 1, "sometimes");
}

/// A limit below what is used is refused or reclaimed, and the container lives.
#[test]
fn a_limit_below_what_is_used() {
    let host = Host::new();
    host.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "-m",
        "256m",
        "lab",
        "saturate-mem",
        "--size",
        "100m",
    ]);
    let pid = host.pid("box");
    crate::common::until("its memory", || {
        kernel::number(pid, kernel::MEMORY_USED) > 100 * MIB
    });
    let ran = host.silo(&["update", "-m", "32m", "box"]);
    assert_ne!(ran.code, 0, "{ran}");
    assert!(!ran.err.contains("os error"), "{ran}");
    assert_eq!(host.status("box"), "running");
    assert_eq!(kernel::number(pid, kernel::MEMORY), 256 * MIB);
    assert_eq!(host.inspect("box")["HostConfig"]["Memory"], 256 * MIB);
}
