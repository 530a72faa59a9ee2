//! `ip addr|link|route`: what iproute2 shows, read-only, from getifaddrs(3), /sys/class/net and /proc/net/route.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::cli;

pub fn main(args: &[String]) -> i32 {
    let words: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|a| !matches!(*a, "-4" | "-br" | "-c"))
        .collect();
    let object = words.first().copied().unwrap_or("addr");
    let rest: Vec<&str> = words
        .iter()
        .skip(1)
        .copied()
        .filter(|w| !matches!(*w, "show" | "list" | "ls" | "dev"))
        .collect();
    let abbreviates = |full: &str| !object.is_empty() && full.starts_with(object);
    cli::answer(
        "ip",
        match () {
            () if abbreviates("address") => interfaces(rest.first().copied(), true),
            () if abbreviates("link") => interfaces(rest.first().copied(), false),
            () if abbreviates("route") => routes(),
            () => Err(format!(
                "{object}: unknown; it can show addr, link and route"
            )),
        },
    )
}

#[derive(Default)]
struct Link {
    flags: Option<InterfaceFlags>,
    hardware: Option<String>,
    /// Address, prefix length, broadcast.
    four: Vec<(Ipv4Addr, u32, Option<Ipv4Addr>)>,
    six: Vec<(Ipv6Addr, u32)>,
    index: usize,
}

fn links() -> Result<BTreeMap<String, Link>, String> {
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    for entry in getifaddrs().map_err(|e| cli::reason(&e.into()))? {
        let link = links.entry(entry.interface_name).or_default();
        link.flags = Some(entry.flags);
        let Some(address) = entry.address else {
            continue;
        };
        let mask = entry.netmask;
        if let Some(address) = address.as_link_addr() {
            link.index = address.ifindex();
            link.hardware = address.addr().map(|a| {
                a.iter()
                    .map(|b| format!("{b:02x}"))
                    .collect::<Vec<_>>()
                    .join(":")
            });
        } else if let Some(address) = address.as_sockaddr_in() {
            let prefix = mask
                .and_then(|m| m.as_sockaddr_in().map(|m| u32::from(m.ip()).count_ones()))
                .unwrap_or(32);
            let broadcast = entry
                .broadcast
                .and_then(|b| b.as_sockaddr_in().map(|b| b.ip()));
            link.four.push((address.ip(), prefix, broadcast));
        } else if let Some(address) = address.as_sockaddr_in6() {
            let prefix = mask
                .and_then(|m| m.as_sockaddr_in6().map(|m| u128::from(m.ip()).count_ones()))
                .unwrap_or(128);
            link.six.push((address.ip(), prefix));
        }
    }
    Ok(links)
}

fn fact(name: &str, file: &str) -> Option<String> {
    std::fs::read_to_string(format!("/sys/class/net/{name}/{file}"))
        .ok()
        .map(|t| t.trim().to_string())
}

fn flag_names(flags: InterfaceFlags) -> String {
    const NAMES: &[(InterfaceFlags, &str)] = &[
        (InterfaceFlags::IFF_LOOPBACK, "LOOPBACK"),
        (InterfaceFlags::IFF_BROADCAST, "BROADCAST"),
        (InterfaceFlags::IFF_POINTOPOINT, "POINTOPOINT"),
        (InterfaceFlags::IFF_MULTICAST, "MULTICAST"),
        (InterfaceFlags::IFF_NOARP, "NOARP"),
        (InterfaceFlags::IFF_PROMISC, "PROMISC"),
        (InterfaceFlags::IFF_UP, "UP"),
        (InterfaceFlags::IFF_LOWER_UP, "LOWER_UP"),
    ];
    let mut names: Vec<&str> = NAMES
        .iter()
        .filter(|n| flags.contains(n.0))
        .map(|n| n.1)
        .collect();
    if flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOWER_UP) {
        names.insert(0, "NO-CARRIER");
    }
    names.join(",")
}

fn interfaces(only: Option<&str>, addresses: bool) -> Result<String, String> {
    let mut links: Vec<(String, Link)> = links()?
        .into_iter()
        .filter(|(name, _)| only.is_none_or(|o| o == name))
        .collect();
    if links.is_empty() {
        return only.map_or(Ok(String::new()), |name| {
            Err(format!("{name}: no such interface"))
        });
    }
    links.sort_by_key(|(_, link)| link.index);
    Ok(links
        .iter()
        .map(|(name, link)| describe(name, link, addresses))
        .collect())
}

fn describe(name: &str, link: &Link, addresses: bool) -> String {
    let flags = link.flags.unwrap_or(InterfaceFlags::empty());
    let loopback = flags.contains(InterfaceFlags::IFF_LOOPBACK);
    let peer = fact(name, "iflink")
        .and_then(|t| t.parse::<usize>().ok())
        .filter(|&i| i != link.index && i != 0);
    let peer = peer.map_or(String::new(), |i| format!("@if{i}"));
    let mtu = fact(name, "mtu").map_or(String::new(), |m| format!(" mtu {m}"));
    let state = fact(name, "operstate")
        .unwrap_or("unknown".into())
        .to_uppercase();
    let mut text = format!(
        "{}: {name}{peer}: <{}>{mtu} state {state}\n",
        link.index,
        flag_names(flags)
    );
    if let Some(hardware) = &link.hardware {
        let kind = if loopback { "loopback" } else { "ether" };
        let broadcast = fact(name, "broadcast").map_or(String::new(), |b| format!(" brd {b}"));
        text.push_str(&format!("    link/{kind} {hardware}{broadcast}\n"));
    }
    if !addresses {
        return text;
    }
    let scope = if loopback { "host" } else { "global" };
    for (address, prefix, broadcast) in &link.four {
        let broadcast = broadcast
            .filter(|_| !loopback)
            .map_or(String::new(), |b| format!(" brd {b}"));
        text.push_str(&format!(
            "    inet {address}/{prefix}{broadcast} scope {scope} {name}\n"
        ));
    }
    for (address, prefix) in &link.six {
        let scope = if (address.segments()[0] & 0xffc0) == 0xfe80 {
            "link"
        } else {
            scope
        };
        text.push_str(&format!("    inet6 {address}/{prefix} scope {scope}\n"));
    }
    text
}

fn routes() -> Result<String, String> {
    let table = std::fs::read_to_string("/proc/net/route")
        .map_err(|e| format!("/proc/net/route: {}", cli::reason(&e)))?;
    let links = links()?;
    let mut lines: Vec<String> = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let Some(route) = route(&fields) else {
            continue;
        };
        let (device, to, prefix, gateway, metric) = route;
        let target = if prefix == 0 {
            "default".to_string()
        } else {
            format!("{to}/{prefix}")
        };
        let via = if gateway.is_unspecified() {
            String::new()
        } else {
            format!(" via {gateway}")
        };
        let source = links
            .get(device)
            .and_then(|l| l.four.first())
            .filter(|_| gateway.is_unspecified());
        let source = source.map_or(String::new(), |(address, ..)| {
            format!(" scope link src {address}")
        });
        let metric = if metric == 0 {
            String::new()
        } else {
            format!(" metric {metric}")
        };
        lines.push(format!("{target}{via} dev {device}{source}{metric}\n"));
    }
    Ok(lines.concat())
}

/// (device, destination, prefix length, gateway, metric) of a line of /proc/net/route.
fn route<'a>(fields: &[&'a str]) -> Option<(&'a str, Ipv4Addr, u32, Ipv4Addr, u32)> {
    // The file prints the memory of the address as a number of this machine.
    let address = |text: &str| {
        u32::from_str_radix(text, 16)
            .ok()
            .map(|n| Ipv4Addr::from(n.to_ne_bytes()))
    };
    let mask = u32::from_str_radix(fields.get(7)?, 16).ok()?;
    Some((
        fields.first()?,
        address(fields.get(1)?)?,
        mask.count_ones(),
        address(fields.get(2)?)?,
        fields.get(6)?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::route;

    #[test]
    fn a_route_line() {
        let fields: Vec<&str> = "eth0 0000580A 01020304 0003 0 0 5 0000FFFF 0 0 0"
            .split(' ')
            .collect();
        let (device, to, prefix, _, metric) = route(&fields).unwrap();
        assert_eq!(
            (device, to.to_string().as_str(), prefix, metric),
            ("eth0", "10.88.0.0", 16, 5)
        );
        assert!(route(&[]).is_none());
    }
}
