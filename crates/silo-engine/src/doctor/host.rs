//! What the kernel says about itself: control groups with what they can limit, file systems, settings that leak or forbid.
//!
//! Each finding is a line for people: how it is, and where that takes something away, what to do.

use std::path::Path;

use oci_spec::runtime::LinuxResources;
use silo_cgroup::{Cgroup, CgroupPath, Controller, Controllers, Existing, Layout, Mode};
use silo_observe::KernelLog;
use silo_runtime::capabilities::{self, CapSet};
use silo_types::Result;

use super::Finding;
use crate::store;

/// The oldest kernel that has all that a start needs.
const OLDEST: (u32, u32) = (5, 12);

pub(super) fn all(layout: &Layout, root: &Path, parent: &str) -> Vec<Finding> {
    let mut found = groups(layout, parent);
    found.push(kernel(&text_of("/proc/sys/kernel/osrelease")));
    found.extend(overlay(root));
    found.extend(filters());
    found.push(security_modules());
    found.push(pressure());
    found.push(kernel_log());
    found.push(core_dumps(&text_of("/proc/sys/kernel/core_pattern")));
    found.push(forwarding());
    found.push(rights());
    found.push(space(root));
    found
}

fn text_of(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// A limit with the files that enforce it: one of them must be there.
struct Limit {
    name: &'static str,
    what: &'static str,
    flags: &'static str,
    controller: Controller,
    v1: &'static [&'static str],
    v2: &'static [&'static str],
    /// What to do without it.
    advice: &'static str,
}

const LIMITS: [Limit; 9] = [
    Limit {
        name: "memory",
        what: "memory",
        flags: "-m",
        controller: Controller::Memory,
        v1: &["memory.limit_in_bytes"],
        v2: &["memory.max"],
        advice: "start the kernel with cgroup_enable=memory",
    },
    Limit {
        name: "swap",
        what: "swap",
        flags: "--memory-swap",
        controller: Controller::Memory,
        v1: &["memory.memsw.limit_in_bytes"],
        v2: &["memory.swap.max"],
        advice: "start the kernel with swapaccount=1; where there is no swap nothing is lost",
    },
    Limit {
        name: "cpu",
        what: "CPU time",
        flags: "--cpus",
        controller: Controller::Cpu,
        v1: &["cpu.cfs_quota_us"],
        v2: &["cpu.max"],
        advice: "the kernel needs CONFIG_CFS_BANDWIDTH",
    },
    Limit {
        name: "cpuBurst",
        what: "saved CPU time",
        flags: "--cpu-burst",
        controller: Controller::Cpu,
        v1: &["cpu.cfs_burst_us"],
        v2: &["cpu.max.burst"],
        advice: "it came with Linux 5.14",
    },
    Limit {
        name: "cpuset",
        what: "which CPUs",
        flags: "--cpuset-cpus",
        controller: Controller::Cpuset,
        v1: &["cpuset.cpus"],
        v2: &["cpuset.cpus"],
        advice: "the kernel needs CONFIG_CPUSETS",
    },
    Limit {
        name: "pids",
        what: "number of processes",
        flags: "--pids-limit",
        controller: Controller::Pids,
        v1: &["pids.max"],
        v2: &["pids.max"],
        advice: "the kernel needs CONFIG_CGROUP_PIDS",
    },
    Limit {
        name: "ioRate",
        what: "disk rates",
        flags: "--device-read-bps and its kin",
        controller: Controller::Io,
        v1: &["blkio.throttle.read_bps_device"],
        v2: &["io.max"],
        advice: "the kernel needs CONFIG_BLK_DEV_THROTTLING",
    },
    Limit {
        name: "ioWeight",
        what: "disk weight",
        flags: "--blkio-weight",
        controller: Controller::Io,
        v1: &["blkio.bfq.weight", "blkio.weight"],
        v2: &["io.bfq.weight", "io.weight"],
        advice: "give the disk the scheduler bfq: 'modprobe bfq', then echo bfq > /sys/block/DISK/queue/scheduler",
    },
    Limit {
        name: "freezer",
        what: "standing still",
        flags: "pause",
        controller: Controller::Freezer,
        v1: &["freezer.state"],
        v2: &["cgroup.freeze"],
        advice: "mount the freezer hierarchy, or use control groups v2",
    },
];

/// A group is made as for a container, and looked at: what is in it is what can be limited.
fn groups(layout: &Layout, parent: &str) -> Vec<Finding> {
    let mut found = vec![Finding::fine("cgroup", "layout", layout_text(layout))];
    let above = CgroupPath::new(&format!("/{parent}")).map(|path| Cgroup::at(layout, &path));
    let was_there = above.as_ref().is_ok_and(Cgroup::exists);
    let looked = store::new_id()
        .and_then(|id| CgroupPath::new(&format!("/{parent}/{id}")))
        .and_then(|path| looked_at(layout, &path));
    if let (Ok(above), false) = (above, was_there) {
        // Where a container was made meanwhile, the kernel keeps it.
        above
            .dirs()
            .iter()
            .for_each(|dir| drop(std::fs::remove_dir(dir)));
    }
    match looked {
        Ok(limits) => found.extend(limits),
        Err(error) => found.push(Finding::missing(
            "cgroup",
            "groups",
            format!("no group can be made: {error}"),
            "no container can run before that is solved",
        )),
    }
    found
}

/// Named like a container's, so that it is found as an orphan if this is killed in between.
fn looked_at(layout: &Layout, path: &CgroupPath) -> Result<Vec<Finding>> {
    let group = Cgroup::create(layout, path, &LinuxResources::default(), Existing::Refuse)?;
    let has = |place: usize, files: &[&str]| {
        let folder = Path::new(group.dir(place));
        files.iter().any(|file| folder.join(file).exists())
    };
    // v2 offers it at the top, and the group above has not handed it down.
    let handed = layout.unified().map(|place| {
        let file = Path::new(group.dir(place)).join("cgroup.controllers");
        Controllers::from_v2_names(&std::fs::read_to_string(file).unwrap_or_default())
    });
    let lacks = |one: Controller| {
        let offers = layout.unified().is_some() && layout.place(one) == layout.unified();
        offers && handed.is_some_and(|handed| !handed.contains(one))
    };
    let mut found: Vec<Finding> = LIMITS
        .iter()
        .map(|limit| {
            let v1 = layout
                .place(limit.controller)
                .filter(|place| has(*place, limit.v1));
            let v2 = layout.unified().filter(|place| has(*place, limit.v2));
            verdict(limit, v1.or(v2).is_some(), lacks(limit.controller))
        })
        .collect();
    found.push(devices(layout));
    let v2_has = |file: &str| layout.unified().is_some_and(|place| has(place, &[file]));
    found.push(slowing(layout.mode(), v2_has("memory.high")));
    found.push(match v2_has("cgroup.kill") {
        true => Finding::fine("cgroup", "kill", "a whole group is killed at once"),
        false => Finding::fine(
            "cgroup",
            "kill",
            "processes of a group are killed one by one: no cgroup.kill here",
        ),
    });
    match group.destroy().pop() {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

fn layout_text(layout: &Layout) -> String {
    match layout.mode() {
        Mode::V1 => format!("control groups v1: {}", hierarchies(layout)),
        Mode::Hybrid => format!(
            "control groups v1 with v2 beside them: {}",
            hierarchies(layout)
        ),
        Mode::V2 => "control groups v2".to_owned(),
    }
}

fn hierarchies(layout: &Layout) -> String {
    let labels: Vec<String> = layout.hierarchies().iter().map(|h| h.label()).collect();
    labels.join(" ")
}

fn verdict(limit: &Limit, there: bool, kept_back: bool) -> Finding {
    let Limit { what, flags, .. } = limit;
    match there {
        true => Finding::fine("cgroup", limit.name, format!("{what}: enforced ({flags})")),
        false => Finding::missing(
            "cgroup",
            limit.name,
            format!("{what}: not on this host; refused: {flags}"),
            match kept_back {
                true => {
                    "its controller is not handed down: move the processes of the groups above into groups below them, or have it delegated"
                }
                false => limit.advice,
            },
        ),
    }
}

fn devices(layout: &Layout) -> Finding {
    let how = match layout.place(Controller::Devices) {
        Some(_) => "by the devices hierarchy",
        None => "by a BPF program for each group",
    };
    Finding::fine(
        "cgroup",
        "devices",
        format!("devices: enforced {how} (--device)"),
    )
}

fn slowing(mode: Mode, there: bool) -> Finding {
    match (there, mode) {
        (true, _) => Finding::fine(
            "cgroup",
            "memoryHigh",
            "slowing above a memory limit: yes (limit --soft)",
        ),
        (false, Mode::V2) => Finding::missing(
            "cgroup",
            "memoryHigh",
            "slowing above a memory limit: no memory.high here",
            "hand the memory controller down to this group",
        ),
        (false, _) => Finding::fine(
            "cgroup",
            "memoryHigh",
            "slowing above a memory limit: no, groups v1 cannot",
        )
        .with("'limit --soft' sets the soft limit of v1, which holds only when the machine runs short"),
    }
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => OLDEST,
    };
    let text = format!("Linux {release}");
    match version >= OLDEST {
        true => Finding::fine("kernel", "version", text),
        false => Finding::missing(
            "kernel",
            "version",
            text,
            format!("Silo needs {}.{} or newer", OLDEST.0, OLDEST.1),
        ),
    }
}

/// Whether the kernel has overlays, and whether the data folder can take what containers write.
fn overlay(root: &Path) -> Vec<Finding> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let modules = format!("/lib/modules/{}", text_of("/proc/sys/kernel/osrelease"));
    let loads = |list: &str| {
        let text = std::fs::read_to_string(format!("{modules}/{list}")).unwrap_or_default();
        text.contains("/overlay.ko")
    };
    let there = known.lines().any(|line| line.ends_with("\toverlay"));
    let overlay = match there || loads("modules.dep") || loads("modules.builtin") {
        true => Finding::fine("files", "overlay", "overlay file system: yes"),
        false => Finding::missing(
            "files",
            "overlay",
            "overlay file system: not there, so no container can run",
            "try 'modprobe overlay'",
        ),
    };
    vec![overlay, upper(root)]
}

/// `statfs` magic numbers (linux/magic.h and file systems' own) of what cannot hold an overlay's written layer, and why.
const NO_UPPER: [(u64, &str); 6] = [
    (0x794c_7630, "an overlay"),
    (0x6969, "NFS"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x4d44, "FAT"),
    (0xff53_4d42, "CIFS"),
];

fn upper(root: &Path) -> Finding {
    let kind = rustix::fs::statfs(root).map(|facts| facts.f_type as u64);
    let bad = NO_UPPER.iter().find(|(magic, _)| kind == Ok(*magic));
    match bad {
        None => Finding::fine(
            "files",
            "upperLayer",
            "what containers write can lie in --root",
        ),
        Some((_, name)) => Finding::missing(
            "files",
            "upperLayer",
            format!("--root lies on {name}, which cannot hold what containers write"),
            "give --root a folder on a disk of this machine, or on a tmpfs",
        ),
    }
}

/// `SECCOMP_RET_ALLOW`, `SECCOMP_RET_USER_NOTIF`, seccomp(2).
fn filters() -> Vec<Finding> {
    let allow = silo_sys::seccomp::action_available(0x7fff_0000);
    let notify = silo_sys::seccomp::action_available(0x7fc0_0000);
    vec![
        match allow {
            true => Finding::fine("kernel", "seccomp", "filters of system calls: yes"),
            false => Finding::missing(
                "kernel",
                "seccomp",
                "filters of system calls: this kernel has none",
                "the kernel needs CONFIG_SECCOMP_FILTER; '--security-opt seccomp=unconfined' goes without",
            ),
        },
        match notify {
            true => Finding::fine(
                "kernel",
                "seccompNotify",
                "asking an agent about calls: yes",
            ),
            false => Finding::fine("kernel", "seccompNotify", "asking an agent about calls: no")
                .with("only profiles with SCMP_ACT_NOTIFY need it; it came with Linux 5.0"),
        },
    ]
}

fn security_modules() -> Finding {
    match text_of("/sys/kernel/security/lsm").as_str() {
        "" => Finding::fine(
            "kernel",
            "securityModules",
            "security modules: not told, no securityfs is mounted",
        ),
        modules => Finding::fine(
            "kernel",
            "securityModules",
            format!("security modules: {}", modules.replace(',', " ")),
        ),
    }
}

fn pressure() -> Finding {
    match Path::new("/proc/pressure/cpu").exists() {
        true => Finding::fine("kernel", "pressure", "time lost waiting (PSI): counted"),
        false => Finding::fine("kernel", "pressure", "time lost waiting (PSI): not counted")
            .with("start the kernel with psi=1 for the PRESSURE of stats and dash"),
    }
}

/// Without the log `why` cannot name who was killed.
fn kernel_log() -> Finding {
    match KernelLog::open_at_start() {
        Ok(_) => Finding::fine(
            "kernel",
            "log",
            "the kernel's log: readable ('why' reads it)",
        ),
        Err(_) => Finding::fine("kernel", "log", "the kernel's log: not readable here")
            .with("'why' is less sure of kills; root with CAP_SYSLOG can read /dev/kmsg"),
    }
}

/// core(5): where the memory of a program that crashes in a container goes.
fn core_dumps(pattern: &str) -> Finding {
    const OFF: &str = "'--ulimit core=0' keeps a container from it";
    let name = "corePattern";
    match pattern.strip_prefix('|') {
        Some(program) => {
            let program = program.split(' ').next().unwrap_or_default();
            Finding::fine(
                "kernel",
                name,
                format!(
                    "crashes: the memory of a container's program goes to the host's {program}"
                ),
            )
            .with(OFF)
        }
        None if pattern.is_empty() => Finding::fine("kernel", name, "crashes leave no core file"),
        None => Finding::fine(
            "kernel",
            name,
            format!("crashes leave a core file ({pattern}) among the container's own files"),
        ),
    }
}

fn forwarding() -> Finding {
    match text_of("/proc/sys/net/ipv4/ip_forward").as_str() {
        "1" => Finding::fine("network", "forwarding", "forwarding of packets: on"),
        _ => Finding::fine("network", "forwarding", "forwarding of packets: off")
            .with("the first container on the bridge turns it on, for the whole host"),
    }
}

/// What the caller itself may not do it cannot give a container either.
fn rights() -> Finding {
    let held = CapSet::of_this_process().unwrap_or(CapSet::EMPTY);
    let lacks: Vec<&str> = CapSet::ALL
        .iter()
        .filter(|one| !held.contains(*one))
        .map(capabilities::name)
        .collect();
    match lacks.len() {
        0 => Finding::fine(
            "rights",
            "capabilities",
            "capabilities: all, as root has them",
        ),
        n if n == CapSet::ALL.len() => Finding::missing(
            "rights",
            "capabilities",
            "capabilities: none, so no container can run",
            "run it as root",
        ),
        _ => Finding::fine(
            "rights",
            "capabilities",
            format!("capabilities: all but {}", lacks.join(", ")),
        )
        .with("no container gets these, nor what needs them (SYS_RESOURCE: higher --ulimit)"),
    }
}

fn space(root: &Path) -> Finding {
    let free = rustix::fs::statvfs(root).map_or(0, |facts| facts.f_bavail * facts.f_frsize);
    let text = format!(
        "{} free below {}",
        silo_types::ByteSize(free),
        root.display()
    );
    match free {
        ..0x400_0000 => Finding::missing("files", "space", text, "free some: 'silo image prune'"),
        _ => Finding::fine("files", "space", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_by_age() {
        for (release, trouble) in [
            ("6.18.44-fc", false),
            ("5.12.0", false),
            ("5.11.22-generic", true),
            ("4.19", true),
        ] {
            assert_eq!(kernel(release).trouble, trouble, "{release}");
        }
    }

    #[test]
    fn core_patterns_say_where_memory_goes() {
        let said = |pattern: &str| core_dumps(pattern).text;
        assert!(said("|/usr/lib/systemd/systemd-coredump %P %u").ends_with("systemd-coredump"));
        assert!(said("core").contains("container's own files"));
        assert_eq!(said(""), "crashes leave no core file");
        assert!(core_dumps("|/x").advice.contains("core=0"));
    }

    #[test]
    fn a_limit_that_is_missing_names_its_flag_and_the_way_out() {
        let found = verdict(&LIMITS[7], false, false);
        assert!(found.trouble && found.text.contains("--blkio-weight"));
        assert!(found.advice.contains("bfq"));
        assert!(!verdict(&LIMITS[7], true, false).trouble);
        assert!(
            verdict(&LIMITS[0], false, true)
                .advice
                .contains("handed down")
        );
    }
}
