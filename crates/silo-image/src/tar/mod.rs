//! The tar format: a streaming reader made for hostile input, and a writer.
//!
//! Read: POSIX ustar and pax (pax(1)), GNU long names and sparse files, base-256 numbers. Memory is bounded whatever the stream
//! says: extension records are at most 1 MiB, paths at most 4096 bytes. No file is touched here.

pub(crate) mod header;
pub(crate) mod pax;
pub(crate) mod reader;
pub(crate) mod sparse;
pub(crate) mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

use silo_types::Error;

/// A tar file is made of blocks of so many bytes.
pub(crate) const BLOCK: usize = 512;

/// Longest path or link target, PATH_MAX of limits.h.
pub(crate) const MAX_PATH: usize = 4096;

/// Longest extension record (a pax header, a GNU long name).
pub(crate) const MAX_EXTENSION: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry, extensions applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// As in the archive: not cleaned.
    pub path: Vec<u8>,
    /// Target of a link, else empty.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// The low twelve bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since the epoch and nanoseconds.
    pub mtime: (i64, u32),
    /// Bytes of data in the stream; 0 for all but files.
    pub size: u64,
    /// Major and minor of devices.
    pub device: (u32, u32),
    /// Name and value, from `SCHILY.xattr.` records.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The file has holes: its data are these pieces.
    pub sparse: Option<sparse::Map>,
}

impl Entry {
    /// An entry owned by root at the epoch without data.
    pub fn new(kind: Kind, path: &[u8], mode: u32) -> Entry {
        Entry {
            path: path.to_vec(),
            link: Vec::new(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}

pub(crate) fn malformed(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("malformed tar archive: {why}"))
}
