//! A procfs tree and the files of one process in it, read with one open and one read each into a reused buffer.
//!
//! Called by everything else in this crate. The root is a parameter, so that tests read fixtures and the engine /proc.
//! A process is opened once as a directory: its files then belong to it even when its number is used again.

use std::{
    ffi::CStr,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    buffer::spare_capacity,
    fs::{Mode, OFlags, RawDir, openat},
    io::Errno,
    path::{Arg, DecInt},
};
use silo_types::{Doing, Result};

use crate::text::number;

/// What a file of a process may hold at most: a status with 65 536 groups is the longest honest one.
const FILE_CAP: usize = 1 << 20;
/// Room for every usual file in one read.
const USUAL_SIZE: usize = 16 << 10;

/// A mounted procfs, proc(5).
#[derive(Debug)]
pub struct Proc {
    root: OwnedFd,
    path: PathBuf,
}

impl Proc {
    /// The host's /proc.
    pub fn host() -> Result<Proc> {
        Proc::at("/proc")
    }

    /// A procfs, or a copy of one, mounted elsewhere.
    pub fn at(root: impl AsRef<Path>) -> Result<Proc> {
        let path = root.as_ref().to_owned();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(io::Error::from)
            .doing_with(|| format!("open {}", path.display()))?;
        Ok(Proc { root, path })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Host pids of all processes (thread groups, kernel threads included), ascending.
    pub fn pids(&self) -> Result<Vec<i32>> {
        self.list_pids()
            .map_err(io::Error::from)
            .doing_with(|| format!("list {}", self.path.display()))
    }

    fn list_pids(&self) -> rustix::io::Result<Vec<i32>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.root, c".", flags, Mode::empty())?;
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut entries = RawDir::new(folder, &mut buffer);
        let mut pids = Vec::new();
        while let Some(entry) = entries.next() {
            // A process may end while its entry is read: the kernel then skips it.
            if let Some(pid) = number(entry?.file_name().to_bytes()) {
                pids.push(pid);
            }
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// One process; `ENOENT` when there is none.
    pub(crate) fn process(&self, pid: i32) -> rustix::io::Result<ProcessDir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&self.root, DecInt::new(pid), flags, Mode::empty())?;
        Ok(ProcessDir { fd })
    }

    /// The calling process, through /proc/self.
    pub(crate) fn own_process(&self) -> rustix::io::Result<ProcessDir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&self.root, c"self", flags, Mode::empty())?;
        Ok(ProcessDir { fd })
    }

    /// A file below the root, whole.
    pub(crate) fn read(&self, name: &CStr) -> Result<Vec<u8>> {
        let mut buffer = Vec::new();
        read_file(&self.root, name, &mut buffer, Extent::Whole)
            .map_err(io::Error::from)
            .doing_with(|| format!("read {}/{}", self.path.display(), name.to_string_lossy()))?;
        Ok(buffer)
    }
}

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// /proc/PID, held open.
pub(crate) struct ProcessDir {
    fd: OwnedFd,
}

impl ProcessDir {
    /// A file that the kernel makes in one piece: stat, status, cmdline, smaps_rollup, cgroup. One read in the usual case.
    pub(crate) fn read(&self, name: &CStr, buffer: &mut Vec<u8>) -> rustix::io::Result<()> {
        read_file(&self.fd, name, buffer, Extent::OnePiece)
    }

    /// A file that the kernel makes line by line (uid_map): read until nothing comes.
    pub(crate) fn read_lines(&self, name: &CStr, buffer: &mut Vec<u8>) -> rustix::io::Result<()> {
        read_file(&self.fd, name, buffer, Extent::Whole)
    }

    /// The inode number in a link such as `ns/pid` → `pid:[4026531836]`.
    pub(crate) fn namespace(&self, link: &CStr) -> rustix::io::Result<u64> {
        let mut room = [MaybeUninit::<u8>::uninit(); 64];
        let (target, _) = rustix::fs::readlinkat_raw(&self.fd, link, &mut room)?;
        namespace_inode(target).ok_or(Errno::INVAL)
    }

    /// The process's root directory, for lookups with `RESOLVE_IN_ROOT` only.
    pub(crate) fn root(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.fd, c"root", flags, Mode::empty())
    }
}

/// `pid:[4026531836]` → 4026531836.
fn namespace_inode(target: &[u8]) -> Option<u64> {
    let open = target.iter().position(|b| *b == b'[')?;
    number(target[open + 1..].strip_suffix(b"]")?)
}

#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// A read that leaves room in the buffer got everything.
    OnePiece,
    /// Only an empty read is the end.
    Whole,
}

fn read_file(
    folder: &OwnedFd,
    name: impl Arg,
    buffer: &mut Vec<u8>,
    extent: Extent,
) -> rustix::io::Result<()> {
    buffer.clear();
    buffer.reserve(USUAL_SIZE);
    let file = openat(
        folder,
        name,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    loop {
        let got = match rustix::io::read(&file, spare_capacity(buffer)) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let full = buffer.len() == buffer.capacity();
        if got == 0 || (extent == Extent::OnePiece && !full) || buffer.len() >= FILE_CAP {
            return Ok(());
        }
        if full {
            buffer.reserve(buffer.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_links() {
        assert_eq!(namespace_inode(b"pid:[4026531836]"), Some(4026531836));
        for bad in ["", "pid:", "pid:[]", "pid:[12", "pid:[x]", "["] {
            assert_eq!(namespace_inode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn own_files_are_read_whole() {
        let proc = Proc::host().unwrap();
        let own = proc.own_process().unwrap();
        let mut buffer = Vec::new();
        own.read(c"status", &mut buffer).unwrap();
        let mut whole = Vec::new();
        own.read_lines(c"status", &mut whole).unwrap();
        // The last line counts context switches: it differs, its presence says that nothing was cut.
        for text in [&buffer, &whole] {
            let text = String::from_utf8_lossy(text);
            assert!(text.contains("nonvoluntary_ctxt_switches:"), "{text}");
        }
        assert!(own.namespace(c"ns/pid").unwrap() > 0);
        let pids = proc.pids().unwrap();
        assert!(pids.contains(&(std::process::id() as i32)));
        assert!(pids.is_sorted());
    }

    #[test]
    fn long_files_are_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("7")).unwrap();
        let long = vec![b'x'; 50_000];
        std::fs::write(folder.path().join("7/cmdline"), &long).unwrap();
        let proc = Proc::at(folder.path()).unwrap();
        let mut buffer = Vec::new();
        proc.process(7)
            .unwrap()
            .read(c"cmdline", &mut buffer)
            .unwrap();
        assert_eq!(buffer, long);
    }
}
