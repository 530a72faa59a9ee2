//! ContainerConfig → OCI specification: pure; what the runtime is asked for, and what `inspect` can show.

use std::{collections::HashMap, path::PathBuf};

use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxNamespace, LinuxNamespaceType, Mount, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType, Process, Root, Spec, User,
};
use silo_runtime::{
    PLAIN_SOURCE,
    capabilities::{self, CapSet},
};
use silo_types::{
    ContainerConfig, Doing, Error, MountKind, MountSpec, NamespaceMode, NetworkMode, Result, Ulimit,
};

use crate::{
    resources::{self, HostDevice},
    users::Identity,
};

/// What the engine found out for a container, besides its configuration.
#[derive(Debug, Default)]
pub struct Facts {
    pub identity: Identity,
    /// Host sources of the volumes and binds, in the order of `config.files.mounts`; empty for tmpfs.
    pub sources: Vec<PathBuf>,
    /// hosts, hostname and resolv.conf to be shown in /etc, by host path; empty: none.
    pub etc_files: Vec<(PathBuf, &'static str)>,
    pub devices: Vec<HostDevice>,
    /// Namespaces of other containers to join: type and path.
    pub joins: Vec<(LinuxNamespaceType, PathBuf)>,
    pub cgroup: String,
    /// Files of the host's processors about heat, one for each.
    pub thermal: Vec<String>,
    /// Host folder behind /dev/shm of another container or the host.
    pub shm_source: Option<PathBuf>,
}

/// Files of /proc and /sys that tell about or control the host.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Makes the document. Everything in it comes from the configuration and the facts.
pub fn make(config: &ContainerConfig, facts: &Facts) -> Result<Spec> {
    let mut spec = Spec::default();
    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs"));
    root.set_readonly(Some(config.files.read_only));
    spec.set_root(Some(root));
    if config.namespaces.uts == NamespaceMode::Private {
        spec.set_hostname(Some(config.network.hostname.clone()));
        if !config.network.domainname.is_empty() {
            spec.set_domainname(Some(config.network.domainname.clone()));
        }
    } else {
        spec.set_hostname(None);
    }
    spec.set_process(Some(process(config, facts)?));
    spec.set_mounts(Some(mounts(config, facts)));
    spec.set_linux(Some(linux(config, facts)?));
    if !config.annotations.is_empty() {
        let annotations: HashMap<_, _> = config.annotations.clone().into_iter().collect();
        spec.set_annotations(Some(annotations));
    }
    Ok(spec)
}

/// Capabilities of the container's processes; a user other than root loses all but the bounding set at exec, capabilities(7).
pub fn capability_set(config: &ContainerConfig) -> Result<CapSet> {
    let security = &config.security;
    capabilities::resolve(
        &security.cap_add,
        &security.cap_drop,
        security.privileged,
        CapSet::of_this_process()?,
    )
}

fn process(config: &ContainerConfig, facts: &Facts) -> Result<Process> {
    let asked = &config.process;
    let mut process = Process::default();
    process.set_terminal(Some(config.stdio.tty));
    process.set_user(user(&facts.identity));
    process.set_args(Some(asked.args.clone()));
    process.set_env(Some(asked.env.clone()));
    process.set_cwd(PathBuf::from(&asked.cwd));
    process.set_no_new_privileges(Some(config.security.no_new_privileges));
    process.set_oom_score_adj(asked.oom_score_adj);
    process.set_rlimits(rlimits(&asked.ulimits)?);
    process.set_capabilities(Some(capability_set(config)?.to_oci()));
    process.set_apparmor_profile(None);
    Ok(process)
}

pub(crate) fn user(identity: &Identity) -> User {
    let mut user = User::default();
    user.set_uid(identity.uid).set_gid(identity.gid);
    user.set_additional_gids(Some(identity.groups.clone()));
    user
}

pub(crate) fn rlimits(ulimits: &[Ulimit]) -> Result<Option<Vec<PosixRlimit>>> {
    let made: Result<Vec<PosixRlimit>> = ulimits.iter().map(rlimit).collect();
    made.map(|list| (!list.is_empty()).then_some(list))
}

fn rlimit(ulimit: &Ulimit) -> Result<PosixRlimit> {
    let kind: PosixRlimitType = serde_json::from_value(serde_json::Value::String(format!(
        "RLIMIT_{}",
        ulimit.name.to_ascii_uppercase()
    )))
    .map_err(|_| Error::invalid(format!("unknown ulimit {}", ulimit.name)))?;
    let value = |v: i64| if v < 0 { u64::MAX } else { v as u64 };
    PosixRlimitBuilder::default()
        .typ(kind)
        .soft(value(ulimit.soft))
        .hard(value(ulimit.hard))
        .build()
        .doing_with(|| format!("ulimit {}", ulimit.name))
}

fn mounts(config: &ContainerConfig, facts: &Facts) -> Vec<Mount> {
    let privileged = config.security.privileged;
    let shm_size = match config.files.shm_size {
        0 => 64 << 20,
        size => size,
    };
    let sysfs = if privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            "nosuid,strictatime,mode=755,size=65536k",
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &format!("nosuid,noexec,nodev,{sysfs}"),
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &format!("nosuid,noexec,nodev,{sysfs}"),
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ];
    match &facts.shm_source {
        Some(source) => mounts.push(mount(
            "/dev/shm",
            "bind",
            &source.to_string_lossy(),
            "rbind",
        )),
        None => mounts.push(mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &format!("nosuid,noexec,nodev,mode=1777,size={shm_size}"),
        )),
    }
    for (source, target) in &facts.etc_files {
        mounts.push(mount(target, "bind", &source.to_string_lossy(), "bind"));
    }
    for (wanted, source) in config.files.mounts.iter().zip(&facts.sources) {
        // A mount of the user's replaces what Silo would put at the same place.
        mounts.retain(|m| m.destination().as_os_str() != wanted.target.as_str());
        mounts.push(user_mount(wanted, &source.to_string_lossy()));
    }
    mounts
}

fn user_mount(wanted: &MountSpec, source: &str) -> Mount {
    // Read-only means everything below it, too: "rro".
    let access = if wanted.read_only { ",rro" } else { "" };
    match &wanted.kind {
        MountKind::Bind {
            propagation,
            non_recursive,
            ..
        } => {
            let bind = if *non_recursive { "bind" } else { "rbind" };
            let propagation = match propagation.as_str() {
                "" => "rprivate",
                given => given,
            };
            let options = format!("{bind},{propagation}{access}");
            mount(&wanted.target, "bind", source, &options)
        }
        MountKind::Volume { subpath, .. } => {
            let plain = match subpath.is_empty() {
                true => String::new(),
                false => format!(",{PLAIN_SOURCE}"),
            };
            let options = format!("rbind,rprivate{access}{plain}");
            mount(&wanted.target, "bind", source, &options)
        }
        MountKind::Tmpfs {
            size,
            mode,
            options,
        } => {
            let mut words = "nosuid,nodev,noexec".to_owned();
            words.push_str(&format!(",mode={:o}", mode.unwrap_or(0o1777)));
            if *size > 0 {
                words.push_str(&format!(",size={size}"));
            }
            if wanted.read_only {
                words.push_str(",ro");
            }
            for option in options {
                words.push(',');
                words.push_str(option);
            }
            mount(&wanted.target, "tmpfs", "tmpfs", &words)
        }
    }
}

fn mount(target: &str, kind: &str, source: &str, options: &str) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(target))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(options.split(',').map(str::to_owned).collect()));
    mount
}

fn linux(config: &ContainerConfig, facts: &Facts) -> Result<Linux> {
    let security = &config.security;
    let mut linux = Linux::default();
    linux.set_namespaces(Some(namespaces(config, facts)));
    linux.set_cgroups_path(Some(PathBuf::from(&facts.cgroup)));
    let mut limits = resources::limits(&config.resources, &resources::block_device)?;
    limits.set_devices(Some(resources::device_rules(
        &facts.devices,
        security.privileged,
    )));
    linux.set_resources(Some(limits));
    linux.set_devices(Some(facts.devices.iter().map(device).collect()));
    let words = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    let open = security.privileged || security.unmask_paths;
    linux.set_masked_paths((!open).then(|| [words(&MASKED), facts.thermal.clone()].concat()));
    linux.set_readonly_paths((!open).then(|| words(&READ_ONLY)));
    linux.set_sysctl(Some(security.sysctls.clone().into_iter().collect()));
    Ok(linux)
}

fn namespaces(config: &ContainerConfig, facts: &Facts) -> Vec<LinuxNamespace> {
    use LinuxNamespaceType as T;
    let modes = &config.namespaces;
    let own = |mode: &NamespaceMode| *mode == NamespaceMode::Private;
    let network = matches!(config.network.mode, NetworkMode::Bridge | NetworkMode::None);
    [
        (T::Mount, true),
        (T::Pid, own(&modes.pid)),
        (T::Uts, own(&modes.uts)),
        (T::Ipc, own(&modes.ipc)),
        (T::Cgroup, own(&modes.cgroup)),
        (T::Network, network),
    ]
    .into_iter()
    .filter(|(_, wanted)| *wanted)
    .map(|(kind, _)| (kind, None))
    .chain(facts.joins.iter().map(|(k, p)| (*k, Some(p.clone()))))
    .map(|(kind, path)| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind).set_path(path);
        namespace
    })
    .collect()
}

fn device(device: &HostDevice) -> LinuxDevice {
    let mut linux = LinuxDevice::default();
    linux
        .set_path(PathBuf::from(&device.path))
        .set_typ(device.kind)
        .set_major(device.major)
        .set_minor(device.minor)
        .set_file_mode(Some(device.mode))
        .set_uid(Some(device.uid))
        .set_gid(Some(device.gid));
    linux
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ContainerConfig {
        let mut config = ContainerConfig::default();
        config.process.args = vec!["sh".into()];
        config.process.cwd = "/".into();
        config.network.hostname = "abc".into();
        config
    }

    #[test]
    fn every_specification_has_a_plan() {
        let spec = make(&config(), &Facts::default()).unwrap();
        silo_runtime::plan(&spec).unwrap();
        let process = spec.process().as_ref().unwrap();
        let capabilities = process.capabilities().as_ref().unwrap();
        assert_eq!(capabilities.bounding().as_ref().unwrap().len(), 14);
        assert!(
            capabilities
                .inheritable()
                .as_ref()
                .is_none_or(|c| c.is_empty())
        );
        assert!(capabilities.ambient().as_ref().is_none_or(|c| c.is_empty()));
    }

    #[test]
    fn a_users_mount_replaces_silos() {
        let mut config = config();
        config.files.mounts.push(MountSpec {
            kind: MountKind::Tmpfs {
                size: 0,
                mode: None,
                options: vec![],
            },
            target: "/dev/shm".into(),
            read_only: false,
        });
        let facts = Facts {
            sources: vec![PathBuf::new()],
            ..Facts::default()
        };
        let spec = make(&config, &facts).unwrap();
        let shm = spec
            .mounts()
            .iter()
            .flatten()
            .filter(|m| m.destination().ends_with("shm"));
        assert_eq!(shm.count(), 1);
    }

    #[test]
    fn unknown_ulimits_are_named() {
        let ulimit = Ulimit {
            name: "nosuch".into(),
            soft: 1,
            hard: 1,
        };
        assert!(rlimit(&ulimit).unwrap_err().to_string().contains("nosuch"));
        let ulimit = Ulimit {
            name: "nofile".into(),
            soft: -1,
            hard: -1,
        };
        assert_eq!(rlimit(&ulimit).unwrap().hard(), u64::MAX);
    }
}
