//! Cells as ps(1) of procps prints them: times, terminals, states.
//!
//! Pure. Dates are in local seconds: the caller has added the offset from UTC.

use crate::Process;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY: i64 = 86_400;

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: i64,
    /// 0–11.
    month: usize,
    day: i64,
}

impl Date {
    /// From days since 1970-01-01. Years are counted from March, so that the leap day is the last of a year.
    fn of(days: i64) -> Date {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = ((from_march + 2) % 12) as usize;
        Date {
            year: era * 400 + year_of_era + i64::from(month < 2),
            month,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
        }
    }
}

/// (date, hours, minutes, seconds) of local seconds since the epoch.
fn civil(seconds: i64) -> (Date, i64, i64, i64) {
    let of_day = seconds.rem_euclid(DAY);
    let date = Date::of(seconds.div_euclid(DAY));
    (date, of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// `03:07` today, `Nov24` this year, else the year: columns STIME and START.
pub fn start_time(start: i64, now: i64) -> String {
    let (date, hours, minutes, _) = civil(start);
    let (today, ..) = civil(now);
    if date == today {
        format!("{hours:02}:{minutes:02}")
    } else if date.year == today.year {
        format!("{}{:02}", MONTHS[date.month], date.day)
    } else {
        date.year.to_string()
    }
}

/// `03:07:15` in the last 24 hours, else `Nov 24`: column STARTED.
pub fn started(start: i64, now: i64) -> String {
    let (date, hours, minutes, seconds) = civil(start);
    if now.saturating_sub(start) < DAY {
        format!("{hours:02}:{minutes:02}:{seconds:02}")
    } else {
        format!("{} {:02}", MONTHS[date.month], date.day)
    }
}

/// `Tue Nov 24 03:07:15 2026`.
pub fn long_start(start: i64) -> String {
    let (date, hours, minutes, seconds) = civil(start);
    let weekday = DAYS[start.div_euclid(DAY).rem_euclid(7) as usize];
    let month = MONTHS[date.month];
    format!(
        "{weekday} {month} {:2} {hours:02}:{minutes:02}:{seconds:02} {}",
        date.day, date.year
    )
}

/// `[DD-]HH:MM:SS`.
pub fn time(seconds: i64) -> String {
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 {
        format!("{days}-{clock}")
    } else {
        clock
    }
}

/// `M:SS`.
pub fn bsd_time(seconds: i64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// `[[DD-]HH:]MM:SS`.
pub fn elapsed(seconds: i64) -> String {
    let rest = seconds % DAY;
    let (hours, minutes, seconds_left) = (rest / 3600, rest / 60 % 60, rest % 60);
    match seconds / DAY {
        0 if hours == 0 => format!("{minutes:02}:{seconds_left:02}"),
        0 => format!("{hours:02}:{minutes:02}:{seconds_left:02}"),
        days => format!("{days}-{hours:02}:{minutes:02}:{seconds_left:02}"),
    }
}

/// One decimal, cut and not rounded; whole numbers from 100 on.
pub fn percent(value: f64, most: f64) -> String {
    let tenths = (value.clamp(0.0, most) * 10.0) as u64;
    if tenths >= 1000 {
        format!("{}", tenths / 10)
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

/// The terminal of a device number, Documentation/admin-guide/devices.txt; `?` for none.
pub fn terminal(device: u32) -> String {
    let major = device >> 8 & 0xfff;
    let minor = device & 0xff | device >> 12 & 0xfff00;
    match (major, minor) {
        (0, _) => "?".to_owned(),
        (136..=143, _) => format!("pts/{}", (major - 136) * 256 + minor),
        (4, 0..=63) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (5, 0) => "tty".to_owned(),
        (5, 1) => "console".to_owned(),
        (204, 64..) => format!("ttyAMA{}", minor - 64),
        (229, _) => format!("hvc{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

/// State with its marks, ps(1) "PROCESS STATE CODES": `<` urgent, `N` nice, `L` locked memory, `s` leads a session,
/// `l` has threads, `+` in the foreground.
pub fn stat(process: &Process) -> String {
    let marks = [
        (process.nice < 0, '<'),
        (process.nice > 0, 'N'),
        (process.locked > 0, 'L'),
        (process.host_sid == process.host_pid, 's'),
        (process.threads > 1, 'l'),
        (process.tpgid == process.host_pgid && process.tpgid > 0, '+'),
    ];
    let marks = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark);
    std::iter::once(process.state).chain(marks).collect()
}

/// Zombies are marked, as in `[sleep] <defunct>`.
pub fn defunct(command: String, process: &Process) -> String {
    if process.is_zombie() {
        command + " <defunct>"
    } else {
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-24 03:07:15 UTC
    const START: i64 = 1_795_489_635;

    #[test]
    fn dates() {
        assert_eq!(long_start(START), "Tue Nov 24 03:07:15 2026");
        assert_eq!(long_start(0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(long_start(951_782_400), "Tue Feb 29 00:00:00 2000");
        assert_eq!(long_start(-1), "Wed Dec 31 23:59:59 1969");
        assert_eq!(start_time(START, START + 60), "03:07");
        assert_eq!(start_time(START, START + DAY), "Nov24");
        assert_eq!(start_time(START, START + 60 * DAY), "2026");
        assert_eq!(started(START, START + 60), "03:07:15");
        assert_eq!(started(START, START + DAY), "Nov 24");
    }

    #[test]
    fn spans() {
        assert_eq!(time(0), "00:00:00");
        assert_eq!(time(90_061), "1-01:01:01");
        assert_eq!(bsd_time(3_725), "62:05");
        assert_eq!(elapsed(5), "00:05");
        assert_eq!(elapsed(3_725), "01:02:05");
        assert_eq!(elapsed(90_061), "1-01:01:01");
    }

    #[test]
    fn percents_and_terminals() {
        assert_eq!(percent(0.39, 999.0), "0.3");
        assert_eq!(percent(250.7, 999.0), "250");
        assert_eq!(percent(f64::NAN, 999.0), "0.0");
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(34816), "pts/0");
        assert_eq!(terminal(34816 + 7), "pts/7");
        assert_eq!(terminal(0x404), "tty4");
        assert_eq!(terminal(0x440), "ttyS0");
    }

    proptest! {
        #[test]
        fn no_number_panics(start in any::<i64>(), now in any::<i64>(), device in any::<u32>(), span in 0i64..i64::MAX) {
            let (start, now) = (start / 2, now / 2);
            let _ = (start_time(start, now), started(start, now), long_start(start), terminal(device));
            let _ = (time(span), bsd_time(span), elapsed(span));
        }
    }
}
