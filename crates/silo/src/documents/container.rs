//! `inspect` of a container in Docker's shape, and `Silo` with what only Silo knows.

use std::collections::BTreeMap;

use serde_json::Value;
use silo_types::{
    ContainerConfig, ContainerState, LogDriver, MountKind, MountSpec, NamespaceMode, NetworkMode,
    Resources, RestartPolicy, SeccompChoice, Status,
};

use super::ordered::{Ordered, object};
use crate::output::rfc3339;

/// What the document is made from.
pub struct ContainerFacts<'a> {
    pub config: &'a ContainerConfig,
    pub state: &'a ContainerState,
    /// The container's folder.
    pub folder: String,
    /// Folder of all volumes.
    pub volumes: String,
    /// Gateway, length of the prefix and hardware address, while it is on the bridge.
    pub bridge: Option<(String, u8, String)>,
    /// Written bytes and the whole, with `--size`.
    pub sizes: Option<(u64, u64)>,
}

/// The document.
pub fn container(facts: &ContainerFacts) -> Ordered {
    let (config, state) = (facts.config, facts.state);
    let (path, args) = match config.process.args.split_first() {
        Some((path, args)) => (path.clone(), args.to_vec()),
        None => Default::default(),
    };
    let etc = |name: &str| format!("{}/{name}", facts.folder);
    let mut document = object! {
        "Id" => config.id.as_str(),
        "Created" => rfc3339(config.created),
        "Path" => path,
        "Args" => args,
        "State" => state_of(state),
        "Image" => config.image.id.as_str(),
        "ResolvConfPath" => etc("resolv.conf"),
        "HostnamePath" => etc("hostname"),
        "HostsPath" => etc("hosts"),
        "LogPath" => match config.log.driver {
            LogDriver::JsonFile => etc("log.json"),
            LogDriver::None => String::new(),
        },
        "Name" => format!("/{}", state.name),
        "RestartCount" => state.restart_count,
        "Driver" => "overlay2",
        "Platform" => "linux",
        "MountLabel" => "",
        "ProcessLabel" => "",
        "AppArmorProfile" => config.security.apparmor.as_str(),
        "ExecIDs" => Value::Null,
        "HostConfig" => host_config(facts),
        "GraphDriver" => object! {
            "Data" => object! { "UpperDir" => etc("upper"), "WorkDir" => etc("work") },
            "Name" => "overlay2",
        },
    };
    if let (Ordered::Object(fields), Some((written, whole))) = (&mut document, facts.sizes) {
        fields.push(("SizeRw".to_owned(), written.into()));
        fields.push(("SizeRootFs".to_owned(), whole.into()));
    }
    if let Ordered::Object(fields) = &mut document {
        fields.push(("Mounts".to_owned(), mounts(facts)));
        fields.push(("Config".to_owned(), configuration(config)));
        fields.push(("NetworkSettings".to_owned(), network(facts)));
        fields.push(("Silo".to_owned(), own(facts)));
    }
    document
}

fn state_of(state: &ContainerState) -> Ordered {
    object! {
        "Status" => state.status.as_str(),
        // Docker counts a paused container as running.
        "Running" => state.status.is_up(),
        "Paused" => state.status == Status::Paused,
        "Restarting" => state.status == Status::Restarting,
        "OOMKilled" => state.oom_killed,
        "Dead" => state.status == Status::Dead,
        "Pid" => state.main.map_or(0, |main| main.pid),
        "ExitCode" => state.exit_code,
        "Error" => state.error.as_str(),
        "StartedAt" => rfc3339(state.started),
        "FinishedAt" => rfc3339(state.finished),
    }
}

/// What only Silo records.
fn own(facts: &ContainerFacts) -> Ordered {
    let state = facts.state;
    let victims = state.victims.iter().map(|victim| {
        object! {
            "Time" => rfc3339(victim.time),
            "HostPid" => victim.host_pid,
            "Pid" => victim.pid,
            "Command" => victim.command.as_str(),
            "AnonBytes" => victim.anon_bytes,
            "LimitBytes" => victim.limit_bytes,
        }
    });
    object! {
        "Victims" => victims.collect::<Vec<_>>(),
        "MonitorPid" => state.monitor.map_or(0, |monitor| monitor.pid),
        "StartTime" => state.main.map_or(0, |main| main.start_time),
        "Cgroup" => state.cgroup.as_str(),
        "StoppedByUser" => state.stopped_by_user,
        "Folder" => facts.folder.as_str(),
    }
}

fn host_config(facts: &ContainerFacts) -> Ordered {
    let config = facts.config;
    let limits = facts.state.resources.as_ref().unwrap_or(&config.resources);
    let mut document = object! {
        "Binds" => binds(&config.files.mounts),
        "ContainerIDFile" => "",
        "LogConfig" => log_config(config),
        "NetworkMode" => network_mode(&config.network.mode),
        "PortBindings" => object! {},
        "RestartPolicy" => restart(facts.state.restart.unwrap_or(config.life.restart)),
        "AutoRemove" => config.life.auto_remove,
        "VolumeDriver" => "",
        "VolumesFrom" => Value::Null,
        "CapAdd" => none_if_empty(&config.security.cap_add),
        "CapDrop" => none_if_empty(&config.security.cap_drop),
        "CgroupnsMode" => namespace(&config.namespaces.cgroup, "private"),
        "Dns" => config.network.dns.as_slice(),
        "DnsOptions" => config.network.dns_options.as_slice(),
        "DnsSearch" => config.network.dns_search.as_slice(),
        "ExtraHosts" => none_if_empty(&extra_hosts(config)),
        "GroupAdd" => none_if_empty(&config.process.groups),
        "IpcMode" => namespace(&config.namespaces.ipc, "private"),
        "Cgroup" => "",
        "Links" => Value::Null,
        "OomScoreAdj" => config.process.oom_score_adj.unwrap_or(0),
        "PidMode" => namespace(&config.namespaces.pid, ""),
        "Privileged" => config.security.privileged,
        "PublishAllPorts" => false,
        "ReadonlyRootfs" => config.files.read_only,
        "SecurityOpt" => none_if_empty(&security_options(config)),
        "Tmpfs" => tmpfs(&config.files.mounts),
        "UTSMode" => namespace(&config.namespaces.uts, ""),
        "UsernsMode" => "",
        "ShmSize" => match config.files.shm_size {
            0 => 64u64 << 20,
            size => size,
        },
        "Sysctls" => &config.security.sysctls,
        "Runtime" => "silo",
        "Isolation" => "",
        "Annotations" => &config.annotations,
    };
    if let (Ordered::Object(fields), Ordered::Object(more)) = (&mut document, resources(limits)) {
        fields.extend(more);
        fields.push(("Ulimits".to_owned(), ulimits(config)));
        fields.push(("Init".to_owned(), config.life.init.into()));
    }
    document
}

fn resources(limits: &Resources) -> Ordered {
    let rates = |rates: &[silo_types::DeviceRate]| {
        let rate =
            |r: &silo_types::DeviceRate| object! { "Path" => r.path.as_str(), "Rate" => r.rate };
        Ordered::List(rates.iter().map(rate).collect())
    };
    let devices = limits.devices.iter().map(|device| {
        object! {
            "PathOnHost" => device.host_path.as_str(),
            "PathInContainer" => device.container_path.as_str(),
            "CgroupPermissions" => device.permissions.as_str(),
        }
    });
    object! {
        "CpuShares" => limits.cpu_shares.unwrap_or(0),
        "Memory" => limits.memory.unwrap_or(0),
        "NanoCpus" => limits.nano_cpus.unwrap_or(0),
        "CgroupParent" => limits.cgroup_parent.as_str(),
        "BlkioWeight" => limits.blkio_weight.unwrap_or(0),
        "BlkioDeviceReadBps" => rates(&limits.device_read_bps),
        "BlkioDeviceWriteBps" => rates(&limits.device_write_bps),
        "BlkioDeviceReadIOps" => rates(&limits.device_read_iops),
        "BlkioDeviceWriteIOps" => rates(&limits.device_write_iops),
        "CpuPeriod" => limits.cpu_period.unwrap_or(0),
        "CpuQuota" => limits.cpu_quota.unwrap_or(0),
        "CpusetCpus" => limits.cpuset_cpus.as_str(),
        "CpusetMems" => limits.cpuset_mems.as_str(),
        "Devices" => devices.collect::<Vec<_>>(),
        "MemoryReservation" => limits.memory_reservation.unwrap_or(0),
        "MemorySwap" => limits.memory_swap.unwrap_or(0),
        "MemorySwappiness" => limits.memory_swappiness,
        "OomKillDisable" => limits.oom_kill_disable,
        "PidsLimit" => limits.pids_limit,
    }
}

fn ulimits(config: &ContainerConfig) -> Ordered {
    let each = config.process.ulimits.iter().map(|limit| {
        object! { "Name" => limit.name.as_str(), "Hard" => limit.hard, "Soft" => limit.soft }
    });
    each.collect::<Vec<_>>().into()
}

fn none_if_empty(texts: &[String]) -> Ordered {
    match texts {
        [] => Value::Null.into(),
        texts => texts.into(),
    }
}

fn extra_hosts(config: &ContainerConfig) -> Vec<String> {
    let hosts = config.network.extra_hosts.iter();
    hosts
        .map(|(name, address)| format!("{name}:{address}"))
        .collect()
}

fn log_config(config: &ContainerConfig) -> Ordered {
    let mut options = BTreeMap::new();
    if config.log.max_size > 0 {
        options.insert("max-size".to_owned(), config.log.max_size.to_string());
    }
    if config.log.max_files > 0 {
        options.insert("max-file".to_owned(), config.log.max_files.to_string());
    }
    object! {
        "Type" => match config.log.driver {
            LogDriver::JsonFile => "json-file",
            LogDriver::None => "none",
        },
        "Config" => &options,
    }
}

/// `bridge`, `none`, `host`, `container:ID`.
pub(super) fn network_mode(mode: &NetworkMode) -> String {
    match mode {
        NetworkMode::Bridge => "bridge".to_owned(),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::Container(id) => format!("container:{id}"),
    }
}

fn namespace(mode: &NamespaceMode, private: &str) -> String {
    match mode {
        NamespaceMode::Private => private.to_owned(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Container(id) => format!("container:{id}"),
    }
}

fn restart(policy: RestartPolicy) -> Ordered {
    let (name, most) = match policy {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure(most) => ("on-failure", most),
    };
    object! { "Name" => name, "MaximumRetryCount" => most }
}

fn security_options(config: &ContainerConfig) -> Vec<String> {
    let security = &config.security;
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &security.seccomp {
        SeccompChoice::Default => {}
        SeccompChoice::Unconfined => options.push("seccomp=unconfined".to_owned()),
        SeccompChoice::Profile(text) => options.push(format!("seccomp={text}")),
    }
    if !security.apparmor.is_empty() {
        options.push(format!("apparmor={}", security.apparmor));
    }
    options.extend(security.labels.iter().map(|label| format!("label={label}")));
    if security.unmask_paths {
        options.push("systempaths=unconfined".to_owned());
    }
    options
}

/// `SOURCE:TARGET[:ro]` of folders and named volumes.
fn binds(mounts: &[MountSpec]) -> Ordered {
    let bind = |mount: &MountSpec| {
        let source = match &mount.kind {
            MountKind::Bind { source, .. } => source,
            MountKind::Volume {
                name,
                anonymous: false,
                ..
            } => name,
            _ => return None,
        };
        let mode = if mount.read_only { ":ro" } else { "" };
        Some(format!("{source}:{}{mode}", mount.target))
    };
    none_if_empty(&mounts.iter().filter_map(bind).collect::<Vec<_>>())
}

fn tmpfs(mounts: &[MountSpec]) -> Ordered {
    let each = mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Tmpfs {
            size,
            mode,
            options,
        } => {
            let mut words = options.clone();
            words.extend((*size > 0).then(|| format!("size={size}")));
            words.extend(mode.map(|mode| format!("mode={mode:o}")));
            words.extend(mount.read_only.then(|| "ro".to_owned()));
            Some((mount.target.clone(), words.join(",").into()))
        }
        _ => None,
    });
    Ordered::Object(each.collect())
}

fn mounts(facts: &ContainerFacts) -> Ordered {
    let each = facts.config.files.mounts.iter().map(|mount| {
        let target = mount.target.as_str();
        let writable = !mount.read_only;
        match &mount.kind {
            MountKind::Bind {
                source,
                propagation,
                ..
            } => object! {
                "Type" => "bind",
                "Source" => source.as_str(),
                "Destination" => target,
                "Mode" => if writable { "" } else { "ro" },
                "RW" => writable,
                "Propagation" => match propagation.as_str() {
                    "" => "rprivate",
                    other => other,
                },
            },
            MountKind::Volume { name, .. } => object! {
                "Type" => "volume",
                "Name" => name.as_str(),
                "Source" => format!("{}/{name}/_data", facts.volumes),
                "Destination" => target,
                "Driver" => "local",
                "Mode" => if writable { "" } else { "ro" },
                "RW" => writable,
                "Propagation" => "",
            },
            MountKind::Tmpfs { .. } => object! {
                "Type" => "tmpfs",
                "Source" => "",
                "Destination" => target,
                "Mode" => "",
                "RW" => writable,
                "Propagation" => "",
            },
        }
    });
    each.collect::<Vec<_>>().into()
}

fn configuration(config: &ContainerConfig) -> Ordered {
    let (process, stdio) = (&config.process, &config.stdio);
    let words = |words: &Option<Vec<String>>| match words {
        Some(words) => words.as_slice().into(),
        None => Ordered::from(Value::Null),
    };
    let volumes = config
        .files
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            MountKind::Volume {
                anonymous: true, ..
            } => Some((mount.target.clone(), object! {})),
            _ => None,
        });
    object! {
        "Hostname" => config.network.hostname.as_str(),
        "Domainname" => config.network.domainname.as_str(),
        "User" => process.user.as_str(),
        "AttachStdin" => stdio.attach_stdin,
        "AttachStdout" => stdio.attach_stdout,
        "AttachStderr" => stdio.attach_stderr,
        "Tty" => stdio.tty,
        "OpenStdin" => stdio.open_stdin,
        "StdinOnce" => stdio.stdin_once,
        "Env" => process.env.as_slice(),
        "Cmd" => words(&process.command),
        "Image" => config.image.reference.as_str(),
        "Volumes" => Ordered::Object(volumes.collect()),
        "WorkingDir" => process.cwd.as_str(),
        "Entrypoint" => words(&process.entrypoint),
        "OnBuild" => Value::Null,
        "Labels" => &config.labels,
        "StopSignal" => config.life.stop_signal.map(|signal| signal.to_string()),
        "StopTimeout" => config.life.stop_timeout,
    }
}

fn network(facts: &ContainerFacts) -> Ordered {
    let config = facts.config;
    let (gateway, prefix, mac) = facts.bridge.clone().unwrap_or_default();
    let ip = facts.state.ip.as_str();
    let endpoint = object! {
        "IPAMConfig" => Value::Null,
        "Links" => Value::Null,
        "Aliases" => Value::Null,
        "MacAddress" => mac.as_str(),
        "NetworkID" => "",
        "EndpointID" => "",
        "Gateway" => gateway.as_str(),
        "IPAddress" => ip,
        "IPPrefixLen" => u32::from(prefix),
        "IPv6Gateway" => "",
        "GlobalIPv6Address" => "",
        "GlobalIPv6PrefixLen" => 0u32,
        "DNSNames" => Value::Null,
    };
    let networks = match config.network.mode {
        NetworkMode::Container(_) => object! {},
        ref mode => object! { network_mode(mode) => endpoint },
    };
    object! {
        "Bridge" => "",
        "SandboxID" => "",
        "SandboxKey" => facts.state.main.map_or_else(String::new, |main| format!("/proc/{}/ns/net", main.pid)),
        "Ports" => object! {},
        "Gateway" => gateway,
        "IPAddress" => ip,
        "IPPrefixLen" => u32::from(prefix),
        "MacAddress" => mac,
        "Networks" => networks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silo_types::{ContainerId, ProcessId, parse};

    #[test]
    fn dockers_shape() {
        let mut config = ContainerConfig {
            id: ContainerId::from_bytes([0xab; 32]),
            ..ContainerConfig::default()
        };
        config.process.args = vec!["ping".into(), "1.2.3.4".into()];
        config
            .files
            .mounts
            .push(parse::volume("/a:/b:ro", "/").unwrap());
        config
            .files
            .mounts
            .push(parse::tmpfs("/t:size=1m,noexec").unwrap());
        config.resources.memory = Some(64 << 20);
        let state = ContainerState {
            name: "web".into(),
            status: Status::Paused,
            main: Some(ProcessId {
                pid: 7,
                start_time: 9,
            }),
            ..ContainerState::default()
        };
        let facts = ContainerFacts {
            config: &config,
            state: &state,
            folder: "/f".into(),
            volumes: "/v".into(),
            bridge: None,
            sizes: Some((1, 2)),
        };
        let value = container(&facts).value();
        for (path, expected) in [
            ("/Name", Value::from("/web")),
            ("/Path", "ping".into()),
            ("/Args/0", "1.2.3.4".into()),
            ("/State/Status", "paused".into()),
            ("/State/Running", true.into()),
            ("/State/Pid", 7.into()),
            ("/State/StartedAt", "0001-01-01T00:00:00Z".into()),
            ("/HostConfig/Memory", (64 << 20).into()),
            ("/HostConfig/Binds/0", "/a:/b:ro".into()),
            ("/HostConfig/Tmpfs/~1t", "noexec,size=1048576".into()),
            ("/HostConfig/RestartPolicy/Name", "no".into()),
            ("/Mounts/0/RW", false.into()),
            ("/NetworkSettings/Networks/bridge/IPAddress", "".into()),
            ("/SizeRw", 1.into()),
            ("/Silo/StartTime", 9.into()),
        ] {
            assert_eq!(value.pointer(path), Some(&expected), "{path}");
        }
        assert!(
            container(&facts)
                .pretty()
                .starts_with("{\n    \"Id\": \"abab")
        );
    }
}
