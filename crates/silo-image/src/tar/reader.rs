//! The streaming reader: one entry after the other, its data through [`std::io::Read`].
//!
//! Called by the unpacker and by `load`. After [`Reader::next`] returned an entry, reading from the reader gives that entry's
//! data and nothing more; what is left unread is skipped.

use std::io::{self, Read};

use silo_types::{Doing, Result};

use super::{
    BLOCK, Entry, Kind, MAX_EXTENSION, MAX_PATH,
    header::Header,
    malformed,
    pax::{self, Records},
    sparse,
};
use crate::compress::read_some;

/// Bytes allowed after the end of the archive: writers pad to their record size, 10 KiB as a rule.
const MAX_TRAILER: u64 = 64 << 20;

/// Reads an archive from a stream.
pub(crate) struct Reader<R> {
    inner: R,
    /// Data of the present entry not read yet.
    left: u64,
    /// Padding after it.
    padding: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    pub fn new(inner: R) -> Reader<R> {
        Reader {
            inner,
            left: 0,
            padding: 0,
            ended: false,
        }
    }

    /// The next entry; `None` at the end of the archive.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        let mut records = Records::default();
        loop {
            let Some(block) = self.block()? else {
                return Ok(None);
            };
            let Some(header) = Header::parse(&block)? else {
                self.ended = true;
                return Ok(None);
            };
            match header.type_flag() {
                b'x' => records.parse(&self.extension(header.size()?)?)?,
                b'g' => Records::default().parse(&self.extension(header.size()?)?)?,
                b'L' => records.path = self.long_name(header.size()?)?,
                b'K' => records.link = self.long_name(header.size()?)?,
                _ => return self.entry(&block, &header, records).map(Some),
            }
        }
    }

    /// Reads what follows the archive, so that a hash of the stream covers all of it.
    pub fn finish(mut self) -> Result<()> {
        self.skip()?;
        let mut rest = (&mut self.inner).take(MAX_TRAILER + 1);
        let read = io::copy(&mut rest, &mut io::sink()).doing("read the end of the archive")?;
        if read > MAX_TRAILER {
            return Err(malformed("more than 64 MiB follow the end of the archive"));
        }
        Ok(())
    }

    /// The next block; `None` where the stream ends between entries (the two blocks of zeros may be missing).
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        self.skip()?;
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        match read_some(&mut self.inner, &mut block).doing("read the archive")? {
            BLOCK => Ok(Some(block)),
            0 => {
                self.ended = true;
                Ok(None)
            }
            _ => Err(malformed("it ends within a header")),
        }
    }

    fn skip(&mut self) -> Result<()> {
        let wanted = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.inner).take(wanted), &mut io::sink());
        if skipped.doing("read the archive")? != wanted {
            return Err(malformed("it ends within an entry"));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn start_data(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(malformed("an extension record is longer than 1 MiB"));
        }
        self.start_data(size);
        let mut data = vec![0; size as usize];
        self.fill(&mut data)?;
        Ok(data)
    }

    fn long_name(&mut self, size: u64) -> Result<Option<Vec<u8>>> {
        let data = self.extension(size)?;
        pax::path(super::header::text(&data))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        match read_some(self, buffer).doing("read the archive")? {
            n if n == buffer.len() => Ok(()),
            _ => Err(malformed("it ends within an entry")),
        }
    }

    fn entry(&mut self, block: &[u8; BLOCK], header: &Header, records: Records) -> Result<Entry> {
        let path = records.sparse.name.clone().or(records.path.clone());
        let mut entry = Entry {
            path: path.unwrap_or_else(|| header.path()),
            link: records.link.clone().unwrap_or_else(|| header.link()),
            kind: Kind::File,
            mode: header.mode()?,
            uid: owner(records.uid.map_or_else(|| header.uid(), Ok)?)?,
            gid: owner(records.gid.map_or_else(|| header.gid(), Ok)?)?,
            mtime: records
                .mtime
                .map_or_else(|| header.mtime().map(|s| (s, 0)), Ok)?,
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        };
        if entry.path.is_empty() || entry.path.len() > MAX_PATH {
            return Err(malformed("an entry without a name"));
        }
        let folder_like = entry.path.ends_with(b"/");
        entry.kind = match header.type_flag() {
            b'0' | 0 | b'7' | b'S' if !folder_like => Kind::File,
            b'0' | 0 | b'5' | b'D' => Kind::Directory,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'6' => Kind::Fifo,
            other => {
                let shown = String::from_utf8_lossy(&entry.path);
                return Err(malformed(format!(
                    "{shown}: unknown type {:?}",
                    other as char
                )));
            }
        };
        self.start_data(records.size.map_or_else(|| header.size(), Ok)?);
        match entry.kind {
            Kind::File => {
                entry.sparse = self.sparse_map(block, header, &records)?;
                entry.size = self.left;
            }
            Kind::CharDevice | Kind::BlockDevice => entry.device = header.device()?,
            // Some writers repeat the size of the file on its links: POSIX says that data follow only files.
            Kind::HardLink if records.size.is_none() => self.start_data(0),
            _ => {}
        }
        entry.xattrs = records.xattrs;
        Ok(entry)
    }

    fn sparse_map(
        &mut self,
        block: &[u8; BLOCK],
        header: &Header,
        records: &Records,
    ) -> Result<Option<sparse::Map>> {
        let map = if header.type_flag() == b'S' {
            self.old_map(block)?
        } else if records.sparse.major == 1 {
            self.map_in_data(records.sparse.size)?
        } else {
            match records.sparse.map() {
                Some(map) => map,
                None => return Ok(None),
            }
        };
        map.check(self.left).map(Some)
    }

    /// Old GNU format: four pieces in the header, further tables of 21 in blocks between it and the data.
    fn old_map(&mut self, block: &[u8; BLOCK]) -> Result<sparse::Map> {
        let size = super::header::number(&block[483..495]).and_then(|n| u64::try_from(n).ok());
        let mut map = sparse::Map {
            pieces: Vec::new(),
            size: size.ok_or_else(|| malformed("unreadable size of a sparse file"))?,
        };
        map.add_table(&block[386..482])?;
        let mut more = block[482] != 0;
        while more {
            let mut table = [0; BLOCK];
            let read = read_some(&mut self.inner, &mut table).doing("read the archive")?;
            if read < BLOCK || map.pieces.len() >= sparse::MAX_PIECES {
                return Err(malformed("endless table of a sparse file"));
            }
            map.add_table(&table[..504])?;
            more = table[504] != 0;
        }
        Ok(map)
    }

    /// Format 1.0: decimal numbers with newlines at the start of the data, padded to a block.
    fn map_in_data(&mut self, size: Option<u64>) -> Result<sparse::Map> {
        let bad = || malformed("unreadable map of a sparse file");
        let mut map = sparse::Map {
            pieces: Vec::new(),
            size: size.ok_or_else(bad)?,
        };
        let mut text = MapText::default();
        let count = text.number(self)?;
        if count > sparse::MAX_PIECES as u64 {
            return Err(bad());
        }
        for _ in 0..count {
            map.pieces.push((text.number(self)?, text.number(self)?));
        }
        Ok(map)
    }
}

/// The blocks of a map of format 1.0 as they are read.
#[derive(Default)]
struct MapText {
    block: Vec<u8>,
    at: usize,
}

impl MapText {
    fn number(&mut self, reader: &mut Reader<impl Read>) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            if self.at == self.block.len() {
                self.block.resize(BLOCK, 0);
                self.at = 0;
                reader.fill(&mut self.block)?;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => break,
                digit if digits.len() < 19 => digits.push(digit),
                _ => return Err(malformed("unreadable map of a sparse file")),
            }
        }
        let number = pax::integer(&digits).and_then(|n| u64::try_from(n).ok());
        number.ok_or_else(|| malformed("unreadable map of a sparse file"))
    }
}

/// A user or group id: 0 to 2³² − 2, for the last one means "leave it" to chown(2).
fn owner(id: i64) -> Result<u32> {
    match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(malformed(format!("{id} is no user or group id"))),
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buffer[..want])?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends within an entry",
            ));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::Writer;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
        let mut reader = Reader::new(bytes);
        let mut all = Vec::new();
        while let Some(entry) = reader.next()? {
            let mut data = Vec::new();
            reader.read_to_end(&mut data).doing("read")?;
            all.push((entry, data));
        }
        Ok(all)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut long = Entry::new(Kind::File, &[b'a'; 300], 0o4755);
        long.uid = 3_000_000;
        long.mtime = (1_700_000_000, 123_456_789);
        long.size = 3;
        long.xattrs.push((b"user.x".to_vec(), b"\0=\n".to_vec()));
        let mut link = Entry::new(Kind::Symlink, b"link", 0o777);
        link.link = vec![b'b'; 200];
        let mut writer = Writer::new(Vec::new());
        writer.append(&long, &mut &b"abc"[..]).unwrap();
        writer.append(&link, &mut io::empty()).unwrap();
        let bytes = writer.finish().unwrap();
        let all = read_all(&bytes).unwrap();
        assert_eq!(all, vec![(long, b"abc".to_vec()), (link, Vec::new())]);
    }

    #[test]
    fn truncated_archives_are_errors() {
        let mut writer = Writer::new(Vec::new());
        let mut entry = Entry::new(Kind::File, b"f", 0o644);
        entry.size = 2000;
        writer.append(&entry, &mut &[7u8; 2000][..]).unwrap();
        let bytes = writer.finish().unwrap();
        for cut in [1, 511, 513, 1500, 2511] {
            assert!(read_all(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(read_all(&bytes[..512 + 2048]).is_ok());
    }

    proptest! {
        #[test]
        fn no_input_panics(mut bytes in proptest::collection::vec(any::<u8>(), 512..4096), kind in any::<u8>()) {
            bytes[124..136].copy_from_slice(b"00000000100\0");
            bytes[156] = b"x0gLKS5"[usize::from(kind) % 7];
            for b in &mut bytes[100..124] { *b = b'0'; }
            bytes[148..156].copy_from_slice(b"        ");
            let sum: u64 = bytes[..512].iter().map(|&b| u64::from(b)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            let _ = read_all(&bytes);
        }
    }
}
