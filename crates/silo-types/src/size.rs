//! Sizes in bytes as people type and read them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = Error;

    /// Docker's sizes: `4g`, `4GiB`, `4096M`, `4096mb`, `1.5G`, `4294967296`, `64k`, `10b`; powers of 1024.
    fn from_str(text: &str) -> Result<ByteSize> {
        let bad = || {
            let shown: String = text.chars().take(40).collect();
            Error::invalid(format!(
                "invalid size: '{shown}': use a number with b, k, m, g or t, such as 512m or 4g"
            ))
        };
        let trimmed = text.trim();
        let split = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            "p" | "pb" | "pib" => 50,
            _ => return Err(bad()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            let bytes = whole.checked_mul(1 << shift).ok_or_else(bad)?;
            return Ok(ByteSize(bytes));
        }
        let fraction: f64 = number.parse().map_err(|_| bad())?;
        let bytes = fraction * (1u64 << shift) as f64;
        if bytes.is_finite() && (0.0..9.2e18).contains(&bytes) {
            Ok(ByteSize(bytes as u64))
        } else {
            Err(bad())
        }
    }
}

impl ByteSize {
    /// Binary units with four significant digits, as `docker stats`: `1.953MiB`.
    pub fn binary(self) -> String {
        scaled(
            self.0,
            1024.0,
            &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
        )
    }

    /// Decimal units, as `docker images` and block input/output: `7.8MB`.
    pub fn decimal(self) -> String {
        scaled(self.0, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.binary())
    }
}

fn scaled(bytes: u64, base: f64, units: &[&str]) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let digits = match value {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dockers_forms() {
        let four_gib = 4u64 << 30;
        for text in ["4g", "4GiB", "4096M", "4096mb", "4294967296", "4G", "4gb"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, four_gib, "{text}");
        }
        assert_eq!("1.5k".parse::<ByteSize>().unwrap().0, 1536);
        for bad in [
            "",
            "g",
            "-1",
            "4x",
            "4 gg",
            "1e5",
            "99999999999999999999",
            "18446744073709551615k",
        ] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn printed_as_docker_prints() {
        assert_eq!(ByteSize(0).binary(), "0B");
        assert_eq!(ByteSize(2_048_000).binary(), "1.953MiB");
        assert_eq!(ByteSize(4 << 30).binary(), "4GiB");
        assert_eq!(ByteSize(7_800_000).decimal(), "7.8MB");
        assert_eq!(ByteSize(656).decimal(), "656B");
    }

    proptest! {
        #[test]
        fn plain_numbers_are_bytes(n in 0u64..u64::MAX) {
            prop_assert_eq!(n.to_string().parse::<ByteSize>().unwrap(), ByteSize(n));
        }
        #[test]
        fn no_input_panics(text in ".{0,40}") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
