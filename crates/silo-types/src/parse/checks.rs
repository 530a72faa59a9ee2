//! Rules that join several flags: Docker's, checked on the finished configuration, whoever filled it.

use std::collections::BTreeSet;

use crate::{ContainerConfig, Error, NamespaceMode, NetworkMode, Resources, RestartPolicy, Result};

/// Docker's least memory limit: below, no program starts.
const LEAST_MEMORY: i64 = 6 << 20;

/// Runs every rule; the first that is broken is the error.
pub fn check(config: &ContainerConfig) -> Result<()> {
    check_resources(&config.resources)?;
    check_process(config)?;
    check_network(config)?;
    check_sysctls(config)?;
    check_mounts(config)?;
    if config.life.auto_remove && config.life.restart != RestartPolicy::No {
        return broken("conflicting options: cannot specify both --restart and --rm");
    }
    Ok(())
}

/// The rules on limits alone: for `update`, on what the limits will be after it.
pub fn check_resources(resources: &Resources) -> Result<()> {
    check_memory(resources)?;
    check_cpu(resources)?;
    check_other_limits(resources)
}

fn broken<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::invalid(text))
}

fn check_memory(r: &Resources) -> Result<()> {
    let memory = r.memory.unwrap_or(0);
    let swap = r.memory_swap.unwrap_or(0);
    let reservation = r.memory_reservation.unwrap_or(0);
    if memory < 0 || (memory > 0 && memory < LEAST_MEMORY) {
        return broken("minimum memory limit allowed is 6MB");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return broken(
            "minimum memoryswap limit should be larger than memory limit: --memory-swap counts memory and swap together",
        );
    }
    if memory == 0 && swap > 0 {
        return broken(
            "you should always set the memory limit when using memoryswap limit: add --memory",
        );
    }
    if swap < -1 {
        return broken("invalid memory-swap: use a size, or -1 for unlimited");
    }
    if reservation < 0 || (reservation > 0 && reservation < LEAST_MEMORY) {
        return broken("minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && reservation > memory {
        return broken("minimum memory limit can not be less than memory reservation limit");
    }
    if let Some(swappiness) = r.memory_swappiness.filter(|s| *s > 100) {
        return broken(format!(
            "invalid value: {swappiness}, valid memory swappiness range is 0-100"
        ));
    }
    Ok(())
}

fn check_cpu(r: &Resources) -> Result<()> {
    let nano = r.nano_cpus.unwrap_or(0);
    if nano < 0 {
        return broken("the number of CPUs cannot be negative");
    }
    if nano > 0 && r.cpu_period.is_some_and(|p| p > 0) {
        return broken(
            "conflicting options: nano CPUs and CPU period cannot both be set: use --cpus or --cpu-period",
        );
    }
    if nano > 0 && r.cpu_quota.is_some_and(|q| q != 0) {
        return broken(
            "conflicting options: nano CPUs and CPU quota cannot both be set: use --cpus or --cpu-quota",
        );
    }
    let period = r.cpu_period.unwrap_or(0);
    if period != 0 && !(1000..=1_000_000).contains(&period) {
        return broken(
            "CPU period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    let quota = r.cpu_quota.unwrap_or(0);
    if quota < -1 || (quota > 0 && quota < 1000) {
        return broken("CPU quota can not be less than 1ms (i.e. 1000)");
    }
    let burst = r.cpu_burst.unwrap_or(0);
    let most = match nano {
        0 => u64::try_from(quota).unwrap_or(0),
        nano => nano as u64 / 10_000,
    };
    if burst > 0 && burst > most {
        return broken(
            "the CPU burst can not be more than the CPU time of a period: --cpus times 100000, or --cpu-quota",
        );
    }
    Ok(())
}

fn check_other_limits(r: &Resources) -> Result<()> {
    if r.blkio_weight
        .is_some_and(|w| w != 0 && !(10..=1000).contains(&w))
    {
        return broken("range of blkio weight is from 10 to 1000");
    }
    if r.pids_limit.is_some_and(|limit| limit < -1) {
        return broken("invalid pids limit: use a number, or -1 for unlimited");
    }
    let parent = &r.cgroup_parent;
    if parent.split('/').any(|part| part == "..") || parent.contains('\0') {
        return broken(format!("invalid cgroup parent: {}", super::shown(parent)));
    }
    Ok(())
}

fn check_process(config: &ContainerConfig) -> Result<()> {
    let adj = config.process.oom_score_adj.unwrap_or(0);
    if !(-1000..=1000).contains(&adj) {
        return broken(format!(
            "invalid value {adj}, range for oom score adj is [-1000, 1000]"
        ));
    }
    let cwd = &config.process.cwd;
    if !cwd.is_empty() && !cwd.starts_with('/') {
        return broken(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            super::shown(cwd)
        ));
    }
    if config.life.stop_timeout.is_some_and(|t| t < -1) {
        return broken("invalid stop timeout: use seconds, or -1 to wait for ever");
    }
    Ok(())
}

fn check_network(config: &ContainerConfig) -> Result<()> {
    let net = &config.network;
    if config.namespaces.uts == NamespaceMode::Host && !net.hostname.is_empty() {
        return broken("conflicting options: hostname and the UTS mode");
    }
    let joins = matches!(net.mode, NetworkMode::Container(_));
    let rules = [
        (joins && !net.hostname.is_empty(), "hostname"),
        (joins && !net.dns.is_empty(), "dns"),
        (
            joins && !net.extra_hosts.is_empty(),
            "custom host-to-IP mapping",
        ),
        (net.mode != NetworkMode::Bridge && net.ip.is_some(), "ip"),
        (
            net.mode != NetworkMode::Bridge && !net.mac.is_empty(),
            "mac-address",
        ),
    ];
    match rules.iter().find(|(hit, _)| *hit) {
        Some((_, what)) => broken(format!("conflicting options: {what} and the network mode")),
        None => Ok(()),
    }
}

/// A namespaced key is only the container's when the namespace is.
fn check_sysctls(config: &ContainerConfig) -> Result<()> {
    let net_shared = config.network.mode == NetworkMode::Host
        || matches!(config.network.mode, NetworkMode::Container(_));
    let ipc_shared = config.namespaces.ipc != NamespaceMode::Private;
    for key in config.security.sysctls.keys() {
        let of_net = key.starts_with("net.");
        if (of_net && net_shared) || (!of_net && ipc_shared) {
            return broken(format!(
                "sysctl '{key}' is not allowed: the container shares that namespace with others"
            ));
        }
    }
    Ok(())
}

/// What may be mounted over in /proc: figures that lxcfs and its kin replace. Over anything else, a mount could catch what is
/// written for a security label (CVE-2019-16884).
const PROC_FILES: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

fn check_mounts(config: &ContainerConfig) -> Result<()> {
    let mut targets = BTreeSet::new();
    for mount in &config.files.mounts {
        if !targets.insert(mount.target.as_str()) {
            return broken(format!(
                "duplicate mount point: {}",
                super::shown(&mount.target)
            ));
        }
        let over_proc = mount.target == "/proc" || mount.target.starts_with("/proc/");
        if over_proc && !PROC_FILES.contains(&mount.target.as_str()) {
            return broken(format!(
                "cannot mount over {}: /proc is the kernel's, apart from files such as /proc/meminfo",
                super::shown(&mount.target)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn with(change: impl FnOnce(&mut ContainerConfig)) -> Result<()> {
        let mut config = ContainerConfig::default();
        change(&mut config);
        check(&config)
    }

    #[test]
    fn nothing_asked_is_fine() {
        assert!(with(|_| {}).is_ok());
    }

    #[test]
    fn memory_rules() {
        let set = |memory: i64, swap: i64, reservation: i64| {
            with(|c| {
                let set = |n: i64| (n != 0).then_some(n);
                c.resources.memory = set(memory);
                c.resources.memory_swap = set(swap);
                c.resources.memory_reservation = set(reservation);
            })
        };
        const M: i64 = 1 << 20;
        for (memory, swap, reservation) in [
            (6 * M, 0, 0),
            (64 * M, 64 * M, 32 * M),
            (64 * M, -1, 0),
            (0, -1, 0),
        ] {
            assert!(
                set(memory, swap, reservation).is_ok(),
                "{memory} {swap} {reservation}"
            );
        }
        for (memory, swap, reservation) in [
            (5 * M, 0, 0),
            (64 * M, 32 * M, 0),
            (0, 64 * M, 0),
            (64 * M, 0, 65 * M),
            (0, 0, M),
            (-5, 0, 0),
        ] {
            assert!(
                set(memory, swap, reservation).is_err(),
                "{memory} {swap} {reservation}"
            );
        }
    }

    #[test]
    fn cpu_rules() {
        assert!(
            with(|c| {
                c.resources.nano_cpus = Some(1);
                c.resources.cpu_quota = Some(5000);
            })
            .is_err()
        );
        assert!(with(|c| c.resources.cpu_quota = Some(999)).is_err());
        assert!(with(|c| c.resources.cpu_quota = Some(-1)).is_ok());
        assert!(with(|c| c.resources.cpu_period = Some(10)).is_err());
        assert!(with(|c| c.resources.blkio_weight = Some(5)).is_err());
    }

    #[test]
    fn conflicts() {
        assert!(
            with(|c| {
                c.life.auto_remove = true;
                c.life.restart = RestartPolicy::Always;
            })
            .is_err()
        );
        assert!(
            with(|c| {
                c.network.mode = NetworkMode::Container("x".into());
                c.network.hostname = "h".into();
            })
            .is_err()
        );
        assert!(
            with(|c| {
                c.network.mode = NetworkMode::None;
                c.network.ip = Some("10.0.0.2".parse().unwrap());
            })
            .is_err()
        );
        assert!(
            with(|c| {
                c.network.mode = NetworkMode::Host;
                c.security
                    .sysctls
                    .insert("net.ipv4.ip_forward".into(), "1".into());
            })
            .is_err()
        );
        assert!(
            with(|c| {
                c.namespaces.ipc = NamespaceMode::Host;
                c.security.sysctls.insert("kernel.sem".into(), "1".into());
            })
            .is_err()
        );
        assert!(with(|c| c.process.cwd = "here".into()).is_err());
        assert!(with(|c| c.process.oom_score_adj = Some(1001)).is_err());
    }

    #[test]
    fn mounts_meet_once_and_not_over_proc() {
        let mounts = |texts: &[&str]| {
            with(|c| {
                c.files.mounts = texts
                    .iter()
                    .map(|t| parse::volume(t, "/").unwrap())
                    .collect()
            })
        };
        assert!(mounts(&["/a:/x", "/b:/y"]).is_ok());
        assert!(mounts(&["/a:/x", "/b:/x/"]).is_err());
        assert!(mounts(&["/a:/proc"]).is_err());
        assert!(mounts(&["/a:/proc/self/attr"]).is_err());
        assert!(mounts(&["/a:/process", "/b:/proc/meminfo"]).is_ok());
    }
}
