//! Specifications made up at random, from the document to the plan: nothing panics, and whatever has a plan keeps the rules.
//!
//! A specification that has every field is changed in some places: values that are too large, too long, of another type, or
//! mean something to somebody (`..`, links of /proc, NUL). `SILO_TEST_ROUNDS=1000000 cargo test -p silo-runtime --test fuzz --
//! --nocapture` runs for long; `SILO_TEST_SEED` repeats what was found.

use std::{path::Path, time::Instant};

use oci_spec::runtime::{LinuxDeviceType, Spec};
use serde_json::{Value, json};
use silo_runtime::{Plan, bundle, document, plan};
use silo_sys::clone::ns;

/// xorshift64*, by Vigna.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn rounds(usual: u64) -> u64 {
    let asked = std::env::var("SILO_TEST_ROUNDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn seed() -> u64 {
    let asked = std::env::var("SILO_TEST_SEED").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(0x5110)
}

#[test]
fn what_has_a_plan_keeps_the_rules() {
    let (seed, rounds, began) = (seed(), rounds(1500), Instant::now());
    let (mut planned, mut refused, mut unread) = (0u64, 0u64, 0u64);
    for round in 0..rounds {
        let text = document_of(&mut Random(
            seed.wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        ));
        let repeat = || {
            format!(
                "SILO_TEST_SEED={} SILO_TEST_ROUNDS=1: {}",
                seed.wrapping_add(round),
                String::from_utf8_lossy(&text[..text.len().min(6000)])
            )
        };
        // By both ways in: the command line's and the library's.
        let read = std::panic::catch_unwind(|| {
            let _ = bundle::parse(&text, Path::new("config.json"));
            let process = text_of_process(&text);
            let _ = bundle::parse_process(&process, Path::new("process.json"));
            let _ = document::read_process(&process);
            document::read_spec(&text)
        });
        match read.unwrap_or_else(|_| panic!("{}", repeat())) {
            Err(_) => unread += 1,
            Ok((spec, _)) => match std::panic::catch_unwind(|| plan(&spec))
                .unwrap_or_else(|_| panic!("{}", repeat()))
            {
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
                Ok(plan) => {
                    if let Some(broken) = broken_rule(&spec, &plan) {
                        panic!("{broken}: {}", repeat());
                    }
                    planned += 1;
                }
            },
        }
    }
    println!(
        "{rounds} specifications in {:?}: {planned} planned, {refused} refused, {unread} not read",
        began.elapsed()
    );
    // Else it would only be the documents' reader that is tested.
    assert!(
        rounds < 1000 || (planned > rounds / 20 && refused > rounds / 50),
        "{planned} {refused} {unread}"
    );
}

/// The process alone, as `exec` reads it.
fn text_of_process(text: &[u8]) -> Vec<u8> {
    let spec: Value = serde_json::from_slice(text).unwrap_or_default();
    let process = spec.get("process").cloned().unwrap_or_default();
    process.to_string().into_bytes()
}

/// What must hold of every plan, whatever was asked.
fn broken_rule(spec: &Spec, plan: &Plan) -> Option<&'static str> {
    let own = plan.new_namespaces
        | plan
            .joined_namespaces
            .iter()
            .fold(0, |all, join| all | join.0);
    let own = own
        | if plan.user_namespace.is_some() {
            ns::USER
        } else {
            0
        };
    let of_whom = |path: &str| match path.split('/').next()? {
        "net" => Some(ns::NET),
        "user" => Some(ns::USER),
        "fs" if path.starts_with("fs/mqueue/") => Some(ns::IPC),
        "kernel" if path == "kernel/domainname" => Some(ns::UTS),
        "kernel"
            if path.starts_with("kernel/msg")
                || path.starts_with("kernel/shm")
                || path == "kernel/sem" =>
        {
            Some(ns::IPC)
        }
        _ => None,
    };
    let user = spec.process().as_ref()?.user();
    let climbs = |path: &str| path.split('/').any(|part| part == "..");
    let rules = [
        (
            plan.new_namespaces & ns::MOUNT == 0 && !leaves_mounts_alone(plan),
            "mounts in a namespace that is not its own",
        ),
        (
            plan.mounts.iter().any(|m| !m.target.starts_with('/')),
            "a relative destination",
        ),
        (
            plan.sysctls
                .iter()
                .any(|s| climbs(&s.path) || s.path.starts_with('/')),
            "a setting outside /proc/sys",
        ),
        (
            plan.sysctls
                .iter()
                .any(|s| of_whom(&s.path).is_none_or(|whose| own & whose == 0)),
            "a setting of the host",
        ),
        (
            plan.devices
                .iter()
                .any(|d| !d.path.starts_with('/') || climbs(&d.path)),
            "a device that climbs",
        ),
        (
            plan.devices.iter().any(|d| d.kind == LinuxDeviceType::A),
            "a device of every kind",
        ),
        (
            plan.rlimits
                .iter()
                .any(|l| l.soft > l.hard || l.resource > 15),
            "a bad limit",
        ),
        (
            user.uid() == u32::MAX || user.gid() == u32::MAX,
            "a user who is nobody, so root",
        ),
        (
            user.additional_gids()
                .iter()
                .flatten()
                .any(|gid| *gid == u32::MAX),
            "a group that is none",
        ),
        (
            plan.time_offsets.lines().any(|l| l.split(' ').count() != 3),
            "a broken line of clocks",
        ),
        (
            plan.hostname.as_ref().is_some_and(|_| own & ns::UTS == 0),
            "the host's name would change",
        ),
        (format!("{plan:?}").is_empty(), "cannot be printed"),
    ];
    rules.iter().find(|rule| rule.0).map(|rule| rule.1)
}

fn leaves_mounts_alone(plan: &Plan) -> bool {
    let lists = [
        plan.mounts.len(),
        plan.devices.len(),
        plan.masked_paths.len(),
        plan.readonly_paths.len(),
        plan.sysctls.len(),
    ];
    let changes = plan.root_read_only || plan.root_propagation.is_some();
    plan.shares_mounts && !changes && lists == [0; 5]
}

/// A document with some places changed, and sometimes with some bytes.
fn document_of(random: &mut Random) -> Vec<u8> {
    let mut spec = whole();
    if random.below(12) == 0 {
        share_mounts(&mut spec);
    }
    for _ in 0..1 + random.below(4) {
        change(&mut spec, random, 0);
    }
    let mut text = spec.to_string().into_bytes();
    if random.below(16) == 0 {
        for _ in 0..1 + random.below(3) {
            let at = random.below(text.len());
            text[at] = random.next() as u8;
        }
    }
    text
}

/// In a mount namespace of somebody's, without what is refused there.
fn share_mounts(spec: &mut Value) {
    let Some(linux) = spec["linux"].as_object_mut() else {
        return;
    };
    for field in [
        "maskedPaths",
        "readonlyPaths",
        "devices",
        "sysctl",
        "rootfsPropagation",
        "mountLabel",
    ] {
        linux.remove(field);
    }
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "mount");
    }
}

/// Goes down to some place and changes what is there.
fn change(value: &mut Value, random: &mut Random, depth: usize) {
    let goes_on = depth < 2 || random.below(4) != 0;
    match value {
        Value::Object(fields) if goes_on && !fields.is_empty() => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = random.pick(&keys).clone();
            match random.below(24) {
                0 => drop(fields.remove(&key)),
                1 => drop(fields.insert(text(random), odd(random))),
                _ => change(&mut fields[&key], random, depth + 1),
            }
        }
        Value::Array(items) if goes_on && !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(12) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => items.push(odd(random)),
                _ => change(&mut items[at], random, depth + 1),
            }
        }
        Value::String(old) if random.below(3) != 0 => {
            *old = match random.below(3) {
                0 => format!("{old}{}", text(random)),
                _ => text(random),
            };
        }
        Value::Number(_) if random.below(6) != 0 => *value = number(random),
        other => *other = odd(random),
    }
}

fn odd(random: &mut Random) -> Value {
    match random.below(9) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 | 3 => number(random),
        4 => json!([text(random), text(random)]),
        5 => json!({"path": text(random), "type": text(random), "value": number(random)}),
        6 => json!([]),
        _ => json!(text(random)),
    }
}

fn number(random: &mut Random) -> Value {
    const EDGES: [i64; 14] = [
        0,
        1,
        -1,
        7,
        340,
        4095,
        4096,
        65_535,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
        0x1_0000_0000,
        i64::MIN,
    ];
    match random.below(4) {
        0 => json!(random.next()),
        1 => json!(random.next() as f64 / 7.0),
        _ => json!(random.pick(&EDGES)),
    }
}

fn text(random: &mut Random) -> String {
    const WORDS: &str = "/ . .. ../../etc /proc /proc/self/fd/7 /proc/sys /sys /dev /dev/null /dev/../x / /etc/passwd \
        proc sysfs tmpfs devpts mqueue cgroup cgroup2 bind none overlay ro rw rbind rprivate rshared nosuid idmap ridmap tmpcopyup \
        remount mode=755 size=-1 x=\u{1} user network mount pid ipc uts cgroup time c b p u a kernel.core_pattern kernel/core_pattern \
        net.ipv4.ip_forward net/ipv4/../../kernel/core_pattern net..x fs.mqueue.msg_max user.max_user_namespaces kernel.shmmax \
        kernel.hostname kernel.domainname vm.overcommit_memory monotonic boottime realtime RLIMIT_NOFILE RLIMIT_CORE SCHED_FIFO \
        SCHED_DEADLINE MPOL_BIND 0-3,7 0-4294967295 4-1 SCMP_ACT_ALLOW SCMP_ACT_NOTIFY SCMP_CMP_MASKED_EQ read write LINUX32 \
        IOPRIO_CLASS_RT CAP_SYS_ADMIN CAP_X 1.0.0 2.0 ä\u{202e}";
    match random.below(12) {
        0 => String::new(),
        1 => "a/".repeat(random.below(3000)),
        2 => format!("a\0{}", random.next()),
        3 => "x".repeat(random.below(5000)),
        _ => {
            let words: Vec<&str> = WORDS.split_whitespace().collect();
            (*random.pick(&words)).to_owned()
        }
    }
}

/// A specification with a value in every field that the plan looks at.
fn whole() -> Value {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let capabilities = json!(["CAP_KILL", "CAP_CHOWN"]);
    json!({
        "ociVersion": "1.3.0",
        "hostname": "h",
        "domainname": "d",
        "root": {"path": "rootfs", "readonly": true},
        "process": {
            "terminal": false,
            "consoleSize": {"height": 25, "width": 80},
            "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4]},
            "args": ["sh"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities, "inheritable": [], "ambient": []},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 10}],
            "noNewPrivileges": true,
            "oomScoreAdj": 5,
            "scheduler": {"policy": "SCHED_BATCH", "nice": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
            "execCPUAffinity": {"initial": "0", "final": "0-1"},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755", "size=65536k"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
            {"destination": "/x", "type": "bind", "source": "/tmp", "options": ["rbind", "ro", "rprivate"], "uidMappings": map, "gidMappings": map},
            {"destination": "/t", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}, {"type": "cgroup"},
                {"type": "user"}, {"type": "time"},
            ],
            "uidMappings": map,
            "gidMappings": map,
            "timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 2}},
            "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}],
            "sysctl": {"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096"},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "rootfsPropagation": "private",
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": []},
            "personality": {"domain": "LINUX", "flags": []},
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]},
        },
    })
}
