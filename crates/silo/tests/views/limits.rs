//! `throttle` and `limit`: what limits do, and what a change of them takes.

use serde_json::Value;

use crate::common::{Host, kernel, until};

const MIB: u64 = 1 << 20;

#[track_caller]
fn json(host: &Host, words: &[&str]) -> Value {
    let text = host.ok(words);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn what_a_cpu_limit_does() {
    let host = Host::alone();
    let busy = ["--network", "none", "--cpus", "0.05", "lab", "saturate-cpu"];
    host.ok(&[&["run", "-d", "--name", "busy"], &busy[..]].concat());
    let facts = json(
        &host,
        &["throttle", "--over", "2", "--format", "json", "busy"],
    );
    assert_eq!(
        (facts["quotaUs"].as_u64(), facts["periodUs"].as_u64()),
        (Some(5_000), Some(100_000))
    );
    assert!(
        facts["throttledPercent"].as_f64().unwrap() > 10.0,
        "{facts}"
    );
    let (used, wanted) = (
        facts["usedCpus"].as_f64().unwrap(),
        facts["wantedCpus"].as_f64().unwrap(),
    );
    assert!(used < 0.2 && wanted > used, "{facts}");
    assert!(facts["meanPauseMs"].as_f64().unwrap() <= facts["pauseAtMostMs"].as_f64().unwrap());
    // The longest is known, or lies between what is: by the recording, which has two seconds of it.
    let bound = |name: &str| {
        facts[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {facts}"))
    };
    let (least, most) = (bound("longestAtLeastMs"), bound("longestAtMostMs"));
    assert!(0.0 < least && least <= most && most <= 100.0, "{facts}");
    let advised = facts["advisedCpus"].as_f64().unwrap();
    assert!(
        advised > 0.05 && advised <= kernel::cpus() as f64,
        "{facts}"
    );
    // What is advised is done.
    let cpus = advised.to_string();
    let text = host.ok(&["throttle", "--over", "0.3", "busy"]);
    assert!(
        text.contains("silo limit busy --cpus") && text.contains("5 ms of CPU time in each 100 ms"),
        "{text}"
    );
    host.ok(&["limit", "busy", "--cpus", &cpus]);
    let (quota, period) = kernel::cpu_quota(host.pid("busy"));
    assert!((quota as f64 / period as f64 - advised).abs() < 0.01);
    host.idle("free", &[]);
    let text = host.ok(&["throttle", "--over", "0.1", "free"]);
    assert!(text.contains("nothing can be throttled"), "{text}");
    host.fails(&["throttle", "--over", "0", "free"], 1, "seconds");
}

#[test]
fn a_burst_is_what_the_kernel_gets() {
    let host = Host::new();
    host.idle("box", &["--cpus", "0.5", "--cpu-burst", "20000"]);
    let burst = || kernel::group_file(host.pid("box"), "cpu", "cpu.cfs_burst_us", "cpu.max.burst");
    assert_eq!(burst(), "20000");
    host.ok(&["update", "--cpu-burst", "30000", "box"]);
    assert_eq!(burst(), "30000");
    let text = host.ok(&["throttle", "--over", "0.1", "box"]);
    assert!(text.contains("30 ms more that it saved"), "{text}");
    host.fails(&["update", "--cpu-burst", "60000", "box"], 1, "burst");
    host.fails(
        &["run", "--rm", "--cpu-burst", "1000", "lab", "true"],
        125,
        "burst",
    );
}

#[test]
fn a_preview_and_the_way_back() {
    let host = Host::new();
    let words = [
        "--network",
        "none",
        "-m",
        "128m",
        "lab",
        "saturate-mem",
        "--size",
        "50m",
    ];
    host.ok(&[&["run", "-d", "--name", "box"], &words[..]].concat());
    let pid = host.pid("box");
    until("its memory", || {
        kernel::number(pid, kernel::MEMORY_USED) > 50 * MIB
    });

    let facts = json(
        &host,
        &[
            "limit",
            "box",
            "-m",
            "100m",
            "--preview",
            "--format",
            "json",
        ],
    );
    assert_eq!(
        (
            facts["memory"]["beyond"].as_u64(),
            facts["after"]["memory"].as_u64()
        ),
        (Some(0), Some(100 * MIB))
    );
    assert_eq!(
        kernel::number(pid, kernel::MEMORY),
        128 * MIB,
        "a preview changes nothing"
    );

    // Below what cannot be taken back: refused by the kernel (v1) or by the command (v2), and nothing is killed.
    let facts = json(
        &host,
        &["limit", "box", "-m", "20m", "--preview", "--format", "json"],
    );
    assert!(
        facts["memory"]["beyond"].as_u64().unwrap() > 20 * MIB,
        "{facts}"
    );
    let v1 = facts["memory"]["refused"] == true;
    let victims = facts["memory"]["victims"].as_array().unwrap();
    assert!(v1 || victims[0]["command"] == "saturate-mem", "{facts}");
    assert_ne!(host.silo(&["limit", "box", "-m", "20m"]).code, 0);
    assert_eq!(
        (
            host.status("box").as_str(),
            kernel::number(pid, kernel::MEMORY)
        ),
        ("running", 128 * MIB)
    );

    let text = host.ok(&[
        "limit",
        "box",
        "-m",
        "100m",
        "--memory-swap",
        "-1",
        "--cpus",
        "0.5",
        "--pids-limit",
        "30",
    ]);
    for word in [
        "memory 128MiB",
        "memory 100MiB · 0.5 CPU · 30 processes",
        "limit box --undo",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let now = || {
        (
            kernel::number(pid, kernel::MEMORY),
            kernel::cpu_quota(pid).0,
            kernel::read(pid, kernel::PIDS),
        )
    };
    assert_eq!(now(), (100 * MIB, 50_000, "30".to_owned()));
    host.ok(&["limit", "box", "--cpuset-cpus", "0"]);
    assert_eq!(kernel::read(pid, kernel::CPUS), "0");
    assert!(host.ok(&["limit", "box"]).contains("on CPUs 0"));

    let all = kernel::cpus();
    host.ok(&["limit", "box", "--undo"]);
    let set = kernel::read(pid, kernel::CPUS);
    assert!(all == 1 || set.is_empty() || set != "0", "{set}");
    let text = host.ok(&["limit", "box", "--undo"]);
    assert!(text.contains("back to memory 128MiB"), "{text}");
    host.ok(&["limit", "box", "--pids-limit", "20"]);
    let facts = json(&host, &["limit", "box", "--undo", "--format", "json"]);
    assert_eq!(
        facts["limits"]["memory"].as_u64(),
        Some(128 * MIB),
        "{facts}"
    );
    assert_eq!(now(), (128 * MIB, -1, "max".to_owned()));
    host.fails(&["limit", "box", "--undo"], 1, "nothing to undo");
    host.fails(
        &["limit", "box", "--undo", "-m", "1g"],
        1,
        "takes no limits",
    );
}

#[test]
fn soft_limits_kill_nothing() {
    let host = Host::new();
    let words = [
        "--network",
        "none",
        "-m",
        "128m",
        "lab",
        "saturate-mem",
        "--size",
        "40m",
    ];
    host.ok(&[&["run", "-d", "--name", "box"], &words[..]].concat());
    let pid = host.pid("box");
    until("its memory", || {
        kernel::number(pid, kernel::MEMORY_USED) > 40 * MIB
    });
    let text = host.ok(&["limit", "box", "-m", "20m", "--soft"]);
    assert!(text.contains("nothing is killed"), "{text}");
    let soft = kernel::group_file(pid, "memory", "memory.soft_limit_in_bytes", "memory.high");
    assert_eq!(soft, (20 * MIB).to_string());
    assert_eq!(
        (
            host.status("box").as_str(),
            kernel::number(pid, kernel::MEMORY)
        ),
        ("running", 128 * MIB)
    );
    host.ok(&["limit", "box", "--undo"]);
    let soft = kernel::group_file(pid, "memory", "memory.soft_limit_in_bytes", "memory.high");
    assert_ne!(soft, (20 * MIB).to_string());
    host.fails(&["limit", "box", "--soft"], 1, "-m SIZE");
}

#[test]
fn of_one_that_does_not_run() {
    let host = Host::new();
    host.ok(&[
        "create",
        "--name",
        "made",
        "-m",
        "64m",
        "--network",
        "none",
        "lab",
        "sleep",
        "600",
    ]);
    let text = host.ok(&["limit", "made", "-m", "32m"]);
    assert!(text.contains("from its next start on"), "{text}");
    host.ok(&["limit", "made", "--undo"]);
    host.ok(&["start", "made"]);
    assert_eq!(kernel::number(host.pid("made"), kernel::MEMORY), 64 * MIB);
}

#[test]
fn a_forced_limit_kills_where_the_kernel_does() {
    let host = Host::new();
    let words = ["--private", "60m"];
    let flags = [
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "-m",
        "128m",
        "lab",
        "hold",
    ];
    host.ok(&[&flags[..], &words].concat());
    host.logged("box", "ready");
    let preview = ["limit", "box", "-m", "20m", "--preview", "--format", "json"];
    let facts = json(&host, &preview);
    let forced = host.silo(&["limit", "box", "-m", "20m", "--force"]);
    if facts["memory"]["refused"] == true {
        // v1 does not set a limit that it cannot reach, and kills nobody for it.
        assert_ne!(forced.code, 0, "{forced}");
        assert_eq!(host.status("box"), "running");
        return;
    }
    assert_eq!(facts["memory"]["victims"][0]["command"], "hold", "{facts}");
    assert_eq!(forced.code, 0, "{forced}");
    assert!(forced.out.contains("killed"), "{forced}");
    host.ended("box");
    let state = host.inspect("box")["State"].clone();
    assert_eq!(
        (&state["OOMKilled"], &state["ExitCode"]),
        (&true.into(), &137.into()),
        "{state}"
    );
}
