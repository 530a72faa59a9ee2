//! `--network`, `--add-host`, `--hostname`, `--mac-address`, `--ip`, `--dns`.

use std::net::IpAddr;

use super::shown;
use crate::{Error, NetworkMode, Result};

/// `bridge` (also `default`), `none`, `host`, `container:NAME`.
pub fn network(text: &str) -> Result<NetworkMode> {
    match text {
        "" | "default" | "bridge" => Ok(NetworkMode::Bridge),
        "none" => Ok(NetworkMode::None),
        "host" => Ok(NetworkMode::Host),
        other => match other.strip_prefix("container:") {
            Some("") => Err(Error::invalid(
                "invalid container network: use container:NAME or container:ID",
            )),
            Some(name) => Ok(NetworkMode::Container(name.to_owned())),
            None => Err(Error::not_found(format!(
                "network {} not found: use bridge, none, host or container:NAME",
                shown(other)
            ))),
        },
    }
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; the address may be `host-gateway`, or IPv6 in brackets.
pub fn add_host(text: &str) -> Result<(String, String)> {
    let bad = || Error::invalid(format!("bad format for add-host: \"{}\"", shown(text)));
    let at = text.find([':', '=']).ok_or_else(bad)?;
    let (name, address) = (&text[..at], &text[at + 1..]);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > 255 || !name.bytes().all(plain) {
        return Err(bad());
    }
    if address == "host-gateway" {
        return Ok((name.to_owned(), address.to_owned()));
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|a| a.strip_suffix(']'))
        .unwrap_or(address);
    let ip: IpAddr = bare.parse().map_err(|_| {
        Error::invalid(format!(
            "invalid IP address in add-host: \"{}\"",
            shown(address)
        ))
    })?;
    Ok((name.to_owned(), ip.to_string()))
}

/// A host name of RFC 1123 labels (underscores too, as names of containers have them), at most the 64 bytes that
/// sethostname(2) takes.
pub fn host_name(text: &str) -> Result<String> {
    check_labels("hostname", text)
}

/// The same rule for `--domainname` and `--dns-search`.
pub fn domain_name(text: &str) -> Result<String> {
    check_labels("domainname", text)
}

fn check_labels(what: &str, text: &str) -> Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    if text.len() > 64 {
        return Err(Error::invalid(format!(
            "{what} of {} bytes is too long: at most 64",
            text.len()
        )));
    }
    for label in text.split('.') {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let edges = label.starts_with('-') || label.ends_with('-');
        if label.is_empty() || label.len() > 63 || edges || !label.bytes().all(inner) {
            return Err(Error::invalid(format!(
                "invalid {what} {text:?}: letters, digits and hyphens, in parts of at most 63 with dots between"
            )));
        }
    }
    Ok(text.to_owned())
}

/// Six hexadecimal pairs with colons or hyphens, not a group address; returned in lower case with colons.
pub fn mac_address(text: &str) -> Result<String> {
    let bad = || {
        Error::invalid(format!(
            "{} is not a valid MAC address: use a form like 92:d0:c6:0a:29:33",
            shown(text)
        ))
    };
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let pair = |p: &&str| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.len() != 6 || !parts.iter().all(pair) {
        return Err(bad());
    }
    let first = u8::from_str_radix(parts[0], 16).map_err(|_| bad())?;
    let all_zero = parts.iter().all(|p| *p == "00");
    if first & 1 == 1 || all_zero {
        return Err(Error::invalid(format!(
            "{text} cannot be an interface's MAC address: it is a group address or empty"
        )));
    }
    Ok(parts.join(":").to_ascii_lowercase())
}

/// An IPv4 or IPv6 address, as `--dns` takes it.
pub fn ip_address(text: &str) -> Result<IpAddr> {
    text.trim()
        .parse()
        .map_err(|_| Error::invalid(format!("{} is not an ip address", shown(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        assert_eq!(network("default").unwrap(), NetworkMode::Bridge);
        assert_eq!(
            network("container:x").unwrap(),
            NetworkMode::Container("x".into())
        );
        assert!(network("container:").is_err());
        assert_eq!(network("mynet").unwrap_err().kind(), crate::Kind::NotFound);
    }

    #[test]
    fn hosts() {
        for (typed, name, address) in [
            ("a:1.2.3.4", "a", "1.2.3.4"),
            ("a=1.2.3.4", "a", "1.2.3.4"),
            ("a:::1", "a", "::1"),
            ("a:[::1]", "a", "::1"),
            ("a:host-gateway", "a", "host-gateway"),
        ] {
            assert_eq!(add_host(typed).unwrap(), (name.into(), address.into()));
        }
        for bad in [
            "a",
            ":1.2.3.4",
            "a:",
            "a:1.2.3",
            "a b:1.2.3.4",
            "a\n:1.2.3.4",
        ] {
            assert!(add_host(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names() {
        for good in ["", "a", "web-1", "a.b.c", "my_box"] {
            assert!(host_name(good).is_ok(), "{good}");
        }
        for bad in [
            "-a",
            "a-",
            "a..b",
            ".",
            "a b",
            "é",
            "a/b",
            &"x".repeat(64),
            &"x".repeat(65536),
        ] {
            assert!(host_name(bad).is_err());
        }
        assert!(host_name(&"x".repeat(65536)).unwrap_err().to_string().len() < 100);
    }

    #[test]
    fn mac_addresses() {
        assert_eq!(
            mac_address("92-D0-c6-0a-29-33").unwrap(),
            "92:d0:c6:0a:29:33"
        );
        for bad in [
            "",
            "92:d0",
            "93:d0:c6:0a:29:33",
            "00:00:00:00:00:00",
            "9g:d0:c6:0a:29:33",
        ] {
            assert!(mac_address(bad).is_err(), "{bad}");
        }
    }
}
