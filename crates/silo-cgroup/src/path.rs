//! A control group's path, checked once: what every other file here may join to a mount point without a second look.
//!
//! cgroupfs has no symbolic links, so a checked path cannot lead out of the hierarchy that it is joined to.

use silo_types::{Error, Result};
use std::fmt;

/// An absolute path below the root of each hierarchy, such as `/silo/3f2a…`: no empty, `.` or `..` component, no control
/// character, at most 255 bytes a component, never the root itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CgroupPath(String);

impl CgroupPath {
    /// Checks `text`; a trailing slash is dropped.
    pub fn new(text: &str) -> Result<CgroupPath> {
        let refuse = |why: &str| Err(Error::invalid(format!("cgroup path {text:?}: {why}")));
        let Some(inner) = text.strip_prefix('/') else {
            return refuse("it must begin with /");
        };
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return refuse("the root of the hierarchy is not Silo's to use");
        }
        if text.len() > 3000 {
            return refuse("it is longer than 3000 bytes");
        }
        for part in inner.split('/') {
            match part {
                "" | "." | ".." => return refuse("it has an empty, '.' or '..' component"),
                part if part.len() > 255 => return refuse("a component is longer than 255 bytes"),
                part if part.chars().any(char::is_control) => {
                    return refuse("it has a control character");
                }
                _ => {}
            }
        }
        Ok(CgroupPath(format!("/{inner}")))
    }

    /// This path with one more component.
    pub fn join(&self, name: &str) -> Result<CgroupPath> {
        if name.contains('/') {
            return Err(Error::invalid(format!("cgroup name {name:?} has a slash")));
        }
        CgroupPath::new(&format!("{}/{name}", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ancestors below the root, topmost first, without the path itself: `/a/b/c` gives `/a`, `/a/b`.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0
            .match_indices('/')
            .skip(1)
            .map(|(at, _)| &self.0[..at])
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_paths() {
        let path = CgroupPath::new("/silo/abc/").unwrap();
        assert_eq!(path.as_str(), "/silo/abc");
        assert_eq!(path.join("x").unwrap().as_str(), "/silo/abc/x");
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["/silo"]);
        let deep = CgroupPath::new("/a/b/c").unwrap();
        assert_eq!(deep.ancestors().collect::<Vec<_>>(), ["/a", "/a/b"]);
    }

    #[test]
    fn bad_paths() {
        let long = format!("/{}", "x".repeat(256));
        for bad in [
            "", "/", "//", "silo", "/a/../b", "/a//b", "/./a", "/a\nb", &long,
        ] {
            assert!(CgroupPath::new(bad).is_err(), "{bad:?}");
        }
        assert!(CgroupPath::new("/a").unwrap().join("b/c").is_err());
        assert!(CgroupPath::new("/a").unwrap().join("..").is_err());
    }
}
