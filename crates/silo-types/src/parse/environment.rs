//! `--env`, `--env-file`, `--label`, `--label-file`, `--annotation`.

use super::shown;
use crate::{Error, Result};

/// Looks a variable up in the caller's environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// `KEY=VALUE`, or `KEY`, which takes the caller's value; `None` when the caller has none.
pub fn env(text: &str, host: Lookup) -> Result<Option<String>> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    if key.is_empty() || text.contains('\0') {
        return Err(Error::invalid(format!(
            "invalid environment variable: {}",
            shown(text)
        )));
    }
    Ok(match value {
        Some(_) => Some(text.to_owned()),
        None => host(key).map(|value| format!("{key}={value}")),
    })
}

/// The lines of an `--env-file`: as [`env`], with comments (`#`) and empty lines.
pub fn env_file(bytes: &[u8], host: Lookup) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (key, value) in key_lines("environment", bytes)? {
        let value = value.or_else(|| host(&key));
        found.extend(value.map(|value| format!("{key}={value}")));
    }
    Ok(found)
}

/// `KEY=VALUE` or `KEY`, which has an empty value.
pub fn label(text: &str) -> Result<(String, String)> {
    key_value("label", text)
}

/// The same for any `--WHAT KEY[=VALUE]`.
pub fn key_value(what: &str, text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.trim().is_empty() || text.contains('\0') {
        return Err(Error::invalid(format!(
            "invalid {what} '{}': empty name",
            shown(text)
        )));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// The lines of a `--label-file`.
pub fn label_file(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let lines = key_lines("label", bytes)?;
    Ok(lines
        .into_iter()
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect())
}

fn key_lines(what: &str, bytes: &[u8]) -> Result<Vec<(String, Option<String>)>> {
    let bad = |why: String| Error::invalid(format!("poorly formatted {what} file: {why}"));
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|e| bad(format!("not UTF-8 after byte {}", e.valid_up_to())))?;
    if text.contains('\0') {
        return Err(bad("it holds a NUL".to_owned()));
    }
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (line, None),
        };
        if key.is_empty() {
            return Err(bad(format!("no variable name on line '{}'", shown(line))));
        }
        if key.contains(char::is_whitespace) {
            return Err(bad(format!(
                "variable '{}' contains whitespaces",
                shown(key)
            )));
        }
        found.push((key.to_owned(), value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(key: &str) -> Option<String> {
        (key == "HOME").then(|| "/root".to_owned())
    }

    #[test]
    fn variables() {
        assert_eq!(env("A=b=c", &home).unwrap().unwrap(), "A=b=c");
        assert_eq!(env("A=", &home).unwrap().unwrap(), "A=");
        assert_eq!(env("HOME", &home).unwrap().unwrap(), "HOME=/root");
        assert_eq!(env("NONE", &home).unwrap(), None);
        for bad in ["", "=x", "A=\0"] {
            assert!(env(bad, &home).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files() {
        let text = "\u{feff}# comment\n\n  A=1 2\r\nHOME\nNONE\nB=\"quoted\"\n";
        assert_eq!(
            env_file(text.as_bytes(), &home).unwrap(),
            ["A=1 2", "HOME=/root", "B=\"quoted\""]
        );
        for bad in [&b"A B=1"[..], b"=1", b"A=\xff"] {
            assert!(env_file(bad, &home).is_err());
        }
        assert_eq!(
            label_file(b"a=1\nb").unwrap(),
            [("a".into(), "1".into()), ("b".into(), String::new())]
        );
    }

    #[test]
    fn labels() {
        assert_eq!(label("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(label("a").unwrap(), ("a".into(), String::new()));
        assert!(label("=b").is_err());
    }
}
