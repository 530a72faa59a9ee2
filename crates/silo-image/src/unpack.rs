//! Unpacking a tar stream below a folder: layers of images, and what `silo cp` brings.
//!
//! The archive is hostile until proven otherwise (THREATS, part C). Every path is resolved by the kernel as if the folder were the
//! root (`openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`), once, to a descriptor of its parent; the last component is never
//! followed. So `..`, absolute paths and links in the archive mean what they would mean inside a container, and cannot mean more.
//! Owner, mode, attributes and times are set through descriptors of what was made here.

use std::{
    io::Read,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
        XattrFlags,
    },
    io::Errno,
};
use silo_types::{Doing, Error, Result};

use crate::{
    overlay::{OPAQUE_XATTR, is_whiteout},
    tar::{Entry, Kind, Reader, malformed},
    tree::{remove_tree, tree_size},
};

/// How an archive is unpacked.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnpackOptions {
    /// `.wh.` names mean removal and become overlay whiteouts (OCI image specification, "Whiteouts"); else they are plain files.
    pub whiteouts: bool,
    /// Everything belongs to this user and group instead of the archive's.
    pub owner: Option<(u32, u32)>,
    /// A folder never replaces another kind of file, nor the reverse: that is a conflict (`silo cp`).
    pub keep_kind: bool,
    /// Mounts below the folder may be entered (a container's volumes); else that is an error.
    pub cross_mounts: bool,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    pub entries: u64,
    /// Bytes of the regular files that are there now.
    pub bytes: u64,
}

/// Unpacks a layer (plain tar with whiteouts) into the folder `dir`, up to the end of the stream.
pub fn apply_layer(dir: BorrowedFd<'_>, reader: impl Read) -> Result<Unpacked> {
    let options = UnpackOptions {
        whiteouts: true,
        ..UnpackOptions::default()
    };
    unpack(dir, reader, &options)
}

/// Unpacks a plain tar stream into the folder `dir`, up to the end of the stream.
///
/// # Errors
/// `Invalid`: malformed, or something in it points outside. What was unpacked before the error stays.
pub fn unpack(dir: BorrowedFd<'_>, reader: impl Read, options: &UnpackOptions) -> Result<Unpacked> {
    let mut archive = Reader::new(reader);
    let mut unpacker = Unpacker::new(dir, options);
    while let Some(entry) = archive.next()? {
        unpacker
            .entry(&entry, &mut archive)
            .map_err(|e| e.context(format!("unpack {}", shown(&entry.path))))?;
        unpacker.done.entries += 1;
    }
    archive.finish()?;
    unpacker.set_folder_times();
    Ok(unpacker.done)
}

/// Printable and short: names in archives may be anything.
fn shown(path: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(path)
        .escape_debug()
        .take(200)
        .collect();
    format!("\"{text}\"")
}

/// Removes empty parts, `.` and `..`; the result has no slash in front. `..` above the top is refused.
pub(crate) fn clean(path: &[u8]) -> Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(malformed("the path leads out of the archive"));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// Folder and last part of a clean path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    options: &'a UnpackOptions,
    /// The parent of the entry before: most entries share it.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Times of folders: set at the end, because filling a folder changes them.
    folder_times: Vec<(Vec<u8>, Timestamps)>,
    buffer: Vec<u8>,
    done: Unpacked,
}

/// A file larger than this is checked against the free space before it is written.
const CHECK_SPACE_FROM: u64 = 16 << 20;

impl<'a> Unpacker<'a> {
    fn new(root: BorrowedFd<'a>, options: &'a UnpackOptions) -> Unpacker<'a> {
        Unpacker {
            root,
            options,
            parent: None,
            folder_times: Vec::new(),
            buffer: vec![0; 128 * 1024],
            done: Unpacked::default(),
        }
    }

    fn entry(&mut self, entry: &Entry, data: &mut Reader<impl Read>) -> Result<()> {
        let path = clean(&entry.path)?;
        if path.is_empty() {
            return match entry.kind {
                Kind::Directory => self.top_folder(entry),
                _ => Err(malformed("only a folder can be the top")),
            };
        }
        let (folder, name) = split(&path);
        let parent = self.take_parent(folder)?;
        let result = match name.strip_prefix(b".wh.") {
            Some(hidden) if self.options.whiteouts => self.whiteout(parent.as_fd(), hidden),
            _ => self.make(entry, &path, parent.as_fd(), name, data),
        };
        // A replaced folder may have been the parent's own: then the descriptor is of no use any more.
        if self.parent.is_none() {
            self.parent = Some((folder.to_vec(), parent));
        }
        result
    }

    fn make(
        &mut self,
        entry: &Entry,
        path: &[u8],
        parent: BorrowedFd<'_>,
        name: &[u8],
        data: &mut Reader<impl Read>,
    ) -> Result<()> {
        match entry.kind {
            Kind::Directory => self.folder(entry, path, parent, name),
            Kind::File => self.file(entry, parent, name, data),
            Kind::HardLink => self.hard_link(entry, parent, name),
            Kind::Symlink => self.symlink(entry, parent, name),
            Kind::CharDevice => self.node(entry, parent, name, FileType::CharacterDevice),
            Kind::BlockDevice => self.node(entry, parent, name, FileType::BlockDevice),
            Kind::Fifo => self.node(entry, parent, name, FileType::Fifo),
        }
    }

    fn open_folder(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if !self.options.cross_mounts {
            resolve |= ResolveFlags::NO_XDEV;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path.is_empty() { &b"."[..] } else { path };
        // openat2(2): EAGAIN when something was renamed meanwhile and the kernel could not be sure of "..".
        for _ in 0..16 {
            match rustix::fs::openat2(self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The folder at `path`, with what is missing of it made.
    fn take_parent(&mut self, path: &[u8]) -> Result<OwnedFd> {
        if let Some((at, folder)) = self.parent.take()
            && at == path
        {
            return Ok(folder);
        }
        match self.open_folder(path) {
            Ok(folder) => Ok(folder),
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_parents(path),
            Err(error) => Err(error).doing("open its folder"),
        }
    }

    fn make_parents(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut folder = self.open_folder(b"").doing("open the top folder")?;
        let mut end = 0;
        for part in path.split(|&b| b == b'/') {
            end += part.len() + usize::from(end > 0);
            let below = match self.open_folder(&path[..end]) {
                Ok(below) => below,
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    self.make_implied_folder(folder.as_fd(), part)?;
                    self.open_folder(&path[..end]).doing("open its folder")?
                }
                Err(error) => return Err(error).doing("open its folder"),
            };
            folder = below;
        }
        Ok(folder)
    }

    /// A folder that the archive uses without having an entry for it: root's, 0755.
    fn make_implied_folder(&mut self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        let opaque = match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) if self.is_whiteout_at(parent, name) => {
                rustix::fs::unlinkat(parent, name, AtFlags::empty()).doing("replace a whiteout")?;
                rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))
                    .doing("create its folder")?;
                true
            }
            result => {
                result.doing("create its folder")?;
                false
            }
        };
        let folder = open_entry(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        // mkdirat(2) obeys the umask.
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))
            .doing("set the mode of its folder")?;
        if opaque { set_opaque(&folder) } else { Ok(()) }
    }

    fn is_whiteout_at(&self, parent: BorrowedFd<'_>, name: &[u8]) -> bool {
        self.options.whiteouts
            && rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|s| is_whiteout(&s))
    }

    /// `.wh.NAME` hides what lower layers have, never what this layer has; `.wh..wh..opq` hides all that they have here.
    fn whiteout(&mut self, parent: BorrowedFd<'_>, hidden: &[u8]) -> Result<()> {
        match hidden {
            b".wh..opq" => {
                return set_opaque(&open_entry(
                    parent,
                    b".",
                    OFlags::RDONLY | OFlags::DIRECTORY,
                )?);
            }
            b"" | b"." | b".." => return Err(malformed("a whiteout of nothing")),
            // aufs' own housekeeping, in old layers.
            other if other.starts_with(b".wh.") => return Ok(()),
            _ => {}
        }
        let device = rustix::fs::makedev(0, 0);
        match rustix::fs::mknodat(
            parent,
            hidden,
            FileType::CharacterDevice,
            Mode::empty(),
            device,
        ) {
            Err(Errno::EXIST) => {
                match open_entry(parent, hidden, OFlags::RDONLY | OFlags::DIRECTORY) {
                    Ok(folder) => set_opaque(&folder),
                    Err(_) => Ok(()),
                }
            }
            result => result.doing("create a whiteout"),
        }
    }

    fn top_folder(&mut self, entry: &Entry) -> Result<()> {
        let top = self.open_folder(b"").doing("open the top folder")?;
        self.set_attributes(&top, entry)?;
        self.folder_times.push((Vec::new(), times(entry)));
        Ok(())
    }

    fn folder(
        &mut self,
        entry: &Entry,
        path: &[u8],
        parent: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<()> {
        let mut opaque = false;
        let mode = Mode::from_raw_mode(0o700);
        match rustix::fs::mkdirat(parent, name, mode) {
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                    .doing("look at it")?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    opaque = self.options.whiteouts && is_whiteout(&stat);
                    self.clear(parent, name, true)?;
                    rustix::fs::mkdirat(parent, name, mode).doing("create it")?;
                }
            }
            result => result.doing("create it")?,
        }
        let folder = open_entry(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.set_attributes(&folder, entry)?;
        self.folder_times.push((path.to_vec(), times(entry)));
        if opaque { set_opaque(&folder) } else { Ok(()) }
    }

    fn file(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &[u8],
        data: &mut Reader<impl Read>,
    ) -> Result<()> {
        self.check_space(entry.size)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600));
        let file = match create() {
            Err(Errno::EXIST) => {
                self.clear(parent, name, false)?;
                create()
            }
            other => other,
        };
        let file = file.doing("create it")?;
        let size = match &entry.sparse {
            None => {
                self.copy(data, &file, entry.size, 0)?;
                entry.size
            }
            Some(map) => {
                for &(offset, length) in &map.pieces {
                    self.copy(data, &file, length, offset)?;
                }
                rustix::fs::ftruncate(&file, map.size).doing("set its size")?;
                map.size
            }
        };
        self.done.bytes += size;
        self.set_attributes(&file, entry)?;
        rustix::fs::futimens(&file, &times(entry)).doing("set its times")
    }

    fn check_space(&self, size: u64) -> Result<()> {
        if size < CHECK_SPACE_FROM {
            return Ok(());
        }
        let space = rustix::fs::fstatvfs(self.root).doing("ask for the free space")?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if size > free {
            return Err(Error::system(
                format!("{size} bytes are needed and {free} are free"),
                Errno::NOSPC,
            ));
        }
        Ok(())
    }

    fn copy(&mut self, data: &mut impl Read, file: &OwnedFd, size: u64, mut at: u64) -> Result<()> {
        let end = at + size;
        while at < end {
            let want = self
                .buffer
                .len()
                .min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let n = match data.read(&mut self.buffer[..want]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other.doing("read its data")?,
            };
            if n == 0 {
                return Err(malformed("its data are missing"));
            }
            let mut written = 0;
            while written < n {
                let count =
                    rustix::io::pwrite(file, &self.buffer[written..n], at).doing("write it")?;
                written += count;
                at += count as u64;
            }
        }
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        let target = clean(&entry.link)?;
        let (folder, target_name) = split(&target);
        if target_name.is_empty() || (self.options.whiteouts && target_name.starts_with(b".wh.")) {
            return Err(malformed("a hard link to nothing"));
        }
        let missing = || format!("link it to {}", shown(&entry.link));
        let from = self.open_folder(folder).doing_with(missing)?;
        // Without AT_SYMLINK_FOLLOW a link to a symbolic link is one to the link itself.
        let link = || rustix::fs::linkat(&from, target_name, parent, name, AtFlags::empty());
        match link() {
            Err(Errno::EXIST) => {
                if same_file(from.as_fd(), target_name, parent, name) {
                    return Ok(());
                }
                self.clear(parent, name, false)?;
                link().doing_with(missing)
            }
            result => result.doing_with(missing),
        }
    }

    fn symlink(&mut self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        let make = || rustix::fs::symlinkat(&entry.link[..], parent, name);
        match make() {
            Err(Errno::EXIST) => {
                self.clear(parent, name, false)?;
                make().doing("create it")?;
            }
            result => result.doing("create it")?,
        }
        let (uid, gid) = self.owner(entry);
        rustix::fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .doing("set its owner")?;
        rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .doing("set its times")
    }

    fn node(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &[u8],
        kind: FileType,
    ) -> Result<()> {
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        let make = || rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device);
        match make() {
            Err(Errno::EXIST) => {
                self.clear(parent, name, false)?;
                make().doing("create it")?;
            }
            result => result.doing("create it")?,
        }
        let (uid, gid) = self.owner(entry);
        rustix::fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .doing("set its owner")?;
        // fchmodat(2) follows links, and opening a device for more than its path would wake its driver.
        let node = open_entry(parent, name, OFlags::PATH)?;
        let link = format!("/proc/self/fd/{}", node.as_raw_fd());
        rustix::fs::chmodat(
            CWD,
            Path::new(&link),
            Mode::from_raw_mode(entry.mode),
            AtFlags::empty(),
        )
        .doing("set its mode")?;
        rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .doing("set its times")
    }

    /// Makes room for an entry: what was there goes away.
    fn clear(&mut self, parent: BorrowedFd<'_>, name: &[u8], for_folder: bool) -> Result<()> {
        let stat =
            rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).doing("look at it")?;
        let was_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if self.options.keep_kind && was_folder != for_folder {
            return Err(Error::conflict(
                "a folder cannot take the place of a file, nor a file that of a folder",
            ));
        }
        let gone = if was_folder {
            let folder = open_entry(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let size = tree_size(&folder)?;
            remove_tree(parent, name)?;
            size
        } else {
            rustix::fs::unlinkat(parent, name, AtFlags::empty()).doing("replace it")?;
            let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if regular && stat.st_nlink == 1 {
                stat.st_size as u64
            } else {
                0
            }
        };
        self.done.bytes = self.done.bytes.saturating_sub(gone);
        Ok(())
    }

    fn owner(&self, entry: &Entry) -> (Uid, Gid) {
        let (uid, gid) = self.options.owner.unwrap_or((entry.uid, entry.gid));
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    /// Owner first: chown(2) clears set-user-id bits and file capabilities.
    fn set_attributes(&self, file: &OwnedFd, entry: &Entry) -> Result<()> {
        let (uid, gid) = self.owner(entry);
        rustix::fs::fchown(file, Some(uid), Some(gid)).doing("set its owner")?;
        for (name, value) in &entry.xattrs {
            if !is_kept_xattr(name) {
                continue;
            }
            match rustix::fs::fsetxattr(file, &name[..], value, XattrFlags::empty()) {
                // user.* is a convenience that some file systems lack; a capability decides what a program may do.
                Err(Errno::NOTSUP) if name.starts_with(b"user.") => {}
                result => result.doing_with(|| format!("set its attribute {}", shown(name)))?,
            }
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode)).doing("set its mode")
    }

    fn set_folder_times(&self) {
        for (path, times) in self.folder_times.iter().rev() {
            // A folder that was replaced later has no times to keep.
            if let Ok(folder) = self.open_folder(path) {
                let _ = rustix::fs::futimens(&folder, times);
            }
        }
    }
}

/// Attributes that mean the same in every image. Not `trusted.overlay.*`, with which an image would steer the overlay mount, nor
/// labels and hashes of the security modules of another host.
pub(crate) fn is_kept_xattr(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

/// Opens one name in a folder, not through a link.
fn open_entry(parent: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).doing("open what was made")
}

fn set_opaque(folder: &OwnedFd) -> Result<()> {
    rustix::fs::fsetxattr(folder, OPAQUE_XATTR, b"y", XattrFlags::empty())
        .doing("mark the folder opaque (trusted.overlay.opaque)")
}

fn same_file(dir1: BorrowedFd<'_>, name1: &[u8], dir2: BorrowedFd<'_>, name2: &[u8]) -> bool {
    let stat = |dir, name: &[u8]| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    match (stat(dir1, name1), stat(dir2, name2)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime.0,
        tv_nsec: entry.mtime.1.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_never_lead_out() {
        assert_eq!(clean(b"./a//b/../c/").unwrap(), b"a/c");
        assert_eq!(clean(b"/etc/passwd").unwrap(), b"etc/passwd");
        assert_eq!(clean(b"./").unwrap(), b"");
        for bad in [&b"../x"[..], b"a/../../x", b"/..", b".."] {
            assert!(clean(bad).is_err());
        }
    }
}
