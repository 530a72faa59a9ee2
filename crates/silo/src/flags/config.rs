//! From the flags as typed to a container's configuration.

use std::{collections::BTreeMap, io::Read};

use silo_types::{
    ContainerConfig, DeviceRate, DeviceSpec, Doing, Error, Files, ImageUse, Life, Namespaces,
    Network, Process, Resources, Result, SeccompChoice, Security, Stdio,
    parse::{self, SecurityOption},
};

use super::{
    groups::{
        CreateFlags, CreateLimitFlags, FileFlags, GeneralFlags, LifeFlags, LimitFlags,
        NetworkFlags, ProcessFlags, SecurityFlags,
    },
    host, value,
};

/// Largest file of labels, variables or seccomp rules that is read.
const LARGEST_FILE: u64 = 4 << 20;

/// The whole configuration, checked; `detached` says whether a client stays attached.
pub fn config(flags: &CreateFlags, detached: bool) -> Result<ContainerConfig> {
    flags.not_yet.check()?;
    check_general(&flags.general)?;
    let (image, command) = flags
        .words
        .split_first()
        .ok_or_else(|| Error::invalid("an image is required"))?;
    let general = &flags.general;
    let mut resources = limits(&flags.limits)?;
    more_limits(&flags.more_limits, &mut resources)?;
    resources.devices = devices(&flags.files)?;
    let config = ContainerConfig {
        name: general.name.clone(),
        image: ImageUse {
            reference: image.clone(),
            ..ImageUse::default()
        },
        process: process(&flags.process, command)?,
        stdio: stdio(flags, detached)?,
        files: files(&flags.files)?,
        network: network(&flags.network)?,
        namespaces: namespaces(&flags.security)?,
        resources,
        security: security(&flags.security)?,
        life: life(&flags.life, flags.process.init)?,
        log: parse::log_options(&flags.life.log_driver, &flags.life.log_opt)?,
        labels: labels(general)?,
        annotations: general
            .annotation
            .iter()
            .map(|typed| value("annotation", typed, parse::key_value("annotation", typed)))
            .collect::<Result<_>>()?,
        ..ContainerConfig::default()
    };
    parse::check(&config)?;
    Ok(config)
}

fn check_general(general: &GeneralFlags) -> Result<()> {
    if !general.name.is_empty() {
        silo_types::check_name("container", &general.name)?;
    }
    match general.pull.as_str() {
        "missing" | "never" | "" => {}
        "always" => {
            return Err(Error::unsupported(
                "--pull always cannot be honoured: registries are not available yet, use images made by import, load or build",
            ));
        }
        other => {
            return Err(Error::invalid(format!(
                "invalid pull option: '{other:.80}': must be one of \"always\", \"missing\" or \"never\""
            )));
        }
    }
    match general.runtime.as_str() {
        "" | "silo" => Ok(()),
        other => Err(Error::unsupported(format!(
            "--runtime {other:.80} cannot be honoured: Silo starts containers itself, leave the flag out"
        ))),
    }
}

fn stdio(flags: &CreateFlags, detached: bool) -> Result<Stdio> {
    let mut stdio = Stdio {
        tty: flags.process.tty,
        open_stdin: flags.process.interactive,
        stdin_once: flags.process.interactive && !detached,
        ..Stdio::default()
    };
    if detached {
        if !flags.general.attach.is_empty() {
            return Err(Error::invalid(
                "conflicting options: cannot specify both --attach and --detach",
            ));
        }
        return Ok(stdio);
    }
    for stream in &flags.general.attach {
        match stream.to_ascii_lowercase().as_str() {
            "stdin" => stdio.attach_stdin = true,
            "stdout" => stdio.attach_stdout = true,
            "stderr" => stdio.attach_stderr = true,
            _ => {
                return Err(Error::invalid(format!(
                    "invalid argument {stream:?} for \"--attach\": valid streams are STDIN, STDOUT and STDERR"
                )));
            }
        }
    }
    if flags.general.attach.is_empty() {
        (stdio.attach_stdout, stdio.attach_stderr) = (true, true);
        stdio.attach_stdin = flags.process.interactive;
    }
    Ok(stdio)
}

fn process(flags: &ProcessFlags, command: &[String]) -> Result<Process> {
    Ok(Process {
        // An empty word clears the image's entrypoint.
        entrypoint: flags
            .entrypoint
            .as_ref()
            .map(|program| match program.as_str() {
                "" => Vec::new(),
                program => vec![program.to_owned()],
            }),
        command: (!command.is_empty()).then(|| command.to_vec()),
        env: env(&flags.env_file, &flags.env)?,
        cwd: flags.workdir.clone(),
        user: value("user", &flags.user, parse::user(&flags.user))?,
        groups: flags
            .group_add
            .iter()
            .map(|group| value("group-add", group, parse::group(group)))
            .collect::<Result<_>>()?,
        ulimits: flags
            .ulimit
            .iter()
            .map(|typed| value("ulimit", typed, parse::ulimit(typed)))
            .collect::<Result<_>>()?,
        oom_score_adj: flags.oom_score_adj,
        ..Process::default()
    })
}

/// Variables of the files first, then those of the flags; a later one replaces an earlier one of the same name.
pub fn env(files: &[String], flags: &[String]) -> Result<Vec<String>> {
    let host = |key: &str| std::env::var(key).ok();
    let mut found: Vec<String> = Vec::new();
    let mut put = |variable: String| {
        let key = |v: &str| v.split('=').next().map(str::to_owned);
        match found.iter_mut().find(|old| key(old) == key(&variable)) {
            Some(old) => *old = variable,
            None => found.push(variable),
        }
    };
    for file in files {
        let lines = parse::env_file(&read_file(file)?, &host);
        lines
            .map_err(|e| e.context(format!("invalid env file {file}")))?
            .into_iter()
            .for_each(&mut put);
    }
    for typed in flags {
        value("env", typed, parse::env(typed, &host))?
            .into_iter()
            .for_each(&mut put);
    }
    Ok(found)
}

fn labels(general: &GeneralFlags) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for file in &general.label_file {
        let lines = parse::label_file(&read_file(file)?);
        labels.extend(lines.map_err(|e| e.context(format!("invalid label file {file}")))?);
    }
    for typed in &general.label {
        labels.extend([value("label", typed, parse::label(typed))?]);
    }
    Ok(labels)
}

fn read_file(path: &str) -> Result<Vec<u8>> {
    let doing = || format!("read {path:.200}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)
        .map_err(|e| Error::system(doing(), e).with_kind(silo_types::Kind::Invalid))?;
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .doing_with(doing)?;
    match bytes.len() as u64 > LARGEST_FILE {
        true => Err(Error::invalid(format!("{path:.200} is larger than 4 MiB"))),
        false => Ok(bytes),
    }
}

fn files(flags: &FileFlags) -> Result<Files> {
    let mut mounts = Vec::new();
    if !flags.volume.is_empty() {
        let folder = host::folder()?;
        for typed in &flags.volume {
            mounts.push(value("volume", typed, parse::volume(typed, &folder))?);
        }
    }
    for typed in &flags.mount {
        mounts.push(value("mount", typed, parse::mount(typed))?);
    }
    for typed in &flags.tmpfs {
        mounts.push(value("tmpfs", typed, parse::tmpfs(typed))?);
    }
    let shm_size = flags.shm_size.as_deref().unwrap_or("0");
    Ok(Files {
        mounts,
        read_only: flags.read_only,
        shm_size: value("shm-size", shm_size, parse::limit("shm-size", shm_size))? as u64,
    })
}

fn devices(flags: &FileFlags) -> Result<Vec<DeviceSpec>> {
    flags
        .device
        .iter()
        .map(|typed| value("device", typed, parse::device(typed)))
        .collect()
}

fn network(flags: &NetworkFlags) -> Result<Network> {
    let domains = |typed: &Vec<String>| {
        typed
            .iter()
            // A lone dot empties the list of search domains, as in Docker.
            .filter(|domain| domain.as_str() != ".")
            .map(|domain| value("dns-search", domain, parse::domain_name(domain)))
            .collect::<Result<Vec<_>>>()
    };
    Ok(Network {
        mode: parse::network(&flags.network)?,
        hostname: value(
            "hostname",
            &flags.hostname,
            parse::host_name(&flags.hostname),
        )?,
        domainname: value(
            "domainname",
            &flags.domainname,
            parse::domain_name(&flags.domainname),
        )?,
        extra_hosts: flags
            .add_host
            .iter()
            .map(|typed| value("add-host", typed, parse::add_host(typed)))
            .collect::<Result<_>>()?,
        dns: flags
            .dns
            .iter()
            .map(|typed| Ok(value("dns", typed, parse::ip_address(typed))?.to_string()))
            .collect::<Result<_>>()?,
        dns_search: domains(&flags.dns_search)?,
        dns_options: flags
            .dns_option
            .iter()
            .map(|typed| dns_option(typed))
            .collect::<Result<_>>()?,
        ip: match flags.ip.as_str() {
            "" => None,
            typed => Some(typed.parse().map_err(|_| {
                Error::invalid(format!(
                    "invalid argument {typed:?} for \"--ip\": not an IPv4 address"
                ))
            })?),
        },
        mac: match flags.mac_address.as_str() {
            "" => String::new(),
            typed => value("mac-address", typed, parse::mac_address(typed))?,
        },
    })
}

/// One word for resolv.conf(5).
fn dns_option(typed: &str) -> Result<String> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    match typed.is_empty() || typed.len() > 64 || typed.contains(odd) {
        true => value("dns-option", typed, Err(Error::invalid("not one word"))),
        false => Ok(typed.to_owned()),
    }
}

fn namespaces(flags: &SecurityFlags) -> Result<Namespaces> {
    if !matches!(flags.userns.as_str(), "" | "host") {
        return Err(Error::unsupported(
            "--userns cannot be honoured: user namespaces are not available yet",
        ));
    }
    Ok(Namespaces {
        pid: value("pid", &flags.pid, parse::pid_namespace(&flags.pid))?,
        ipc: value("ipc", &flags.ipc, parse::ipc_namespace(&flags.ipc))?,
        uts: value("uts", &flags.uts, parse::uts_namespace(&flags.uts))?,
        cgroup: value(
            "cgroupns",
            &flags.cgroupns,
            parse::cgroup_namespace(&flags.cgroupns),
        )?,
    })
}

/// The limits that `update` shares: only what was typed is set.
pub fn limits(flags: &LimitFlags) -> Result<Resources> {
    let size = |flag: &str, typed: &Option<String>, unlimited: bool| {
        let parse = match unlimited {
            true => parse::limit_or_unlimited,
            false => parse::limit,
        };
        let parsed = typed
            .as_ref()
            .map(|typed| value(flag, typed, parse(flag, typed)));
        parsed.transpose()
    };
    let list = |flag: &str, what: &str, typed: &str, count: fn() -> Result<u32>| match typed {
        "" => Ok(String::new()),
        typed => value(flag, typed, parse::cpu_list(what, typed, count()?)),
    };
    Ok(Resources {
        memory: size("memory", &flags.memory, false)?.filter(|n| *n != 0),
        memory_swap: size("memory-swap", &flags.memory_swap, true)?.filter(|n| *n != 0),
        memory_reservation: size("memory-reservation", &flags.memory_reservation, false)?,
        nano_cpus: match &flags.cpus {
            Some(typed) => Some(value(
                "cpus",
                typed,
                parse::cpus(typed, host::cpu_count()?),
            )?),
            None => None,
        }
        .filter(|nano| *nano != 0),
        cpu_shares: shares(flags.cpu_shares)?,
        cpu_quota: flags.cpu_quota.filter(|quota| *quota != 0),
        cpu_period: match flags.cpu_period {
            Some(period) => Some(
                u64::try_from(period)
                    .map_err(|_| Error::invalid("CPU period can not be negative"))?,
            ),
            None => None,
        }
        .filter(|period| *period != 0),
        cpu_burst: flags.cpu_burst,
        cpuset_cpus: list("cpuset-cpus", "CPUs", &flags.cpuset_cpus, host::cpu_numbers)?,
        cpuset_mems: list("cpuset-mems", "memory nodes", &flags.cpuset_mems, || {
            Ok(host::memory_nodes())
        })?,
        pids_limit: flags.pids_limit.filter(|limit| *limit != 0),
        blkio_weight: flags.blkio_weight.filter(|weight| *weight != 0),
        ..Resources::default()
    })
}

fn shares(typed: Option<i64>) -> Result<Option<u64>> {
    match typed {
        None | Some(0) => Ok(None),
        Some(shares) => u64::try_from(shares).map(Some).map_err(|_| {
            Error::invalid(format!(
                "invalid CPU shares ({shares}), must be a positive integer"
            ))
        }),
    }
}

fn more_limits(flags: &CreateLimitFlags, resources: &mut Resources) -> Result<()> {
    type Parse = fn(&str) -> Result<DeviceRate>;
    let rates = |flag: &str, typed: &[String], parse: Parse| {
        typed
            .iter()
            .map(|typed| value(flag, typed, parse(typed)))
            .collect::<Result<Vec<_>>>()
    };
    resources.memory_swappiness = match flags.memory_swappiness {
        None | Some(-1) => None,
        Some(swappiness) => Some(u64::try_from(swappiness).map_err(|_| {
            Error::invalid(format!(
                "invalid value: {swappiness}, valid memory swappiness range is 0-100"
            ))
        })?),
    };
    resources.oom_kill_disable = flags.oom_kill_disable;
    resources.device_read_bps =
        rates("device-read-bps", &flags.device_read_bps, parse::device_bps)?;
    resources.device_write_bps = rates(
        "device-write-bps",
        &flags.device_write_bps,
        parse::device_bps,
    )?;
    resources.device_read_iops = rates(
        "device-read-iops",
        &flags.device_read_iops,
        parse::device_iops,
    )?;
    resources.device_write_iops = rates(
        "device-write-iops",
        &flags.device_write_iops,
        parse::device_iops,
    )?;
    resources.cgroup_parent.clone_from(&flags.cgroup_parent);
    Ok(())
}

fn security(flags: &SecurityFlags) -> Result<Security> {
    let capabilities = |flag: &str, typed: &[String]| {
        typed
            .iter()
            .map(|name| value(flag, name, parse::capability(name)))
            .collect::<Result<Vec<_>>>()
    };
    let mut security = Security {
        cap_add: capabilities("cap-add", &flags.cap_add)?,
        cap_drop: capabilities("cap-drop", &flags.cap_drop)?,
        privileged: flags.privileged,
        sysctls: flags
            .sysctl
            .iter()
            .map(|typed| value("sysctl", typed, parse::sysctl(typed)))
            .collect::<Result<_>>()?,
        ..Security::default()
    };
    for typed in &flags.security_opt {
        match parse::security_option(typed)? {
            SecurityOption::NoNewPrivileges(on) => security.no_new_privileges = on,
            SecurityOption::SeccompDefault => security.seccomp = SeccompChoice::Default,
            SecurityOption::SeccompUnconfined => security.seccomp = SeccompChoice::Unconfined,
            SecurityOption::SeccompFile(path) => {
                let text = String::from_utf8(read_file(&path)?)
                    .map_err(|_| Error::invalid(format!("{path:.200} is not UTF-8")))?;
                security.seccomp = SeccompChoice::Profile(text);
            }
            SecurityOption::AppArmor(profile) => security.apparmor = profile,
            SecurityOption::Label(label) => security.labels.push(label),
            SecurityOption::UnmaskPaths => security.unmask_paths = true,
        }
    }
    Ok(security)
}

fn life(flags: &LifeFlags, init: bool) -> Result<Life> {
    let signal = flags.stop_signal.as_ref();
    Ok(Life {
        auto_remove: flags.rm,
        init,
        restart: value("restart", &flags.restart, parse::restart(&flags.restart))?,
        stop_signal: signal
            .map(|typed| value("stop-signal", typed, typed.parse()))
            .transpose()?,
        stop_timeout: flags.stop_timeout,
    })
}
