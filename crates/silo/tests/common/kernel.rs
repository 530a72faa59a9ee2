//! What the kernel says about processes, control groups, mounts and links, read from the host without asking Silo.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

/// One file of a control group in both of its forms.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Controller and file of version 1.
    pub v1: (&'static str, &'static str),
    /// File of version 2.
    pub v2: &'static str,
}

pub const MEMORY: Limit = limit("memory", "memory.limit_in_bytes", "memory.max");
pub const MEMORY_PEAK: Limit = limit("memory", "memory.max_usage_in_bytes", "memory.peak");
pub const MEMORY_USED: Limit = limit("memory", "memory.usage_in_bytes", "memory.current");
pub const PIDS: Limit = limit("pids", "pids.max", "pids.max");
pub const CPUS: Limit = limit("cpuset", "cpuset.cpus", "cpuset.cpus");
pub const MEMS: Limit = limit("cpuset", "cpuset.mems", "cpuset.mems");

const fn limit(controller: &'static str, v1: &'static str, v2: &'static str) -> Limit {
    Limit {
        v1: (controller, v1),
        v2,
    }
}

/// A line of /proc/PID/status behind its name, such as `CapEff`.
#[track_caller]
pub fn status(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = text
        .lines()
        .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    found.unwrap_or_default().trim().to_owned()
}

/// Whether a process exists and is more than a zombie.
pub fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|s| s.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// Whether a process has ended and waits only for the system's first process, which may take seconds over it.
pub fn is_dead_orphan(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = fields.split_whitespace().take(2).collect();
    matches!(fields[..], ["Z" | "X", "1"])
}

/// Which namespace a process is in: `pid:[4026531836]`.
pub fn namespace(pid: i32, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    link.display().to_string()
}

/// Host pids of a process' children.
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|p| p.parse().ok())
        .collect()
}

/// A hierarchy of control groups: its controllers (version 1; none: version 2) and where it is mounted.
#[derive(Debug)]
pub struct Hierarchy {
    pub controllers: Vec<String>,
    pub place: PathBuf,
}

/// All hierarchies of the host.
pub fn hierarchies() -> Vec<Hierarchy> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let known: Vec<String> = fs::read_to_string("/proc/cgroups")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    let mut found = Vec::new();
    for line in text.lines() {
        let (mount, kind) = line.split_once(" - ").unwrap();
        let place = PathBuf::from(mount.split(' ').nth(4).unwrap());
        let words: Vec<&str> = kind.split(' ').collect();
        if !matches!(words[0], "cgroup" | "cgroup2") || mount.split(' ').nth(3) != Some("/") {
            continue;
        }
        let controllers = words[2].split(',').filter(|w| {
            words[0] == "cgroup" && (known.iter().any(|k| k == w) || w.starts_with("name="))
        });
        found.push(Hierarchy {
            controllers: controllers.map(str::to_owned).collect(),
            place,
        });
    }
    found
}

/// Whether this is the emulated machine of tests/vm, which may be harmed: its kernel was started with that word.
pub fn is_emulated() -> bool {
    let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    words.split_whitespace().any(|word| word == "silo.emulated")
}

/// Whether the host has this controller in version 1.
fn is_v1(controller: &str) -> Option<PathBuf> {
    let has = |h: &Hierarchy| h.controllers.iter().any(|c| c == controller);
    hierarchies().into_iter().find(has).map(|h| h.place)
}

/// The folder of a process' control group for a controller.
#[track_caller]
pub fn group_of(pid: i32, controller: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let wanted = is_v1(controller);
    for line in text.lines() {
        let parts: Vec<&str> = line.splitn(3, ':').collect();
        let path = parts[2].trim_start_matches('/');
        match &wanted {
            Some(place) if parts[1].split(',').any(|c| c == controller) => return place.join(path),
            None if parts[0] == "0" => {
                let place = hierarchies().into_iter().find(|h| h.controllers.is_empty());
                return place.unwrap().place.join(path);
            }
            _ => {}
        }
    }
    panic!("process {pid} is in no group of {controller}: {text}");
}

/// What a file of a process' control group says.
#[track_caller]
pub fn group_file(pid: i32, controller: &str, v1: &str, v2: &str) -> String {
    let name = if is_v1(controller).is_some() { v1 } else { v2 };
    let path = group_of(pid, controller).join(name);
    let text = fs::read_to_string(&path);
    text.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .trim()
        .to_owned()
}

#[track_caller]
pub fn read(pid: i32, limit: Limit) -> String {
    group_file(pid, limit.v1.0, limit.v1.1, limit.v2)
}

#[track_caller]
pub fn number(pid: i32, limit: Limit) -> u64 {
    let text = read(pid, limit);
    text.parse()
        .unwrap_or_else(|_| panic!("{limit:?} is {text:?}"))
}

/// CPU quota and period in microseconds; a quota of -1 is none.
#[track_caller]
pub fn cpu_quota(pid: i32) -> (i64, i64) {
    if is_v1("cpu").is_some() {
        let get = |file| group_file(pid, "cpu", file, "").parse().unwrap();
        return (get("cpu.cfs_quota_us"), get("cpu.cfs_period_us"));
    }
    let text = group_file(pid, "cpu", "", "cpu.max");
    let (quota, period) = text.split_once(' ').unwrap();
    (quota.parse().unwrap_or(-1), period.parse().unwrap())
}

/// CPU time used by a process' control group, in nanoseconds.
#[track_caller]
pub fn cpu_used(pid: i32) -> u64 {
    if is_v1("cpuacct").is_some() {
        return group_file(pid, "cpuacct", "cpuacct.usage", "")
            .parse()
            .unwrap();
    }
    let text = group_file(pid, "cpu", "", "cpu.stat");
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("usage_usec "))
        .unwrap();
    line.parse::<u64>().unwrap() * 1000
}

/// Weight of CPU time: 1024 of version 1 is 100 of version 2.
#[track_caller]
pub fn cpu_weight(pid: i32) -> (bool, u64) {
    let v1 = is_v1("cpu").is_some();
    (
        v1,
        group_file(pid, "cpu", "cpu.shares", "cpu.weight")
            .parse()
            .unwrap(),
    )
}

/// Lets the containers of a group go before other work of the host, so that this does not take what they measure.
pub fn prefer(group: &str) {
    let (place, file, value) = match is_v1("cpu") {
        Some(place) => (place, "cpu.shares", "262144"),
        None => (hierarchies().remove(0).place, "cpu.weight", "10000"),
    };
    let _ = fs::write(place.join(group).join(file), value);
}

/// Makes a control group with a ceiling of memory in every hierarchy.
pub fn make_parent(name: &str, bytes: u64) {
    for hierarchy in hierarchies() {
        let folder = hierarchy.place.join(name);
        fs::create_dir(&folder).unwrap();
        for (file, value) in [
            ("memory.limit_in_bytes", bytes.to_string()),
            ("memory.max", bytes.to_string()),
            ("cgroup.clone_children", "1".to_owned()),
        ] {
            let path = folder.join(file);
            if path.exists() {
                fs::write(&path, value).unwrap();
            }
        }
        fill_cpuset(&folder);
    }
}

/// A fresh group of the cpuset controller (version 1) lets nobody in until it has CPUs and memory nodes.
fn fill_cpuset(folder: &std::path::Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let above = folder.parent().unwrap().join(file);
        if let Ok(value) = fs::read_to_string(above)
            && !value.trim().is_empty()
        {
            let _ = fs::write(folder.join(file), value);
        }
    }
}

/// Groups named `group` that are still there in some hierarchy, with everything below.
pub fn groups_below(group: &str) -> Vec<PathBuf> {
    fn walk(folder: PathBuf, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                walk(entry.path(), found);
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        walk(hierarchy.place.join(group), &mut found);
    }
    found
}

/// Whether some hierarchy has a group of this name.
pub fn group_stands(name: &str) -> bool {
    let has = |hierarchy: Hierarchy| hierarchy.place.join(name).exists();
    hierarchies().into_iter().any(has)
}

/// Removes an empty group from every hierarchy.
pub fn remove_parent(name: &str) {
    for hierarchy in hierarchies() {
        let _ = fs::remove_dir(hierarchy.place.join(name));
    }
}

/// Names of the network links in this thread's namespace.
pub fn links() -> Vec<String> {
    let out = run("ip", &["-o", "link", "show"]);
    let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
    out.lines().filter_map(name).collect()
}

/// The firewall's rules in this thread's namespace.
pub fn firewall() -> String {
    run("nft", &["list", "ruleset"])
}

/// What a program of the host prints; it must succeed.
#[track_caller]
pub fn run(program: &str, words: &[&str]) -> String {
    let out = Command::new(program).args(words).output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{program} {words:?}: {said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Mounts that a process sees: place, to (options of the mount, type, options of the file system).
pub fn mounts(pid: i32) -> BTreeMap<String, (String, String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let (mount, rest) = line.split_once(" - ").unwrap();
        let mount: Vec<&str> = mount.split(' ').collect();
        let rest: Vec<&str> = rest.split(' ').collect();
        let facts = (mount[5].to_owned(), rest[0].to_owned(), rest[2].to_owned());
        found.insert(mount[4].to_owned(), facts);
    }
    found
}

/// Bytes that the host has to spare.
pub fn available_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// CPUs that are online.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
