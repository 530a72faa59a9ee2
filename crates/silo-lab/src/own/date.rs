//! `date [-u] [-d @SECONDS] [-I] [-R] [+FORMAT]`, `-s @SECONDS`

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::cli;

pub fn main(args: &[String]) -> i32 {
    cli::answer("date", text(args))
}

fn text(args: &[String]) -> Result<String, String> {
    let options = cli::options(
        args,
        "ud:s:IR",
        &[
            ("utc", 'u'),
            ("date", 'd'),
            ("set", 's'),
            ("iso-8601", 'I'),
            ("rfc-email", 'R'),
        ],
    )?;
    let zone = if options.has('u') {
        TimeZone::UTC
    } else {
        TimeZone::system()
    };
    if let Some(new) = options.value('s') {
        let time = moment(new, &zone)?.timestamp();
        let spec = rustix::time::Timespec {
            tv_sec: time.as_second(),
            tv_nsec: i64::from(time.subsec_nanosecond()),
        };
        rustix::time::clock_settime(rustix::time::ClockId::Realtime, spec)
            .map_err(|e| format!("cannot set the clock: {}", cli::reason(&e.into())))?;
    }
    let time = match options.value('d') {
        Some(given) => moment(given, &zone)?,
        None => Timestamp::now().to_zoned_datetime(zone),
    };
    let format = match options.operands.first().map(|f| f.strip_prefix('+')) {
        Some(Some(format)) => format,
        Some(None) => return Err("the format must begin with +".into()),
        None if options.has('I') => "%Y-%m-%d",
        None if options.has('R') => "%a, %d %b %Y %H:%M:%S %z",
        None => "%a %b %e %H:%M:%S %Z %Y",
    };
    jiff::fmt::strtime::format(format, &time)
        .map(|text| text + "\n")
        .map_err(|e| format!("bad format: {e}"))
}

/// `@SECONDS`, `now`, or a date such as `2024-05-01 12:00`.
fn moment(given: &str, zone: &TimeZone) -> Result<ZonedDateTime, String> {
    let bad = || format!("bad date: {given}; say for example '@86400' or '2024-05-01 12:00'");
    if given == "now" {
        return Ok(Timestamp::now().to_zoned_datetime(zone.clone()));
    }
    if let Some(seconds) = given.strip_prefix('@') {
        let seconds = seconds.parse().map_err(|_| bad())?;
        return Ok(Timestamp::from_second(seconds)
            .map_err(|_| bad())?
            .to_zoned_datetime(zone.clone()));
    }
    if let Ok(time) = given.parse::<Timestamp>() {
        return Ok(time.to_zoned_datetime(zone.clone()));
    }
    given
        .parse::<jiff::civil::DateTime>()
        .map_err(|_| bad())?
        .to_zoned_datetime(zone.clone())
        .map_err(|_| bad())
}
