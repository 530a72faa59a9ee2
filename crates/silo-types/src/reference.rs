//! References to images: `name[:tag][@digest]`.

use std::{fmt, str::FromStr};

use crate::{Error, Result};

/// A parsed reference. The repository is kept as typed (`lab`, `library/debian`, `registry:5000/team/app`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    pub repository: String,
    /// `latest` when neither tag nor digest was given.
    pub tag: Option<String>,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: Option<String>,
}

impl FromStr for ImageRef {
    type Err = Error;

    /// The grammar of the OCI distribution specification ("Pulling manifests") with an optional registry host.
    fn from_str(text: &str) -> Result<ImageRef> {
        let bad = |why: &str| {
            let shown: String = text.chars().take(80).collect();
            Error::invalid(format!("invalid reference format: {shown:?}: {why}"))
        };
        if text.len() > 512 {
            return Err(bad("longer than 512 characters"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|d| !is_digest(d)) {
            return Err(bad("the digest must be sha256: and 64 hexadecimal digits"));
        }
        let last_part = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[last_part..].split_once(':') {
            Some((_, tag)) => (&name[..name.len() - tag.len() - 1], Some(tag)),
            None => (name, None),
        };
        if tag.is_some_and(|t| !is_tag(t)) {
            return Err(bad(
                "a tag has up to 128 of [a-zA-Z0-9_.-] and starts with a letter, digit or _",
            ));
        }
        check_repository(repository).map_err(bad)?;
        let default_tag = digest.is_none().then_some("latest");
        Ok(ImageRef {
            repository: repository.to_owned(),
            tag: tag.or(default_tag).map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits, nothing else: a digest becomes a file name.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && word(text.as_bytes()[0])
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn check_repository(repository: &str) -> std::result::Result<(), &'static str> {
    let parts: Vec<&str> = repository.split('/').collect();
    let has_host = parts.len() > 1 && (parts[0].contains(['.', ':']) || parts[0] == "localhost");
    for part in &parts[usize::from(has_host)..] {
        if part.is_empty() {
            return Err("a part of the name is empty");
        }
        let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = part.as_bytes();
        if !bytes
            .iter()
            .all(|&b| alnum(b) || matches!(b, b'.' | b'_' | b'-'))
        {
            return Err("names have lower-case letters, digits and . _ - between them");
        }
        if !alnum(bytes[0]) || !alnum(bytes[bytes.len() - 1]) || part.contains("..") {
            return Err("names start and end with a lower-case letter or a digit");
        }
    }
    if has_host && !is_host(parts[0]) {
        return Err("the registry's host name is malformed");
    }
    Ok(())
}

/// `name.example`, `localhost:5000`.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    name.bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(good)
        && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, repository, tag) in [
            ("lab", "lab", Some("latest")),
            ("debian:12", "debian", Some("12")),
            ("localhost:5000/a/b", "localhost:5000/a/b", Some("latest")),
            ("reg.example:5000/a:1.0", "reg.example:5000/a", Some("1.0")),
        ] {
            let parsed: ImageRef = text.parse().unwrap();
            assert_eq!(parsed.repository, repository);
            assert_eq!(parsed.tag.as_deref(), tag);
        }
        let pinned: ImageRef = format!("lab@{digest}").parse().unwrap();
        assert_eq!(pinned.tag, None);
        assert_eq!(pinned.to_string(), format!("lab@{digest}"));
    }

    #[test]
    fn nothing_that_walks_a_path() {
        for bad in [
            "",
            "/",
            "../x",
            "a//b",
            "a/../b",
            "Lab",
            "lab:",
            "lab:..",
            "lab:a/b",
            "lab@sha256:x",
            "-lab",
            "lab@",
            "a b",
            "lab:-x",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printed_references_parse_to_themselves(text in "[a-z0-9./:@_-]{1,40}") {
            if let Ok(parsed) = text.parse::<ImageRef>() {
                prop_assert_eq!(parsed.to_string().parse::<ImageRef>().unwrap(), parsed);
            }
        }
    }
}
