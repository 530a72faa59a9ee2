//! Limits as asked → `LinuxResources` of the OCI specification: pure.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids,
    LinuxResources, LinuxThrottleDevice, LinuxThrottleDeviceBuilder,
};
use silo_types::{ContainerConfig, DeviceRate, Doing, Error, Resources, Result};

/// A device of the host that the container gets: path inside, numbers and permissions.
#[derive(Clone, Debug, PartialEq)]
pub struct HostDevice {
    pub path: String,
    pub kind: LinuxDeviceType,
    pub major: i64,
    pub minor: i64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Any of `r`, `w`, `m`.
    pub access: String,
}

/// Major and minor number of a block device of the host, by path.
pub type DeviceNumbers<'a> = &'a dyn Fn(&str) -> Result<(i64, i64)>;

/// Microseconds: the kernel's default period, used with `--cpus`.
const PERIOD: u64 = 100_000;

/// Limits only, as for `update`: fields that are not set stay `None`.
pub fn limits(resources: &Resources, numbers: DeviceNumbers<'_>) -> Result<LinuxResources> {
    let mut linux = LinuxResources::default();
    linux.set_devices(None);
    linux.set_memory(memory(resources));
    linux.set_cpu(cpu(resources));
    linux.set_block_io(block_io(resources, numbers)?);
    if let Some(bytes) = resources.memory_high {
        let value = match bytes {
            ..0 => "max".to_owned(),
            bytes => bytes.to_string(),
        };
        linux.set_unified(Some([("memory.high".to_owned(), value)].into()));
    }
    if let Some(limit) = resources.pids_limit {
        let mut pids = LinuxPids::default();
        // 0 is "unlimited" for Docker, "none at all" for the kernel.
        pids.set_limit(if limit <= 0 { -1 } else { limit });
        linux.set_pids(Some(pids));
    }
    Ok(linux)
}

fn memory(resources: &Resources) -> Option<LinuxMemory> {
    let mut memory = LinuxMemory::default();
    memory.set_limit(resources.memory);
    memory.set_swap(match (resources.memory_swap, resources.memory) {
        (None, Some(limit)) if limit > 0 => None,
        (swap, _) => swap,
    });
    memory.set_reservation(resources.memory_reservation);
    memory.set_swappiness(resources.memory_swappiness);
    if resources.oom_kill_disable {
        memory.set_disable_oom_killer(Some(true));
    }
    (memory != LinuxMemory::default()).then_some(memory)
}

fn cpu(resources: &Resources) -> Option<LinuxCpu> {
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(resources.cpu_shares);
    cpu.set_quota(resources.cpu_quota);
    cpu.set_period(resources.cpu_period);
    cpu.set_burst(resources.cpu_burst);
    if let Some(billionths) = resources.nano_cpus {
        cpu.set_period(Some(PERIOD));
        cpu.set_quota(Some(billionths / 10_000));
    }
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    cpu.set_cpus(some(&resources.cpuset_cpus));
    cpu.set_mems(some(&resources.cpuset_mems));
    (cpu != LinuxCpu::default()).then_some(cpu)
}

fn block_io(resources: &Resources, numbers: DeviceNumbers<'_>) -> Result<Option<LinuxBlockIo>> {
    let mut io = LinuxBlockIo::default();
    let throttles = |rates: &[DeviceRate]| -> Result<Option<Vec<LinuxThrottleDevice>>> {
        let made: Result<Vec<_>> = rates
            .iter()
            .map(|rate| {
                let (major, minor) = numbers(&rate.path)?;
                LinuxThrottleDeviceBuilder::default()
                    .major(major)
                    .minor(minor)
                    .rate(rate.rate)
                    .build()
                    .doing_with(|| format!("rate of {}", rate.path))
            })
            .collect();
        made.map(|list| (!list.is_empty()).then_some(list))
    };
    io.set_weight(resources.blkio_weight);
    io.set_throttle_read_bps_device(throttles(&resources.device_read_bps)?);
    io.set_throttle_write_bps_device(throttles(&resources.device_write_bps)?);
    io.set_throttle_read_iops_device(throttles(&resources.device_read_iops)?);
    io.set_throttle_write_iops_device(throttles(&resources.device_write_iops)?);
    Ok((io != LinuxBlockIo::default()).then_some(io))
}

/// What `update` makes of limits: those given replace those before, the others stay.
pub fn overlay(before: &Resources, asked: &Resources) -> Resources {
    let text = |new: &String, old: &String| if new.is_empty() { old } else { new }.clone();
    let mut after = before.clone();
    after.memory = asked.memory.or(before.memory);
    after.memory_swap = asked.memory_swap.or(before.memory_swap);
    after.memory_reservation = asked.memory_reservation.or(before.memory_reservation);
    after.memory_high = asked.memory_high.or(before.memory_high);
    after.memory_swappiness = asked.memory_swappiness.or(before.memory_swappiness);
    after.nano_cpus = asked.nano_cpus.or(before.nano_cpus);
    after.cpu_shares = asked.cpu_shares.or(before.cpu_shares);
    after.cpu_quota = asked.cpu_quota.or(before.cpu_quota);
    after.cpu_period = asked.cpu_period.or(before.cpu_period);
    after.cpu_burst = asked.cpu_burst.or(before.cpu_burst);
    if asked.cpu_quota.is_some() || asked.cpu_period.is_some() {
        after.nano_cpus = asked.nano_cpus;
    } else if asked.nano_cpus.is_some() {
        (after.cpu_quota, after.cpu_period) = (None, None);
    }
    after.cpuset_cpus = text(&asked.cpuset_cpus, &before.cpuset_cpus);
    after.cpuset_mems = text(&asked.cpuset_mems, &before.cpuset_mems);
    after.pids_limit = asked.pids_limit.or(before.pids_limit);
    after.blkio_weight = asked.blkio_weight.or(before.blkio_weight);
    after
}

/// Of a set of CPUs or memory nodes: all that the group above has.
pub(crate) const ALL: &str = "all";

/// What has to be asked for to get from the limits that hold now to those before: where there was none, the kernel's word for
/// none, since what is not asked for stays.
pub(crate) fn way_back(now: &Resources, before: &Resources) -> Resources {
    fn back<T: Copy + PartialEq>(now: Option<T>, before: Option<T>, none: T) -> Option<T> {
        (now != before).then(|| before.unwrap_or(none))
    }
    let set = |now: &String, before: &String| match (now == before, before.as_str()) {
        (true, _) => String::new(),
        (false, "") => ALL.to_owned(),
        (false, list) => list.to_owned(),
    };
    let mut asked = Resources {
        memory: back(now.memory, before.memory, -1),
        memory_swap: back(now.memory_swap, before.memory_swap, -1),
        memory_reservation: back(now.memory_reservation, before.memory_reservation, -1),
        memory_high: back(now.memory_high, before.memory_high, -1),
        cpu_shares: back(now.cpu_shares, before.cpu_shares, 1024),
        cpu_burst: back(now.cpu_burst, before.cpu_burst, 0),
        cpuset_cpus: set(&now.cpuset_cpus, &before.cpuset_cpus),
        cpuset_mems: set(&now.cpuset_mems, &before.cpuset_mems),
        pids_limit: back(now.pids_limit, before.pids_limit, -1),
        blkio_weight: back(now.blkio_weight, before.blkio_weight, 100),
        ..Resources::default()
    };
    let of_time = |r: &Resources| (r.nano_cpus, r.cpu_quota, r.cpu_period);
    if of_time(now) != of_time(before) {
        asked.nano_cpus = before.nano_cpus;
        if before.nano_cpus.is_none() {
            asked.cpu_quota = before.cpu_quota.or(Some(-1));
            asked.cpu_period = before.cpu_period.or(Some(PERIOD));
        }
    }
    asked
}

/// Counters of the host's processors that tell how busy all containers are: none where there is none for the first.
pub fn thermal_files() -> Vec<String> {
    const CPUS: &str = "/sys/devices/system/cpu";
    let of = |name: &str| format!("{CPUS}/{name}/thermal_throttle");
    if !std::path::Path::new(&of("cpu0")).exists() {
        return Vec::new();
    }
    let names = std::fs::read_dir(CPUS).into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            let number = name.strip_prefix("cpu").unwrap_or_default();
            !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
        })
        .map(|name| of(&name))
        .collect()
}

/// The devices that a container is given: those asked for, and with `--privileged` all there are.
pub fn devices_of(config: &ContainerConfig) -> Result<Vec<HostDevice>> {
    let asked = config.resources.devices.iter().map(|device| {
        host_device(
            &device.host_path,
            &device.container_path,
            &device.permissions,
        )
    });
    let mut devices = asked.collect::<Result<Vec<_>>>()?;
    if config.security.privileged {
        devices.extend(all_devices());
    }
    Ok(devices)
}

/// Every device of the host, for a privileged container: walked below /dev, terminals and shared memory left out.
fn all_devices() -> Vec<HostDevice> {
    fn walk(folder: &std::path::Path, found: &mut Vec<HostDevice>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.to_string_lossy().into_owned();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    let own = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd"];
                    if !own.contains(&name.as_str()) {
                        walk(&path, found);
                    }
                }
                Ok(kind) if !kind.is_symlink() && !kind.is_file() => {
                    let console = name == "/dev/console" || name == "/dev/ptmx";
                    if !console && let Ok(device) = host_device(&name, &name, "rwm") {
                        found.push(device);
                    }
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(std::path::Path::new("/dev"), &mut found);
    found
}

/// The device rules of a container: Docker's defaults and what was given; everything for a privileged one.
pub fn device_rules(extra: &[HostDevice], privileged: bool) -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::A;
    if privileged {
        return vec![rule(true, A, None, None, "rwm")];
    }
    let mut rules = vec![rule(false, A, None, None, "rwm")];
    rules.extend(silo_cgroup::devices::usual());
    rules.extend(
        extra
            .iter()
            .map(|d| rule(true, d.kind, Some(d.major), Some(d.minor), &d.access)),
    );
    rules
}

fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow)
        .set_typ(Some(kind))
        .set_major(major)
        .set_minor(minor)
        .set_access(Some(access.to_owned()));
    rule
}

/// Looks a device of the host up by path: `--device`.
fn host_device(host: &str, inside: &str, access: &str) -> Result<HostDevice> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let found = std::fs::metadata(host).map_err(|e| {
        Error::system(format!("device {host}"), e).with_kind(silo_types::Kind::Invalid)
    })?;
    let kind = match found.file_type() {
        kind if kind.is_block_device() => LinuxDeviceType::B,
        kind if kind.is_char_device() => LinuxDeviceType::C,
        _ => return Err(Error::invalid(format!("{host} is not a device"))),
    };
    Ok(HostDevice {
        path: inside.to_owned(),
        kind,
        major: i64::from(rustix::fs::major(found.rdev())),
        minor: i64::from(rustix::fs::minor(found.rdev())),
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        access: access.to_owned(),
    })
}

/// Numbers of a block device of the host, for [`limits`].
pub fn block_device(path: &str) -> Result<(i64, i64)> {
    let device = host_device(path, path, "")?;
    match device.kind {
        LinuxDeviceType::B => Ok((device.major, device.minor)),
        _ => Err(Error::invalid(format!("{path} is not a block device"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_become_quota_and_period() {
        let asked = Resources {
            nano_cpus: Some(1_500_000_000),
            memory: Some(64 << 20),
            pids_limit: Some(0),
            ..Resources::default()
        };
        let linux = limits(&asked, &block_device).unwrap();
        let cpu = linux.cpu().as_ref().unwrap();
        assert_eq!((cpu.quota(), cpu.period()), (Some(150_000), Some(100_000)));
        assert_eq!(linux.memory().as_ref().unwrap().limit(), Some(64 << 20));
        assert_eq!(linux.pids().as_ref().unwrap().limit(), -1);
    }

    #[test]
    fn the_way_back_names_what_was_not_set() {
        let before = Resources {
            memory: Some(64 << 20),
            cpuset_cpus: "0".to_owned(),
            ..Resources::default()
        };
        let asked = Resources {
            memory: Some(128 << 20),
            nano_cpus: Some(500_000_000),
            pids_limit: Some(10),
            cpuset_mems: "0".to_owned(),
            ..Resources::default()
        };
        let now = overlay(&before, &asked);
        let back = way_back(&now, &before);
        assert_eq!((back.memory, back.pids_limit), (Some(64 << 20), Some(-1)));
        assert_eq!((back.cpu_quota, back.cpu_period), (Some(-1), Some(100_000)));
        assert_eq!(
            (back.cpuset_cpus.as_str(), back.cpuset_mems.as_str()),
            ("", ALL)
        );
        assert_eq!(way_back(&before, &before), Resources::default());
    }

    #[test]
    fn nothing_asked_is_nothing_set() {
        let linux = limits(&Resources::default(), &block_device).unwrap();
        assert!(linux.memory().is_none() && linux.cpu().is_none() && linux.pids().is_none());
    }

    #[test]
    fn unknown_devices_are_named() {
        let error = block_device("/dev/no-such").unwrap_err();
        assert!(error.to_string().contains("/dev/no-such"));
    }
}
