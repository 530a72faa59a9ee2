//! Compression of layers and archives, found by their first bytes and never by a name or a media type.
//!
//! Decompression always happens in this process (THREATS: 2026-41567), as a stream with bounded memory.

use std::io::{self, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use silo_types::{Doing, Error, Result};
use zstd::stream::read::Decoder;

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Largest window that a zstd stream may ask for, as a power of two: 128 MiB, the `zstd` program's own limit without `--long`.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Reads `source` decompressed.
///
/// Formats: gzip (also of several members), zstd, plain. xz and bzip2 are an error that names the way out.
pub(crate) fn decompress<'a>(
    mut source: impl Read + 'a,
) -> Result<(Compression, Box<dyn Read + 'a>)> {
    let mut magic = [0u8; 6];
    let filled = read_some(&mut source, &mut magic).doing("read the stream")?;
    let whole = BufReader::with_capacity(
        128 * 1024,
        Cursor::new(magic).take(filled as u64).chain(source),
    );
    match &magic[..filled] {
        [0x1f, 0x8b, ..] => Ok((Compression::Gzip, Box::new(MultiGzDecoder::new(whole)))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = Decoder::with_buffer(whole).doing("start zstd")?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG)
                .doing("limit zstd's memory")?;
            Ok((Compression::Zstd, Box::new(decoder)))
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(packed_with("xz")),
        [b'B', b'Z', b'h', ..] => Err(packed_with("bzip2")),
        _ => Ok((Compression::None, Box::new(whole))),
    }
}

fn packed_with(what: &str) -> Error {
    Error::unsupported(format!(
        "the stream is packed with {what}: unpack it first, for example '{what} -dc FILE | silo import -'"
    ))
}

/// Fills `buffer` as far as the stream goes.
pub(crate) fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
