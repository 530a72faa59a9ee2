//! What a container is to be: written once at create as `config.json`, never changed afterwards.
//!
//! The one place where the command line and the API meet: both fill this, the engine completes it with the image's defaults,
//! and `plan` turns it into an OCI specification. What may change later (name, limits, restart policy) is overlaid by
//! [`crate::ContainerState`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, Signal};

/// A container as it was asked for. Groups are passed whole to whoever needs them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerConfig {
    /// Empty until the engine creates the container.
    pub id: ContainerId,
    /// As given with `--name`; empty: the engine makes one up. Later renames are in the state.
    pub name: String,
    /// Nanoseconds since the epoch; 0 until created.
    pub created: u64,
    pub image: ImageUse,
    pub process: Process,
    pub stdio: Stdio,
    pub files: Files,
    pub network: Network,
    pub namespaces: Namespaces,
    pub resources: Resources,
    pub security: Security,
    pub life: Life,
    pub log: LogConfig,
    /// `--label`, over the image's labels.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`: handed to the OCI specification.
    pub annotations: BTreeMap<String, String>,
}

/// Which image the container was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ImageUse {
    /// As typed: `lab`, `debian:12`, an id or its prefix.
    pub reference: String,
    /// `sha256:…`; empty until created.
    pub id: String,
}

/// The main process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Process {
    /// `--entrypoint`: `None` takes the image's, `Some(empty)` clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Words after the image: `None` takes the image's command.
    pub command: Option<Vec<String>>,
    /// Entrypoint and command joined, filled at create: what is executed.
    pub args: Vec<String>,
    /// `KEY=VALUE`, in order; at create the image's come first and PATH, HOSTNAME, HOME, TERM are completed.
    pub env: Vec<String>,
    /// `-w`; empty: the image's, else `/`.
    pub cwd: String,
    /// `user[:group]` by name or number; empty: the image's, else root.
    pub user: String,
    /// `--group-add`: names or numbers.
    pub groups: Vec<String>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--oom-score-adj`, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// One `--ulimit NAME=SOFT[:HARD]`; -1 is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Lower case without `RLIMIT_`: `nofile`, `core`, …
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// Terminal and streams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Stdio {
    /// `-t`
    pub tty: bool,
    /// `-i`: standard input stays open.
    pub open_stdin: bool,
    /// Close standard input when the first attached client leaves (`run -i` without `-d`).
    pub stdin_once: bool,
    /// Which streams the client that creates it attaches: shown by `inspect` only.
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
}

/// Files: mounts, root file system, shared memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Files {
    /// `-v`, `--mount`, `--tmpfs`, in the order given; the image's volumes are appended at create as anonymous volumes.
    pub mounts: Vec<MountSpec>,
    /// `--read-only`
    pub read_only: bool,
    /// `--shm-size` in bytes; 0: 64 MiB.
    pub shm_size: u64,
}

impl Files {
    /// Names of the volumes that belong to this container alone and go with it.
    pub fn anonymous_volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Volume {
                name,
                anonymous: true,
                ..
            } => Some(name.as_str()),
            _ => None,
        })
    }
}

/// One mount of a volume, a host folder or a tmpfs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountSpec {
    pub kind: MountKind,
    /// Absolute path inside the container, cleaned.
    pub target: String,
    #[serde(default)]
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum MountKind {
    #[serde(rename_all = "camelCase")]
    Bind {
        /// Absolute path on the host.
        source: String,
        /// `-v` makes a missing source folder, `--mount` refuses.
        create_source: bool,
        /// `rprivate` (default), `private`, `rshared`, `shared`, `rslave`, `slave`; empty: default.
        propagation: String,
        /// `bind-nonrecursive`, of `--mount`.
        non_recursive: bool,
    },
    #[serde(rename_all = "camelCase")]
    Volume {
        /// Empty: an anonymous volume; at create it is given a 64-digit name.
        name: String,
        /// Made for this container without a name of its own: `rm -v` and `--rm` remove it.
        anonymous: bool,
        /// `nocopy`: do not fill an empty volume from the image.
        no_copy: bool,
        /// `volume-subpath`; empty: the root of the volume.
        subpath: String,
    },
    #[serde(rename_all = "camelCase")]
    Tmpfs {
        /// Bytes; 0: half of the memory, as the kernel has it.
        size: u64,
        /// Permission bits; `None`: 1777.
        mode: Option<u32>,
        /// Further mount options as given with `--tmpfs PATH:OPTIONS` (`noexec`, `uid=…`), checked.
        options: Vec<String>,
    },
}

/// Network mode and names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Network {
    pub mode: NetworkMode,
    /// `--hostname`; empty: the first 12 digits of the id.
    pub hostname: String,
    /// `--domainname`
    pub domainname: String,
    /// `--add-host NAME:IP`, as (name, address or `host-gateway`).
    pub extra_hosts: Vec<(String, String)>,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// `--ip`: a fixed IPv4 address.
    pub ip: Option<std::net::Ipv4Addr>,
    /// `--mac-address` as six hexadecimal pairs with colons; empty: chosen.
    pub mac: String,
}

/// `--network`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkMode {
    #[default]
    Bridge,
    None,
    Host,
    /// Shares the namespace of another container: full id once created.
    Container(String),
}

/// Namespaces apart from the network's: private unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Namespaces {
    pub pid: NamespaceMode,
    pub ipc: NamespaceMode,
    pub uts: NamespaceMode,
    pub cgroup: NamespaceMode,
}

/// `--pid`, `--ipc`, `--uts`, `--cgroupns`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NamespaceMode {
    #[default]
    Private,
    Host,
    /// Shares that of another container: full id once created.
    Container(String),
}

/// Limits. Zero, empty or `None` is "not set"; units are the kernel's unless said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resources {
    /// `-m`, bytes.
    pub memory: Option<i64>,
    /// `--memory-swap`, bytes of memory and swap together; -1: unlimited.
    pub memory_swap: Option<i64>,
    /// `--memory-reservation`, bytes.
    pub memory_reservation: Option<i64>,
    /// Bytes above which processes are slowed and their memory reclaimed, but nothing is killed: `limit --soft`. Groups v2 only.
    pub memory_high: Option<i64>,
    /// `--memory-swappiness`, 0 to 100.
    pub memory_swappiness: Option<u64>,
    pub oom_kill_disable: bool,
    /// `--cpus` in billionths of a CPU, as Docker's NanoCpus.
    pub nano_cpus: Option<i64>,
    pub cpu_shares: Option<u64>,
    /// Microseconds per period; -1: unlimited.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// `--cpu-burst`: microseconds above the quota that may be saved in quiet periods and spent later.
    pub cpu_burst: Option<u64>,
    /// `0-3,5`; empty: all.
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    /// -1: unlimited.
    pub pids_limit: Option<i64>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    pub device_read_bps: Vec<DeviceRate>,
    pub device_write_bps: Vec<DeviceRate>,
    pub device_read_iops: Vec<DeviceRate>,
    pub device_write_iops: Vec<DeviceRate>,
    /// `--device`
    pub devices: Vec<DeviceSpec>,
    /// `--cgroup-parent`; empty: `/silo`.
    pub cgroup_parent: String,
}

/// `--device-read-bps PATH:RATE` and its kin: bytes or operations per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceRate {
    pub path: String,
    pub rate: u64,
}

/// `--device HOST[:CONTAINER[:rwm]]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSpec {
    pub host_path: String,
    pub container_path: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// What the processes may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Security {
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub privileged: bool,
    /// `--security-opt no-new-privileges`
    pub no_new_privileges: bool,
    pub seccomp: SeccompChoice,
    /// `--security-opt apparmor=…`; empty: none.
    pub apparmor: String,
    /// `--security-opt label=…`, as given.
    pub labels: Vec<String>,
    /// `--security-opt systempaths=unconfined`: nothing masked, nothing read-only.
    pub unmask_paths: bool,
    /// `--sysctl`
    pub sysctls: BTreeMap<String, String>,
}

/// `--security-opt seccomp=…`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SeccompChoice {
    #[default]
    Default,
    Unconfined,
    /// The text of a profile in Docker's or the OCI's JSON form, read when it was given.
    Profile(String),
}

/// How it lives and ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Life {
    /// `--rm`
    pub auto_remove: bool,
    /// `--init`: a small first process that reaps zombies and forwards signals.
    pub init: bool,
    pub restart: RestartPolicy,
    /// `--stop-signal`; `None`: the image's, else TERM.
    pub stop_signal: Option<Signal>,
    /// `--stop-timeout` in seconds, -1: for ever; `None`: 10.
    pub stop_timeout: Option<i64>,
}

/// `--restart`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    #[default]
    No,
    Always,
    UnlessStopped,
    /// At most so many times; 0: no limit.
    OnFailure(u32),
}

/// `--log-driver`, `--log-opt`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogConfig {
    pub driver: LogDriver,
    /// Bytes per file; 0: no limit.
    pub max_size: u64,
    /// Files kept, at least 1; 0: 1.
    pub max_files: u32,
}

/// Where output goes besides attached clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// One JSON object a line, as Docker's `json-file`.
    #[default]
    JsonFile,
    None,
}
