//! Network settings that netlink cannot change: files below `/proc/sys/net`, of the caller's network namespace.
//!
//! Used by `bridge` and `attach`. The names of interfaces are checked before they come here.

use std::io::ErrorKind;
use std::path::Path;

use silo_types::{Doing, Result};

/// Turns IPv6 off on one interface, with everything that it would start when the link goes up (link-local address,
/// duplicate detection, router solicitation): a network without IPv6 must not have it by accident (CVE-2024-32473,
/// CVE-2020-13401). A kernel without IPv6 is fine.
pub fn disable_ipv6(interface: &str) -> Result<()> {
    write_if_present(
        &format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"),
        "1",
    )
}

/// Router advertisements on that interface are ignored, even if IPv6 is turned on later.
pub fn ignore_router_advertisements(interface: &str) -> Result<()> {
    write_if_present(
        &format!("/proc/sys/net/ipv6/conf/{interface}/accept_ra"),
        "0",
    )
}

/// Turns IPv4 forwarding on for the whole namespace; true if it was off.
///
/// The bridge alone is not enough: answers come in by the uplink, and the kernel asks the *incoming* interface whether it may
/// forward.
pub fn enable_forwarding() -> Result<bool> {
    let path = "/proc/sys/net/ipv4/ip_forward";
    let now = std::fs::read_to_string(path).doing_with(|| format!("read {path}"))?;
    if now.trim() == "1" {
        return Ok(false);
    }
    std::fs::write(path, "1").doing_with(|| format!("write {path}"))?;
    Ok(true)
}

/// Writes an IPv6 setting. Where the kernel has no IPv6 there is nothing to write; where only /proc is missing, nothing is
/// known, and that is an error.
fn write_if_present(path: &str, value: &str) -> Result<()> {
    let no_ipv6 = || {
        let there = |path: &str| Path::new(path).exists();
        there("/proc/sys/net") && !there("/proc/sys/net/ipv6")
    };
    match std::fs::write(path, value) {
        Err(error) if error.kind() == ErrorKind::NotFound && no_ipv6() => Ok(()),
        other => other.doing_with(|| format!("write {path}")),
    }
}
