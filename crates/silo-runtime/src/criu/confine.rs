//! What images may not do: make more of a process than the container's specification says.
//!
//! Looked at before a checkpoint, so that what is written can be restored, and in a restore before anything of it runs. Images are
//! root's own ([`super::images`]); this is for those that root had from somebody else, and for mistakes.

use std::fs;

use oci_spec::runtime::{Capability, Spec};
use rustix::fs::{FileType, makedev};
use silo_sys::clone::ns;
use silo_types::{Doing, Error, Result};

use super::mounts::{Inside, Mounted};
use crate::{
    capabilities::{self, CapSet},
    enter::{NAMESPACES, namespaces_of},
    plan::{MountWhat, Plan},
    process::Facts,
};

/// File systems of the kernel's own, which show or change the host.
const KERNELS_OWN: [&str; 13] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "debugfs",
    "tracefs",
    "securityfs",
    "configfs",
    "efivarfs",
    "pstore",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
];

/// Checks the main process and the others of its control group; who has ended meanwhile is not looked at.
///
/// Errors: Conflict, which names the process and what it has.
pub(super) fn check(plan: &Plan, spec: &Spec, main: i32, pids: &[i32]) -> Result<()> {
    let rule = Rule::new(plan, spec, main)?;
    rule.check_process(main)?;
    for pid in pids.iter().filter(|pid| **pid != main) {
        match rule.check_process(*pid) {
            Err(_) if Facts::of(*pid).is_none_or(Facts::has_ended) => {}
            checked => checked?,
        }
    }
    if !rule.mounts_itself {
        check_mounts(plan, &Inside::of(main)?)?;
    }
    Ok(())
}

/// The root of a container's main process is this folder.
pub(super) fn check_root(main: i32, rootfs: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let path = format!("/proc/{main}/root/.");
    let [own, wanted] = [std::path::Path::new(&path), rootfs]
        .map(|path| fs::metadata(path).doing_with(|| path.display().to_string()));
    let (own, wanted) = (own?, wanted?);
    match (own.dev(), own.ino()) == (wanted.dev(), wanted.ino()) {
        true => Ok(()),
        false => Err(Error::conflict(format!(
            "the process is not in the root file system {}",
            rootfs.display()
        ))),
    }
}

/// Whether no program gives this process privileges that it has not.
pub(super) fn gains_nothing(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "NoNewPrivs:") == "1"
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.map(str::trim).unwrap_or_default()
}

struct Rule {
    /// Namespaces that are not the host's.
    own: u64,
    may: CapSet,
    gains_nothing: bool,
    is_filtered: bool,
    /// AppArmor confines it.
    has_profile: bool,
    /// It may change its own mounts.
    mounts_itself: bool,
    /// The user namespace of the main process, by its link.
    users: String,
}

impl Rule {
    fn new(plan: &Plan, spec: &Spec, main: i32) -> Result<Rule> {
        let process = spec.process().as_ref();
        let bounding = process
            .and_then(|process| process.capabilities().as_ref())
            .and_then(|capabilities| capabilities.bounding().as_ref());
        let may = bounding.into_iter().flatten();
        let may = may.fold(CapSet::EMPTY, |all, one| all | CapSet::one(*one));
        let filter = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
        Ok(Rule {
            own: plan.own_namespaces() & !joined_of_host(plan)? & !ns::TIME,
            may,
            gains_nothing: process.and_then(|p| p.no_new_privileges()).unwrap_or(false),
            is_filtered: filter.is_some(),
            has_profile: process
                .and_then(|process| process.apparmor_profile().as_ref())
                .is_some_and(|name| !matches!(name.as_str(), "" | "unconfined")),
            mounts_itself: may.contains(Capability::SysAdmin) || plan.user_namespace.is_some(),
            users: link(main, "user")?,
        })
    }

    /// Each of its threads, which may differ.
    fn check_process(&self, pid: i32) -> Result<()> {
        let path = format!("/proc/{pid}/task");
        for thread in fs::read_dir(&path).doing(path)?.flatten() {
            let number = thread.file_name().to_string_lossy().parse();
            if let Ok(number) = number {
                self.check_thread(number)?;
            }
        }
        Ok(())
    }

    fn check_thread(&self, pid: i32) -> Result<()> {
        let more = |what: &str| {
            Err(Error::conflict(format!(
                "process {pid} {what}, which is more than the specification allows: it is neither kept nor restored"
            )))
        };
        let missing = self.own & !namespaces_of(pid)?;
        if let Some((_, name)) = NAMESPACES.iter().find(|(flag, _)| missing & flag != 0) {
            return more(&format!("is in the host's {name} namespace"));
        }
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).doing(path)?;
        // In a user namespace of its own capabilities are those of what it made there.
        if link(pid, "user")? == self.users {
            for name in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                let bits = u64::from_str_radix(field(&status, name), 16).unwrap_or(u64::MAX);
                let mut has = CapSet::from_bits(bits).iter();
                if let Some(one) = has.find(|one| !self.may.contains(*one)) {
                    return more(&format!("has CAP_{}", capabilities::name(one)));
                }
            }
        }
        if self.gains_nothing && field(&status, "NoNewPrivs:") != "1" {
            return more("can gain privileges");
        }
        if self.is_filtered && field(&status, "Seccomp:") != "2" {
            return more("has no seccomp filter");
        }
        if self.has_profile {
            let path = format!("/proc/{pid}/attr/current");
            let profile = fs::read_to_string(&path).doing(path)?;
            if profile.starts_with("unconfined") {
                return more("is confined by no AppArmor profile");
            }
        }
        Ok(())
    }
}

fn link(pid: i32, kind: &str) -> Result<String> {
    let path = format!("/proc/{pid}/ns/{kind}");
    let link = fs::read_link(&path).doing(path)?;
    Ok(link.to_string_lossy().into_owned())
}

/// Namespaces that the specification names by path and that are the caller's own.
fn joined_of_host(plan: &Plan) -> Result<u64> {
    let mut found = 0;
    for (flag, path) in &plan.joined_namespaces {
        let Some((_, kind)) = NAMESPACES.iter().find(|known| known.0 == *flag) else {
            continue;
        };
        let own = format!("/proc/self/ns/{kind}");
        let joined = rustix::fs::stat(path).doing_with(|| path.display().to_string())?;
        let own = rustix::fs::stat(&own).doing(own)?;
        if (own.st_dev, own.st_ino) == (joined.st_dev, joined.st_ino) {
            found |= flag;
        }
    }
    Ok(found)
}

/// Who may not mount has what the specification mounts, with what is masked and protected there.
fn check_mounts(plan: &Plan, inside: &Inside) -> Result<()> {
    let more = |path: &str, what: &str| {
        Err(Error::conflict(format!(
            "{path} of the container {what}, which the specification does not say: it is neither kept nor restored"
        )))
    };
    for mount in &inside.mounts {
        if KERNELS_OWN.contains(&mount.kind.as_str()) && !is_explained(plan, mount) {
            return more(&mount.point, &format!("has a file system {}", mount.kind));
        }
    }
    let root = inside.mounts.iter().find(|mount| mount.point == "/");
    if plan.root_read_only && !root.is_some_and(|mount| mount.is_read_only) {
        return more("the root", "can be written to");
    }
    for path in &plan.masked_paths {
        let Some(found) = inside.open(path) else {
            continue;
        };
        let stat = rustix::fs::fstat(&found).doing_with(|| path.clone())?;
        let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == makedev(1, 3);
        let covers = |mount: &Mounted| mount.kind == "tmpfs" && mount.is_read_only;
        if !is_null && !inside.mount_of(&found).is_some_and(covers) {
            return more(path, "is not masked");
        }
    }
    for path in &plan.readonly_paths {
        let Some(found) = inside.open(path) else {
            continue;
        };
        if !inside.mount_of(&found).is_some_and(|m| m.is_read_only) {
            return more(path, "can be written to");
        }
    }
    Ok(())
}

/// A mount of the specification's, one in a bind of it, or a part of one that is protected.
fn is_explained(plan: &Plan, mount: &Mounted) -> bool {
    let point = mount.point.as_str();
    let below = |target: &str| {
        let target = target.trim_end_matches('/');
        point == target
            || point
                .strip_prefix(target)
                .is_some_and(|p| p.starts_with('/'))
    };
    let by_step = plan.mounts.iter().any(|step| match &step.what {
        MountWhat::New { kind, .. } => {
            *kind == mount.kind && step.target.trim_end_matches('/') == point
        }
        MountWhat::Cgroup => mount.kind.starts_with("cgroup") && below(&step.target),
        MountWhat::Bind { .. } | MountWhat::Own { .. } => below(&step.target),
        MountWhat::Remount => false,
    });
    let protected = plan.readonly_paths.iter().chain(&plan.masked_paths);
    let is_device =
        |device: &crate::plan::DeviceNode| mount.kind == "devtmpfs" && device.path == point;
    by_step
        || protected
            .into_iter()
            .any(|path| path.trim_end_matches('/') == point)
        || (plan.is_bounded() && plan.devices.iter().any(is_device))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, point: &str) -> Mounted {
        Mounted {
            id: 1,
            root: "/".to_owned(),
            point: point.to_owned(),
            is_read_only: false,
            kind: kind.to_owned(),
        }
    }

    #[test]
    fn kernel_file_systems_are_where_the_specification_has_them() {
        let spec = r#"{"ociVersion": "1.0.2", "process": {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}},
            "root": {"path": "r"}, "linux": {"namespaces": [{"type": "mount"}], "readonlyPaths": ["/proc/sys"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/sys/fs/cgroup/", "type": "cgroup", "source": "cgroup"},
                {"destination": "/data", "type": "bind", "source": "/x", "options": ["rbind"]}]}"#;
        let plan = crate::plan::plan(&serde_json::from_str(spec).unwrap()).unwrap();
        for (kind, point) in [
            ("proc", "/proc"),
            ("proc", "/proc/sys"),
            ("cgroup", "/sys/fs/cgroup/memory"),
            ("sysfs", "/data/sys"),
        ] {
            assert!(is_explained(&plan, &mount(kind, point)), "{kind} {point}");
        }
        for (kind, point) in [
            ("proc", "/evil"),
            ("proc", "/proc/sys/x"),
            ("sysfs", "/proc"),
            ("devtmpfs", "/dev/null"),
            ("cgroup", "/sys/fs/cgroups"),
            ("debugfs", "/datax"),
        ] {
            assert!(!is_explained(&plan, &mount(kind, point)), "{kind} {point}");
        }
    }

    #[test]
    fn a_process_of_the_hosts_is_more_than_a_container_may() {
        let spec = r#"{"ociVersion": "1.0.2", "process": {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}},
            "root": {"path": "r"}, "linux": {"namespaces": [{"type": "mount"}]}}"#;
        let spec: Spec = serde_json::from_str(spec).unwrap();
        let plan = crate::plan::plan(&spec).unwrap();
        let own = std::process::id() as i32;
        let error = check(&plan, &spec, own, &[own]).unwrap_err().to_string();
        assert!(error.contains("the host's mnt namespace"), "{error}");
        assert!(check_root(own, std::path::Path::new("/proc")).is_err());
        assert!(check_root(own, std::path::Path::new("/")).is_ok());
    }
}
