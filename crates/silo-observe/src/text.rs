//! Small helpers for bytes from /proc and for columns on a terminal, used by every parser and renderer here.

use std::{borrow::Cow, str::FromStr};

/// Text that is safe on a terminal: control characters, marks that reorder text and invalid UTF-8 become `?`, as in ps(1).
pub fn printable(bytes: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(bytes);
    if lossy.chars().all(|c| !is_unsafe(c)) {
        return lossy.into_owned();
    }
    lossy
        .chars()
        .map(|c| if is_unsafe(c) { '?' } else { c })
        .collect()
}

/// Characters that move the cursor, start an escape sequence or change the order of what is read.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
}

/// A decimal number that fills the whole field; `None` for anything else.
pub(crate) fn number<T: FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

/// The fields of a line, separated by any blanks.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
}

/// The value of a `Name:  123 kB` line in bytes.
pub(crate) fn kib_to_bytes(value: &[u8]) -> Option<u64> {
    number::<u64>(fields(value).next()?).map(|kib| kib.saturating_mul(1024))
}

/// `Name: value` split at the first colon.
pub(crate) fn key_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    Some((&line[..colon], &line[colon + 1..]))
}

/// Cells that a text takes on a terminal: 2 for East Asian wide letters and pictures, 0 for combining marks.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    match c as u32 {
        0..0x300 => 1,
        0x300..0x370 | 0x1ab0..0x1b00 | 0x1dc0..0x1e00 | 0x200b..0x200e | 0x20d0..0x2100 => 0,
        0xfe00..0xfe10 | 0xfe20..0xfe30 => 0,
        0x1100..0x1160 | 0x2e80..0xa4d0 | 0xac00..0xd7a4 | 0xf900..0xfb00 | 0xfe30..0xfe70 => 2,
        0xff00..0xff61 | 0xffe0..0xffe7 | 0x1f300..0x1f650 | 0x1f900..0x1fa00 => 2,
        0x20000..0x3fffe => 2,
        _ => 1,
    }
}

/// The text if it fits into `cells`, else its start and `…`.
pub(crate) fn fit(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    let mut used = 1;
    let mut short = String::new();
    for c in text.chars() {
        used += char_width(c);
        if used > cells {
            break;
        }
        short.push(c);
    }
    if cells > 0 {
        short.push('…');
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_never_reach_the_terminal() {
        assert_eq!(printable(b"a\x1b[31mb\nc\xff"), "a?[31mb?c?");
        assert_eq!(printable("x\u{202e}y".as_bytes()), "x?y");
        assert_eq!(printable("grün 箱".as_bytes()), "grün 箱");
    }

    #[test]
    fn cut_at_the_right_cell() {
        assert_eq!(fit("sleep 100", 9), "sleep 100");
        assert_eq!(fit("sleep 1000", 9), "sleep 10…");
        assert_eq!(fit("箱箱箱", 4), "箱…");
        assert_eq!(fit("abc", 0), "");
    }

    proptest! {
        #[test]
        fn a_cut_text_fits(text in ".{0,60}", cells in 0usize..50) {
            prop_assert!(width(&fit(&text, cells)) <= cells);
        }
        #[test]
        fn printable_has_no_controls(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!printable(&bytes).chars().any(char::is_control));
        }
    }
}
