//! `--restart`, `--log-opt`, `--detach-keys`.

use super::shown;
use crate::{ByteSize, Error, LogConfig, LogDriver, RestartPolicy, Result};

/// `no`, `always`, `unless-stopped`, `on-failure[:RETRIES]`.
pub fn restart(text: &str) -> Result<RestartPolicy> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    let policy = match name {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure(0),
        _ => {
            return Err(Error::invalid(format!(
                "invalid restart policy: unknown policy '{}': use one of no, always, on-failure or unless-stopped",
                shown(name)
            )));
        }
    };
    match (policy, count) {
        (policy, None) => Ok(policy),
        (RestartPolicy::OnFailure(_), Some(count)) => {
            count.parse().map(RestartPolicy::OnFailure).map_err(|_| {
                Error::invalid(
                    "invalid restart policy format: maximum retry count must be a whole number",
                )
            })
        }
        _ => Err(Error::invalid(format!(
            "invalid restart policy: maximum retry count cannot be used with restart policy '{name}'"
        ))),
    }
}

/// `--log-driver` with all its `--log-opt KEY=VALUE`.
pub fn log_options(driver: &str, options: &[String]) -> Result<LogConfig> {
    let mut found = LogConfig {
        driver: match driver {
            "" | "json-file" => LogDriver::JsonFile,
            "none" => LogDriver::None,
            other => {
                return Err(Error::invalid(format!(
                    "no log driver named '{}': use json-file or none",
                    shown(other)
                )));
            }
        },
        ..LogConfig::default()
    };
    for option in options {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            _ if found.driver == LogDriver::None => {
                return Err(Error::invalid(
                    "the log driver none takes no options: remove --log-opt",
                ));
            }
            "max-size" => {
                found.max_size = match value {
                    "-1" => 0,
                    value => value.parse::<ByteSize>()?.0,
                }
            }
            "max-file" => {
                found.max_files = value
                    .parse()
                    .ok()
                    .filter(|files| (1..=1000).contains(files))
                    .ok_or_else(|| Error::invalid("max-file is a number from 1 to 1000"))?;
            }
            _ => {
                return Err(Error::invalid(format!(
                    "unknown log option '{}' for the json-file log driver: use max-size or max-file",
                    shown(key)
                )));
            }
        }
    }
    if found.max_files > 1 && found.max_size == 0 {
        return Err(Error::invalid("max-file cannot be used without max-size"));
    }
    Ok(found)
}

/// `ctrl-p,ctrl-q`.
pub const DEFAULT_DETACH_KEYS: &[u8] = &[0x10, 0x11];

/// `a,ctrl-b,ctrl-@`: letters and control keys with commas between, to the bytes that a terminal sends for them.
pub fn detach_keys(text: &str) -> Result<Vec<u8>> {
    text.split(',')
        .map(|key| {
            let control = key
                .strip_prefix("ctrl-")
                .or_else(|| key.strip_prefix("CTRL-"));
            match (control.unwrap_or(key).as_bytes(), control.is_some()) {
                ([byte @ 0x20..=0x7e], false) => Ok(*byte),
                ([byte @ b'a'..=b'z'], true) => Ok(byte - b'a' + 1),
                ([byte @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')], true) => Ok(byte - b'@'),
                (b"DEL", false) => Ok(0x7f),
                _ => Err(Error::invalid(format!(
                    "invalid detach keys: unknown character '{}': use letters and ctrl-LETTER with commas between, such as ctrl-p,ctrl-q",
                    shown(key)
                ))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies() {
        assert_eq!(
            restart("on-failure:3").unwrap(),
            RestartPolicy::OnFailure(3)
        );
        assert_eq!(restart("on-failure").unwrap(), RestartPolicy::OnFailure(0));
        assert_eq!(restart("").unwrap(), RestartPolicy::No);
        for bad in [
            "sometimes",
            "always:3",
            "on-failure:x",
            "on-failure:-1",
            "no:1",
            "on-failure:",
        ] {
            assert!(restart(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn log_rotation() {
        let options = ["max-size=10m".to_owned(), "max-file=3".to_owned()];
        let log = log_options("", &options).unwrap();
        assert_eq!((log.max_size, log.max_files), (10 << 20, 3));
        for (driver, option) in [
            ("json-file", "max-file=3"),
            ("json-file", "max-file=0"),
            ("json-file", "max-size=x"),
            ("json-file", "tag=x"),
            ("none", "max-size=1m"),
        ] {
            assert!(
                log_options(driver, &[option.to_owned()]).is_err(),
                "{driver} {option}"
            );
        }
        assert!(log_options("syslog", &[]).is_err());
    }

    #[test]
    fn keys() {
        assert_eq!(detach_keys("ctrl-p,ctrl-q").unwrap(), DEFAULT_DETACH_KEYS);
        assert_eq!(
            detach_keys("a,ctrl-@,ctrl-[,DEL").unwrap(),
            [b'a', 0, 27, 127]
        );
        for bad in ["", "ab", "ctrl-", "ctrl-A1", "a,", "é"] {
            assert!(detach_keys(bad).is_err(), "{bad}");
        }
    }
}
