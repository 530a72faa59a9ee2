//! What it tells agrees with the kernel, and what it changes is changed there.

use serde_json::{Value, json};

use crate::{
    common::{Host, kernel, signal, until},
    server::{Web, container, kill},
};

const MIB: u64 = 1 << 20;

fn meminfo(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(field)).unwrap();
    let kib = line.trim_start_matches(':').split_whitespace().next();
    kib.unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_is_stacked_by_container_and_adds_up() {
    let host = Host::new();
    let words = ["lab", "saturate-mem", "--size", "50m"];
    let flags = ["run", "-d", "--network", "none", "-m", "64m"];
    host.ok(&[&flags[..], &["--name", "hungry"], &words].concat());
    host.idle("idle", &[]);
    let web = Web::start(&host, &[]);
    let mut live = web.live("");
    let message = live.until("its memory", |message| {
        let held = container(message, "hungry")?["held"].as_u64()?;
        (held > 49 * MIB).then(|| message.clone())
    });
    let memory = &message["host"]["memory"];
    let part = |name: &str| container(&message, name).unwrap()["part"].as_u64().unwrap();
    let number = |name: &str| memory[name].as_u64().unwrap();
    assert_eq!(number("total"), meminfo("MemTotal"));
    let parts = part("hungry") + part("idle") + number("other") + number("cache") + number("free");
    assert_eq!(parts, number("total"), "{message}");
    let hungry = container(&message, "hungry").unwrap();
    assert_eq!(hungry["memoryLimit"], 64 * MIB);
    assert!(hungry["held"].as_u64().unwrap() < 64 * MIB, "{hungry}");
    assert!(
        hungry["peak"].as_u64() >= hungry["held"].as_u64(),
        "{hungry}"
    );
    assert_eq!(hungry["event"]["kind"], "started");
    assert_eq!(
        message["host"]["cpus"].as_array().unwrap().len(),
        kernel::cpus()
    );
}

#[test]
fn both_pids_are_the_kernels() {
    let host = Host::new();
    let script = "sleep 601 & sleep 602 & sleep 1 & exec sleep 603";
    host.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    let web = Web::start(&host, &[]);
    let mut live = web.live("c=box&view=processes");
    let processes = live.until("four processes", |message| {
        let all = message["detail"]["processes"].as_array()?;
        let has_zombie = all.iter().any(|process| process["state"] == "Z");
        (all.len() == 4 && has_zombie).then(|| all.clone())
    });
    let mut zombies = 0;
    for process in &processes {
        let number = |name: &str| process[name].as_i64().unwrap() as i32;
        let seen = kernel::status(number("hostPid"), "NSpid");
        let inside = seen.split_whitespace().last().unwrap();
        assert_eq!(inside, number("pid").to_string(), "{process}");
        zombies += i32::from(process["state"] == "Z");
    }
    assert_eq!(zombies, 1);
    live.until("the zombie in the list of containers", |message| {
        (container(message, "box")?["zombies"] == 1).then_some(())
    });
    // The same process in the host's whole list, with its container.
    let mut live = web.live("view=host");
    let main = host.pid("box");
    let found = live.until("the host's processes", |message| {
        let all = message["detail"]["processes"].as_array()?;
        let own = std::process::id();
        assert!(
            all.iter()
                .any(|p| p["hostPid"] == own && p["container"].is_null())
                || all.len() >= 400
        );
        all.iter().find(|p| p["hostPid"] == main).cloned()
    });
    assert_eq!(
        (&found["container"], &found["pid"]),
        (&json!("box"), &json!(1))
    );
}

#[test]
fn namespaces_of_the_host_and_of_others_are_named() {
    let host = Host::new();
    host.idle("private", &[]);
    host.idle("guest", &["--network", "container:private"]);
    host.ok(&[
        "run",
        "-d",
        "--name",
        "open",
        "--pid",
        "host",
        "--network",
        "host",
        "lab",
        "sleep",
        "600",
    ]);
    let web = Web::start(&host, &[]);
    let detail = web.live("view=namespaces").until("all three", |message| {
        let all = message["detail"]["containers"].as_array()?;
        (all.len() == 3).then(|| message["detail"].clone())
    });
    let kind = |name: &str, kind: &str| container(&detail, name).unwrap()["kinds"][kind].clone();
    for (name, of, shared) in [
        ("open", "pid", true),
        ("private", "pid", false),
        ("private", "mnt", false),
    ] {
        assert_eq!(kind(name, of)["host"], shared, "{name} {of}");
    }
    assert_eq!(kind("guest", "net")["with"], json!(["private"]));
    assert_eq!(kind("guest", "mnt")["with"], json!([]));
    let inode = kind("private", "net")["inode"].to_string();
    assert!(kernel::namespace(host.pid("private"), "net").contains(&inode));
}

#[test]
fn a_limit_is_foreseen_changed_and_taken_back() {
    let host = Host::new();
    let words = ["lab", "saturate-mem", "--size", "40m"];
    let flags = [
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "-m",
        "100m",
    ];
    host.ok(&[&flags[..], &words].concat());
    let web = Web::start(&host, &["--control"]);
    let memory = || kernel::number(host.pid("box"), kernel::MEMORY);
    let mut live = web.live("");
    live.until("its memory", |message| {
        (container(message, "box")?["held"].as_u64()? > 39 * MIB).then_some(())
    });
    let preview = web.json(&format!(
        "/api/preview?c=box&memory={}&cpu=500&pids=9",
        20 * MIB
    ));
    let said = preview["lines"].to_string();
    assert!(
        said.contains("in use") && said.contains("CPU now"),
        "{said}"
    );
    assert!(
        preview["kills"] != 0 || preview["refused"] == true,
        "{preview}"
    );
    // Too little for what it holds: not made by the way.
    let refused = web.post(
        "/api/limit",
        &json!({"container": "box", "memory": 20 * MIB}),
    );
    assert!(refused.status >= 400, "{}", refused.body);
    assert_eq!(memory(), 100 * MIB);
    let change = json!({"container": "box", "memory": 90 * MIB, "cpu": 500, "pids": 9});
    let done = web.post("/api/limit", &change);
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(memory(), 90 * MIB);
    assert_eq!(kernel::cpu_quota(host.pid("box")), (50_000, 100_000));
    live.until("the new limits", |message| {
        let one = container(message, "box")?;
        let both = one["memoryLimit"] == 90 * MIB && one["cpuLimit"] == 500;
        (both && one["changes"] == 1 && one["pidsLimit"] == 9).then_some(())
    });
    let none = web.post("/api/limit", &json!({"container": "box", "cpu": -1}));
    assert_eq!(none.status, 200, "{}", none.body);
    assert_eq!(kernel::cpu_quota(host.pid("box")).0, -1);
    for _ in 0..2 {
        let undone = web.post("/api/undo", &json!({"container": "box"}));
        assert_eq!(undone.status, 200, "{}", undone.body);
    }
    assert_eq!(memory(), 100 * MIB);
    assert_eq!(kernel::cpu_quota(host.pid("box")).0, -1);
    for bad in [
        json!({"container": "box"}),
        json!({"container": "box", "memory": 1}),
        json!({"container": "box", "cpu": 0}),
    ] {
        assert_eq!(web.post("/api/limit", &bad).status, 400, "{bad}");
    }
}

#[test]
fn signals_reach_a_container_and_its_processes_and_no_others() {
    let host = Host::new();
    let script = "sleep 601 & sleep 602 & wait; sleep 600";
    host.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    let web = Web::start(&host, &["--control"]);
    let mut live = web.live("c=box");
    let process = live.until("its processes", |message| {
        let all = message["detail"]["processes"].as_array()?;
        all.iter().find(|p| p["command"] == "sleep 601").cloned()
    });
    let send = |pid: &Value, start: &Value| {
        web.post(
            "/api/kill",
            &json!({"container": "box", "signal": 9, "pid": pid, "start": start}),
        )
    };
    let (pid, start) = (&process["hostPid"], &process["start"]);
    let host_pid = pid.as_i64().unwrap() as i32;
    // Another process that had the number once, and one of the host's own.
    let later = json!(start.as_u64().unwrap() + 1);
    assert_eq!(send(pid, &later).status, 404);
    assert_eq!(send(&json!(std::process::id()), start).status, 404);
    assert_eq!(send(pid, &Value::Null).status, 400);
    assert!(kernel::alive(host_pid));
    assert_eq!(send(pid, start).status, 200);
    until("the end of one", || !kernel::alive(host_pid));
    assert_eq!(host.status("box"), "running");
    assert_eq!(web.post("/api/kill", &kill("box", 9)).status, 200);
    host.ended("box");
    live.until("its end", |message| {
        let event = &container(message, "box")?["event"];
        (event["kind"] == "ended" && event["text"] == "ended with 137").then_some(())
    });
    assert_eq!(web.post("/api/kill", &kill("box", 9)).status, 409);
}

#[test]
fn the_past_is_kept_and_memory_that_ran_out_is_marked() {
    let host = Host::new();
    let words = [
        "lab",
        "sh",
        "-c",
        "echo before; sleep 2; echo after; saturate-mem; sleep 600",
    ];
    let flags = [
        "run",
        "-d",
        "--name",
        "hungry",
        "--network",
        "none",
        "-m",
        "32m",
    ];
    host.ok(&[&flags[..], &words].concat());
    let web = Web::start(&host, &[]);
    let mut live = web.live("");
    let died = live.until("out of memory", |message| {
        let event = &container(message, "hungry")?["event"];
        (event["kind"] == "oom").then(|| event["time"].as_u64().unwrap())
    });
    let mut timeline = Value::Null;
    until("the mark", || {
        timeline = web.json("/api/timeline?c=hungry&span=60000&columns=60");
        timeline["kills"]
            .as_array()
            .is_some_and(|kills| !kills.is_empty())
    });
    let kill = timeline["kills"][0].as_u64().unwrap();
    assert!(kill.abs_diff(died) < 2000, "{kill} {died}");
    let marks = timeline["events"].to_string();
    assert!(
        marks.contains("\"oom\"") && marks.contains("\"start\""),
        "{marks}"
    );
    let high = timeline["held"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64);
    assert!(high.fold(0.0, f64::max) > 25.0 * MIB as f64, "{timeline}");
    // Back to a moment before it, and before it was made.
    let before = web.json(&format!("/api/at?time={}", died - 1500));
    let then = container(&before, "hungry").expect("it was there");
    assert_eq!(
        (&then["up"], &then["event"]["kind"]),
        (&json!(true), &json!("started"))
    );
    assert!(then["held"].as_u64().unwrap() < 16 * MIB, "{then}");
    let long_ago = web.json(&format!("/api/at?time={}", died - 3_600_000));
    assert!(container(&long_ago, "hungry").is_none());
    // The log on the same clock.
    let lines = |path: &str| web.json(path)["lines"].as_array().unwrap().len();
    let first = web.json("/api/logs?c=hungry")["lines"][0].clone();
    assert_eq!(first["text"], "before");
    let text = first["time"].as_str().unwrap().to_owned();
    let written: jiff::Timestamp = text.parse().unwrap();
    let written = written.as_millisecond();
    assert!(lines("/api/logs?c=hungry") > 1);
    assert_eq!(
        lines(&format!("/api/logs?c=hungry&until={}", written + 500)),
        1
    );
    assert_eq!(
        lines(&format!("/api/logs?c=hungry&until={}", written - 500)),
        0
    );
    assert_eq!(web.get("/api/timeline?c=nobody").status, 404);
}

/// Who acts may have to wait for a container's monitor; who looks does not.
#[test]
fn a_monitor_that_hangs_does_not_stop_the_picture() {
    let host = Host::new();
    host.idle("box", &[]);
    let web = Web::start(&host, &["--control"]);
    let monitor: i32 = kernel::status(host.pid("box"), "PPid").parse().unwrap();
    let mut live = web.live("c=box");
    live.next();
    signal(monitor, 19);
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| web.post("/api/kill", &kill("box", 9)));
        let first = live.next()["time"].as_u64().unwrap();
        let second = live.next()["time"].as_u64().unwrap();
        assert!(second > first);
        assert!(!answer.is_finished(), "it has not waited");
        signal(monitor, 18);
        assert_eq!(answer.join().unwrap().status, 200);
    });
    host.ended("box");
}
