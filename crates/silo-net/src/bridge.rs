//! A bridge network: made on first use, checked cheaply afterwards, removed whole.
//!
//! Used by the engine (`ensure`, `remove_all`, `orphans`) and by `attach`. On disk, below the network's folder:
//! `bridge.json` (name and subnet, written before anything is made), `leases/` and `next`. The kernel's part is one link with
//! our alias and one nftables table. The link gets its alias and goes up as the last step, so that a link that is up with our
//! alias stands for a finished network.

use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use silo_types::{Doing, Error, Result};

use crate::ipam::Leases;
use crate::link::{self, Link};
use crate::netlink::Socket;
use crate::subnet::{Mac, Subnet};
use crate::{firewall, sysctl};

/// The name of the default network.
pub const DEFAULT_BRIDGE: &str = "silo0";

/// Bytes that the alias of a link may have: `IFALIASZ` without the closing zero.
const ALIAS_MAX: usize = 255;

/// A bridge network by its name and the folder of its state. Opening one does nothing to the host.
#[derive(Clone, Debug)]
pub struct Bridge {
    dir: PathBuf,
    name: String,
    subnet: Option<Subnet>,
}

/// A network that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub bridge: String,
    /// The kernel's number of the bridge.
    pub index: u32,
    pub subnet: Subnet,
    pub gateway: Ipv4Addr,
}

/// What [`Bridge::ensure`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    pub network: Network,
    /// The bridge or its rules were missing and have been made.
    pub made: bool,
    /// IPv4 forwarding of the host was off and has been turned on: worth a line to the user, since it is the one setting
    /// outside of Silo's own objects, and it stays on.
    pub forwarding_enabled: bool,
}

/// What [`Bridge::remove_all`] found and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names of links: the bridge and the host ends of veth pairs.
    pub links: Vec<String>,
    pub rules: bool,
    pub leases: usize,
}

/// `bridge.json`
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    name: String,
    subnet: Subnet,
}

impl Bridge {
    /// `dir`: the network's own folder, absolute, such as `ROOT/network`. `name`: of the link and of the nftables table, 1 to 15
    /// letters, digits, `-`, `_`, starting with a letter.
    pub fn new(dir: impl Into<PathBuf>, name: &str) -> Result<Bridge> {
        let letter_first = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.len() > 15 || !letter_first || !name.chars().all(good) {
            let shown: String = name.chars().take(40).collect();
            return Err(Error::invalid(format!(
                "invalid bridge name {shown:?}: 1 to 15 letters, digits, - and _, a letter first"
            )));
        }
        Ok(Bridge {
            dir: dir.into(),
            name: name.to_owned(),
            subnet: None,
        })
    }

    /// Asks for a certain subnet instead of the first free one.
    pub fn with_subnet(mut self, subnet: Subnet) -> Result<Bridge> {
        if subnet.capacity() == 0 {
            return Err(Error::invalid(format!(
                "network {subnet} has no room for containers: the prefix must be 29 or less"
            )));
        }
        self.subnet = Some(subnet);
        Ok(self)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the network if it is not there and complete. On the usual path, where it is, two questions to the kernel and
    /// nothing is written.
    pub fn ensure(&self) -> Result<Ensured> {
        self.ensure_with(&mut Socket::route()?)
    }

    pub(crate) fn ensure_with(&self, socket: &mut Socket) -> Result<Ensured> {
        let ready = |network| Ensured {
            network,
            made: false,
            forwarding_enabled: false,
        };
        if let Some(network) = self.ready(socket)? {
            return Ok(ready(network));
        }
        let _lock = self.lock()?;
        // Another process may have made it while this one waited.
        match self.ready(socket)? {
            Some(network) => Ok(ready(network)),
            None => self.make(socket),
        }
    }

    /// The network if it is recorded, made by us, up, and has its rules (`nft flush ruleset` removes them).
    pub fn find(&self) -> Result<Option<Network>> {
        self.ready(&mut Socket::route()?)
    }

    pub(crate) fn leases(&self) -> Leases {
        Leases::at(&self.dir)
    }

    fn ready(&self, socket: &mut Socket) -> Result<Option<Network>> {
        let Some(record) = self.record()? else {
            return Ok(None);
        };
        self.check_subnet(record.subnet)?;
        let Some(link) = link::find(socket, &self.name)? else {
            return Ok(None);
        };
        let complete = link.up
            && link.alias == self.alias()
            && is_bridge_of(&link, record.subnet)
            && firewall::installed(&self.name, record.subnet)?;
        Ok(complete.then(|| self.network(link.index, record.subnet)))
    }

    /// Everything that may be missing, in the order that is safe to interrupt. The lock is held.
    fn make(&self, socket: &mut Socket) -> Result<Ensured> {
        let recorded = self.record()?;
        let existing = self.usable_link(socket, recorded.as_ref())?;
        let subnet = self.choose_subnet(socket, recorded, existing.as_ref())?;
        self.write_record(subnet)?;
        self.leases().create()?;
        firewall::install(&self.name, subnet)?;
        let index = match existing {
            Some(link) => link.index,
            None => self.make_link(socket, subnet)?,
        };
        sysctl::disable_ipv6(&self.name)?;
        sysctl::ignore_router_advertisements(&self.name)?;
        self.give_address(socket, index, subnet)?;
        let forwarding_enabled = sysctl::enable_forwarding()?;
        let mut batch = socket.batch();
        link::set_up_with_alias(&mut batch, index, &self.name, &self.alias());
        socket.execute(batch)?;
        Ok(Ensured {
            network: self.network(index, subnet),
            made: true,
            forwarding_enabled,
        })
    }

    fn make_link(&self, socket: &mut Socket, subnet: Subnet) -> Result<u32> {
        let mut batch = socket.batch();
        link::add_bridge(&mut batch, &self.name, Mac::from_ip(subnet.gateway()));
        socket.execute(batch)?;
        rustix::net::netdevice::name_to_index(socket.as_fd(), &self.name)
            .doing_with(|| format!("look up link {}", self.name))
    }

    fn give_address(&self, socket: &mut Socket, index: u32, subnet: Subnet) -> Result<()> {
        let mut batch = socket.batch();
        link::add_address(&mut batch, index, subnet.gateway(), subnet);
        match socket.execute(batch) {
            Err(failure) if failure.errno() != Some(Errno::EXIST) => Err(failure.into()),
            _ => Ok(()),
        }
    }

    /// The link to go on with, if there is one. One of ours that does not fit the record (the state folder was wiped) is
    /// deleted; one that somebody else made, another program or a Silo with another root, is refused.
    fn usable_link(&self, socket: &mut Socket, record: Option<&Record>) -> Result<Option<Link>> {
        let Some(link) = link::find(socket, &self.name)? else {
            return Ok(None);
        };
        if !self.is_ours(&link, record) {
            let owner = match link.alias.as_str() {
                "" => "something other than this Silo".to_owned(),
                alias => format!("{alias:?}"),
            };
            return Err(Error::conflict(format!(
                "link {0} exists and belongs to {owner}: use another bridge name, or remove it with 'ip link delete {0}'",
                self.name
            )));
        }
        if record.is_some_and(|record| is_bridge_of(&link, record.subnet)) {
            return Ok(Some(link));
        }
        link::delete(socket, &self.name)?;
        Ok(None)
    }

    /// Our alias says so; before it is set, the recorded link address does.
    fn is_ours(&self, link: &Link, record: Option<&Record>) -> bool {
        let fits = || record.is_some_and(|record| is_bridge_of(link, record.subnet));
        link.alias == self.alias() || (link.alias.is_empty() && fits())
    }

    /// The recorded subnet if it is still good, the wanted one, or the first free candidate.
    fn choose_subnet(
        &self,
        socket: &mut Socket,
        recorded: Option<Record>,
        existing: Option<&Link>,
    ) -> Result<Subnet> {
        if let (Some(record), Some(_)) = (&recorded, existing) {
            return Ok(record.subnet);
        }
        let used = link::used_networks(socket)?;
        let clash = |subnet: Subnet| used.iter().find(|other| other.overlaps(subnet));
        if let Some(wanted) = self.subnet {
            return match clash(wanted) {
                None => Ok(wanted),
                Some(other) => Err(Error::conflict(format!(
                    "network {wanted} overlaps {other}, which this host already uses or routes"
                ))),
            };
        }
        let remembered = recorded.map(|record| record.subnet);
        remembered
            .into_iter()
            .chain(candidates())
            .find(|candidate| clash(*candidate).is_none())
            .ok_or_else(|| {
                Error::conflict(
                    "no private network is free: the host routes all of 10.88.0.0 to 10.255.0.0 and 172.16.0.0 to 172.31.0.0; \
                     give the bridge a subnet",
                )
            })
    }

    fn check_subnet(&self, recorded: Subnet) -> Result<()> {
        match self.subnet {
            Some(wanted) if wanted != recorded => Err(Error::conflict(format!(
                "bridge {} has network {recorded}, not {wanted}: remove it first",
                self.name
            ))),
            _ => Ok(()),
        }
    }

    fn network(&self, index: u32, subnet: Subnet) -> Network {
        Network {
            bridge: self.name.clone(),
            index,
            subnet,
            gateway: subnet.gateway(),
        }
    }

    /// Says on the link whose it is; the end of the folder's path if it is too long for that.
    fn alias(&self) -> String {
        let dir = self.dir.to_string_lossy();
        let mut from = dir.len().saturating_sub(ALIAS_MAX - 16);
        while !dir.is_char_boundary(from) {
            from += 1;
        }
        format!("silo network {}", &dir[from..])
    }

    fn record_path(&self) -> PathBuf {
        self.dir.join("bridge.json")
    }

    /// `None`: nothing recorded, or for a bridge of another name.
    fn record(&self) -> Result<Option<Record>> {
        let path = self.record_path();
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.doing_with(|| format!("read {}", path.display()))?,
        };
        let record: Record = serde_json::from_slice(&bytes)
            .doing_with(|| format!("understand {}", path.display()))?;
        match record.name == self.name {
            true => Ok(Some(record)),
            false => Err(Error::conflict(format!(
                "{} is the state of bridge {}, not {}",
                path.display(),
                record.name,
                self.name
            ))),
        }
    }

    fn write_record(&self, subnet: Subnet) -> Result<()> {
        let record = Record {
            name: self.name.clone(),
            subnet,
        };
        let path = self.record_path();
        let bytes = serde_json::to_vec(&record).doing("encode the bridge's record")?;
        write_atomically(&path, &bytes).doing_with(|| format!("write {}", path.display()))
    }

    /// The lock is the folder itself, so that removing the network leaves no lock file that others wait for.
    pub(crate) fn lock(&self) -> Result<std::fs::File> {
        use std::os::unix::fs::DirBuilderExt;
        let doing = || format!("lock {}", self.dir.display());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .doing_with(|| format!("create {}", self.dir.display()))?;
        let folder = std::fs::File::open(&self.dir).doing_with(doing)?;
        folder.lock().doing_with(doing)?;
        Ok(folder)
    }

    /// The same if nobody else has it; `None` also where the network has no folder.
    pub(crate) fn try_lock(&self) -> Result<Option<std::fs::File>> {
        let doing = || format!("lock {}", self.dir.display());
        let folder = match std::fs::File::open(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.doing_with(doing)?,
        };
        match folder.try_lock() {
            Ok(()) => Ok(Some(folder)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error).doing_with(doing),
        }
    }

    pub(crate) fn has_folder(&self) -> bool {
        self.dir.exists()
    }

    pub(crate) fn recorded_subnet(&self) -> Result<Option<Subnet>> {
        Ok(self.record()?.map(|record| record.subnet))
    }

    /// The link of this name if this network made it.
    pub(crate) fn own_link(&self) -> Result<Option<Link>> {
        let record = self.record()?;
        let link = link::find(&mut Socket::route()?, &self.name)?;
        Ok(link.filter(|link| self.is_ours(link, record.as_ref())))
    }

    /// Removes the network: ports, bridge, rules, leases, record. Goes on past failures and returns the first. Containers that
    /// are attached lose their connection; a name that somebody else's link has is left alone.
    pub fn remove_all(&self) -> Result<Removed> {
        let _lock = self.lock()?;
        let mut removed = Removed::default();
        let record = self.record()?;
        let results = [
            self.remove_links_and_rules(record.as_ref(), &mut removed),
            self.leases().list().and_then(|leases| {
                removed.leases = leases.len();
                self.leases().remove()
            }),
        ];
        results.into_iter().collect::<Result<()>>()?;
        // Last: while it is there, an interrupted removal can be repeated.
        match std::fs::remove_file(self.record_path()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::system(
                format!("remove {}", self.record_path().display()),
                error,
            )),
            _ => Ok(removed),
        }
    }

    /// The rules go last: the bridge is never without them.
    fn remove_links_and_rules(&self, record: Option<&Record>, removed: &mut Removed) -> Result<()> {
        let mut socket = Socket::route()?;
        let bridge = link::find(&mut socket, &self.name)?;
        let bridge = bridge.filter(|link| self.is_ours(link, record));
        let known = record.is_some() || bridge.is_some();
        if let Some(bridge) = bridge {
            let ports = link::list(&mut socket)?
                .into_iter()
                .filter(|link| link.master == bridge.index && link.kind == "veth")
                .map(|link| link.name);
            for name in ports.chain([self.name.clone()]) {
                if link::delete(&mut socket, &name)? {
                    removed.links.push(name);
                }
            }
        }
        if known {
            removed.rules = firewall::remove(&self.name)?;
        }
        Ok(())
    }
}

/// The networks that are tried, in this order: what Docker (172.17 and up) and home routers use comes late or never.
fn candidates() -> impl Iterator<Item = Subnet> {
    let ten = (88..=255).map(|second| Ipv4Addr::new(10, second, 0, 0));
    let private = (16..=31).map(|second| Ipv4Addr::new(172, second, 0, 0));
    ten.chain(private)
        .filter_map(|address| Subnet::of(address, 16).ok())
}

/// The link address is set together with the link, so it says that we made it even before the alias is there.
fn is_bridge_of(link: &Link, subnet: Subnet) -> bool {
    link.kind == "bridge" && link.mac == Mac::from_ip(subnet.gateway()).octets()
}

fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("json.new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_nft() {
        for good in ["silo0", "silot1234567890", "a-b_c"] {
            assert!(Bridge::new("/x", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "0silo",
            "silo0123456789ab",
            "a/b",
            "a b",
            "..",
            "é",
            "a.b",
        ] {
            assert!(Bridge::new("/x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn aliases_fit_whatever_the_path() {
        let long = Bridge::new(format!("/{}", "é".repeat(500)), "silo0").unwrap();
        assert!(long.alias().len() <= ALIAS_MAX);
        let short = Bridge::new("/var/lib/silo/network", "silo0").unwrap();
        assert_eq!(short.alias(), "silo network /var/lib/silo/network");
    }

    #[test]
    fn candidates_start_at_10_88() {
        let all: Vec<String> = candidates().map(|net| net.to_string()).collect();
        assert_eq!(all[..2], ["10.88.0.0/16", "10.89.0.0/16"]);
        assert_eq!(all.last().unwrap(), "172.31.0.0/16");
    }
}
