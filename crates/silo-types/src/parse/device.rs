//! `--device` and the `--device-read/write-bps/iops` rates.

use super::{clean_path, shown};
use crate::{ByteSize, DeviceRate, DeviceSpec, Error, Result};

/// `HOST[:CONTAINER][:rwm]`.
pub fn device(text: &str) -> Result<DeviceSpec> {
    let bad = || Error::invalid(format!("invalid device specification: {}", shown(text)));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, second] if is_permissions(second) => (host, host, second),
        [host, second] => (host, second, "rwm"),
        [host, container, permissions] if is_permissions(permissions) => {
            (host, container, permissions)
        }
        [_, _, permissions] => {
            return Err(Error::invalid(format!(
                "bad mode specified: {}: use any of r, w and m",
                shown(permissions)
            )));
        }
        _ => return Err(bad()),
    };
    if host.is_empty() || container.is_empty() {
        return Err(bad());
    }
    Ok(DeviceSpec {
        host_path: clean_path("device path", host)?,
        container_path: clean_path("device path", container)?,
        permissions: permissions.to_owned(),
    })
}

/// One to three different letters of `rwm`.
fn is_permissions(text: &str) -> bool {
    let once = |letter: char| text.matches(letter).count() <= 1;
    (1..=3).contains(&text.len()) && text.chars().all(|c| "rwm".contains(c) && once(c))
}

/// `/dev/PATH:RATE` in bytes per second with an optional unit.
pub fn device_bps(text: &str) -> Result<DeviceRate> {
    let (path, rate) = split_rate(text)?;
    let bytes = rate.parse::<ByteSize>().map_err(|_| {
        Error::invalid(format!(
            "invalid rate for device: {}: the form is PATH:NUMBER[UNIT] with a unit of kb, mb or gb",
            shown(text)
        ))
    })?;
    Ok(DeviceRate {
        path,
        rate: bytes.0,
    })
}

/// `/dev/PATH:RATE` in operations per second.
pub fn device_iops(text: &str) -> Result<DeviceRate> {
    let (path, rate) = split_rate(text)?;
    let rate = rate.parse().map_err(|_| {
        Error::invalid(format!(
            "invalid rate for device: {}: the form is PATH:NUMBER",
            shown(text)
        ))
    })?;
    Ok(DeviceRate { path, rate })
}

fn split_rate(text: &str) -> Result<(String, &str)> {
    let bad = || Error::invalid(format!("bad format: {}: use PATH:RATE", shown(text)));
    let (path, rate) = text.rsplit_once(':').ok_or_else(bad)?;
    if !path.starts_with("/dev/") {
        return Err(Error::invalid(format!(
            "bad format for device path: {}: it begins with /dev/",
            shown(text)
        )));
    }
    Ok((clean_path("device path", path)?, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (typed, host, container, permissions) in [
            ("/dev/null", "/dev/null", "/dev/null", "rwm"),
            ("/dev/null:r", "/dev/null", "/dev/null", "r"),
            ("/dev/null:/dev/x", "/dev/null", "/dev/x", "rwm"),
            ("/dev/null:/dev/x:rw", "/dev/null", "/dev/x", "rw"),
        ] {
            let spec = device(typed).unwrap();
            assert_eq!(spec.host_path, host);
            assert_eq!(spec.container_path, container);
            assert_eq!(spec.permissions, permissions);
        }
        for bad in [
            "",
            "null",
            "/dev/x:y",
            "/dev/x:/dev/y:rr",
            "/dev/x:/y:r:w",
            ":/dev/x",
        ] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(device_bps("/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert_eq!(device_iops("/dev/sda:100").unwrap().rate, 100);
        for bad in [
            "/dev/sda",
            "/dev/sda:",
            "sda:1",
            "/dev/sda:-1",
            "/dev/sda:x",
        ] {
            assert!(device_bps(bad).is_err(), "{bad}");
            assert!(device_iops(bad).is_err(), "{bad}");
        }
        assert!(device_iops("/dev/sda:1mb").is_err());
    }
}
