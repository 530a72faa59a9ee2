//! The flags of `run` and `create`: Docker's names, in groups that follow [`silo_types::ContainerConfig`].

use clap::Args;

use super::NotYet;

/// Everything that `run` and `create` share.
#[derive(Args, Debug, Default)]
pub struct CreateFlags {
    #[command(flatten)]
    pub general: GeneralFlags,
    #[command(flatten)]
    pub process: ProcessFlags,
    #[command(flatten)]
    pub files: FileFlags,
    #[command(flatten)]
    pub network: NetworkFlags,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub more_limits: CreateLimitFlags,
    #[command(flatten)]
    pub security: SecurityFlags,
    #[command(flatten)]
    pub life: LifeFlags,
    #[command(flatten)]
    pub not_yet: NotYet,
    /// IMAGE [COMMAND] [ARG...]
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_name = "IMAGE [COMMAND] [ARG...]", help_heading = "Arguments")]
    pub words: Vec<String>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "General")]
pub struct GeneralFlags {
    /// Name of the container
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub name: String,
    /// Label, as KEY=VALUE (repeatable)
    #[arg(short, long, value_name = "LABEL")]
    pub label: Vec<String>,
    /// File of labels, one a line
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<String>,
    /// Annotation for the OCI specification, as KEY=VALUE
    #[arg(long, value_name = "ANNOTATION")]
    pub annotation: Vec<String>,
    /// Write the container's id to this file, which must not exist
    #[arg(
        long,
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub cidfile: String,
    /// Fetch the image before: always, missing, never
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub pull: String,
    /// Show no progress of fetching
    #[arg(short, long)]
    pub quiet: bool,
    /// Accepted for Docker's sake: Silo starts containers itself
    #[arg(
        long,
        value_name = "RUNTIME",
        default_value = "",
        hide_default_value = true
    )]
    pub runtime: String,
    /// Attach STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "STREAM")]
    pub attach: Vec<String>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Process")]
pub struct ProcessFlags {
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Environment variable, as KEY=VALUE, or KEY for the caller's value
    #[arg(short, long, value_name = "VARIABLE")]
    pub env: Vec<String>,
    /// File of environment variables, one a line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// Working folder inside the container
    #[arg(
        short,
        long,
        value_name = "FOLDER",
        default_value = "",
        hide_default_value = true
    )]
    pub workdir: String,
    /// User and group, by name or number
    #[arg(
        short,
        long,
        value_name = "USER[:GROUP]",
        default_value = "",
        hide_default_value = true
    )]
    pub user: String,
    /// Further group
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    /// Program to run in the place of the image's entrypoint; empty: none
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Limit of setrlimit(2), as NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT")]
    pub ulimit: Vec<String>,
    /// Preference of the kernel's OOM killer, -1000 to 1000
    #[arg(long, value_name = "NUMBER")]
    pub oom_score_adj: Option<i32>,
    /// Run a small init that forwards signals and reaps processes
    #[arg(long)]
    pub init: bool,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Files")]
pub struct FileFlags {
    /// Mount a folder or a volume, as [SOURCE:]TARGET[:OPTIONS]
    #[arg(short, long, value_name = "VOLUME")]
    pub volume: Vec<String>,
    /// Mount, as type=bind|volume|tmpfs,source=S,target=T[,KEY=VALUE...]
    #[arg(long, value_name = "MOUNT")]
    pub mount: Vec<String>,
    /// Mount a tmpfs, as TARGET[:OPTIONS]
    #[arg(long, value_name = "TMPFS")]
    pub tmpfs: Vec<String>,
    /// Make the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// Size of /dev/shm; 64m unless given
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Device of the host, as PATH[:PATH-INSIDE[:rwm]]
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct NetworkFlags {
    /// bridge, none, host or container:NAME
    #[arg(
        long,
        visible_alias = "net",
        value_name = "NETWORK",
        default_value = "bridge"
    )]
    pub network: String,
    /// Host name inside the container
    #[arg(
        short = 'h',
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub hostname: String,
    /// NIS domain name inside the container
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub domainname: String,
    /// Line of /etc/hosts, as NAME:ADDRESS
    #[arg(long, value_name = "HOST")]
    pub add_host: Vec<String>,
    /// Name server
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// Search domain
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Option of resolv.conf(5)
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// IPv4 address
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "",
        hide_default_value = true
    )]
    pub ip: String,
    /// MAC address
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "",
        hide_default_value = true
    )]
    pub mac_address: String,
}

/// Limits that `update` can change, too.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Memory, such as 512m or 4g
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Memory and swap together; -1: no limit
    #[arg(long, value_name = "SIZE")]
    pub memory_swap: Option<String>,
    /// Memory below which the kernel reclaims last
    #[arg(long, value_name = "SIZE")]
    pub memory_reservation: Option<String>,
    /// Number of CPUs, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<String>,
    /// Weight of CPU time against others; 1024 is usual
    #[arg(short, long, value_name = "WEIGHT")]
    pub cpu_shares: Option<i64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_quota: Option<i64>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<i64>,
    /// CPU time that may be saved for later peaks, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_burst: Option<u64>,
    /// CPUs to run on, such as 0-2,5
    #[arg(
        long,
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    pub cpuset_cpus: String,
    /// Memory nodes to use
    #[arg(
        long,
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    pub cpuset_mems: String,
    /// Processes and threads; -1: no limit
    #[arg(long, value_name = "NUMBER")]
    pub pids_limit: Option<i64>,
    /// Weight of block I/O, 10 to 1000; 0: not set
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
}

/// Limits that are fixed when a container is made.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub struct CreateLimitFlags {
    /// How readily memory is swapped, 0 to 100; -1: the host's way
    #[arg(long, value_name = "NUMBER")]
    pub memory_swappiness: Option<i64>,
    /// Let processes wait instead of killing them when memory is used up
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// Bytes read from a device in a second, as PATH:SIZE
    #[arg(long, value_name = "RATE")]
    pub device_read_bps: Vec<String>,
    /// Bytes written to a device in a second
    #[arg(long, value_name = "RATE")]
    pub device_write_bps: Vec<String>,
    /// Reads from a device in a second, as PATH:NUMBER
    #[arg(long, value_name = "RATE")]
    pub device_read_iops: Vec<String>,
    /// Writes to a device in a second
    #[arg(long, value_name = "RATE")]
    pub device_write_iops: Vec<String>,
    /// Control group to make the container's in
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    pub cgroup_parent: String,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Security")]
pub struct SecurityFlags {
    /// Capability to add; ALL for all
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// Capability to take away
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,
    /// Give it every capability and device, and no seccomp filter
    #[arg(long)]
    pub privileged: bool,
    /// no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// Kernel parameter of the container's namespaces, as KEY=VALUE
    #[arg(long, value_name = "PARAMETER")]
    pub sysctl: Vec<String>,
    /// PID namespace: host or container:NAME
    #[arg(
        long,
        value_name = "MODE",
        default_value = "",
        hide_default_value = true
    )]
    pub pid: String,
    /// IPC namespace: private, shareable, host or container:NAME
    #[arg(
        long,
        value_name = "MODE",
        default_value = "",
        hide_default_value = true
    )]
    pub ipc: String,
    /// UTS namespace: host
    #[arg(
        long,
        value_name = "MODE",
        default_value = "",
        hide_default_value = true
    )]
    pub uts: String,
    /// Control group namespace: host or private
    #[arg(
        long,
        value_name = "MODE",
        default_value = "",
        hide_default_value = true
    )]
    pub cgroupns: String,
    /// User namespace: host
    #[arg(
        long,
        value_name = "MODE",
        default_value = "",
        hide_default_value = true
    )]
    pub userns: String,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Life")]
pub struct LifeFlags {
    /// Remove the container and its anonymous volumes when it ends
    #[arg(long)]
    pub rm: bool,
    /// no, always, unless-stopped or on-failure[:RETRIES]
    #[arg(long, value_name = "POLICY", default_value = "no")]
    pub restart: String,
    /// Signal that asks it to end
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Seconds until it is killed after that; -1: never
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<i64>,
    /// json-file or none
    #[arg(
        long,
        value_name = "DRIVER",
        default_value = "",
        hide_default_value = true
    )]
    pub log_driver: String,
    /// max-size=SIZE or max-file=NUMBER
    #[arg(long, value_name = "OPTION")]
    pub log_opt: Vec<String>,
    /// Accepted for Docker's sake: Silo runs no health checks
    #[arg(long, hide = true)]
    pub no_healthcheck: bool,
    /// Accepted for Docker's sake: without effect
    #[arg(long, hide = true)]
    pub disable_content_trust: bool,
}
