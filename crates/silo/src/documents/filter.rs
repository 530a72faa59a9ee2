//! `--filter KEY=VALUE`: values of one key are alternatives, keys all hold.

use std::collections::BTreeMap;

use silo_types::{Error, Result};

/// The filters of one command.
#[derive(Clone, Debug, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Errors: not `KEY=VALUE`, or a key that the command does not know.
    pub fn parse(typed: &[String], known: &[&str]) -> Result<Filters> {
        let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for filter in typed {
            let (key, value) = filter.split_once('=').ok_or_else(|| {
                Error::invalid(format!("invalid filter '{filter:.80}': use KEY=VALUE"))
            })?;
            let key = key.trim().to_ascii_lowercase();
            if !known.contains(&key.as_str()) {
                return Err(Error::invalid(format!(
                    "invalid filter '{key:.80}': known are {}",
                    known.join(", ")
                )));
            }
            filters
                .entry(key)
                .or_default()
                .push(value.trim().to_owned());
        }
        Ok(Filters(filters))
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The values given for a key.
    pub fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// True when the key was not given, or one of its values holds.
    pub fn any(&self, key: &str, holds: impl Fn(&str) -> bool) -> bool {
        self.0
            .get(key)
            .is_none_or(|values| values.iter().any(|v| holds(v)))
    }

    /// `label=KEY` or `label=KEY=VALUE`; several must all hold, as in Docker.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.values("label")
            .iter()
            .all(|wanted| has_label(labels, wanted))
            && !self
                .values("label!")
                .iter()
                .any(|refused| has_label(labels, refused))
    }
}

fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

/// Docker's patterns of names as far as people use them: a part of the text, with `^` and `$` for its ends.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, at_start) = match pattern.strip_prefix('^') {
        Some(rest) => (rest.strip_prefix('/').unwrap_or(rest), true),
        None => (pattern, false),
    };
    let (pattern, at_end) = match pattern.strip_suffix('$') {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    match (at_start, at_end) {
        (true, true) => text == pattern,
        (true, false) => text.starts_with(pattern),
        (false, true) => text.ends_with(pattern),
        (false, false) => text.contains(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values() {
        let typed = [
            "name=a".to_owned(),
            "name=b".to_owned(),
            "label=x".to_owned(),
        ];
        let filters = Filters::parse(&typed, &["name", "label"]).unwrap();
        assert!(filters.any("name", |v| v == "b"));
        assert!(!filters.any("name", |v| v == "c"));
        assert!(filters.any("id", |_| false));
        assert!(filters.labels(&BTreeMap::from([("x".into(), "1".into())])));
        assert!(!filters.labels(&BTreeMap::new()));
        assert!(Filters::parse(&["name".into()], &["name"]).is_err());
        assert!(Filters::parse(&["nope=1".into()], &["name"]).is_err());
    }

    #[test]
    fn patterns() {
        for (pattern, text, matches) in [
            ("in", "pinger", true),
            ("^ping", "pinger", true),
            ("^/ping", "pinger", true),
            ("^pinger$", "pinger2", false),
            ("er$", "pinger", true),
            ("x", "pinger", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), matches, "{pattern} {text}");
        }
    }
}
