//! Reading and writing of cgroupfs files: one open, one transfer, no stat, no truncation.
//!
//! Failures are bare [`Errno`]s: the caller knows what the file means and words the error.

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pread, pwrite, read as read_fd};
use std::os::fd::{AsFd, OwnedFd};

/// The whole file as text; bytes that are no UTF-8 are replaced.
pub(crate) fn read(path: &str) -> Result<String, Errno> {
    let fd = open_read(path)?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        buffer.reserve(1024);
        if read_fd(&fd, rustix::buffer::spare_capacity(&mut buffer))? == 0 {
            break;
        }
    }
    Ok(String::from_utf8(buffer)
        .unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned()))
}

/// Writes `value` in one call, as cgroupfs wants it.
pub(crate) fn write(path: &str, value: &str) -> Result<(), Errno> {
    let fd = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write_fd(fd, value)
}

pub(crate) fn open_read(path: &str) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

pub(crate) fn open_write(path: &str) -> Result<OwnedFd, Errno> {
    open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
}

pub(crate) fn open_both(path: &str) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// One write at the start of an open file.
pub(crate) fn write_fd(fd: impl AsFd, value: &str) -> Result<(), Errno> {
    match pwrite(fd, value.as_bytes(), 0)? {
        n if n == value.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Reads an open file from its start into `buffer`, which is cleared first: cgroupfs makes the text anew each time.
/// Not for lists of processes: those come in pages, everything else is one record, whose end is a transfer that does not
/// fill the room (seq_file), which saves the read that would return nothing.
pub(crate) fn reread(fd: impl AsFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    buffer.clear();
    loop {
        buffer.reserve(4096);
        let (at, room) = (buffer.len() as u64, buffer.capacity() - buffer.len());
        if pread(&fd, rustix::buffer::spare_capacity(buffer), at)? < room {
            return Ok(());
        }
    }
}

/// The text of an open file, from its start.
pub(crate) fn reread_text(fd: impl AsFd) -> Result<String, Errno> {
    let mut buffer = Vec::with_capacity(4096);
    reread(fd, &mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

pub(crate) fn mkdir(path: &str) -> Result<(), Errno> {
    rustix::fs::mkdir(path, Mode::from_raw_mode(0o755))
}

/// The names of the directories in `path`: a group's children.
pub(crate) fn children(path: &str) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
