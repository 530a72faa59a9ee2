//! Durations and sizes in Docker's words.

use std::time::Duration;

/// `Less than a second`, `About a minute`, `3 hours`, `2 weeks`: docker/go-units.
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (.., 0..=1) => "About an hour".to_owned(),
        (.., 2..48) => format!("{hours} hours"),
        (.., 48..336) => format!("{} days", hours / 24),
        (.., 336..1440) => format!("{} weeks", hours / 24 / 7),
        (.., 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// `0.4 s`, `14 s`, `3 min`, `2 h`, `5 d`: for lines that must stay short.
pub fn short_span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", length.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// ` = SIGKILL`, or nothing.
pub fn signal_of(name: &str) -> String {
    match name {
        "" => String::new(),
        name => format!(" = {name}"),
    }
}

/// Decimal units with so many significant digits: `7.8MB`.
pub fn size(bytes: u64, digits: usize) -> String {
    scaled(
        bytes as f64,
        1000.0,
        &["B", "kB", "MB", "GB", "TB", "PB", "EB"],
        digits,
    )
}

/// Go's `%.Ng` of the number in its unit.
fn scaled(mut value: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let whole = value.log10().floor().max(0.0) as usize + 1;
    // Go turns to exponents here; nobody wants to read them.
    let places = digits.saturating_sub(whole);
    let text = format!("{value:.places$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{}", units[unit])
}

/// At most `width` characters, the last of them an ellipsis when something was cut.
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// In double quotes, with Go's escapes for what a terminal must not see.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_dockers() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (180, "3 minutes"),
            (59 * 60, "59 minutes"),
            (HOUR, "About an hour"),
            (89 * 60, "About an hour"),
            (90 * 60, "2 hours"),
            (24 * HOUR, "24 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (60 * DAY, "2 months"),
            (365 * DAY, "12 months"),
            (800 * DAY, "2 years"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn spans_are_short() {
        for (milliseconds, text) in [
            (0, "0.0 s"),
            (1_449, "1.4 s"),
            (14_000, "14 s"),
            (180_000, "3 min"),
            (8_000_000, "2 h"),
            (400_000_000, "4 d"),
        ] {
            assert_eq!(short_span(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(
            (signal_of(""), signal_of("SIGKILL")),
            (String::new(), " = SIGKILL".into())
        );
    }

    #[test]
    fn sizes_are_dockers() {
        assert_eq!(size(0, 3), "0B");
        assert_eq!(size(999, 3), "999B");
        assert_eq!(size(7_800_000, 3), "7.8MB");
        assert_eq!(size(123_456_789, 3), "123MB");
        assert_eq!(size(1_024, 3), "1.02kB");
        assert_eq!(size(u64::MAX, 3), "18.4EB");
    }

    #[test]
    fn commands_are_cut_and_quoted() {
        assert_eq!(ellipsis("sleep 100", 20), "sleep 100");
        assert_eq!(
            ellipsis("abcdefghijklmnopqrstuvwxyz", 20),
            "abcdefghijklmnopqrs…"
        );
        assert_eq!(quoted("a\"b\x1b[31m"), "\"a\\\"b\\x1b[31m\"");
    }
}
