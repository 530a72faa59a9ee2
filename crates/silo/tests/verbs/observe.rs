//! stats, top, info, version, doctor, port: looking without touching.

use crate::common::{Host, rows};

#[test]
fn figures_of_what_is_used() {
    let host = Host::new();
    host.ok(&[
        "run",
        "-d",
        "--name",
        "busy",
        "-m",
        "200m",
        "lab",
        "saturate-mem",
        "--size",
        "50m",
    ]);
    host.idle("idle", &[]);
    host.ok(&["create", "--name", "made", "lab"]);
    crate::common::until("its memory", || {
        let text = host.ok(&["stats", "--no-stream", "--format", "{{.MemPerc}}", "busy"]);
        text.trim_end_matches('%').parse::<f64>().unwrap() > 25.0
    });
    let text = host.ok(&["stats", "--no-stream"]);
    for column in [
        "CONTAINER ID",
        "NAME",
        "CPU %",
        "MEM USAGE / LIMIT",
        "MEM %",
        "NET I/O",
        "BLOCK I/O",
        "PIDS",
    ] {
        assert!(
            text.lines().next().unwrap().contains(column),
            "{column}: {text}"
        );
    }
    assert_eq!(text.lines().count(), 3, "{text}");
    assert_eq!(host.ok(&["stats", "--no-stream", "-a"]).lines().count(), 4);
    let json = host.ok(&["stats", "--no-stream", "--format", "json", "busy"]);
    let facts: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(facts["Name"], "busy");
    assert_eq!(facts["PIDs"], "1");
    assert!(
        facts["MemUsage"].as_str().unwrap().ends_with("/ 200MiB"),
        "{json}"
    );
    host.fails(&["stats", "--no-stream", "nosuch"], 1, "nosuch");
}

#[test]
fn processes_of_a_container() {
    let host = Host::new();
    let script = "sleep 601 & sleep 602 & sleep 603; true";
    host.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "-u",
        "lab",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    crate::common::until("its processes", || {
        host.ok(&["top", "box"]).lines().count() == 5
    });
    let text = host.ok(&["top", "box", "-o", "pid,ppid,uid,cmd"]);
    let head: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head.len(), 4, "{text}");
    assert!(rows(&text).iter().all(|r| r[2] == "1000"), "{text}");
    let json = host.ok(&["top", "--format", "json", "box"]);
    assert!(json.contains("sleep 602"), "{json}");
    host.ok(&["kill", "box"]);
    host.ended("box");
    host.fails(&["top", "box"], 1, "not running");
    host.fails(&["top", "nosuch"], 1, "nosuch");
}

#[test]
fn the_engine_and_its_host() {
    let host = Host::new();
    host.idle("box", &[]);
    host.ok(&["create", "lab"]);
    let facts: serde_json::Value =
        serde_json::from_str(&host.ok(&["info", "--format", "json"])).unwrap();
    assert_eq!(facts["Containers"], 2);
    assert_eq!(facts["ContainersRunning"], 1);
    assert_eq!(facts["Images"], 1);
    let text = host.ok(&["info"]);
    assert!(
        text.contains("Containers: 2") && text.contains(&host.root.display().to_string()),
        "{text}"
    );
    let version = env!("CARGO_PKG_VERSION");
    assert!(host.ok(&["version"]).contains(version));
    assert_eq!(
        host.ok(&["version", "--format", "{{.Client.Version}}"]),
        version
    );
    assert!(host.ok(&["--version"]).contains(version));
    assert_eq!(host.ok(&["port", "box"]), "");
}

#[test]
fn the_doctor_finds_nothing_on_a_healthy_host() {
    let host = Host::new();
    host.idle("box", &[]);
    let text = host.ok(&["doctor"]);
    assert!(
        text.contains("memory") && text.contains("overlay"),
        "{text}"
    );
    let report: serde_json::Value =
        serde_json::from_str(&host.ok(&["doctor", "--format", "json"])).unwrap();
    let orphans = report["orphans"]
        .as_array()
        .or_else(|| report["orphans"].as_array());
    assert_eq!(orphans.map(Vec::len), Some(0), "{report}");
    assert_eq!(host.status("box"), "running");
}
