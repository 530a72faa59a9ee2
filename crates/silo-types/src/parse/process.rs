//! `--user` and `--ulimit`.

use super::shown;
use crate::{Error, Result, Ulimit};

/// What setrlimit(2) knows, in lower case without `RLIMIT_`; Docker's list.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`; -1 is unlimited; HARD is SOFT when left out.
pub fn ulimit(text: &str) -> Result<Ulimit> {
    let bad = || {
        Error::invalid(format!(
            "invalid ulimit argument: {}: use NAME=SOFT[:HARD]",
            shown(text)
        ))
    };
    let (name, values) = text.split_once('=').ok_or_else(bad)?;
    let name = name.to_ascii_lowercase();
    if !ULIMITS.contains(&name.as_str()) {
        return Err(Error::invalid(format!(
            "invalid ulimit type: {}: use one of {}",
            shown(&name),
            ULIMITS.join(", ")
        )));
    }
    let number = |t: &str| t.parse::<i64>().ok().filter(|n| *n >= -1).ok_or_else(bad);
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(Ulimit { name, soft, hard })
}

/// `USER[:GROUP]`, names or numbers, returned as typed.
///
/// Digits are always a number and never looked up as a name; what does not fit 31 bits is refused, because an identifier
/// that wraps would end as root.
pub fn user(text: &str) -> Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    check_part("user", user, group.is_some())?;
    if let Some(group) = group {
        check_part("group", group, true)?;
    }
    Ok(text.to_owned())
}

/// One `--group-add`: a name or a number, by the same rule.
pub fn group(text: &str) -> Result<String> {
    check_part("group", text, false)?;
    Ok(text.to_owned())
}

fn check_part(what: &str, text: &str, may_be_empty: bool) -> Result<()> {
    if text.is_empty() && may_be_empty {
        return Ok(());
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse::<i32>() {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::invalid(format!(
                "invalid {what} {}: numbers go from 0 to 2147483647",
                shown(text)
            ))),
        };
    }
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | '/' | ',');
    if text.is_empty() || text.len() > 256 || text.starts_with(['-', '+']) || text.contains(odd) {
        return Err(Error::invalid(format!(
            "invalid {what} {:?}: use a name or a number",
            shown(text)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits() {
        let limit = ulimit("nofile=1024:2048").unwrap();
        assert_eq!(
            (limit.name.as_str(), limit.soft, limit.hard),
            ("nofile", 1024, 2048)
        );
        assert_eq!(ulimit("core=-1").unwrap().hard, -1);
        assert_eq!(ulimit("core=0:-1").unwrap().hard, -1);
        for bad in [
            "",
            "nofile",
            "nofile=",
            "x=1",
            "nofile=2:1",
            "core=-1:5",
            "core=-2",
            "core=1:2:3",
        ] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_never_wrap() {
        for good in [
            "",
            "root",
            "0",
            "2147483647",
            "1000:1000",
            "www-data:adm",
            ":5",
            "a.b",
            "1000:",
        ] {
            assert_eq!(user(good).unwrap(), good);
        }
        for bad in [
            "2147483648",
            "4294967296",
            "4294967295",
            "18446744073709551616",
            "-1",
            "+0",
            "0:4294967296",
            "a b",
            "a/b",
            "1:2:3",
            "a\n",
        ] {
            assert!(user(bad).is_err(), "{bad}");
        }
        assert!(group("4294967296").is_err() && group("").is_err() && group("adm").is_ok());
    }
}
