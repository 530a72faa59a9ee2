//! The three files by which a container knows names: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.
//!
//! Pure functions from what was asked and what the host has to the text; called by the engine, which puts the files in place.
//! What comes from a user is checked, so that no value can bring a line of its own. hosts(5), hostname(5), resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr};

use silo_types::{Error, Network, Result};

/// The value of `--add-host NAME:host-gateway` that stands for the host as the container sees it.
pub const HOST_GATEWAY: &str = "host-gateway";

const LOCAL_NAMES: &str = "\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// `/etc/hosts` of a container with a network of its own: Docker's local lines, `--add-host`, then the own address with the
/// host name (and, with a domain, the full name first). `own`: the container's address; `None` for `--network none`.
/// `gateway`: what `host-gateway` stands for; `None` makes its use an error.
pub fn hosts(
    network: &Network,
    hostname: &str,
    own: Option<Ipv4Addr>,
    gateway: Option<Ipv4Addr>,
) -> Result<String> {
    let mut text = LOCAL_NAMES.to_owned();
    text.push_str(&extra_hosts(network, gateway)?);
    if let Some(address) = own {
        let hostname = checked("host name", hostname)?;
        text.push_str(&format!("{address}\t"));
        if !network.domainname.is_empty() {
            let domain = checked("domain name", &network.domainname)?;
            text.push_str(&format!("{hostname}.{domain} "));
        }
        text.push_str(&format!("{hostname}\n"));
    }
    Ok(text)
}

/// `/etc/hosts` of a container in the host's network: the host's file, then `--add-host`.
pub fn hosts_of_host(
    host_file: &str,
    network: &Network,
    gateway: Option<Ipv4Addr>,
) -> Result<String> {
    let mut text = host_file.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&extra_hosts(network, gateway)?);
    Ok(text)
}

/// `/etc/hostname`: the name and a line feed.
pub fn hostname(name: &str) -> Result<String> {
    Ok(format!("{}\n", checked("host name", name)?))
}

/// `/etc/resolv.conf`. `--dns`, `--dns-search` and `--dns-option` each replace the host's lines of that kind; the host's other
/// lines stay. `own_network`: name servers of the host that a network namespace of its own cannot reach (loopback, and all
/// with IPv6 addresses, which Silo's networks do not have) are left out. If none is left, none is written: Silo asks no
/// stranger's. `--dns-search .` stands for no search list.
pub fn resolv_conf(host_file: &str, network: &Network, own_network: bool) -> Result<String> {
    let asked = !(network.dns.is_empty()
        && network.dns_search.is_empty()
        && network.dns_options.is_empty());
    if !own_network && !asked {
        return Ok(host_file.to_owned());
    }
    let mut text = String::new();
    for server in &network.dns {
        let address: IpAddr = server.parse().map_err(|_| {
            Error::invalid(format!("{server:?} is not an IP address of a name server"))
        })?;
        text.push_str(&format!("nameserver {address}\n"));
    }
    text.push_str(&list("search", &network.dns_search, |domain| {
        domain != "."
    })?);
    text.push_str(&list("options", &network.dns_options, |_| true)?);
    for line in host_file.lines() {
        if keep(line, network, own_network) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// True if the host's only name server is systemd-resolved's stub, which a container cannot reach: the servers behind it
/// are in [`RESOLVED_FILE`], and that file should be given to [`resolv_conf`] instead.
pub fn is_resolved_stub(host_file: &str) -> bool {
    let mut servers = host_file.lines().filter_map(name_server).peekable();
    servers.peek().is_some() && servers.all(|server| server == "127.0.0.53")
}

/// Where systemd-resolved lists the servers that it asks itself, systemd-resolved.service(8).
pub const RESOLVED_FILE: &str = "/run/systemd/resolve/resolv.conf";

fn extra_hosts(network: &Network, gateway: Option<Ipv4Addr>) -> Result<String> {
    let mut text = String::new();
    for (name, address) in &network.extra_hosts {
        let name = checked("host name", name)?;
        let address = match address.as_str() {
            HOST_GATEWAY => IpAddr::V4(gateway.ok_or_else(|| {
                Error::invalid(format!(
                    "--add-host {name}:{HOST_GATEWAY}: there is no way to the host in this network mode"
                ))
            })?),
            address => address.parse().map_err(|_| {
                Error::invalid(format!("--add-host {name}: {address:?} is not an IP address"))
            })?,
        };
        text.push_str(&format!("{address}\t{name}\n"));
    }
    Ok(text)
}

/// One line of the words that `wanted` lets through; nothing if there are none.
fn list(keyword: &str, words: &[String], wanted: impl Fn(&str) -> bool) -> Result<String> {
    let mut line = String::new();
    for word in words.iter().filter(|word| wanted(word)) {
        line.push(' ');
        line.push_str(checked(keyword, word)?);
    }
    Ok(match line.is_empty() {
        true => line,
        false => format!("{keyword}{line}\n"),
    })
}

/// Whether a line of the host's resolv.conf goes into the container's.
fn keep(line: &str, network: &Network, own_network: bool) -> bool {
    match line.split_whitespace().next() {
        Some("nameserver") if !network.dns.is_empty() => false,
        Some("nameserver") if own_network => name_server(line).is_some_and(reachable),
        // resolv.conf(5): domain and search exclude each other, the last one counts.
        Some("search" | "domain") => network.dns_search.is_empty(),
        Some("options") => network.dns_options.is_empty(),
        _ => true,
    }
}

fn name_server(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then(|| words.next())?
}

fn reachable(server: &str) -> bool {
    server
        .parse::<Ipv4Addr>()
        .is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// A word for one of the files: not empty, no white space, no control character, no comment sign.
fn checked<'a>(what: &str, word: &'a str) -> Result<&'a str> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '#' || c == ';';
    if word.is_empty() || word.len() > 255 || word.contains(bad) {
        let shown: String = word.chars().take(80).collect();
        return Err(Error::invalid(format!("invalid {what} {shown:?}")));
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: Option<Ipv4Addr> = Some(Ipv4Addr::new(10, 88, 0, 2));
    const GATEWAY: Option<Ipv4Addr> = Some(Ipv4Addr::new(10, 88, 0, 1));
    const HOST: &str = "# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nsearch example.org\noptions edns0 trust-ad\n";

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn hosts_names_the_container_last() {
        let network = Network {
            extra_hosts: vec![
                ("db".to_owned(), "192.0.2.7".to_owned()),
                ("six".to_owned(), "2001:db8::1".to_owned()),
                ("host.internal".to_owned(), HOST_GATEWAY.to_owned()),
            ],
            ..Network::default()
        };
        let text = hosts(&network, "web", OWN, GATEWAY).unwrap();
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\t"));
        assert!(text.ends_with(
            "192.0.2.7\tdb\n2001:db8::1\tsix\n10.88.0.1\thost.internal\n10.88.0.2\tweb\n"
        ));
        assert!(hosts(&network, "web", None, None).is_err());
    }

    #[test]
    fn a_domain_makes_a_full_name() {
        let network = Network {
            domainname: "example.org".to_owned(),
            ..Network::default()
        };
        let text = hosts(&network, "web", OWN, None).unwrap();
        assert!(text.ends_with("10.88.0.2\tweb.example.org web\n"), "{text}");
        assert!(!hosts(&network, "web", None, None).unwrap().contains("web"));
    }

    #[test]
    fn the_hosts_own_file_is_kept_in_host_mode() {
        let none = Network::default();
        assert_eq!(
            hosts_of_host("127.0.0.1 a", &none, None).unwrap(),
            "127.0.0.1 a\n"
        );
        assert_eq!(resolv_conf(HOST, &none, false).unwrap(), HOST);
    }

    #[test]
    fn name_servers_out_of_reach_are_left_out() {
        let text = resolv_conf(HOST, &Network::default(), true).unwrap();
        let want = "# by hand\nnameserver 192.0.2.53\nsearch example.org\noptions edns0 trust-ad\n";
        assert_eq!(text, want);
        let alone = resolv_conf("nameserver ::1\n", &Network::default(), true).unwrap();
        assert_eq!(alone, "");
    }

    #[test]
    fn what_is_asked_replaces_the_hosts_lines_of_that_kind() {
        let network = Network {
            dns: words(&["127.0.0.1", "2001:db8::53"]),
            dns_search: words(&["."]),
            dns_options: words(&["ndots:2"]),
            ..Network::default()
        };
        let text = resolv_conf(HOST, &network, true).unwrap();
        let want = "nameserver 127.0.0.1\nnameserver 2001:db8::53\noptions ndots:2\n# by hand\n";
        assert_eq!(text, want);
        let search = Network {
            dns_search: words(&["a.test", "b.test"]),
            ..Network::default()
        };
        let text = resolv_conf(HOST, &search, false).unwrap();
        assert!(text.starts_with("search a.test b.test\n"));
        assert!(text.contains("nameserver 127.0.0.53") && !text.contains("example.org"));
    }

    #[test]
    fn the_stub_of_systemd_is_recognised() {
        assert!(is_resolved_stub("nameserver 127.0.0.53\noptions x\n"));
        assert!(!is_resolved_stub(HOST));
        assert!(!is_resolved_stub("# empty\n"));
    }

    #[test]
    fn no_value_brings_its_own_line() {
        let bad = "a\nnameserver 192.0.2.66";
        assert!(hostname(bad).is_err());
        assert_eq!(hostname("web").unwrap(), "web\n");
        let network = Network {
            dns_search: words(&[bad]),
            ..Network::default()
        };
        assert!(resolv_conf("", &network, true).is_err());
        let network = Network {
            extra_hosts: vec![("x y".to_owned(), "192.0.2.1".to_owned())],
            ..Network::default()
        };
        assert!(hosts(&network, "web", OWN, GATEWAY).is_err());
    }

    proptest! {
        #[test]
        fn any_host_file_gives_no_unreachable_server(file in "(nameserver |search |options |# )?[ -~\t\n]{0,80}") {
            let text = resolv_conf(&file, &Network::default(), true).unwrap();
            for server in text.lines().filter_map(name_server) {
                prop_assert!(reachable(server));
            }
            let _ = is_resolved_stub(&file);
        }
    }
}
