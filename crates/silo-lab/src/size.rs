//! Sizes and durations as people type and read them.

/// `64m`, `1g`, `4GiB`, `512` → bytes. Units are powers of 1024, as Docker's.
///
/// # Errors
/// A sentence that names the text.
pub fn parse(text: &str) -> Result<u64, String> {
    let bad = || format!("bad size: {text}; say for example 64m, 1g or 4GiB");
    let lower = text.trim().to_lowercase();
    let end = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let factor = match lower[end..].trim() {
        "" | "b" => 1_u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    let number = &lower[..end];
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(bad);
    }
    let bytes = number.parse::<f64>().map_err(|_| bad())? * factor as f64;
    if bytes < u64::MAX as f64 {
        Ok(bytes as u64)
    } else {
        Err(bad())
    }
}

/// Bytes → `1.25 GiB`.
pub fn human(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value >= 100.0 => format!("{value:.0} {}", UNITS[unit]),
        _ if value >= 10.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.2} {}", UNITS[unit]),
    }
}

/// `1.5`, `30s`, `2m`, `1h`, `1d` → a duration; `infinity` is `None`.
///
/// # Errors
/// A sentence that names the text.
pub fn duration(text: &str) -> Result<Option<std::time::Duration>, String> {
    let bad = || format!("bad duration: {text}");
    if matches!(text, "infinity" | "inf") {
        return Ok(None);
    }
    let (number, factor) = match text.char_indices().last().ok_or_else(bad)? {
        (at, 's') => (&text[..at], 1.0),
        (at, 'm') => (&text[..at], 60.0),
        (at, 'h') => (&text[..at], 3600.0),
        (at, 'd') => (&text[..at], 86400.0),
        _ => (text, 1.0),
    };
    let seconds = number.parse::<f64>().map_err(|_| bad())? * factor;
    std::time::Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("512", 512),
            ("64m", 64 << 20),
            ("1g", 1 << 30),
            ("4GiB", 4 << 30),
            ("1.5k", 1536),
            ("4096mb", 4 << 30),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "-1", "4x", "99999999999t"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(human(5 << 28), "1.25 GiB");
        assert_eq!(human(310 << 20), "310 MiB");
        assert_eq!(human(12), "12 B");
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1.5"), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(duration("2m"), Ok(Some(Duration::from_secs(120))));
        assert_eq!(duration("infinity"), Ok(None));
        assert!(duration("-1").is_err() && duration("x").is_err() && duration("").is_err());
    }
}
