//! Byte limits: `-m`, `--memory-swap`, `--memory-reservation`, `--shm-size`.

use crate::{ByteSize, Error, Result};

/// A size that fits the kernel's signed counters, in bytes. `what` names the flag in errors.
pub fn limit(what: &str, text: &str) -> Result<i64> {
    let size: ByteSize = text
        .parse()
        .map_err(|e: Error| e.context(format!("invalid {what}")))?;
    i64::try_from(size.0).map_err(|_| Error::invalid(format!("invalid {what}: larger than 8 EiB")))
}

/// The same, and `-1` for "unlimited".
pub fn limit_or_unlimited(what: &str, text: &str) -> Result<i64> {
    match text.trim() {
        "-1" => Ok(-1),
        other => limit(what, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!(limit("memory", "4g").unwrap(), 4 << 30);
        assert_eq!(limit_or_unlimited("memory-swap", "-1").unwrap(), -1);
        assert!(limit("memory", "-1").is_err());
        assert!(limit("memory", "18446744073709551615").is_err());
    }
}
