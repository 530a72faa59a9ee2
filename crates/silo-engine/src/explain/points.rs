//! One line for each thing that isolates: what holds, what that means, which flag changes it, how large a risk it is. Pure.

use std::path::PathBuf;

use oci_spec::runtime::Capability;
use serde::Serialize;
use silo_runtime::capabilities::{self, CapSet};
use silo_types::{ByteSize, ContainerConfig, MountKind, NetworkMode, Resources, SeccompChoice};

/// What can come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Risk {
    /// It isolates as it should.
    None,
    /// Usual, and worth to know.
    Low,
    /// Others on the machine may suffer.
    Medium,
    /// Whoever is inside may get at the machine.
    High,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Stable: `pidNamespace`, `capabilities`, `memoryLimit`, …
    pub topic: &'static str,
    /// For people: `processes`, `memory`, …
    pub title: &'static str,
    pub state: String,
    pub meaning: String,
    /// The flag of `run` that changes it; empty: none.
    pub flag: &'static str,
    pub risk: Risk,
}

/// Whose namespace it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Own,
    Host,
    /// Of the container with this name.
    Other(String),
}

/// What the points are drawn from.
pub(super) struct Facts<'a> {
    pub(super) config: &'a ContainerConfig,
    pub(super) limits: &'a Resources,
    pub(super) spaces: Vec<(&'static str, Space)>,
    /// The most that a process inside can have.
    pub(super) capabilities: CapSet,
    pub(super) filtered: bool,
    pub(super) no_new_privileges: bool,
    /// User of the main process on the host; none: it does not run.
    pub(super) uid: Option<u32>,
    /// Silo's own data, which no container should have.
    pub(super) sensitive: PathBuf,
    pub(super) is_v2: bool,
}

/// All points, the largest risk first.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Point> {
    let mut points: Vec<Point> = facts
        .spaces
        .iter()
        .map(|(kind, space)| namespace(facts, kind, space))
        .collect();
    points.extend(rights(facts));
    points.extend(files(facts));
    points.extend(limits(facts));
    points.sort_by_key(|point| std::cmp::Reverse(point.risk));
    points
}

fn point(
    topic: &'static str,
    title: &'static str,
    risk: Risk,
    state: impl Into<String>,
    meaning: impl Into<String>,
    flag: &'static str,
) -> Point {
    Point {
        topic,
        title,
        state: state.into(),
        meaning: meaning.into(),
        flag,
        risk,
    }
}

/// Kind, topic, title, meaning when its own, meaning when the host's, risk then, flag.
type SpaceText = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Risk,
    &'static str,
);

const SPACES: [SpaceText; 8] = [
    (
        "pid",
        "pidNamespace",
        "processes",
        "it sees, and can send signals to, its own processes only",
        "it sees every process of the machine, and root in it can kill them",
        Risk::High,
        "--pid",
    ),
    (
        "mnt",
        "mountNamespace",
        "file tree",
        "it has a tree of files of its own; the machine's is not in it",
        "it sees the machine's files",
        Risk::High,
        "",
    ),
    (
        "net",
        "networkNamespace",
        "network",
        "it has interfaces, addresses and ports of its own",
        "it uses the machine's interfaces, and reaches what listens on its 127.0.0.1",
        Risk::High,
        "--network",
    ),
    (
        "ipc",
        "ipcNamespace",
        "shared memory",
        "shared memory and message queues are its own",
        "it can reach shared memory and message queues of the machine's processes",
        Risk::Medium,
        "--ipc",
    ),
    (
        "uts",
        "utsNamespace",
        "host name",
        "it has a host name of its own",
        "it has the machine's host name, and with SYS_ADMIN can change it",
        Risk::Low,
        "--uts",
    ),
    (
        "cgroup",
        "cgroupNamespace",
        "view of groups",
        "of control groups it sees its own, which looks like the topmost one to it",
        "of control groups it sees its own alone, and by /proc/self/cgroup where in the machine's tree that is",
        Risk::Low,
        "--cgroupns",
    ),
    (
        "user",
        "userNamespace",
        "users",
        "root in it is an ordinary user of the machine",
        "user numbers are the machine's: root in it is root outside, held back only by what is listed here",
        Risk::Medium,
        "--user",
    ),
    (
        "time",
        "timeNamespace",
        "clocks",
        "its clocks since boot are its own",
        "it has the machine's clocks, which it can read but not set",
        Risk::None,
        "",
    ),
];

fn namespace(facts: &Facts<'_>, kind: &str, space: &Space) -> Point {
    let known = SPACES
        .iter()
        .find(|text| text.0 == kind)
        .unwrap_or(&SPACES[0]);
    let (_, topic, title, own, host, risk, flag) = *known;
    match space {
        Space::Own if kind == "net" && facts.config.network.mode == NetworkMode::None => point(
            topic,
            title,
            Risk::None,
            "own",
            "it has nothing but a loopback of its own: it reaches nobody",
            flag,
        ),
        Space::Own => point(topic, title, Risk::None, "own", own, flag),
        Space::Host if kind == "cgroup" && facts.is_v2 => point(
            topic,
            title,
            risk,
            SHARED,
            "it sees the machine's whole tree of control groups, with the names of all containers",
            flag,
        ),
        Space::Other(name) => {
            let meaning = format!("it has everything of this kind in common with container {name}");
            point(
                topic,
                title,
                Risk::Low,
                format!("shared with {name}"),
                meaning,
                flag,
            )
        }
        Space::Host if kind == "user" && facts.uid.is_some_and(|uid| uid != 0) => {
            let uid = facts.uid.unwrap_or_default();
            let meaning = format!(
                "user numbers are the machine's: its program runs as user {uid}, not as root"
            );
            point(topic, title, Risk::Low, SHARED, meaning, flag)
        }
        Space::Host => point(topic, title, risk, SHARED, host, flag),
    }
}

const SHARED: &str = "SHARED WITH HOST";

/// Capabilities that are a way to the machine, or nearly so: capabilities(7).
const DANGEROUS: [Capability; 13] = [
    Capability::SysAdmin,
    Capability::SysModule,
    Capability::SysPtrace,
    Capability::SysRawio,
    Capability::SysBoot,
    Capability::SysTime,
    Capability::DacReadSearch,
    Capability::NetAdmin,
    Capability::Bpf,
    Capability::Perfmon,
    Capability::MacAdmin,
    Capability::MacOverride,
    Capability::Syslog,
];

fn rights(facts: &Facts<'_>) -> Vec<Point> {
    let security = &facts.config.security;
    let mut points = vec![capabilities_point(facts)];
    points.push(match (facts.filtered, &security.seccomp) {
        (false, _) => point(
            "seccomp",
            "system calls",
            Risk::High,
            "ALL ALLOWED",
            "nothing keeps it from rarely used parts of the kernel, where most holes are",
            "--security-opt seccomp=",
        ),
        (true, SeccompChoice::Profile(_)) => point(
            "seccomp",
            "system calls",
            Risk::None,
            "filtered by a profile of yours",
            "what that profile does not allow ends in an error",
            "--security-opt seccomp=",
        ),
        (true, _) => point(
            "seccomp",
            "system calls",
            Risk::None,
            "filtered",
            "what a container has no business with ends in an error",
            "--security-opt seccomp=",
        ),
    });
    points.push(match facts.no_new_privileges {
        true => point(
            "noNewPrivileges",
            "more rights",
            Risk::None,
            "cannot be gained",
            "no program in it can give more rights than its caller has",
            "--security-opt no-new-privileges",
        ),
        false => point(
            "noNewPrivileges",
            "more rights",
            Risk::Low,
            "can be gained",
            "a set-user-id program in it, such as su, may make its caller root of the container",
            "--security-opt no-new-privileges",
        ),
    });
    let open = security.privileged || security.unmask_paths;
    points.push(match open {
        true => point(
            "maskedPaths",
            "/proc and /sys",
            Risk::High,
            "OPEN",
            "files that tell about the machine or steer it can be read and written",
            "--security-opt systempaths=",
        ),
        false => point(
            "maskedPaths",
            "/proc and /sys",
            Risk::None,
            "masked",
            "files that tell about the machine are hidden, those that steer it are read-only",
            "--security-opt systempaths=",
        ),
    });
    points.push(point(
        "securityModule",
        "profiles",
        Risk::Low,
        "none",
        "no AppArmor or SELinux profile holds it; Silo sets none yet",
        "",
    ));
    points
}

fn capabilities_point(facts: &Facts<'_>) -> Point {
    let set = facts.capabilities;
    let dangerous: Vec<&str> = DANGEROUS
        .iter()
        .filter(|one| set.contains(**one))
        .map(|one| capabilities::name(*one))
        .collect();
    let count = set.len();
    let flag = "--cap-drop, --cap-add, --privileged";
    let make = |risk, state: String, meaning: String| {
        point("capabilities", "root's powers", risk, state, meaning, flag)
    };
    if set == CapSet::ALL || facts.config.security.privileged {
        let meaning =
            "root in it has all powers of the machine's root, and can leave the container";
        return make(Risk::High, "ALL".to_owned(), meaning.to_owned());
    }
    if !dangerous.is_empty() {
        let meaning = format!("{} can reach beyond the container", dangerous.join(", "));
        return make(
            Risk::High,
            format!("{count} of 41, some DANGEROUS"),
            meaning,
        );
    }
    if set.is_empty() {
        return make(
            Risk::None,
            "none".to_owned(),
            "root in it can do no more than any user".to_owned(),
        );
    }
    let raw = match set.contains(Capability::NetRaw) {
        true => "; NET_RAW lets it make any packet: drop it where ping is not needed",
        false => "",
    };
    let meaning = format!("it may change owners of its files and the like, not the machine{raw}");
    make(Risk::Low, format!("{count} of 41"), meaning)
}

/// Folders of the host whose writer owns the machine.
const KEYS: [&str; 12] = [
    "/", "/etc", "/proc", "/sys", "/dev", "/boot", "/root", "/usr", "/run", "/var/run", "/var/lib",
    "/lib",
];

fn files(facts: &Facts<'_>) -> Vec<Point> {
    let config = facts.config;
    let mut points = vec![match config.files.read_only {
        true => point(
            "rootFileSystem",
            "own files",
            Risk::None,
            "read-only",
            "nothing in its image can be changed",
            "--read-only",
        ),
        false => point(
            "rootFileSystem",
            "own files",
            Risk::None,
            "writable",
            "it writes to a layer of its own, never to the image",
            "--read-only",
        ),
    }];
    for mount in &config.files.mounts {
        if let MountKind::Bind { source, .. } = &mount.kind {
            points.push(bind(facts, source, &mount.target, mount.read_only));
        }
    }
    let given = config.resources.devices.len();
    points.push(match (config.security.privileged, given) {
        (true, _) => point(
            "devices",
            "devices",
            Risk::High,
            "ALL",
            "it can read and write the machine's disks and memory",
            "--privileged",
        ),
        (false, 0) => point(
            "devices",
            "devices",
            Risk::None,
            "only harmless ones",
            "it has null, zero, random and terminals of its own",
            "--device",
        ),
        (false, n) => {
            let names = config
                .resources
                .devices
                .iter()
                .map(|d| d.host_path.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            point(
                "devices",
                "devices",
                Risk::Medium,
                format!("{n} of the machine's"),
                format!("it was given {names}"),
                "--device",
            )
        }
    });
    points
}

fn bind(facts: &Facts<'_>, source: &str, target: &str, read_only: bool) -> Point {
    let socket = source.ends_with(".sock");
    let key = KEYS.contains(&source.trim_end_matches('/'))
        || source == "/"
        || std::path::Path::new(source).starts_with(&facts.sensitive);
    let how = if read_only { "read" } else { "read and write" };
    let (risk, meaning) = match (key || socket, read_only) {
        (true, _) if socket => (
            Risk::High,
            format!("it can give orders to whoever listens on {source}, for instance an engine"),
        ),
        (true, true) => (
            Risk::Medium,
            format!("it can read the machine's own {source}"),
        ),
        (true, false) => (
            Risk::High,
            format!("it can change the machine's own {source}, and so take it over"),
        ),
        (false, _) => (
            Risk::Low,
            format!("it can {how} the machine's {source} as {target}"),
        ),
    };
    let state = format!(
        "{target} is the host's{}",
        if read_only { ", read-only" } else { "" }
    );
    point("bind", "given folder", risk, state, meaning, "-v, --mount")
}

fn limits(facts: &Facts<'_>) -> Vec<Point> {
    let limits = facts.limits;
    let size = |bytes: Option<i64>| {
        bytes
            .and_then(|b| u64::try_from(b).ok())
            .filter(|b| *b > 0)
            .map(ByteSize)
    };
    let mut points = vec![match size(limits.memory) {
        Some(limit) => point(
            "memoryLimit",
            "memory",
            Risk::None,
            limit.to_string(),
            "beyond it the kernel kills one of its processes",
            "-m",
        ),
        None => point(
            "memoryLimit",
            "memory",
            Risk::Medium,
            "NO LIMIT",
            "it can use up the machine's memory, and others may be killed for it",
            "-m",
        ),
    }];
    if limits.oom_kill_disable {
        points.push(point(
            "oomKiller",
            "out of memory",
            Risk::Medium,
            "nothing is killed",
            "at its limit its processes stand still, for ever if need be",
            "--oom-kill-disable",
        ));
    }
    points.push(match limits.pids_limit.filter(|n| *n > 0) {
        Some(most) => point(
            "pidsLimit",
            "processes at once",
            Risk::None,
            most.to_string(),
            "more cannot be started, so that it cannot flood the machine",
            "--pids-limit",
        ),
        None => point(
            "pidsLimit",
            "processes at once",
            Risk::Medium,
            "NO LIMIT",
            "a program that starts itself again and again can stall the machine",
            "--pids-limit",
        ),
    });
    points.push(cpu(limits));
    points.push(match limits.cpuset_cpus.as_str() {
        "" => point(
            "cpuset",
            "which CPUs",
            Risk::None,
            "all",
            "the kernel chooses",
            "--cpuset-cpus",
        ),
        list => point(
            "cpuset",
            "which CPUs",
            Risk::None,
            list,
            "it runs on these only",
            "--cpuset-cpus",
        ),
    });
    let rates = [
        &limits.device_read_bps,
        &limits.device_write_bps,
        &limits.device_read_iops,
        &limits.device_write_iops,
    ];
    let rated = rates.iter().any(|list| !list.is_empty());
    points.push(match rated {
        true => point("ioLimit", "disks", Risk::None, "limited", "its rate to some disks has a limit", "--device-read-bps and its kin"),
        false => point(
            "ioLimit", "disks", Risk::Low, "no limit",
            match facts.is_v2 {
                true => "it can keep the disks busy for all",
                false => "it can keep the disks busy for all; groups v1 cannot hold back what is written through the cache",
            },
            "--device-read-bps and its kin",
        ),
    });
    points
}

fn cpu(limits: &Resources) -> Point {
    let quota = limits.cpu_quota.filter(|quota| *quota > 0);
    let period = limits.cpu_period.unwrap_or(100_000).max(1);
    let cpus = match (limits.nano_cpus.filter(|n| *n > 0), quota) {
        (Some(billionths), _) => Some(billionths as f64 / 1e9),
        (None, Some(quota)) => Some(quota as f64 / period as f64),
        (None, None) => None,
    };
    match cpus {
        Some(cpus) => point(
            "cpuLimit",
            "CPU time",
            Risk::None,
            format!("{cpus} CPU"),
            "when it wants more it waits for the next period; 'silo throttle' shows how often",
            "--cpus",
        ),
        None => point(
            "cpuLimit",
            "CPU time",
            Risk::Low,
            "no limit",
            "it can take all that the others leave; its share is fair",
            "--cpus, --cpu-shares",
        ),
    }
}
