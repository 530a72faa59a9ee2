//! `explain`: what isolates a container, and the same by hand.

use std::{collections::BTreeMap, fs, process::Stdio};

use serde_json::Value;

use crate::common::{Host, kernel, signal, until};

/// (risk, state) of each topic.
fn points(host: &Host, name: &str) -> BTreeMap<String, (String, String)> {
    let text = host.ok(&["explain", "--format", "json", name]);
    let facts: Value = serde_json::from_str(&text).unwrap();
    let order = ["high", "medium", "low", "none"];
    let rank = |risk: &Value| order.iter().position(|known| *known == risk);
    let all = facts["points"].as_array().unwrap();
    assert!(all.is_sorted_by_key(|p| rank(&p["risk"])), "{text}");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    all.iter()
        .map(|p| (word(&p["topic"]), (word(&p["risk"]), word(&p["state"]))))
        .collect()
}

#[track_caller]
fn is(points: &BTreeMap<String, (String, String)>, topic: &str, risk: &str, state: &str) {
    let (found, said) = &points[topic];
    assert!(
        found == risk && said.contains(state),
        "{topic}: {found}, {said}"
    );
}

#[test]
fn what_the_kernel_has() {
    let host = Host::new();
    host.idle(
        "usual",
        &["-m", "64m", "--pids-limit", "40", "--cpus", "0.5"],
    );
    let usual = points(&host, "usual");
    for topic in [
        "pidNamespace",
        "mountNamespace",
        "networkNamespace",
        "ipcNamespace",
        "utsNamespace",
        "cgroupNamespace",
    ] {
        is(&usual, topic, "none", "own");
    }
    is(&usual, "userNamespace", "medium", "SHARED WITH HOST");
    is(&usual, "capabilities", "low", "14 of 41");
    is(&usual, "seccomp", "none", "filtered");
    is(&usual, "memoryLimit", "none", "64MiB");
    is(&usual, "pidsLimit", "none", "40");
    is(&usual, "cpuLimit", "none", "0.5 CPU");

    let open = [
        "--pid",
        "host",
        "--network",
        "host",
        "--privileged",
        "-v",
        "/etc:/given",
    ];
    host.ok(&[
        &["run", "-d", "--name", "open"],
        &open[..],
        &["lab", "sleep", "600"],
    ]
    .concat());
    let open = points(&host, "open");
    for topic in [
        "pidNamespace",
        "networkNamespace",
        "capabilities",
        "seccomp",
        "maskedPaths",
        "devices",
        "bind",
    ] {
        assert_eq!(open[topic].0, "high", "{topic}: {open:?}");
    }
    is(&open, "memoryLimit", "medium", "NO LIMIT");
    let text = host.ok(&["explain", "open"]);
    let first = text.lines().nth(1).unwrap();
    assert!(
        first.starts_with("HIGH") && text.contains("[--pid]"),
        "{text}"
    );

    let words = [
        "--network",
        "container:usual",
        "-u",
        "1000",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
    ];
    host.ok(&[&["create", "--name", "made"], &words[..], &["lab"]].concat());
    let made = points(&host, "made");
    is(&made, "networkNamespace", "low", "shared with usual");
    is(&made, "capabilities", "none", "none");
    is(&made, "noNewPrivileges", "none", "cannot");
    assert!(host.ok(&["explain", "made"]).contains("it does not run"));
}

/// The commands of `explain --commands`, typed: a process with the same namespaces, root, rights and limits.
#[test]
fn the_same_by_hand() {
    let host = Host::new();
    let folder = host.folder("given");
    host.file("given/file", "x");
    let volume = format!("{folder}:/given:ro");
    let flags = [
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "40",
        "--hostname",
        "boxy",
        "-v",
        &volume,
        "--tmpfs",
        "/scratch",
        "--cap-drop",
        "NET_RAW",
        "--security-opt",
        "no-new-privileges",
        "-w",
        "/etc",
        "-e",
        "ODD=it's $x\nEND_OF_INSIDE",
        "--ulimit",
        "nofile=77:88",
    ];
    host.idle("box", &flags);
    compare(&host, "box", "600");
    host.ok(&["rm", "-f", "box"]);
    host.idle(
        "box",
        &[
            "-u",
            "1000:1000",
            "--read-only",
            "--uts",
            "host",
            "--ipc",
            "host",
            "--cgroupns",
            "host",
        ],
    );
    compare(&host, "box", "600");
    let said = host.ok(&["explain", "box"]);
    let what = match kernel::hierarchies()
        .iter()
        .all(|h| h.controllers.is_empty())
    {
        true => "whole tree of control groups",
        false => "it sees its own alone",
    };
    assert!(said.contains(what), "{said}");
}

fn compare(host: &Host, name: &str, argument: &str) {
    let path = host.file(
        "by-hand",
        &(host.ok(&["explain", "--commands", name]) + "\n"),
    );
    let mut script = host.command(&[]);
    let mut script = {
        // Marked as this host's, so that the leak check sees what it leaves.
        let variables: Vec<_> = script
            .get_envs()
            .filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned())))
            .collect();
        script = std::process::Command::new("sh");
        script
            .arg(&path)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        script.spawn().unwrap()
    };
    let group = format!(
        "by-hand-{}",
        &host.inspect(name)["Id"].as_str().unwrap()[..12]
    );
    let mut found = None;
    until("the process by hand", || {
        if let Some(status) = script.try_wait().unwrap() {
            panic!("the script ended: {status}");
        }
        found = program(&group, argument);
        found.is_some()
    });
    let by_hand = found.unwrap();
    let outcome = std::panic::catch_unwind(|| same(host.pid(name), by_hand, &group));
    signal(by_hand, 9);
    let _ = script.wait();
    let left = kernel::groups_below(&group);
    assert!(left.is_empty(), "{left:?}");
    let gone = |folder: kernel::Hierarchy| !folder.place.join(&group).exists();
    assert!(kernel::hierarchies().into_iter().all(gone));
    if let Err(cause) = outcome {
        std::panic::resume_unwind(cause);
    }
}

/// The `sleep` in the group.
fn program(group: &str, argument: &str) -> Option<i32> {
    let wanted = format!("sleep\0{argument}\0");
    let own = |pid: &i32| {
        let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("cmdline") == wanted && read("cgroup").contains(group)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(own)
}

fn same(silos: i32, by_hand: i32, group: &str) {
    let own = std::process::id() as i32;
    for kind in ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user", "time"] {
        let at = |pid| kernel::namespace(pid, kind);
        // The test itself is in a network namespace of its own, from which both started.
        let hosts = if kind == "net" {
            fs::read_link("/proc/thread-self/ns/net")
                .unwrap()
                .display()
                .to_string()
        } else {
            at(own)
        };
        assert_eq!(at(silos) == hosts, at(by_hand) == hosts, "{kind}");
        assert!(at(silos) == hosts || at(silos) != at(by_hand), "{kind}");
    }
    for field in [
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Uid",
        "Gid",
        "Groups",
    ] {
        assert_eq!(
            kernel::status(silos, field),
            kernel::status(by_hand, field),
            "{field}"
        );
    }
    let read = |pid: i32, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let list = |text: String| {
        let mut words: Vec<String> = text.split('\0').map(str::to_owned).collect();
        words.sort();
        words
    };
    assert_eq!(list(read(silos, "environ")), list(read(by_hand, "environ")));
    for file in ["cmdline", "limits", "oom_score_adj"] {
        assert_eq!(read(silos, file), read(by_hand, file), "{file}");
    }
    for link in ["cwd", "root"] {
        let at = |pid| fs::read_link(format!("/proc/{pid}/{link}")).unwrap();
        assert_eq!(at(silos), at(by_hand), "{link}");
    }
    roots(silos, by_hand);
    limits(silos, by_hand, group);
}

/// The same mounts with the same options, and the same files in them.
fn roots(silos: i32, by_hand: i32) {
    let mounts = |pid| {
        let all = kernel::mounts(pid).into_iter();
        all.map(|(place, (options, kind, _))| (place, options, kind))
            .collect::<Vec<_>>()
    };
    assert_eq!(mounts(silos), mounts(by_hand));
    assert_eq!(other_groups(silos), other_groups(by_hand));
    for folder in ["", "etc", "bin", "dev", "given", "scratch"] {
        let names = |pid: i32| {
            let path = format!("/proc/{pid}/root/{folder}");
            let mut names: Vec<_> = fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(silos), names(by_hand), "/{folder}");
    }
    let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/root/etc/hostname")).unwrap();
    assert_eq!(name(silos), name(by_hand));
}

/// How many groups below its own a process sees in each hierarchy: on v1 none, whatever its namespace.
fn other_groups(pid: i32) -> Vec<usize> {
    let top = format!("/proc/{pid}/root/sys/fs/cgroup");
    let folders = |path: &str| -> Vec<String> {
        let all = fs::read_dir(path).unwrap().flatten();
        let folders = all.filter(|entry| entry.file_type().unwrap().is_dir());
        let mut folders: Vec<String> = folders.map(|e| e.path().display().to_string()).collect();
        folders.sort();
        folders
    };
    if fs::exists(format!("{top}/cgroup.procs")).unwrap() {
        return vec![folders(&top).len()];
    }
    let found: Vec<usize> = folders(&top)
        .iter()
        .map(|place| folders(place).len())
        .collect();
    assert!(found.iter().all(|count| *count == 0), "{found:?}");
    found
}

/// Every limit of every hierarchy.
fn limits(silos: i32, by_hand: i32, group: &str) {
    let groups = fs::read_to_string(format!("/proc/{by_hand}/cgroup")).unwrap();
    let all = groups
        .lines()
        .all(|line| line.ends_with(&format!("/{group}")));
    assert!(all, "{groups}");
    for (controller, file) in [
        ("memory", "memory.limit_in_bytes"),
        ("cpu", "cpu.cfs_quota_us"),
        ("cpu", "cpu.cfs_period_us"),
        ("cpu", "cpu.shares"),
        ("pids", "pids.max"),
        ("cpuset", "cpuset.cpus"),
        ("devices", "devices.list"),
        ("memory", "memory.max"),
        ("cpu", "cpu.max"),
    ] {
        let has = |h: &kernel::Hierarchy| h.controllers.iter().any(|c| c == controller);
        let v1 = kernel::hierarchies().iter().any(has);
        if !v1 && file.contains('_') {
            continue;
        }
        // A list of devices may come in another order.
        let at = |pid| {
            let text = fs::read_to_string(kernel::group_of(pid, controller).join(file)).ok()?;
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            Some(lines)
        };
        assert_eq!(at(silos), at(by_hand), "{file}");
    }
}
