//! Command lines as people type them, and the configuration that they mean.

use clap::{Args, Command, FromArgMatches};
use silo_types::{ContainerConfig, MountKind, NetworkMode, RestartPolicy, Signal};

use super::{CreateFlags, config};
use crate::cli::pflag;

fn flags(words: &[&str]) -> Result<CreateFlags, clap::Error> {
    let command = CreateFlags::augment_args(Command::new("run").disable_help_flag(true));
    let command = pflag(command.no_binary_name(true).args_override_self(true));
    CreateFlags::from_arg_matches(&command.try_get_matches_from(words)?)
}

#[track_caller]
fn meant(words: &[&str]) -> ContainerConfig {
    config(&flags(words).unwrap(), false).unwrap()
}

#[track_caller]
fn refused(words: &[&str], said: &str) {
    let error = config(&flags(words).unwrap(), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains(said), "{words:?}: {error}");
}

#[test]
fn options_end_at_the_image() {
    let config = meant(&["-it", "lab", "ls", "-l", "--rm", "--", "-x"]);
    assert!(config.stdio.tty && config.stdio.open_stdin && config.stdio.attach_stdin);
    assert_eq!(config.image.reference, "lab");
    assert_eq!(
        config.process.command.unwrap(),
        ["ls", "-l", "--rm", "--", "-x"]
    );
    assert!(!config.life.auto_remove);
    assert_eq!(
        meant(&["--rm", "--", "lab", "-c"]).process.command.unwrap(),
        ["-c"]
    );
    assert_eq!(meant(&["lab"]).process.command, None);
}

#[test]
fn flags_are_typed_as_in_docker() {
    for words in [
        &["-m4g", "lab"][..],
        &["-m", "4g", "lab"],
        &["--memory=4096mb", "lab"],
        &["--memory", "4GiB", "lab"],
        &["--memory", "1g", "--memory", "4294967296", "lab"],
    ] {
        assert_eq!(meant(words).resources.memory, Some(4 << 30), "{words:?}");
    }
    assert!(!meant(&["--rm=false", "lab"]).life.auto_remove);
    assert!(meant(&["--rm=true", "--init", "lab"]).life.init);
    let config = meant(&[
        "--memory-swap",
        "-1",
        "--pids-limit",
        "-1",
        "--oom-score-adj",
        "-500",
        "-e",
        "-x=1",
        "lab",
    ]);
    assert_eq!(config.resources.memory_swap, Some(-1));
    assert_eq!(config.resources.pids_limit, Some(-1));
    assert_eq!(config.process.oom_score_adj, Some(-500));
    assert_eq!(config.process.env, ["-x=1"]);
    assert_eq!(meant(&["-h", "box", "lab"]).network.hostname, "box");
    assert!(flags(&["--bogus", "lab"]).is_err());
    assert!(flags(&["--rm"]).is_err());
    assert!(flags(&["--cpu-shares", "x", "lab"]).is_err());
}

#[test]
fn every_group_reaches_the_configuration() {
    let config = meant(&[
        "--name",
        "web",
        "-l",
        "a=b",
        "--annotation",
        "c=d",
        "-u",
        "1000:5",
        "--group-add",
        "adm",
        "-w",
        "/tmp",
        "--entrypoint",
        "",
        "--ulimit",
        "nofile=10:20",
        "-v",
        "vol:/data:ro",
        "--tmpfs",
        "/run",
        "--mount",
        "type=bind,src=/etc,dst=/e",
        "--read-only",
        "--shm-size",
        "1m",
        "--device",
        "/dev/null",
        "--net",
        "none",
        "--add-host",
        "x:1.2.3.4",
        "--dns",
        "9.9.9.9",
        "--dns-search",
        ".",
        "--cpus",
        "0.5",
        "-c",
        "512",
        "--blkio-weight",
        "0",
        "--device-read-bps",
        "/dev/sda:1m",
        "--cap-add",
        "net_admin",
        "--cap-drop",
        "all",
        "--security-opt",
        "no-new-privileges",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--pid",
        "host",
        "--restart",
        "on-failure:3",
        "--stop-signal",
        "INT",
        "--stop-timeout",
        "3",
        "--log-opt",
        "max-size=1m",
        "lab",
    ]);
    assert_eq!(config.name, "web");
    assert_eq!(config.labels["a"], "b");
    assert_eq!(config.annotations["c"], "d");
    assert_eq!(
        (config.process.user.as_str(), config.process.cwd.as_str()),
        ("1000:5", "/tmp")
    );
    assert_eq!(config.process.entrypoint, Some(Vec::new()));
    assert_eq!(config.process.ulimits[0].hard, 20);
    let kinds: Vec<bool> = config
        .files
        .mounts
        .iter()
        .map(|m| matches!(m.kind, MountKind::Bind { .. }))
        .collect();
    assert_eq!(kinds, [false, true, false]);
    assert!(config.files.mounts[0].read_only && config.files.read_only);
    assert_eq!(config.files.shm_size, 1 << 20);
    assert_eq!(config.resources.devices[0].permissions, "rwm");
    assert_eq!(config.network.mode, NetworkMode::None);
    assert_eq!(config.network.dns, ["9.9.9.9"]);
    assert!(config.network.dns_search.is_empty());
    assert_eq!(config.resources.nano_cpus, Some(500_000_000));
    assert_eq!(config.resources.cpu_shares, Some(512));
    assert_eq!(config.resources.blkio_weight, None);
    assert_eq!(config.resources.device_read_bps[0].rate, 1 << 20);
    assert_eq!(config.security.cap_add, ["CAP_NET_ADMIN"]);
    assert_eq!(config.security.cap_drop, ["ALL"]);
    assert!(config.security.no_new_privileges);
    assert_eq!(config.life.restart, RestartPolicy::OnFailure(3));
    assert_eq!(config.life.stop_signal, Some(Signal::INT));
    assert_eq!(config.log.max_size, 1 << 20);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (words, said) in [
        (
            &["-p", "80:80", "lab"][..],
            "--publish cannot be honoured: publishing ports is not available yet",
        ),
        (&["-P", "lab"], "publishing ports"),
        (&["--health-cmd", "x", "lab"], "health checks"),
        (&["--userns", "x", "lab"], "user namespaces"),
        (&["--pull", "always", "lab"], "registries"),
        (&["--pull", "x", "lab"], "invalid pull option"),
        (&["--runtime", "runc", "lab"], "--runtime runc"),
        (&["--name", "-x", "lab"], "invalid container name"),
        (
            &["--rm", "--restart", "always", "lab"],
            "--restart and --rm",
        ),
        (&["-m", "1m", "lab"], "6MB"),
        (
            &["-m", "1x", "lab"],
            "invalid argument \"1x\" for \"--memory\"",
        ),
        (&["--cpus", "100000", "lab"], "range of CPUs"),
        (&["--cpuset-cpus", "0-4294967295", "lab"], "not available"),
        (&["--network", "mine", "lab"], "network mine not found"),
        (&["-v", "rel/path:/x", "lab"], "absolute path"),
        (&["--env-file", "/nonexistent", "lab"], "read /nonexistent"),
        (&["-a", "stdfoo", "lab"], "valid streams"),
        (&["-u", "4294967296", "lab"], "2147483647"),
        (
            &["--security-opt", "seccomp=/nonexistent", "lab"],
            "/nonexistent",
        ),
        (&["--ip", "x", "lab"], "not an IPv4 address"),
        (&["--dns-option", "a b", "lab"], "not one word"),
    ] {
        refused(words, said);
    }
    let long = "x".repeat(65536);
    for flag in [
        "--name",
        "--hostname",
        "-v",
        "--network",
        "-u",
        "--memory",
        "--ulimit",
        "--restart",
    ] {
        let error = config(&flags(&[flag, &long, "lab"]).unwrap(), false).unwrap_err();
        assert!(error.to_string().len() < 1000, "{flag}");
    }
}

#[test]
fn attached_streams() {
    let config = meant(&["-a", "stdout", "lab"]);
    assert!(config.stdio.attach_stdout && !config.stdio.attach_stderr);
    let detached = super::config(&flags(&["-i", "lab"]).unwrap(), true).unwrap();
    assert!(
        detached.stdio.open_stdin && !detached.stdio.stdin_once && !detached.stdio.attach_stdin
    );
    assert!(super::config(&flags(&["-a", "stdin", "lab"]).unwrap(), true).is_err());
}
