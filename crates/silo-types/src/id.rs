//! Container identifiers and names.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// 64 hexadecimal digits, as Docker's. Empty only in a configuration that was not created yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(String);

impl ContainerId {
    /// From 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> ContainerId {
        use std::fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        ContainerId(text)
    }

    /// Accepts exactly 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<ContainerId> {
        let good = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good {
            Ok(ContainerId(text.to_owned()))
        } else {
            Err(Error::invalid(format!(
                "{text:?} is not a container id of 64 hexadecimal digits"
            )))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same in 43 characters (RFC 4648, base64url): a symbolic link of up to 59 bytes needs no block of an ext4 disk.
    pub fn to_compact(&self) -> String {
        let mut text = String::with_capacity(43);
        let (mut bits, mut held) = (0u32, 0);
        let digits = self.0.bytes().filter_map(|b| char::from(b).to_digit(16));
        for digit in digits {
            bits = bits << 4 | digit;
            held += 4;
            if held >= 6 {
                held -= 6;
                text.push(char::from(BASE64URL[(bits >> held & 63) as usize]));
            }
        }
        if held > 0 {
            text.push(char::from(BASE64URL[(bits << (6 - held) & 63) as usize]));
        }
        text
    }

    /// Reads [`ContainerId::to_compact`].
    pub fn from_compact(text: &str) -> Result<ContainerId> {
        let malformed = || Error::invalid(format!("{text:?} is not a container id in base64url"));
        let mut id = String::with_capacity(64);
        let (mut bits, mut held) = (0u32, 0);
        for byte in text.bytes() {
            let value = BASE64URL.iter().position(|b| *b == byte);
            bits = bits << 6 | value.ok_or_else(malformed)? as u32;
            held += 6;
            while held >= 4 && id.len() < 64 {
                held -= 4;
                id.extend(char::from_digit(bits >> held & 15, 16));
            }
        }
        match text.len() {
            43 => ContainerId::parse(&id),
            _ => Err(malformed()),
        }
    }

    /// The first 12 digits: what people see and the default host name.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(12)]
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Docker's rule for container and volume names: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, here at most 255 bytes.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let rest_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let good = name.len() >= 2
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(rest_good);
    if !good {
        let shown: String = name.chars().take(80).collect();
        return Err(Error::invalid(format!(
            "invalid {what} name ({shown}): only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, at least two characters"
        )));
    }
    if name.len() > 255 {
        return Err(Error::invalid(format!(
            "{what} name of {} bytes is too long: at most 255",
            name.len()
        )));
    }
    Ok(())
}

const ADJECTIVES: [&str; 48] = [
    "able", "agile", "amber", "brave", "bright", "brisk", "calm", "clear", "clever", "cosy",
    "crisp", "curious", "deft", "eager", "early", "fair", "fleet", "fond", "frank", "fresh",
    "gentle", "glad", "golden", "grand", "happy", "hardy", "humble", "jolly", "keen", "kind",
    "lively", "loyal", "lucid", "mellow", "merry", "mild", "neat", "nimble", "noble", "patient",
    "plucky", "proud", "quick", "quiet", "solid", "steady", "sunny", "witty",
];

const SURNAMES: [&str; 48] = [
    "ampere", "babbage", "bartik", "bell", "bohr", "boole", "borg", "carson", "church", "curie",
    "darwin", "dijkstra", "euler", "faraday", "fermat", "fermi", "galois", "gauss", "germain",
    "goedel", "hamilton", "hertz", "hopper", "hypatia", "joule", "kepler", "knuth", "lamarr",
    "lamport", "leibniz", "lovelace", "maxwell", "meitner", "mendel", "newton", "noether",
    "pascal", "planck", "ritchie", "shannon", "tesla", "thompson", "torvalds", "turing", "volta",
    "watt", "wilson", "yalow",
];

/// A name like Docker's, `calm_lovelace`, from random bits; from the third attempt on with a number appended.
pub fn generate_name(random: u64, attempt: u32) -> String {
    let adjective = ADJECTIVES[(random % 48) as usize];
    let surname = SURNAMES[(random / 48 % 48) as usize];
    if attempt < 2 {
        format!("{adjective}_{surname}")
    } else {
        format!("{adjective}_{surname}{}", random / 2304 % 100_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_digits() {
        let id = ContainerId::from_bytes([0xab; 32]);
        assert_eq!(id.as_str().len(), 64);
        assert_eq!(id.short(), "abababababab");
        assert!(ContainerId::parse(id.as_str()).is_ok());
        assert!(ContainerId::parse("../etc").is_err());
    }

    #[test]
    fn compact_ids_are_the_same_ids() {
        let bytes: [u8; 32] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        let id = ContainerId::from_bytes(bytes);
        let compact = id.to_compact();
        // `base64.urlsafe_b64encode` of Python says the same.
        assert_eq!(compact, "CzBVep_E6Q4zWH2ix-wRNluApcrvFDleg6jN8hc8YYY");
        assert_eq!(ContainerId::from_compact(&compact).unwrap(), id);
        for bad in ["", "AA", &compact[1..], &format!("{compact}A"), "../../x"] {
            assert!(ContainerId::from_compact(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["pinger", "a1", "my.web-1_x"] {
            assert!(check_name("container", good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-x", "../x", "a/b", "a b", "é1"] {
            assert!(check_name("container", bad).is_err(), "{bad}");
        }
        assert!(check_name("container", &"x".repeat(65536)).is_err());
        assert!(check_name("container", &generate_name(12345, 0)).is_ok());
    }
}
