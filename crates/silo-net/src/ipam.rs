//! Address leases without a daemon and without a lock: a lease is a symbolic link `leases/10.88.0.2` → owner, where the owner
//! is the first 32 digits of the container's id.
//!
//! symlink(2) makes name and content in one atomic step and fails if the name exists, so of any number of processes exactly
//! one gets an address. `next` holds where to look first; it is a hint that may be lost or wrong. An address that was
//! freed is given out again only after the others, so that nobody's neighbour table is wrong.
//! Used by `bridge` and `attach`.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use silo_types::{Doing, Error, Result};

use crate::subnet::Subnet;

/// Digits of a container's id that name the owner of a lease. Not all 64: ext4 keeps a link of under 60 bytes in the inode,
/// and is five times slower, seventeen when it removes it, with a longer one that needs a block.
const OWNER_DIGITS: usize = 32;

/// How a container is called as the owner of a lease.
pub fn owner_of(id: &str) -> &str {
    id.get(..OWNER_DIGITS).unwrap_or(id)
}

/// The leases of one network.
pub struct Leases {
    folder: PathBuf,
    hint: PathBuf,
}

/// One address in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    pub address: Ipv4Addr,
    /// The first 32 digits of the container's id.
    pub owner: String,
}

impl Leases {
    /// `dir`: the network's folder, private to root.
    pub fn at(dir: &Path) -> Leases {
        Leases {
            folder: dir.join("leases"),
            hint: dir.join("next"),
        }
    }

    /// Makes the folder; done when the bridge is made.
    pub fn create(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .doing_with(|| format!("create {}", self.folder.display()))
    }

    /// Leases the next free address to `owner`.
    pub fn take_next(&self, subnet: Subnet, owner: &str) -> Result<Ipv4Addr> {
        let capacity = subnet.capacity();
        let hint = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.hint)
            .doing_with(|| format!("open {}", self.hint.display()))?;
        let mut next = [0; 4];
        let _ = hint.read_exact_at(&mut next, 0);
        let first = u32::from_le_bytes(next).checked_rem(capacity).unwrap_or(0);
        for index in (first..capacity).chain(0..first) {
            let address = subnet.host(index);
            if self.write(address, owner)? {
                let next = index.wrapping_add(1).to_le_bytes();
                hint.write_all_at(&next, 0)
                    .doing_with(|| format!("write {}", self.hint.display()))?;
                return Ok(address);
            }
        }
        Err(Error::conflict(format!(
            "all {capacity} addresses of network {subnet} are in use: remove containers, or run 'silo doctor --fix'"
        )))
    }

    /// Leases exactly `address`. Taking what `owner` already has is fine.
    pub fn take(&self, subnet: Subnet, address: Ipv4Addr, owner: &str) -> Result<()> {
        if !subnet.contains(address) {
            return Err(Error::invalid(format!(
                "address {address} is not in the network {subnet}"
            )));
        }
        let reserved = [subnet.address(), subnet.gateway(), subnet.broadcast()];
        if reserved.contains(&address) {
            return Err(Error::conflict(format!(
                "address {address} is reserved in network {subnet}: it is the gateway's, or the network's own"
            )));
        }
        if self.write(address, owner)? {
            return Ok(());
        }
        match self.owner(address)? {
            Some(other) if other != owner => {
                let short: String = other.chars().take(12).collect();
                Err(Error::conflict(format!(
                    "address {address} is already in use by container {short}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Frees `address` if `owner` has it; anything else is fine.
    pub fn free(&self, address: Ipv4Addr, owner: &str) -> Result<()> {
        if self.owner(address)?.as_deref() != Some(owner) {
            return Ok(());
        }
        match std::fs::remove_file(self.path(address)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::system(format!("free address {address}"), error))
            }
            _ => Ok(()),
        }
    }

    /// All leases, by address.
    pub fn list(&self) -> Result<Vec<Lease>> {
        let reading = || format!("read {}", self.folder.display());
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.doing_with(reading)?,
        };
        let mut leases = Vec::new();
        for entry in entries {
            let name = entry.doing_with(reading)?.file_name();
            let Some(address) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(owner) = self.owner(address)? {
                leases.push(Lease { address, owner });
            }
        }
        leases.sort();
        Ok(leases)
    }

    /// Forgets everything, on disk too.
    pub fn remove(&self) -> Result<()> {
        for lease in self.list()? {
            self.free(lease.address, &lease.owner)?;
        }
        let removed = [
            std::fs::remove_dir(&self.folder),
            std::fs::remove_file(&self.hint),
        ];
        for result in removed {
            match result {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::system(
                        format!("remove {}", self.folder.display()),
                        error,
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// False if someone has the address.
    fn write(&self, address: Ipv4Addr, owner: &str) -> Result<bool> {
        match std::os::unix::fs::symlink(owner, self.path(address)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::system(format!("lease address {address}"), error)),
        }
    }

    fn owner(&self, address: Ipv4Addr) -> Result<Option<String>> {
        match std::fs::read_link(self.path(address)) {
            Ok(owner) => Ok(Some(owner.to_string_lossy().into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::system(format!("read the lease of {address}"), error)),
        }
    }

    fn path(&self, address: Ipv4Addr) -> PathBuf {
        self.folder.join(address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use silo_types::Kind;

    use super::*;

    fn fixture() -> (tempfile::TempDir, Leases, Subnet) {
        let dir = tempfile::tempdir().unwrap();
        let leases = Leases::at(dir.path());
        leases.create().unwrap();
        (dir, leases, "10.9.8.0/29".parse().unwrap())
    }

    #[test]
    fn addresses_go_round_and_run_out() {
        let (_dir, leases, net) = fixture();
        let got: Vec<u8> = (0..5)
            .map(|i| leases.take_next(net, &format!("c{i}")).unwrap().octets()[3])
            .collect();
        assert_eq!(got, [2, 3, 4, 5, 6]);
        let full = leases.take_next(net, "c9").unwrap_err();
        assert_eq!(full.kind(), Kind::Conflict);
        leases.free(Ipv4Addr::new(10, 9, 8, 4), "c2").unwrap();
        assert_eq!(leases.take_next(net, "c9").unwrap().octets()[3], 4);
        assert_eq!(leases.list().unwrap().len(), 5);
        leases.remove().unwrap();
        leases.remove().unwrap();
        assert!(leases.list().unwrap().is_empty());
    }

    #[test]
    fn fixed_addresses_are_checked() {
        let (_dir, leases, net) = fixture();
        let ip = |last| Ipv4Addr::new(10, 9, 8, last);
        leases.take(net, ip(3), "a").unwrap();
        leases.take(net, ip(3), "a").unwrap();
        let taken = leases.take(net, ip(3), "b").unwrap_err();
        assert!(taken.to_string().contains("in use by container a"));
        for reserved in [0, 1, 7] {
            assert_eq!(
                leases.take(net, ip(reserved), "b").unwrap_err().kind(),
                Kind::Conflict
            );
        }
        let outside = leases.take(net, ip(9), "b").unwrap_err();
        assert_eq!(outside.kind(), Kind::Invalid);
        assert_eq!(leases.take_next(net, "c").unwrap(), ip(2));
        assert_eq!(leases.take_next(net, "d").unwrap(), ip(4));
    }

    #[test]
    fn only_the_owner_frees() {
        let (_dir, leases, net) = fixture();
        let address = leases.take_next(net, "a").unwrap();
        leases.free(address, "b").unwrap();
        assert_eq!(leases.list().unwrap().len(), 1);
        leases.free(address, "a").unwrap();
        leases.free(address, "a").unwrap();
        assert!(leases.list().unwrap().is_empty());
    }
}
