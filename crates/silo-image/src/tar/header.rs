//! The 512-byte header block: pure parsing of its fields.
//!
//! Called by the reader. Layout: tar(5), "POSIX ustar archives" and "GNU tar archives".

use silo_types::Result;

use super::{BLOCK, malformed};

/// A header block with a right checksum.
pub(crate) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    /// `None`: a block of zeros, the end of the archive.
    pub fn parse(block: &'a [u8; BLOCK]) -> Result<Option<Header<'a>>> {
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let header = Header(block);
        let said = number(&block[148..156]).ok_or_else(|| malformed("unreadable checksum"))?;
        // The checksum field itself counts as eight spaces; some old writers summed signed bytes.
        let of = |b: u8, i: usize| if (148..156).contains(&i) { b' ' } else { b };
        let unsigned: i64 = block
            .iter()
            .enumerate()
            .map(|(i, &b)| i64::from(of(b, i)))
            .sum();
        let signed: i64 = block
            .iter()
            .enumerate()
            .map(|(i, &b)| i64::from(of(b, i) as i8))
            .sum();
        if said != unsigned && said != signed {
            return Err(malformed(
                "wrong checksum: this is no tar archive, or it is damaged",
            ));
        }
        Ok(Some(header))
    }

    pub fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// Name with the ustar prefix.
    pub fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = if &self.0[257..263] == b"ustar\0" {
            text(&self.0[345..500])
        } else {
            b""
        };
        match prefix {
            b"" => name.to_vec(),
            prefix => [prefix, b"/", name].concat(),
        }
    }

    pub fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub fn mode(&self) -> Result<u32> {
        Ok((self.field(100, 8, "mode")? & 0o7777) as u32)
    }

    pub fn uid(&self) -> Result<i64> {
        self.field(108, 8, "uid")
    }

    pub fn gid(&self) -> Result<i64> {
        self.field(116, 8, "gid")
    }

    pub fn size(&self) -> Result<u64> {
        let size = self.field(124, 12, "size")?;
        u64::try_from(size).map_err(|_| malformed("negative size"))
    }

    pub fn mtime(&self) -> Result<i64> {
        self.field(136, 12, "mtime")
    }

    pub fn device(&self) -> Result<(u32, u32)> {
        let part = |value: i64| u32::try_from(value).map_err(|_| malformed("bad device number"));
        Ok((
            part(self.field(329, 8, "devmajor")?)?,
            part(self.field(337, 8, "devminor")?)?,
        ))
    }

    fn field(&self, at: usize, len: usize, what: &str) -> Result<i64> {
        number(&self.0[at..at + len]).ok_or_else(|| malformed(format!("unreadable {what}")))
    }
}

/// Up to the first NUL.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}

/// Octal digits padded with spaces or NULs (empty: 0), or base-256 when the top bit is set.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return base256(field);
    }
    let digits = text(field).trim_ascii();
    let mut value: i64 = 0;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

/// Big-endian two's complement; the marker bit is replaced by the sign bit below it.
fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (i, &byte) in field.iter().enumerate() {
        let byte = match (i, negative) {
            (0, false) => byte & 0x7f,
            _ => byte,
        };
        value = (value << 8) | i128::from(byte);
    }
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xbf; 12]), None);
    }
}
