//! The writer: ustar headers, with a pax header in front where ustar has no room.
//!
//! Called by `save`, `export`, `cp` and the built-in image. The same entries always give the same bytes.

use std::io::{self, Read, Write};

use silo_types::{Doing, Result};

use super::{BLOCK, Entry, Kind};

/// Writes an archive to a stream.
pub(crate) struct Writer<W> {
    inner: W,
}

impl<W: Write> Writer<W> {
    pub fn new(inner: W) -> Writer<W> {
        Writer { inner }
    }

    /// Appends an entry with exactly `entry.size` bytes of `data`: longer data are cut, shorter are filled up with zeros, for a
    /// file may change while it is read.
    pub fn append(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        self.write(entry, data).doing_with(|| {
            format!(
                "write {} to the archive",
                String::from_utf8_lossy(&entry.path)
            )
        })
    }

    /// Writes the end of the archive and gives the stream back.
    pub fn finish(mut self) -> Result<W> {
        let end = self.inner.write_all(&[0; 2 * BLOCK]);
        end.and_then(|()| self.inner.flush())
            .doing("end the archive")?;
        Ok(self.inner)
    }

    fn write(&mut self, entry: &Entry, data: &mut dyn Read) -> io::Result<()> {
        let records = pax_records(entry);
        if !records.is_empty() {
            let mut extension = Entry::new(Kind::File, b"PaxHeaders/entry", 0o644);
            extension.size = records.len() as u64;
            self.inner.write_all(&header(&extension, b'x'))?;
            self.inner.write_all(&records)?;
            self.pad(extension.size)?;
        }
        self.inner
            .write_all(&header(entry, type_flag(entry.kind)))?;
        let copied = io::copy(&mut data.take(entry.size), &mut self.inner)?;
        io::copy(
            &mut io::repeat(0).take(entry.size - copied),
            &mut self.inner,
        )?;
        self.pad(entry.size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = (size % BLOCK as u64) as usize;
        match over {
            0 => Ok(()),
            _ => self.inner.write_all(&[0; BLOCK][over..]),
        }
    }
}

fn type_flag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// Largest number that fits the octal digits of a field of 8 and of 12 bytes.
const MAX_8: u64 = 0o7_777_777;
const MAX_12: u64 = 0o77_777_777_777;

fn header(entry: &Entry, type_flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block[..100], &entry.path);
    octal(&mut block[100..108], u64::from(entry.mode), MAX_8);
    octal(&mut block[108..116], u64::from(entry.uid), MAX_8);
    octal(&mut block[116..124], u64::from(entry.gid), MAX_8);
    octal(&mut block[124..136], entry.size, MAX_12);
    octal(
        &mut block[136..148],
        u64::try_from(entry.mtime.0).unwrap_or(0),
        MAX_12,
    );
    block[156] = type_flag;
    put(&mut block[157..257], &entry.link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], u64::from(entry.device.0), MAX_8);
    octal(&mut block[337..345], u64::from(entry.device.1), MAX_8);
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn put(field: &mut [u8], text: &[u8]) {
    let n = text.len().min(field.len());
    field[..n].copy_from_slice(&text[..n]);
}

/// A number with leading zeros; what does not fit is in the pax header, and zero here.
fn octal(field: &mut [u8], value: u64, max: u64) {
    let value = if value > max { 0 } else { value };
    let width = field.len() - 1;
    put(field, format!("{value:0width$o}").as_bytes());
}

fn pax_records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    if entry.path.len() > 100 {
        record(&mut records, b"path", &entry.path);
    }
    if entry.link.len() > 100 {
        record(&mut records, b"linkpath", &entry.link);
    }
    if entry.size > MAX_12 {
        record(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if u64::from(id) > MAX_8 {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    let (seconds, nanoseconds) = entry.mtime;
    if nanoseconds != 0 && seconds >= 0 {
        record(
            &mut records,
            b"mtime",
            format!("{seconds}.{nanoseconds:09}").as_bytes(),
        );
    } else if u64::try_from(seconds).is_ok_and(|s| s <= MAX_12) {
        // The header has it.
    } else {
        record(&mut records, b"mtime", seconds.to_string().as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}
