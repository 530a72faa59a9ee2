//! A container's network: what its mode means, and the files in /etc that tell it its names.
//!
//! ```text
//! prepare ─ lease, bridge          before the clone
//! connect ─ veth pair into it      by the monitor, while the child makes its root
//! configure ─ address, route       by the child
//! detach ─ link, lease             by the teardown, from network.json
//! ```

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use silo_net::{Bridge, NetAttachment, Netns, Pending, Request, files};
use silo_types::{ContainerConfig, ContainerId, Doing, Error, NetworkMode, Result};

use crate::{Engine, store};

/// The host's own resolver configuration.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// In the folder of a container whose network namespace others have joined.
const SHARED: &str = "network.shared";

/// How thorough a teardown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teardown {
    /// The veth pair goes with its namespace, which the kernel takes down by itself within some 50 ms.
    Quick,
    /// The pair is deleted before it returns, for which the kernel makes the caller wait 15 to 40 ms.
    Whole,
}

/// What was prepared for a container before its namespace exists.
pub(crate) struct Prepared {
    pub(crate) attachment: Option<NetAttachment>,
    pub(crate) pending: Option<Pending>,
}

impl Engine {
    /// The default network: `silo0`, with a suffix for another `--root` than the usual one.
    pub fn bridge(&self) -> Result<Bridge> {
        let suffix = self.paths.suffix();
        let name = match suffix.as_str() {
            "" => silo_net::DEFAULT_BRIDGE.to_owned(),
            suffix => format!("silo{suffix}"),
        };
        Bridge::new(self.paths.network(), &name)
    }

    /// Leases an address and writes `network.json`, so that whatever happens later can be undone.
    pub(crate) fn prepare_network(
        &self,
        config: &ContainerConfig,
        folder: &Path,
    ) -> Result<Prepared> {
        if config.network.mode != NetworkMode::Bridge {
            return Ok(Prepared {
                attachment: None,
                pending: None,
            });
        }
        let mac = match config.network.mac.as_str() {
            "" => None,
            mac => Some(mac.parse()?),
        };
        let pending = self.bridge()?.prepare(&Request {
            id: &config.id,
            ip: config.network.ip,
            mac,
        })?;
        let attachment = pending.attachment().clone();
        store::replace_json(folder, "network.json", &attachment)?;
        Ok(Prepared {
            attachment: Some(attachment),
            pending: Some(pending),
        })
    }

    /// The connection of a container that runs on the default network.
    pub fn attachment(&self, id: &ContainerId) -> Option<NetAttachment> {
        store::read_json(&self.paths.container(id).join("network.json")).ok()
    }

    /// Takes the container out of its network; gone already is fine.
    pub(crate) fn detach_network(&self, config: &ContainerConfig, how: Teardown) -> Vec<Error> {
        if config.network.mode != NetworkMode::Bridge {
            return Vec::new();
        }
        let folder = self.paths.container(&config.id);
        // Another container in the same namespace would keep the link, with an address that is no longer its.
        let shared = std::fs::remove_file(folder.join(SHARED)).is_ok();
        let done = match self.attachment(&config.id) {
            Some(attachment) if how == Teardown::Quick && !shared => {
                self.bridge().and_then(|b| b.release(&attachment))
            }
            Some(attachment) => self.bridge().and_then(|b| b.detach(&attachment)),
            None => self.detach_by_id(&config.id),
        };
        let _ = std::fs::remove_file(folder.join("network.json"));
        done.err().into_iter().collect()
    }

    /// Notes that another container has joined the network of this one.
    pub(crate) fn mark_shared(&self, id: &ContainerId) -> Result<()> {
        let mark = self.paths.container(id).join(SHARED);
        std::fs::write(&mark, b"").doing_with(|| format!("write {}", mark.display()))
    }

    /// Killed between the lease and its record: the lease names its owner.
    fn detach_by_id(&self, id: &ContainerId) -> Result<()> {
        let bridge = self.bridge()?;
        for orphan in bridge.orphans(&[])? {
            if orphan.belongs_to(id) {
                bridge.remove_orphan(&orphan)?;
            }
        }
        Ok(())
    }
}

impl Prepared {
    pub(crate) fn ip(&self) -> String {
        self.attachment
            .as_ref()
            .map_or_else(String::new, |a| a.ip.to_string())
    }

    /// For the child, when the pair is in its namespace.
    pub(crate) fn configure(
        &self,
        config: &ContainerConfig,
    ) -> Option<Box<dyn FnOnce() -> Result<()>>> {
        match (&self.attachment, &config.network.mode) {
            (Some(attachment), _) => {
                let attachment = attachment.clone();
                Some(Box::new(move || silo_net::configure_inside(&attachment)))
            }
            (None, NetworkMode::None) => Some(Box::new(silo_net::configure_loopback)),
            _ => None,
        }
    }

    /// For the parent, when the child's namespace exists.
    pub(crate) fn connect(&mut self) -> Option<Box<dyn FnOnce(i32) -> Result<()>>> {
        let pending = self.pending.take()?;
        Some(Box::new(move |pid| {
            pending.connect(Netns::Pid(pid as u32)).map(drop)
        }))
    }

    /// hosts, hostname and resolv.conf in the container's folder, to be shown in its /etc; host path and place.
    pub(crate) fn write_etc_files(
        &self,
        engine: &Engine,
        config: &ContainerConfig,
        folder: &Path,
    ) -> Result<Vec<(PathBuf, &'static str)>> {
        let folder = match &config.network.mode {
            // Whose network it is has the files.
            NetworkMode::Container(id) => engine.paths.container(&ContainerId::parse(id)?),
            _ => {
                self.write_files(config, folder)?;
                folder.to_owned()
            }
        };
        Ok([
            ("hosts", "/etc/hosts"),
            ("hostname", "/etc/hostname"),
            ("resolv.conf", "/etc/resolv.conf"),
        ]
        .into_iter()
        .map(|(name, place)| (folder.join(name), place))
        .collect())
    }

    fn write_files(&self, config: &ContainerConfig, folder: &Path) -> Result<()> {
        let network = &config.network;
        let own = network.mode != NetworkMode::Host;
        let gateway: Option<Ipv4Addr> = match (&self.attachment, own) {
            (Some(attachment), _) => Some(attachment.gateway),
            (None, false) => Some(Ipv4Addr::LOCALHOST),
            (None, true) => None,
        };
        let hosts = match own {
            true => files::hosts(
                network,
                &network.hostname,
                self.attachment.as_ref().map(|a| a.ip),
                gateway,
            )?,
            false => {
                let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
                files::hosts_of_host(&text, network, gateway)?
            }
        };
        let mut resolv = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        if own && files::is_resolved_stub(&resolv) {
            resolv = std::fs::read_to_string(files::RESOLVED_FILE).unwrap_or(resolv);
        }
        for (name, text) in [
            ("hosts", hosts),
            ("hostname", files::hostname(&network.hostname)?),
            ("resolv.conf", files::resolv_conf(&resolv, network, own)?),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).doing_with(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}
