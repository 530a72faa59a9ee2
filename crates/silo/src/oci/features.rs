//! `features`: what this runtime knows, for callers that ask before they use it (runtime specification, "features.md").

use serde_json::json;
use silo_runtime::capabilities::{self, CapSet};
use silo_types::{Doing, Result};

use super::{
    Verb,
    globals::Globals,
    options::{Order, Words},
    spec::VERSION,
};
use crate::output::print;

pub static VERB: Verb = Verb {
    name: "features",
    about: "print what this runtime knows",
    usage: "",
    options: &[],
    order: Order::Mixed,
    words: (0, 0),
    starts: false,
    run,
};

fn run(_globals: &Globals, _words: &Words) -> Result<i32> {
    let capabilities: Vec<String> = CapSet::ALL
        .iter()
        .map(|one| format!("CAP_{}", capabilities::name(one)))
        .collect();
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": silo_runtime::mount_option_words(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": {"v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                    "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
                    "SCMP_CMP_NE",
                ],
                "archs": ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_X86_64"],
                "knownFlags": [
                    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
                    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
                ],
                "supportedFlags": [
                    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
                    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
                ],
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": false},
            "memoryPolicy": {
                "modes": [
                    "MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED",
                    "MPOL_PREFERRED_MANY", "MPOL_LOCAL",
                ],
                "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            },
            "intelRdt": {"enabled": false, "schemata": false, "monitoring": false},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "potentiallyUnsafeConfigAnnotations": [],
        // runc's name for it, which callers know.
        "annotations": {"org.opencontainers.runc.checkpoint.enabled": "true"},
    });
    let text = serde_json::to_string_pretty(&features).doing("write the features")?;
    print(&(text + "\n"))?;
    Ok(0)
}
