//! What only hosts with control groups v2 alone have: controllers handed down, one group for everything, the view from inside.
//!
//! tests/vm/run plays these where the host is of another kind.

use std::{fs, path::Path};

use crate::common::{Host, kernel, until};

const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Whether this host has v2 and nothing else.
fn is_unified() -> bool {
    let only = kernel::hierarchies()
        .iter()
        .all(|hierarchy| hierarchy.controllers.is_empty());
    if !only {
        println!("skipped: this host has control groups v1; tests/vm/run has v2 alone");
    }
    only
}

fn read(folder: &Path, file: &str) -> String {
    let path = folder.join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn controllers_are_handed_down() {
    if !is_unified() {
        return;
    }
    let host = Host::new();
    host.idle("box", &[]);
    let group = kernel::group_of(host.pid("box"), "memory");
    for (folder, file) in [
        (group.parent().unwrap(), "cgroup.subtree_control"),
        (&group, "cgroup.controllers"),
    ] {
        let text = read(folder, file);
        let has = |name: &&str| text.split_whitespace().any(|word| word == *name);
        assert!(CONTROLLERS.iter().all(has), "{file}: {text}");
    }
    // No process lies between the root and the container's group, and nothing of the monitor in it.
    assert_eq!(read(group.parent().unwrap(), "cgroup.procs"), "");
    let pids = read(&group, "cgroup.procs");
    assert_eq!(pids.trim(), host.pid("box").to_string());
}

#[test]
fn one_group_holds_everything() {
    if !is_unified() {
        return;
    }
    let host = Host::new();
    let flags = [
        "-m",
        "64m",
        "--memory-swap",
        "96m",
        "--memory-reservation",
        "32m",
        "--cpus",
        "0.5",
        "-c",
        "512",
        "--pids-limit",
        "20",
    ];
    host.idle("box", &flags);
    let group = kernel::group_of(host.pid("box"), "memory");
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "20"),
    ] {
        assert_eq!(read(&group, file).trim(), value, "{file}");
    }
    let weight: u64 = read(&group, "cpu.weight").trim().parse().unwrap();
    assert!((20..=60).contains(&weight), "half of 100: {weight}");
    host.ok(&["pause", "box"]);
    assert_eq!(read(&group, "cgroup.freeze").trim(), "1");
    let events = read(&group, "cgroup.events");
    assert!(events.contains("frozen 1"), "{events}");
    host.ok(&["unpause", "box"]);
    assert_eq!(read(&group, "cgroup.freeze").trim(), "0");
    host.ok(&["rm", "-f", "box"]);
    assert!(!group.exists());
}

#[test]
fn inside_its_own_group_is_the_root() {
    if !is_unified() {
        return;
    }
    let host = Host::new();
    host.idle("box", &["-m", "64m"]);
    let inside = |script: &str| host.ok(&["exec", "box", "sh", "-c", script]);
    assert_eq!(inside("cat /proc/self/cgroup"), "0::/");
    assert_eq!(inside("cat /sys/fs/cgroup/memory.max"), "67108864");
    let made = host.silo(&["exec", "box", "mkdir", "/sys/fs/cgroup/own"]);
    assert!(made.err.contains("ead-only"), "{made}");
    let raised = host.silo(&[
        "exec",
        "box",
        "sh",
        "-c",
        "echo max > /sys/fs/cgroup/memory.max",
    ]);
    assert_ne!(raised.code, 0, "{raised}");
    let group = kernel::group_of(host.pid("box"), "memory");
    assert_eq!(read(&group, "memory.max").trim(), "67108864");
}

/// A quota is kept when there is only one processor, too: half of it is half of it.
#[test]
fn half_a_processor_is_half() {
    if !is_unified() {
        return;
    }
    let host = Host::alone();
    host.ok(&[
        "run",
        "-d",
        "--name",
        "busy",
        "--network",
        "none",
        "--cpus",
        "0.5",
        "lab",
        "saturate-cpu",
    ]);
    let group = kernel::group_of(host.pid("busy"), "cpu");
    let figure = |name: &str| {
        let text = read(&group, "cpu.stat");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    until("work", || figure("usage_usec") > 500_000);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (time, before) = (std::time::Instant::now(), figure("usage_usec"));
        std::thread::sleep(std::time::Duration::from_secs(5));
        let used = (figure("usage_usec") - before) as f64 / time.elapsed().as_micros() as f64;
        assert!(used <= 0.515, "{used}");
        seen.push(used);
        if used >= 0.485 {
            break;
        }
    }
    assert!(seen.iter().any(|used| *used >= 0.485), "{seen:?}");
    assert!(figure("nr_throttled") > 10);
    let share = host.ok(&["stats", "--no-stream", "--format", "{{.Throttled}}", "busy"]);
    let share: f64 = share.trim().trim_end_matches('%').trim().parse().unwrap();
    assert!(share > 50.0, "{share}");
}

/// As inside a container of another engine: a control group namespace whose topmost group has processes in it.
#[test]
fn a_delegated_root_with_processes_is_vacated() {
    if !is_unified() || !kernel::is_emulated() {
        println!("skipped: it makes a group at the root, which is the emulated machine's alone");
        return;
    }
    let host = Host::new();
    let nest = Path::new("/sys/fs/cgroup/nest");
    fs::create_dir_all(nest).unwrap();
    let silo = |words: &[&str]| {
        let command = host.command(words);
        let all = std::iter::once(command.get_program()).chain(command.get_args());
        let all: Vec<String> = all.map(|w| w.to_string_lossy().into_owned()).collect();
        format!("'{}'", all.join("' '"))
    };
    let limited = silo(&[
        "run",
        "--rm",
        "--network",
        "none",
        "-m",
        "64m",
        "lab",
        "echo",
        "held",
    ]);
    let outside = format!("{limited} 2>&1");
    let inside = format!(
        "umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; sleep 600 & {limited}; {limited}; cat /sys/fs/cgroup/cgroup.procs; \
         wc -l < /sys/fs/cgroup/init/cgroup.procs; {}; kill $!",
        silo(&["doctor"])
    );
    let enter = |script: &str| {
        let words = format!(
            "echo 0 > {}/cgroup.procs; exec unshare --cgroup --mount sh -c {}",
            nest.display(),
            shell_word(script)
        );
        let out = std::process::Command::new("sh")
            .args(["-c", &words])
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    };
    // Without the namespace's own view there is nothing that could be done.
    let said = enter(&outside);
    assert!(said.contains("mount the namespace's own view"), "{said}");
    let said = enter(&inside);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["held", "held"], "{said}");
    // Nothing is left in the topmost group; the shell, its sleeper and wc are below.
    let count: u32 = lines[2].trim().parse().unwrap_or_else(|_| panic!("{said}"));
    assert!(count >= 2, "{said}");
    assert!(
        said.contains("memory: enforced") && said.trim_end().ends_with("nothing"),
        "{said}"
    );
    until("the groups to be empty", || {
        for group in ["init", &host.group(), ""] {
            let _ = fs::remove_dir(nest.join(group));
        }
        !nest.exists()
    });
}

fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
