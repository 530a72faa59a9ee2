//! -m --memory-swap --memory-reservation --memory-swappiness --oom-kill-disable --cpus --cpu-shares --cpu-quota --cpu-period
//! --cpuset-cpus --cpuset-mems --pids-limit --cgroup-parent: the values that the kernel holds afterwards.

use crate::common::{Host, Ran, kernel};

const MIB: u64 = 1 << 20;

#[test]
fn memory_limits() {
    let host = Host::new();
    let flags = [
        "-m",
        "64m",
        "--memory-reservation",
        "32m",
        "--memory-swap",
        "64m",
    ];
    host.idle("limited", &flags);
    let pid = host.pid("limited");
    assert_eq!(kernel::number(pid, kernel::MEMORY), 64 * MIB);
    let soft = kernel::group_file(pid, "memory", "memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(soft, (32 * MIB).to_string());
    let swap = kernel::group_file(
        pid,
        "memory",
        "memory.memsw.limit_in_bytes",
        "memory.swap.max",
    );
    assert!(swap == (64 * MIB).to_string() || swap == "0", "{swap}");
    let config = &host.inspect("limited")["HostConfig"];
    assert_eq!(config["MemoryReservation"], 32 * MIB);
    assert_eq!(config["MemorySwap"], 64 * MIB);
    assert_eq!(
        host.ok(&[
            "exec",
            "limited",
            "sh",
            "-c",
            "cat /sys/fs/cgroup/memory*/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max"
        ])
        .trim(),
        (64 * MIB).to_string()
    );

    for (flags, text) in [
        (&["-m", "5m"][..], "6MB"),
        (&["-m", "64m", "--memory-swap", "32m"], "memoryswap"),
        (&["--memory-swap", "64m"], "--memory"),
        (&["-m", "64m", "--memory-reservation", "65m"], "reservation"),
        (&["--memory-swappiness", "101"], "0-100"),
    ] {
        host.fails(
            &[&["run", "--rm"], flags, &["lab", "true"]].concat(),
            125,
            text,
        );
    }
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 1);
}

/// What only one version of control groups has: there it works, elsewhere it is an error that says why.
#[test]
fn limits_of_version_1() {
    let host = Host::new();
    let v1 = kernel::hierarchies()
        .iter()
        .any(|h| h.controllers.iter().any(|c| c == "memory"));
    let words = [
        "run",
        "-d",
        "--name",
        "swappy",
        "--network",
        "none",
        "--memory-swappiness",
        "7",
        "lab",
        "sleep",
        "600",
    ];
    honoured_or_refused(host.silo(&words), v1, "swappiness", || {
        let value = kernel::group_file(host.pid("swappy"), "memory", "memory.swappiness", "");
        assert_eq!(value, "7");
    });
    let words = [
        "run",
        "-d",
        "--name",
        "patient",
        "--network",
        "none",
        "-m",
        "64m",
        "--oom-kill-disable",
        "lab",
        "sleep",
        "600",
    ];
    honoured_or_refused(host.silo(&words), v1, "OOM", || {
        let value = kernel::group_file(host.pid("patient"), "memory", "memory.oom_control", "");
        assert!(value.contains("oom_kill_disable 1"), "{value}");
    });
}

#[track_caller]
fn honoured_or_refused(ran: Ran, able: bool, word: &str, check: impl FnOnce()) {
    if able {
        assert_eq!(ran.code, 0, "{ran}");
        check();
    } else {
        assert_eq!(ran.code, 125, "{ran}");
        assert!(ran.err.contains(word), "{ran}");
    }
}

#[test]
fn processor_limits() {
    let host = Host::new();
    host.idle("half", &["--cpus", "0.5"]);
    assert_eq!(kernel::cpu_quota(host.pid("half")), (50_000, 100_000));
    assert_eq!(host.inspect("half")["HostConfig"]["NanoCpus"], 500_000_000);
    host.idle("quota", &["--cpu-period", "50000", "--cpu-quota", "20000"]);
    assert_eq!(kernel::cpu_quota(host.pid("quota")), (20_000, 50_000));
    host.idle("free", &[]);
    assert_eq!(kernel::cpu_quota(host.pid("free")).0, -1);
    host.idle("light", &["-c", "512"]);
    let (v1, weight) = kernel::cpu_weight(host.pid("light"));
    assert!(
        if v1 {
            weight == 512
        } else {
            (1..100).contains(&weight)
        },
        "{weight}"
    );

    let too_many = (kernel::cpus() + 1).to_string();
    for (flags, text) in [
        (&["--cpus", too_many.as_str()][..], "range of CPUs"),
        (&["--cpus", "-1"], ""),
        (&["--cpus", "many"], "many"),
        (&["--cpus", "1", "--cpu-quota", "5000"], "--cpu-quota"),
        (&["--cpus", "1", "--cpu-period", "5000"], "--cpu-period"),
        (&["--cpu-period", "10"], "1000"),
        (&["--cpu-quota", "10"], "1000"),
        (&["--cpu-shares", "-5"], ""),
    ] {
        host.fails(
            &[&["run", "--rm"], flags, &["lab", "true"]].concat(),
            125,
            text,
        );
    }
}

#[test]
fn sets_of_cpus_and_memory_nodes() {
    let host = Host::new();
    host.idle("pinned", &["--cpuset-cpus", "0", "--cpuset-mems", "0"]);
    let pid = host.pid("pinned");
    assert_eq!(kernel::read(pid, kernel::CPUS), "0");
    assert_eq!(kernel::read(pid, kernel::MEMS), "0");
    assert_eq!(kernel::status(pid, "Cpus_allowed_list"), "0");
    assert_eq!(host.ok(&["exec", "pinned", "nproc"]), "1");
    // CVE-2018-20699: no list that eats memory.
    for wrong in ["0-4294967295", "99999", "1-0", "x", "0,,1"] {
        host.fails(
            &["run", "--rm", "--cpuset-cpus", wrong, "lab", "true"],
            125,
            "CPU",
        );
    }
    host.fails(
        &["run", "--rm", "--cpuset-mems", "4096", "lab", "true"],
        125,
        "memory node",
    );
}

#[test]
fn the_number_of_processes() {
    let host = Host::new();
    host.idle("few", &["--pids-limit", "20"]);
    assert_eq!(kernel::number(host.pid("few"), kernel::PIDS), 20);
    let ran = host.silo(&["exec", "few", "saturate-fork", "--hold", "0"]);
    let text = ran.out.clone() + &ran.err;
    let made = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse::<u64>().ok());
    assert!(made.clone().any(|n| (10..20).contains(&n)), "{ran}");
    host.idle("many", &["--pids-limit", "-1"]);
    assert_eq!(kernel::read(host.pid("many"), kernel::PIDS), "max");
    host.fails(
        &["run", "--rm", "--pids-limit", "-2", "lab", "true"],
        125,
        "pids limit",
    );
}

#[test]
fn the_control_group_above() {
    let mut host = Host::new();
    let parent = host.ceiling(256 * MIB);
    host.idle("below", &["--cgroup-parent", &parent]);
    let group = kernel::group_of(host.pid("below"), "memory");
    let id = host.inspect("below")["Id"].as_str().unwrap().to_owned();
    assert!(
        group.ends_with(format!("{parent}/{id}")),
        "{}",
        group.display()
    );
    // The container sees its own group as the root of all.
    let seen = host.ok(&["exec", "below", "cat", "/proc/self/cgroup"]);
    assert!(
        !seen.contains(&id) && seen.lines().all(|l| l.ends_with(":/")),
        "{seen}"
    );
    host.fails(
        &["run", "--rm", "--cgroup-parent", "../x", "lab", "true"],
        125,
        "cgroup",
    );
}

/// CVE-2025-47291: every process is in the group, and in every hierarchy.
#[test]
fn every_process_is_held() {
    let host = Host::new();
    host.ok(&[
        "run",
        "-d",
        "--name",
        "family",
        "--network",
        "none",
        "--init",
        "lab",
        "sh",
        "-c",
        "sleep 600 & sleep 600; true",
    ]);
    let id = host.inspect("family")["Id"].as_str().unwrap().to_owned();
    crate::common::until("its children", || {
        let groups = kernel::group_of(host.pid("family"), "memory").join("cgroup.procs");
        std::fs::read_to_string(groups).unwrap().lines().count() >= 4
    });
    let outer = std::fs::read_to_string(format!("/proc/{}/cgroup", host.pid("family"))).unwrap();
    let mine = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(outer.lines().count(), mine.lines().count());
    let outside: Vec<&str> = outer.lines().filter(|l| !l.ends_with(&id)).collect();
    assert!(outside.is_empty(), "{outside:?}");
    let running = host.spawn(&["exec", "family", "sleep", "600"]);
    crate::common::until("the exec", || {
        host.ok(&["top", "family", "-o", "cmd"])
            .lines()
            .filter(|l| *l == "sleep 600")
            .count()
            == 3
    });
    let pids = host.ok(&["top", "family", "-o", "hpid"]);
    for pid in pids.lines().skip(1) {
        let group = kernel::group_of(pid.trim().parse().unwrap(), "memory");
        assert!(group.ends_with(&id), "{}", group.display());
    }
    drop(running);
}
