//! `spec`: a specification to begin with, runc's.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use serde_json::{Value, json};
use silo_types::{Doing, Error, Result};

use super::{
    Verb,
    globals::Globals,
    options::{Opt, Order, Words, switch, value},
};

/// Version of the runtime specification that is implemented.
pub const VERSION: &str = "1.3.0";

static OPTIONS: [Opt; 2] = [
    value(
        "bundle",
        'b',
        "FOLDER",
        "where to write config.json (the present folder)",
    ),
    switch("rootless", '\0', "for a user other than root"),
];

pub static VERB: Verb = Verb {
    name: "spec",
    about: "write a specification to begin with",
    usage: "",
    options: &OPTIONS,
    order: Order::Mixed,
    words: (0, 0),
    starts: false,
    run,
};

fn run(_globals: &Globals, words: &Words) -> Result<i32> {
    let mut spec = example();
    if words.has("rootless") {
        make_rootless(&mut spec);
    }
    let folder = words.get("bundle").filter(|folder| !folder.is_empty());
    let path = Path::new(folder.unwrap_or(".")).join("config.json");
    let text = serde_json::to_string_pretty(&spec).doing("write the specification")?;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o666)
        .open(&path);
    match file {
        Ok(mut file) => file
            .write_all((text + "\n").as_bytes())
            .doing_with(|| format!("write {}", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::conflict(format!(
                "file {} exists: remove it first",
                path.display()
            )));
        }
        Err(error) => return Err(Error::system(format!("write {}", path.display()), error)),
    }
    Ok(0)
}

fn example() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount"];
    // With v1 the view of the groups is made by mounts.
    if silo_cgroup::Layout::detect().is_ok_and(|l| l.mode() == silo_cgroup::Mode::V2) {
        namespaces.push("cgroup");
    }
    let namespaces: Vec<Value> = namespaces
        .iter()
        .map(|kind| json!({"type": kind}))
        .collect();
    json!({
        "ociVersion": VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "runc",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn mounts() -> Value {
    let mount = |target: &str, kind: &str, source: &str, options: &str| {
        let mut mount = json!({"destination": target, "type": kind, "source": source});
        if !options.is_empty() {
            mount["options"] = options.split(' ').collect();
        }
        mount
    };
    json!([
        mount("/proc", "proc", "proc", ""),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            "nosuid strictatime mode=755 size=65536k"
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            "nosuid noexec nodev mode=1777 size=65536k"
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            "nosuid noexec nodev relatime ro"
        ),
    ])
}

/// Another user's: a user namespace, the host's network and /sys, no limits.
fn make_rootless(spec: &mut Value) {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let linux = &mut spec["linux"];
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    linux["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    linux["gidMappings"] = json!([{"containerID": 0, "hostID": gid, "size": 1}]);
    if let Some(fields) = linux.as_object_mut() {
        fields.remove("resources");
    }
    let Some(mounts) = spec["mounts"].as_array_mut() else {
        return;
    };
    // What lies below /sys comes along; of control groups v1 the kernel lets nobody make a mount of one's own.
    mounts.retain(|mount| {
        let target = mount["destination"].as_str().unwrap_or_default();
        target != "/sys" && !target.starts_with("/sys/")
    });
    for options in mounts
        .iter_mut()
        .filter_map(|mount| mount.get_mut("options"))
    {
        // No such number is mapped.
        options.as_array_mut().into_iter().for_each(|options| {
            options.retain(|option| {
                let text = option.as_str().unwrap_or_default();
                !text.starts_with("gid=") && !text.starts_with("uid=")
            });
        });
    }
    mounts.push(json!({
        "destination": "/sys",
        "type": "none",
        "source": "/sys",
        "options": ["rbind", "nosuid", "noexec", "nodev", "rro"],
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_specification() {
        let mut value = example();
        let spec: oci_spec::runtime::Spec = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(spec.version(), VERSION);
        assert_eq!(spec.process().as_ref().unwrap().terminal(), Some(true));
        make_rootless(&mut value);
        let text = value.to_string();
        assert!(
            !text.contains("gid=5") && text.contains(r#""type":"user""#),
            "{text}"
        );
        let below_sys = |mount: &&Value| {
            let target = mount["destination"].as_str().unwrap();
            target.starts_with("/sys")
        };
        let mounts = value["mounts"].as_array().unwrap().iter();
        assert_eq!(mounts.filter(below_sys).count(), 1, "{text}");
        serde_json::from_value::<oci_spec::runtime::Spec>(value).unwrap();
    }
}
