//! Network tools: `ping`, `nc`, `httpd`, `ip`. Names come from /etc/hosts only: nothing here asks a DNS server.

pub mod httpd;
mod icmp;
pub mod ip;
pub mod nc;
pub mod ping;

use std::net::IpAddr;

/// An address as typed, or the first one that /etc/hosts gives the name.
///
/// # Errors
/// A sentence that names the host.
pub fn resolve(host: &str) -> Result<IpAddr, String> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    find_host(&hosts, host).ok_or(format!("{host}: not an address, and not in /etc/hosts"))
}

fn find_host(hosts: &str, host: &str) -> Option<IpAddr> {
    let lines = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let mut found: Vec<IpAddr> = lines
        .filter(|line| {
            line.split_whitespace()
                .skip(1)
                .any(|name| name.eq_ignore_ascii_case(host))
        })
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    // IPv4 first: what the tools here speak.
    found.sort_by_key(IpAddr::is_ipv6);
    found.first().copied()
}

#[cfg(test)]
mod tests {
    use super::find_host;

    #[test]
    fn hosts_are_read() {
        let hosts = "# comment web\n::1 web\n10.0.0.2 web www # x db\n";
        assert_eq!(find_host(hosts, "WWW"), "10.0.0.2".parse().ok());
        assert_eq!(find_host(hosts, "web"), "10.0.0.2".parse().ok());
        assert_eq!(find_host(hosts, "db"), None);
    }
}
