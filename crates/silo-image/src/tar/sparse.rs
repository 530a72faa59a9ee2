//! Files with holes: GNU tar's old format and its pax formats 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").
//!
//! Called by the reader. A [`Map`] is checked: pieces in order, inside the file, and together as long as the data.

use silo_types::Result;

use super::{header, malformed, pax};

/// Most pieces that one file may have.
pub(crate) const MAX_PIECES: usize = 1 << 20;

/// Where the data of a file with holes go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Map {
    /// Offset and length of each piece.
    pub pieces: Vec<(u64, u64)>,
    /// Size of the file.
    pub size: u64,
}

impl Map {
    /// Checks the pieces against the file's size and the bytes of data that follow.
    pub fn check(self, data: u64) -> Result<Map> {
        let mut end = 0u64;
        let mut total = 0u64;
        for &(offset, length) in &self.pieces {
            let next = offset.checked_add(length);
            match next {
                Some(next) if offset >= end && next <= self.size => end = next,
                _ => {
                    return Err(malformed(
                        "the pieces of a sparse file overlap or lie outside",
                    ));
                }
            }
            total += length;
        }
        if total != data || i64::try_from(self.size).is_err() {
            return Err(malformed("the pieces of a sparse file do not add up"));
        }
        Ok(self)
    }

    /// Adds the pieces of a table of old GNU headers: 12 + 12 digits each, ended by an empty one.
    pub fn add_table(&mut self, table: &[u8]) -> Result<()> {
        for row in table.chunks_exact(24) {
            if row[0] == 0 || self.pieces.len() == MAX_PIECES {
                break;
            }
            let part = |field| header::number(field).and_then(|n| u64::try_from(n).ok());
            match (part(&row[..12]), part(&row[12..])) {
                (Some(offset), Some(length)) => self.pieces.push((offset, length)),
                _ => return Err(malformed("unreadable table of a sparse file")),
            }
        }
        Ok(())
    }
}

/// The `GNU.sparse.` records of a pax header.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub major: u64,
    /// Offsets and lengths of formats 0.0 and 0.1, alternating.
    pub numbers: Vec<u64>,
}

impl Records {
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = |value| {
            let n = pax::integer(value).and_then(|n| u64::try_from(n).ok());
            n.ok_or_else(|| malformed("bad number in the records of a sparse file"))
        };
        match key {
            b"name" => self.name = pax::path(value)?,
            b"size" | b"realsize" => self.size = Some(number(value)?),
            b"major" => self.major = number(value)?,
            b"offset" | b"numbytes" => self.numbers.push(number(value)?),
            b"map" => {
                let all = value.split(|&b| b == b',').map(number);
                self.numbers = all.collect::<Result<_>>()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The map of formats 0.0 and 0.1; `None`: no such file.
    pub fn map(&self) -> Option<Map> {
        let size = self.size.filter(|_| self.major == 0)?;
        let pieces = self.numbers.chunks_exact(2).map(|p| (p[0], p[1]));
        Some(Map {
            pieces: pieces.collect(),
            size,
        })
    }
}
