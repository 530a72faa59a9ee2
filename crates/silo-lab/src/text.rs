//! Text that may hold any bytes: how the shell keeps file names and data that are not UTF-8 in ordinary `String`s.
//!
//! Each byte that is not part of valid UTF-8 becomes one character of a plane-16 private-use range and is turned back on
//! the way out, so that `cat "$f"` opens the very file that a glob found. Called wherever bytes enter or leave the shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

const BASE: u32 = 0x10_FF00;

/// Bytes from outside → text; never fails, and [`to_bytes`] gives the same bytes back.
pub fn from_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(
            chunk
                .invalid()
                .iter()
                .filter_map(|&b| char::from_u32(BASE + u32::from(b))),
        );
    }
    text
}

/// Text → the bytes that it stands for.
pub fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c)
            .checked_sub(BASE)
            .and_then(|b| u8::try_from(b).ok())
        {
            Some(raw) => bytes.push(raw),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// As [`from_bytes`], for arguments, file names and environment values.
pub fn from_os(name: &OsStr) -> String {
    from_bytes(name.as_bytes())
}

/// As [`to_bytes`], for arguments, file names and environment values.
pub fn to_os(text: &str) -> OsString {
    OsString::from_vec(to_bytes(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_both_ways() {
        for bytes in [
            &b"plain"[..],
            "d\u{e9}j\u{e0}".as_bytes(),
            b"a\xffb\x80",
            b"\xf0\x9f",
            b"",
        ] {
            assert_eq!(to_bytes(&from_bytes(bytes)), bytes);
        }
    }
}
