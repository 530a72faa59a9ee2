//! What is asked of a container that runs: standing still, other limits, figures, processes.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::{
    common::{kernel, until},
    fixture::{Oci, add, is_silo},
};

#[test]
fn pause_and_resume() {
    let oci = Oci::new();
    oci.idle("a", |_| {});
    oci.fails(&["resume", "a"], "not paused");
    oci.ok(&["pause", "a"]);
    assert_eq!(oci.status("a"), "paused");
    oci.ok(&["resume", "a"]);
    assert_eq!(oci.status("a"), "running");
    oci.ok(&["pause", "a"]);
    // Frozen processes take their death, too.
    oci.ok(&["delete", "--force", "a"]);
    oci.fails(&["pause", "a"], "does not exist");
}

#[test]
fn limits_are_set_and_changed() {
    let oci = Oci::new();
    oci.idle("a", |spec| {
        spec["linux"]["resources"]["pids"] = json!({"limit": 40});
        spec["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    });
    let pid = oci.pid("a");
    let read = |controller: &str, v1: &str, v2: &str| {
        kernel::group_file(pid, controller, v1, v2)
            .trim()
            .to_owned()
    };
    let pids = || read("pids", "pids.max", "pids.max");
    let memory = || read("memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!(
        (pids(), memory()),
        ("40".to_owned(), (64 << 20).to_string())
    );
    oci.ok(&["update", "--pids-limit", "50", "--memory", "80m", "a"]);
    assert_eq!(
        (pids(), memory()),
        ("50".to_owned(), (80 << 20).to_string())
    );
    let limits = json!({"memory": {"limit": 96 << 20}}).to_string();
    let command = oci.command(&oci.host.files, &["update", "-r", "-", "a"]);
    let ran = oci
        .host
        .finish(command, &["update", "-r", "-", "a"], limits.as_bytes());
    ran.ok();
    assert_eq!(
        (pids(), memory()),
        ("50".to_owned(), (96 << 20).to_string())
    );
    let file = oci.host.file("limits.json", r#"{"pids": {"limit": 60}}"#);
    oci.ok(&["update", "--resources", &file, "a"]);
    assert_eq!(pids(), "60");
    oci.fails(&["update", "--memory", "much", "a"], "memory");
    oci.fails(
        &["update", "--pids-limit", "50", "nonesuch"],
        "does not exist",
    );
}

#[test]
fn devices_are_the_usual_ones() {
    let oci = Oci::new();
    let script = "echo x > /dev/null && head -c 1 /dev/zero | wc -c; cat /dev/kmsg";
    let bundle = oci.bundle("a", &["sh", "-c", script], |spec| {
        let kmsg =
            json!({"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666});
        spec["linux"]["devices"] = json!([kmsg]);
    });
    let ran = oci.run_in(&bundle, &["run", "a"]);
    assert_ne!(ran.code, 0);
    assert_eq!(ran.out.trim(), "1", "{ran}");
    assert!(ran.err.contains("not permitted"), "{ran}");
}

#[test]
fn figures_come_in_runcs_form() {
    let oci = Oci::new();
    oci.idle("a", |spec| {
        spec["linux"]["resources"]["pids"] = json!({"limit": 40})
    });
    let sample =
        || -> Value { serde_json::from_str(&oci.ok(&["events", "--stats", "a"])).unwrap() };
    // The kernel counts time in steps.
    until("some time of the CPU", || {
        let script = "for i in 1 2 3 4 5 6 7 8; do id > /dev/null; done";
        oci.ok(&["exec", "a", "sh", "-c", script]);
        sample()["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0
    });
    let event = sample();
    assert_eq!(
        (&event["type"], &event["id"]),
        (&json!("stats"), &json!("a"))
    );
    let data = &event["data"];
    assert!(
        data["memory"]["usage"]["usage"].as_u64().unwrap() > 0,
        "{data}"
    );
    assert!(
        data["memory"]["raw"]
            .as_object()
            .is_some_and(|raw| !raw.is_empty()),
        "{data}"
    );
    assert_eq!(data["pids"], json!({"current": 1, "limit": 40}));
    oci.fails(&["events", "--stats", "nonesuch"], "does not exist");
    oci.fails(&["events", "--interval", "0s", "a"], "interval");
}

#[test]
fn events_follow_until_the_end() {
    let oci = Oci::new();
    oci.idle("a", |_| {});
    let mut command = oci.command(&oci.host.files, &["events", "--interval", "50ms", "a"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["type"], "stats");
    }
    oci.ok(&["delete", "--force", "a"]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn memory_that_runs_out_is_an_event() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sleep", "600"], |spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 24 << 20, "swap": 24 << 20});
    });
    assert_eq!(oci.leave(&bundle, &["run", "-d", "a"]).code, 0);
    let mut command = oci.command(&oci.host.files, &["events", "--interval", "100ms", "a"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let hog = oci.run(&["exec", "a", "saturate-mem", "200m"]);
    assert_ne!(hog.code, 0, "{hog}");
    let is_oom = |line: &str| serde_json::from_str::<Value>(line).unwrap()["type"] == "oom";
    assert!(lines.by_ref().take(100).any(|line| is_oom(&line.unwrap())));
    oci.ok(&["delete", "--force", "a"]);
    child.wait().unwrap();
}

#[test]
fn processes_by_the_hosts_numbers() {
    let oci = Oci::new();
    oci.idle("a", |_| {});
    let pids: Vec<i32> = serde_json::from_str(&oci.ok(&["ps", "-f", "json", "a"])).unwrap();
    assert_eq!(pids, [oci.pid("a")]);
    let table = oci.ok(&["ps", "a"]);
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    );
    assert!(table.contains("sleep 600"), "{table}");
    if is_silo() {
        assert_eq!(oci.ok(&["ps", "a", "-o", "pid,comm"]).lines().count(), 2);
    }
    oci.ok(&["kill", "a", "KILL"]);
    oci.becomes("a", "stopped");
    assert_eq!(oci.ok(&["ps", "a"]).lines().count(), 1);
}

#[test]
fn lists() {
    let oci = Oci::new();
    oci.idle("b", |_| {});
    oci.idle("a", |_| {});
    assert_eq!(oci.ok(&["list", "-q"]), "a\nb");
    let list: Value = serde_json::from_str(&oci.ok(&["list", "--format", "json"])).unwrap();
    let ids: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        (&list[0]["status"], &list[0]["owner"]),
        (&json!("running"), &json!("root"))
    );
    let table = oci.ok(&["list"]);
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
}

#[test]
fn a_group_with_processes_is_not_taken_over() {
    let oci = Oci::new();
    oci.idle("a", |_| {});
    let bundle = oci.bundle("b", &["true"], |spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/a", oci.host.mark()));
    });
    let ran = oci.run_in(&bundle, &["run", "b"]);
    if is_silo() {
        assert_ne!(ran.code, 0, "{ran}");
        assert!(ran.err.contains("is not empty"), "{ran}");
        assert_eq!(oci.status("a"), "running");
    }
}

#[test]
fn without_a_namespace_its_own_groups_alone_are_seen() {
    // With version 2 the whole tree is asked for by such a specification; runc shows it, too.
    if kernel::hierarchies().len() == 1 {
        println!("skipped: control groups v2 alone");
        return;
    }
    let oci = Oci::new();
    let look = "cd /sys/fs/cgroup; cat memory/cgroup.procs; for each in *; do ls -d $each/*/; done 2>/dev/null; ! mkdir memory/x";
    for own_users in [false, true] {
        let bundle = oci.bundle("a", &["sh", "-c", look], |spec| {
            let options = json!(["ro", "nosuid", "nodev", "noexec"]);
            add(
                &mut spec["mounts"],
                json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}),
            );
            if own_users {
                add(&mut spec["linux"]["namespaces"], json!({"type": "user"}));
                let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
                spec["linux"]["uidMappings"] = map.clone();
                spec["linux"]["gidMappings"] = map;
            }
        });
        let ran = oci.run_in(&bundle, &["run", "a"]);
        // Its processes alone, the shell and cat, and no group of others.
        assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran}");
        assert!(ran.out.starts_with("1\n"), "{ran}");
        assert!(ran.err.contains("Read-only"), "{ran}");
    }
}
