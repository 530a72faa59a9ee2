//! Every figure of every view against containers that hold known amounts. `bench/truth` does the same with thirty of them, and
//! beside other engines.

use serde_json::Value;

use crate::common::{Host, kernel, rows, until};

const MIB: f64 = 1048576.0;

/// What the first one holds: private, shared, cache.
const PRIVATE: f64 = 48.0 * MIB;
const SHARED: f64 = 16.0 * MIB;
const CACHE: f64 = 32.0 * MIB;

/// A container that holds this, and is ready.
fn hold(host: &Host, name: &str, words: &[&str]) {
    let flags = [
        "run",
        "-d",
        "--name",
        name,
        "--network",
        "none",
        "-m",
        "400m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "90",
    ];
    host.ok(&[&flags[..], &["lab", "hold"], words].concat());
    host.logged(name, "ready");
}

fn json(host: &Host, words: &[&str]) -> Value {
    serde_json::from_str(&host.ok(words)).unwrap()
}

#[track_caller]
fn close(what: &str, seen: f64, made: f64, percent: f64) {
    let off = (seen / made - 1.0) * 100.0;
    assert!(
        off.abs() <= percent,
        "{what}: {seen} beside {made}, {off:.2} %"
    );
}

/// Private memory and all of it, of a process, as the kernel says.
fn memory(pid: i32) -> (f64, f64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kib = |name: &str| -> f64 {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    };
    (kib("Private_Clean:") + kib("Private_Dirty:"), kib("Rss:"))
}

/// `48.5MiB / 400MiB`
fn first_size(text: &str) -> f64 {
    let size = text.split(' ').next().unwrap();
    let mib = size.strip_suffix("MiB");
    mib.unwrap_or_else(|| panic!("{text}"))
        .parse::<f64>()
        .unwrap()
        * MIB
}

#[test]
fn memory_and_counts_are_what_was_made() {
    let host = Host::new();
    // Beside it, so that the program's text is shared as it is with many containers.
    hold(&host, "bare", &["--shared", "4k"]);
    let words = [
        "--private",
        "48m",
        "--shared",
        "16m",
        "--threads",
        "5",
        "--zombies",
        "3",
    ];
    hold(&host, "full", &words);
    let (bare, full) = (memory(host.pid("bare")), memory(host.pid("full")));
    close("what was made", full.0, bare.0 + PRIVATE, 2.0);
    let held = |name: &str| -> f64 {
        let dash = json(&host, &["dash", "--format", "json"]);
        let entry = dash["containers"].as_array().unwrap().iter();
        let entry = entry.clone().find(|c| c["name"] == name).unwrap().clone();
        entry["memoryBytes"].as_f64().unwrap()
    };
    until("the recording of it", || held("full") > PRIVATE + SHARED);
    let made = held("bare") + PRIVATE + SHARED;

    let top = json(&host, &["top", "--format", "json", "full"]);
    let totals = &top["totals"];
    assert_eq!(
        (&totals["processes"], &totals["zombies"]),
        (&2.into(), &3.into()),
        "{top}"
    );
    let main = top["processes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["pid"] == 1)
        .unwrap();
    assert_eq!(
        (&main["threads"], &main["hostPid"]),
        (&5.into(), &host.pid("full").into())
    );
    close(
        "PRIVATE",
        main["privateBytes"].as_f64().unwrap(),
        full.0,
        2.0,
    );
    close(
        "RSS",
        main["rssBytes"].as_f64().unwrap(),
        bare.1 + PRIVATE + SHARED,
        2.0,
    );

    let stats = |field: &str| host.ok(&["stats", "--no-stream", "--format", field, "full"]);
    // Five threads, one more process, three zombies; counts are recorded once a second.
    until("its count", || stats("{{.PIDs}}") == "9");
    let used = stats("{{.MemUsage}}");
    close("stats", first_size(&used), made, 2.0);
    close("dash", held("full"), made, 2.0);

    // It begins a tenth of a second after the start.
    until("its recording", || {
        let plot = host.silo(&["plot", "--csv", "full"]);
        plot.code == 0 && plot.out.lines().count() > 1
    });
    let csv = host.ok(&["plot", "--csv", "full"]);
    let head: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let last: Vec<&str> = csv.lines().last().unwrap().split(',').collect();
    let place = |name: &str| head.iter().position(|h| *h == name).unwrap();
    close(
        "plot",
        last[place("held_bytes")].parse().unwrap(),
        made,
        2.0,
    );
    assert_eq!(last[place("pids")], "9");

    let limits = json(&host, &["limit", "--format", "json", "full"]);
    assert_eq!(limits["before"]["memory"], 400 << 20);
    assert_eq!(limits["before"]["pidsLimit"], 90);
    // Docker's columns have every process, the dead ones, too; so has the list of the host.
    assert_eq!(rows(&host.ok(&["top", "full"])).len(), 5);
    let all = host.ok(&["ps", "--host", "--format", "{{.container}} {{.state}}"]);
    let of_full = |state: &str| {
        let lines = all.lines();
        lines
            .filter(|l| l.starts_with("full ") && l.ends_with(state))
            .count()
    };
    assert_eq!((of_full(""), of_full(" Z")), (5, 3), "{all}");
}

#[test]
fn a_zombie_belongs_to_its_container() {
    let host = Host::new();
    hold(&host, "box", &["--zombies", "1"]);
    let zombie = kernel::children(host.pid("box"))[0];
    until("its end", || !kernel::alive(zombie));
    let owner = json(&host, &["whois", "--format", "json", &zombie.to_string()]);
    assert_eq!(owner["container"]["name"], "box", "{owner}");
}

#[test]
fn cache_is_told_apart() {
    // Files in memory are no cache: tests/vm has a disk, and says so.
    let host = Host::below(&std::env::temp_dir());
    hold(&host, "cached", &["--private", "16m", "--cache", "32m"]);
    let last = || {
        let dash = json(&host, &["dash", "--format", "json"]);
        let entry = &dash["containers"][0];
        (
            entry["cacheBytes"].as_f64().unwrap(),
            entry["memoryBytes"].as_f64().unwrap(),
        )
    };
    let pid = host.pid("cached");
    let kernels = || {
        let stat = kernel::group_file(pid, "memory", "memory.stat", "memory.stat");
        let of = |name: &str| -> Option<f64> {
            let line = stat.lines().find_map(|l| l.strip_prefix(name));
            line.map(|l| l.trim().parse().unwrap())
        };
        let v1 = of("total_cache ").zip(of("total_shmem "));
        let (all, shared) = v1.or(of("file ").zip(of("shmem "))).unwrap();
        all - shared
    };
    // Files of the image that nobody had read before are this container's, too, and may go: the kernel knows how much that is. One that
    // rests is written down every ten seconds.
    until("what the kernel counts", || {
        let (cache, files) = (last().0, kernels());
        files >= CACHE * 0.96 && (cache / files - 1.0).abs() <= 0.04
    });
    let (_, held) = last();
    // On v1 the kernel's own memory for the cache is among what is held.
    assert!((16.0 * MIB..20.0 * MIB).contains(&held), "{held}");
}
