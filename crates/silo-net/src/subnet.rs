//! IPv4 networks and link addresses as values that cannot be wrong.
//!
//! Parsed at the edge (flags, state files, the kernel's answers) and trusted from there on.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use silo_types::{Error, Result};

/// An IPv4 network, `10.88.0.0/16`: the host bits of the address are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    address: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// The network that `address` is in; a prefix above 32 is an error.
    pub fn of(address: Ipv4Addr, prefix: u8) -> Result<Subnet> {
        if prefix > 32 {
            return Err(Error::invalid(format!(
                "{address}/{prefix}: the prefix must be 0 to 32"
            )));
        }
        Ok(Subnet {
            address: Ipv4Addr::from_bits(address.to_bits() & mask_bits(prefix)),
            prefix,
        })
    }

    /// The first address of the network.
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// Bits of the network part, 0 to 32.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask_bits(self.prefix))
    }

    /// The last address of the network.
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !mask_bits(self.prefix))
    }

    /// The address of the bridge itself: the first one that a host may have.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits().saturating_add(1))
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask_bits(self.prefix) == self.address.to_bits()
    }

    /// True if some address is in both.
    pub fn overlaps(self, other: Subnet) -> bool {
        let shorter = mask_bits(self.prefix.min(other.prefix));
        self.address.to_bits() & shorter == other.address.to_bits() & shorter
    }

    /// How many addresses containers may have: all but network, gateway and broadcast.
    pub fn capacity(self) -> u32 {
        (!mask_bits(self.prefix)).saturating_sub(2)
    }

    /// The address of the container at `index`, below [`Subnet::capacity`].
    pub(crate) fn host(self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits().wrapping_add(index).wrapping_add(2))
    }
}

fn mask_bits(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Subnet {
    type Err = Error;

    /// `ADDRESS/PREFIX`, with no host bits set.
    fn from_str(text: &str) -> Result<Subnet> {
        let bad = || {
            Error::invalid(format!(
                "{text:?} is not an IPv4 network such as 10.88.0.0/16"
            ))
        };
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let subnet = Subnet::of(address, prefix.parse().map_err(|_| bad())?)?;
        if subnet.address != address {
            return Err(Error::invalid(format!(
                "{text} has bits outside its prefix: {subnet} is meant?"
            )));
        }
        Ok(subnet)
    }
}

impl TryFrom<String> for Subnet {
    type Error = Error;

    fn try_from(text: String) -> Result<Subnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A link (MAC) address of one station: neither a group address nor all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// The address Docker gives: `02:42:` and the four bytes of the IPv4 address, so that no two on a bridge are equal.
    pub fn from_ip(address: Ipv4Addr) -> Mac {
        let [a, b, c, d] = address.octets();
        Mac([0x02, 0x42, a, b, c, d])
    }

    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = Error;

    /// Six pairs of hexadecimal digits with colons (or dashes) between.
    fn from_str(text: &str) -> Result<Mac> {
        let bad = |why: &str| Error::invalid(format!("invalid MAC address {text:?}: {why}"));
        let mut octets = [0u8; 6];
        let mut count = 0;
        for part in text.split([':', '-']) {
            let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            if !digits || count == 6 {
                return Err(bad(
                    "six pairs of hexadecimal digits are needed, as 02:42:0a:58:00:02",
                ));
            }
            octets[count] = u8::from_str_radix(part, 16).unwrap_or(0);
            count += 1;
        }
        match () {
            () if count != 6 => Err(bad(
                "six pairs of hexadecimal digits are needed, as 02:42:0a:58:00:02",
            )),
            () if octets[0] & 1 == 1 => Err(bad("it is a group address")),
            () if octets == [0; 6] => Err(bad("it is all zero")),
            () => Ok(Mac(octets)),
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = Error;

    fn try_from(text: String) -> Result<Mac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_parsed_strictly() {
        assert_eq!(net("10.88.0.0/16").to_string(), "10.88.0.0/16");
        assert_eq!(net("10.88.0.0/16").gateway(), Ipv4Addr::new(10, 88, 0, 1));
        assert_eq!(
            net("10.88.0.0/16").broadcast(),
            Ipv4Addr::new(10, 88, 255, 255)
        );
        for bad in [
            "10.88.0.1/16",
            "10.88.0.0",
            "10.88.0.0/33",
            "10.88.0/16",
            "/8",
            "::/0",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn overlap_is_either_inside_the_other() {
        assert!(net("10.88.0.0/16").overlaps(net("10.0.0.0/8")));
        assert!(net("10.88.0.0/16").overlaps(net("10.88.7.0/24")));
        assert!(!net("10.88.0.0/16").overlaps(net("10.89.0.0/16")));
        assert!(net("10.88.0.0/16").overlaps(net("0.0.0.0/0")));
    }

    #[test]
    fn small_networks_have_few_addresses() {
        assert_eq!(net("10.0.0.0/29").capacity(), 5);
        assert_eq!(net("10.0.0.0/29").host(0), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(net("10.0.0.0/29").host(4), Ipv4Addr::new(10, 0, 0, 6));
        assert_eq!(net("10.0.0.0/31").capacity(), 0);
        assert_eq!(net("10.0.0.0/32").capacity(), 0);
    }

    #[test]
    fn link_addresses_are_of_one_station() {
        assert_eq!(
            Mac::from_ip(Ipv4Addr::new(10, 88, 0, 2)).to_string(),
            "02:42:0a:58:00:02"
        );
        assert_eq!(
            "02-42-0A-58-00-02".parse::<Mac>().unwrap().to_string(),
            "02:42:0a:58:00:02"
        );
        for bad in [
            "",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "02:42:0a:58:00",
            "02:42:0a:58:00:02:03",
            "2:42:a:58:0:2",
            "+2:42:0a:58:00:02",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn overlap_is_what_the_ends_say(a in any::<u32>(), p in 0u8..=32, b in any::<u32>(), q in 0u8..=32) {
            let x = Subnet::of(Ipv4Addr::from_bits(a), p).unwrap();
            let y = Subnet::of(Ipv4Addr::from_bits(b), q).unwrap();
            let apart = x.broadcast() < y.address() || y.broadcast() < x.address();
            prop_assert_eq!(x.overlaps(y), !apart);
            prop_assert_eq!(x.to_string().parse::<Subnet>().unwrap(), x);
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in ".{0,40}") {
            let _ = text.parse::<Subnet>();
            let _ = text.parse::<Mac>();
        }
    }
}
