//! `--cpus`, `--cpuset-cpus`, `--cpuset-mems`.

use super::shown;
use crate::{Error, Result};

/// No list of CPUs or memory nodes names a number from here on, whatever the host says: the kernel's NR_CPUS is at most 8192.
pub const MAX_CPUS: u32 = 8192;

/// A decimal number of CPUs with at most nine places, to billionths of a CPU; `host_cpus` is how many there are.
///
/// `0` is "not set", as in Docker.
pub fn cpus(text: &str, host_cpus: u32) -> Result<i64> {
    let bad = || Error::invalid(format!("invalid number of CPUs: {}", shown(text)));
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && places.is_empty()) || !digits(whole) || !digits(places) {
        return Err(bad());
    }
    if places.len() > 9 {
        return Err(Error::invalid(format!(
            "the number of CPUs {} is too precise: at most nine places",
            shown(text)
        )));
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| bad())?
    };
    let nano: i64 = format!("{places:0<9}").parse().map_err(|_| bad())?;
    let total = whole
        .checked_mul(1_000_000_000)
        .and_then(|w| w.checked_add(nano))
        .ok_or_else(bad)?;
    let most = i64::from(host_cpus) * 1_000_000_000;
    if total != 0 && !(10_000_000..=most).contains(&total) {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {host_cpus}.00, as there are only {host_cpus} CPUs available"
        )));
    }
    Ok(total)
}

/// A list such as `0-3,5` of `what` ("CPUs", "memory nodes"); each number is below `count`. Returned as typed, without spaces.
pub fn cpu_list(what: &str, text: &str, count: u32) -> Result<String> {
    let text: String = text.split_whitespace().collect();
    if text.is_empty() {
        return Ok(text);
    }
    // A list that names each number once alone needs no more than this.
    if text.len() > 64 * 1024 {
        return Err(Error::invalid(format!("the list of {what} is too long")));
    }
    for part in text.split(',') {
        let bad = || Error::invalid(format!("invalid list of {what}: {}", shown(&text)));
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |t: &str| {
            if t.is_empty() || !t.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            // Numbers beyond u32 are as unavailable as any other.
            Ok(t.parse::<u32>().unwrap_or(u32::MAX))
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(bad());
        }
        if last >= count.min(MAX_CPUS) {
            return Err(Error::invalid(format!(
                "requested {what} are not available: requested {}, available: {}",
                shown(&text),
                match count {
                    0 | 1 => "0".to_owned(),
                    n => format!("0-{}", n - 1),
                }
            )));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_cpus() {
        for (typed, nano) in [
            ("1", 1_000_000_000),
            ("1.5", 1_500_000_000),
            (".5", 500_000_000),
            ("0.01", 10_000_000),
            ("2.", 2_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(cpus(typed, 2).unwrap(), nano, "{typed}");
        }
        for bad in [
            "",
            ".",
            "-1",
            "2.1",
            "0.001",
            "1e9",
            "1.0000000001",
            "99999999999999999999",
        ] {
            assert!(cpus(bad, 2).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpu_list("CPUs", "0-1, 3", 4).unwrap(), "0-1,3");
        for bad in [
            "4",
            "0-4",
            "0-4294967295",
            "3-1",
            "a",
            "1-",
            "-1",
            "1,,2",
            "0-99999999999999",
        ] {
            assert!(cpu_list("CPUs", bad, 4).is_err(), "{bad}");
        }
        // A host that claims more CPUs than any kernel has widens nothing.
        assert!(cpu_list("CPUs", "0-4294967294", u32::MAX).is_err());
    }

    proptest! {
        #[test]
        fn two_places_survive(hundredths in 1u32..=400) {
            let typed = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            prop_assert_eq!(cpus(&typed, 4).unwrap(), i64::from(hundredths) * 10_000_000);
        }
    }
}
