//! Moments: as Docker prints them, and as `--since` and `--until` take them. All are nanoseconds since the epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};
use silo_types::{Error, Result};

/// Now.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

/// How long ago a moment was; nothing for moments to come.
pub fn ago(moment: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(moment))
}

/// The same in few words: `14 s`.
pub fn ago_words(moment: u64) -> String {
    super::short_span(ago(moment))
}

/// `2026-01-02T03:04:05.678Z` as `inspect` shows it; 0 is Go's zero time.
pub fn rfc3339(moment: u64) -> String {
    match moment {
        0 => "0001-01-01T00:00:00Z".to_owned(),
        moment => timestamp(moment).to_string(),
    }
}

/// `2026-01-02T03:04:05Z`: for lines of a log.
pub fn rfc3339_seconds(moment: u64) -> String {
    timestamp(moment).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-02 03:04:05 +0100 CET` in the host's time zone.
pub fn local(moment: u64) -> String {
    timestamp(moment)
        .to_zoned_datetime(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S %z %Z")
        .to_string()
}

/// `2026-01-02T03:04:05.678000000+01:00` in the host's time zone, as `events` shows it.
pub fn local_rfc3339(moment: u64) -> String {
    timestamp(moment)
        .to_zoned_datetime(TimeZone::system())
        .strftime("%Y-%m-%dT%H:%M:%S.%9f%:z")
        .to_string()
}

/// `03:04:05` in the host's time zone; with the day before it where that is asked for: `02 Jan 03:04`.
pub fn clock(moment: u64, day: bool) -> String {
    let zoned = timestamp(moment).to_zoned_datetime(TimeZone::system());
    match day {
        true => zoned.strftime("%d %b %H:%M"),
        false => zoned.strftime("%H:%M:%S"),
    }
    .to_string()
}

/// Local time minus UTC, in seconds.
pub fn utc_offset() -> i32 {
    TimeZone::system().to_offset(timestamp(now())).seconds()
}

fn timestamp(moment: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(moment)).unwrap_or_default()
}

/// `--since`, `--until`: a duration before now (`10m`, `1h30m`), seconds since the epoch with a fraction, RFC 3339, or a date
/// with or without a time, which is local.
pub fn since(what: &str, text: &str) -> Result<u64> {
    if let Some(length) = go_duration(text) {
        return Ok(now().saturating_sub(length));
    }
    if let Some(moment) = epoch_seconds(text) {
        return Ok(moment);
    }
    let zoned = || {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        civil
            .to_zoned_datetime(TimeZone::system())
            .ok()
            .map(|z| z.timestamp())
    };
    let parsed: Option<Timestamp> = text.parse().ok().or_else(zoned);
    parsed
        .and_then(|t| u64::try_from(t.as_nanosecond()).ok())
        .ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            Error::invalid(format!(
                "invalid value for \"{what}\": '{shown}': use a duration such as 10m, a moment such as 2026-01-02T03:04:05Z, or seconds since 1970"
            ))
        })
}

/// Go's durations, `1h30m`, `1.5s`, `300ms`, in nanoseconds.
fn go_duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let scale = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * scale;
        rest = &rest[unit..];
    }
    (!text.is_empty() && total < 9.2e18).then_some(total as u64)
}

fn epoch_seconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    seconds
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_printed_as_docker_does() {
        assert_eq!(rfc3339(0), "0001-01-01T00:00:00Z");
        assert_eq!(
            rfc3339(1_500_000_000_120_000_000),
            "2017-07-14T02:40:00.12Z"
        );
        assert!(local(1_500_000_000_000_000_000).starts_with("2017-07-1"));
    }

    #[test]
    fn moments_are_read() {
        assert_eq!(
            since("since", "1500000000.5").unwrap(),
            1_500_000_000_500_000_000
        );
        assert_eq!(
            since("since", "2017-07-14T02:40:00Z").unwrap(),
            1_500_000_000_000_000_000
        );
        assert!(since("since", "2017-07-14").is_ok());
        assert!(since("since", "2017-07-14T02:40:00").is_ok());
        let hour_ago = since("since", "1h").unwrap();
        assert!(now() - hour_ago >= 3_600_000_000_000 && now() - hour_ago < 3_700_000_000_000);
        assert_eq!(go_duration("1h30m1.5s"), Some(5_401_500_000_000));
        for bad in ["", "yesterday", "1x", "-5m", "99999999999999999999"] {
            assert!(since("since", bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "\\PC{0,40}", number in "[0-9.hmsnu]{0,30}") {
            let _ = since("since", &text);
            let _ = since("since", &number);
        }
    }
}
