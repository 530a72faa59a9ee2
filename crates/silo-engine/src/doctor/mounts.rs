//! Mounts that belong to a container, seen from the host: Silo makes none there, so one that is found was left by a hand or by a
//! tool, and keeps files or a network namespace in use.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use silo_types::{ContainerId, Doing, Result};

use crate::{Paths, store::Aside};

/// One line of the mount table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mounted {
    /// Whose it is.
    pub(super) id: ContainerId,
    pub(super) point: PathBuf,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A container's root.
    Overlay,
    /// Keeps a namespace without a process.
    Namespace,
    Other,
}

impl Mounted {
    pub(super) fn text(&self) -> String {
        let what = match self.kind {
            Kind::Overlay => "overlay mount",
            Kind::Namespace => "mount that keeps a namespace",
            Kind::Other => "mount",
        };
        format!("{what} at {}", self.point.display())
    }

    /// Takes it away, also while somebody stands in it; whatever the last part of its path has become is not followed.
    pub(super) fn unmount(&self) -> Result<()> {
        use rustix::mount::{UnmountFlags, unmount};
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        match unmount(&self.point, flags) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).doing_with(|| format!("unmount {}", self.point.display())),
        }
    }
}

/// What is mounted for a container of these paths, the innermost first: in its folder, at its socket, or an overlay that writes
/// to its files, wherever that is.
pub(super) fn of_containers(paths: &Paths) -> Vec<Mounted> {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let places = Places::of(paths);
    let mut found: Vec<Mounted> = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| places.mounted(line))
        .collect();
    found.sort_by_key(|mounted| std::cmp::Reverse(mounted.point.as_os_str().len()));
    found
}

/// Folders in which each name is a container's id, as the kernel calls them.
struct Places {
    containers: PathBuf,
    run: PathBuf,
}

impl Places {
    fn of(paths: &Paths) -> Places {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Places {
            containers: real(&paths.containers()),
            run: real(&paths.run),
        }
    }

    /// `ID PARENT DEV ROOT POINT OPTIONS [FIELDS] - TYPE SOURCE SUPER-OPTIONS`, proc_pid_mountinfo(5).
    fn mounted(&self, line: &[u8]) -> Option<Mounted> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        let (root, point) = (*fields.get(3)?, unescaped(fields.get(4)?));
        let (kind, options) = (*fields.get(dash + 1)?, *fields.get(dash + 3)?);
        let kind = match kind {
            b"overlay" => Kind::Overlay,
            b"nsfs" if root.contains(&b'[') => Kind::Namespace,
            _ => Kind::Other,
        };
        let upper = options
            .split(|byte| *byte == b',')
            .filter_map(|option| option.strip_prefix(b"upperdir="))
            .next();
        let id = below(&point, &self.containers)
            .or_else(|| below(&point, &self.run))
            .or_else(|| below(&unescaped(upper?), &self.containers))?;
        Some(Mounted { id, point, kind })
    }
}

/// The container whose folder in `folder` a path leads into, also while it is being removed.
fn below(path: &Path, folder: &Path) -> Option<ContainerId> {
    let first = path.strip_prefix(folder).ok()?.components().next()?;
    let name = first.as_os_str().to_str()?;
    match ContainerId::parse(name) {
        Ok(id) => Some(id),
        Err(_) => Aside::parse(name).map(|aside| aside.id),
    }
}

/// Blanks and their kin are written as three octal digits.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, more)) = rest.split_first() {
        let digits = more.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, byte) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = &more[3..];
            }
            _ => {
                out.push(first);
                rest = more;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn kind_of(line: &str) -> Option<(String, Kind)> {
        let places = Places {
            containers: PathBuf::from("/var/lib/silo/containers"),
            run: PathBuf::from("/run/silo"),
        };
        let found = places.mounted(line.replace("ID", ID).as_bytes())?;
        assert_eq!(found.id.as_str(), ID);
        Some((
            found.point.display().to_string().replace(ID, "ID"),
            found.kind,
        ))
    }

    #[test]
    fn a_containers_mounts_are_told_from_others() {
        for (line, point, kind) in [
            (
                "1 2 0:41 / /var/lib/silo/containers/ID/a\\040b rw - tmpfs tmpfs rw",
                "/var/lib/silo/containers/ID/a b",
                Kind::Other,
            ),
            (
                "1 2 0:41 / /var/lib/silo/containers/.removed+volumes-ID/a rw - tmpfs tmpfs rw",
                "/var/lib/silo/containers/.removed+volumes-ID/a",
                Kind::Other,
            ),
            (
                "1 2 0:4 net:[4026532325] /run/silo/ID rw shared:7 - nsfs nsfs rw",
                "/run/silo/ID",
                Kind::Namespace,
            ),
            (
                "1 2 0:41 / /mnt/x rw - overlay o rw,lowerdir=/l,upperdir=/var/lib/silo/containers/ID/upper,workdir=/w",
                "/mnt/x",
                Kind::Overlay,
            ),
        ] {
            assert_eq!(kind_of(line), Some((point.to_owned(), kind)), "{line}");
        }
        for line in [
            "1 2 0:41 / /var/lib/silo rw - ext4 /dev/vda rw",
            "1 2 0:41 / /var/lib/silo/containers rw - ext4 /dev/vda rw",
            "1 2 0:41 / /var/lib/silo/volumes/x/_data rw - nfs server:/x rw",
            "1 2 0:41 / /run/silo rw - tmpfs tmpfs rw",
            "1 2 0:41 / /run/silo/oci/ID rw - tmpfs tmpfs rw",
            "1 2 0:41 / /var/lib/silo-other/containers/ID rw - tmpfs tmpfs rw",
            "1 2 0:41 / /mnt/x rw - overlay o rw,lowerdir=/var/lib/silo/containers/ID/upper",
            "1 2 0:4 net:[4026532325] /run/netns/x rw - nsfs nsfs rw",
            "",
            "1 2 - - -",
        ] {
            assert_eq!(kind_of(line), None, "{line}");
        }
    }
}
