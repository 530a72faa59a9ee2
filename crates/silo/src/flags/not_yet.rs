//! Docker's flags that Silo knows and cannot honour: typing one is an error that says why, not "unknown flag".

use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use silo_types::{Error, Result};

/// Long name, short name, takes a value, why not.
type Flag = (&'static str, Option<char>, bool, &'static str);

const PORTS: &str = "publishing ports is not available yet";
const HEALTH: &str = "health checks are not available yet";
const WINDOWS: &str = "it is for Windows containers";
const NETWORKS: &str = "networks of your own are not available yet";
const REAL_TIME: &str = "real-time scheduling limits are not available";

const FLAGS: [Flag; 35] = [
    ("publish", Some('p'), true, PORTS),
    ("publish-all", Some('P'), false, PORTS),
    ("expose", None, true, PORTS),
    ("health-cmd", None, true, HEALTH),
    ("health-interval", None, true, HEALTH),
    ("health-retries", None, true, HEALTH),
    ("health-start-interval", None, true, HEALTH),
    ("health-start-period", None, true, HEALTH),
    ("health-timeout", None, true, HEALTH),
    ("network-alias", None, true, NETWORKS),
    ("net-alias", None, true, NETWORKS),
    ("link", None, true, NETWORKS),
    ("link-local-ip", None, true, NETWORKS),
    ("ip6", None, true, "IPv6 on the bridge is not available yet"),
    (
        "volumes-from",
        None,
        true,
        "use --volume with the volume's name",
    ),
    ("volume-driver", None, true, "there are only local volumes"),
    (
        "storage-opt",
        None,
        true,
        "the size of a container's files cannot be limited yet",
    ),
    (
        "gpus",
        None,
        true,
        "GPUs are not available yet: see --device",
    ),
    (
        "platform",
        None,
        true,
        "images are for this host's platform only",
    ),
    ("device-cgroup-rule", None, true, "use --device"),
    ("blkio-weight-device", None, true, "use --blkio-weight"),
    (
        "kernel-memory",
        None,
        true,
        "the kernel has no such limit any more: use --memory",
    ),
    ("cpu-rt-period", None, true, REAL_TIME),
    ("cpu-rt-runtime", None, true, REAL_TIME),
    ("cpu-count", None, true, WINDOWS),
    ("cpu-percent", None, true, WINDOWS),
    ("io-maxbandwidth", None, true, WINDOWS),
    ("io-maxiops", None, true, WINDOWS),
    ("isolation", None, true, WINDOWS),
    ("use-api-socket", None, false, "there is no API socket yet"),
    (
        "gidmap",
        None,
        true,
        "user namespaces are not available yet",
    ),
    (
        "uidmap",
        None,
        true,
        "user namespaces are not available yet",
    ),
    ("secret", None, true, "secrets are not available yet"),
    ("time", None, true, "time namespaces are not available yet"),
    (
        "memory-high",
        None,
        true,
        "use 'silo limit --soft' on it when it runs",
    ),
];

/// The first of them that was typed.
#[derive(Debug, Default)]
pub struct NotYet(Option<&'static Flag>);

impl NotYet {
    /// An error when one was typed.
    pub fn check(&self) -> Result<()> {
        match self.0 {
            None => Ok(()),
            Some((name, _, _, why)) => Err(Error::unsupported(format!(
                "--{name} cannot be honoured: {why}"
            ))),
        }
    }
}

impl clap::FromArgMatches for NotYet {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<NotYet, clap::Error> {
        let typed = |flag: &&Flag| {
            matches.value_source(flag.0) == Some(clap::parser::ValueSource::CommandLine)
        };
        Ok(NotYet(FLAGS.iter().find(typed)))
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = NotYet::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for NotYet {
    fn augment_args(mut command: Command) -> Command {
        for (name, short, takes_value, _) in FLAGS {
            let action = match takes_value {
                true => ArgAction::Append,
                false => ArgAction::SetTrue,
            };
            let arg = Arg::new(name).long(name).action(action).hide(true);
            command = command.arg(match short {
                Some(short) => arg.short(short),
                None => arg,
            });
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        NotYet::augment_args(command)
    }
}
