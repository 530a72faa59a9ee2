//! The bytes of a recording: blocks of 4 KiB that each can be read alone. Pure.
//!
//! ```text
//! block   "SRB1" · number u32 · time u64 · check u32 · entry · entry · … · zeros
//! entry   milliseconds since the one before (never 0) · mask · difference of each figure in the mask · check u8
//! ```
//! Numbers are little-endian, those of entries LEB128; a counter's difference wraps, a gauge's is zigzag. The first entry starts
//! from zeros at the block's time. A block ends at its first byte that begins no entry: what a writer left undone, or a page
//! of an older round that the disk kept instead of the new one, is not read, as each check counts the block's number in.

use super::moment::{FIGURES, FORMS, Raw};

pub(super) const BLOCK: usize = 4096;
pub(super) const HEAD: usize = 20;

/// No entry is longer: time, mask, all figures, check.
pub(super) const LONGEST: usize = 10 + 4 + FIGURES * 10 + 1;

const MAGIC: [u8; 4] = *b"SRB1";

/// The first bytes of a block whose first entry comes one millisecond after `time`.
pub(super) fn head(number: u32, time: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&number.to_le_bytes());
    head[8..16].copy_from_slice(&time.to_le_bytes());
    let check = checksum(number, &head[..16]);
    head[16..].copy_from_slice(&check.to_le_bytes());
    head
}

/// Number and time of a block.
pub(super) fn parse_head(block: &[u8]) -> Option<(u32, u64)> {
    let head = block.get(..HEAD)?;
    let number = u32::from_le_bytes(head[4..8].try_into().ok()?);
    let time = u64::from_le_bytes(head[8..16].try_into().ok()?);
    let check = u32::from_le_bytes(head[16..].try_into().ok()?);
    (head[..4] == MAGIC && check == checksum(number, &head[..16])).then_some((number, time))
}

/// FNV-1a, begun with the block's number.
fn checksum(number: u32, bytes: &[u8]) -> u32 {
    let start = 0x811c_9dc5 ^ number.wrapping_mul(0x9e37_79b1);
    bytes.iter().fold(start, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn fold(sum: u32) -> u8 {
    (sum ^ (sum >> 8) ^ (sum >> 16) ^ (sum >> 24)) as u8
}

/// Writes the entry that leads from `before` to `now` into `out`; its length. `now` must be later.
pub(super) fn write_entry(number: u32, before: &Raw, now: &Raw, out: &mut [u8; LONGEST]) -> usize {
    let mut at = 0;
    put(out, &mut at, now.time.wrapping_sub(before.time));
    let pairs = || before.values.iter().zip(&now.values).enumerate();
    let mask = pairs()
        .filter(|(_, (old, new))| old != new)
        .fold(0u64, |mask, (bit, _)| mask | (1 << bit));
    put(out, &mut at, mask);
    for (figure, (old, new)) in pairs() {
        if old != new {
            let difference = new.wrapping_sub(*old);
            put(
                out,
                &mut at,
                match FORMS[figure].gauge {
                    true => zigzag(difference as i64),
                    false => difference,
                },
            );
        }
    }
    out[at] = fold(checksum(number, &out[..at]));
    at + 1
}

/// The entry at the start of `bytes`, and its length.
fn read_entry(number: u32, before: &Raw, bytes: &[u8]) -> Option<(Raw, usize)> {
    let mut at = 0;
    let passed = take(bytes, &mut at)?;
    if passed == 0 {
        return None;
    }
    let mask = take(bytes, &mut at)?;
    if mask >> FIGURES != 0 {
        return None;
    }
    let mut now = *before;
    now.time = before.time.checked_add(passed)?;
    for (figure, value) in now.values.iter_mut().enumerate() {
        if mask & (1 << figure) != 0 {
            let difference = take(bytes, &mut at)?;
            *value = value.wrapping_add(match FORMS[figure].gauge {
                true => unzigzag(difference) as u64,
                false => difference,
            });
        }
    }
    let check = fold(checksum(number, &bytes[..at]));
    (bytes.get(at) == Some(&check)).then_some((now, at + 1))
}

/// The entries of one block, in order.
pub(super) struct Entries<'a> {
    number: u32,
    block: &'a [u8],
    at: usize,
    last: Raw,
}

impl<'a> Entries<'a> {
    /// `None` when these bytes are no block.
    pub(super) fn of(block: &'a [u8]) -> Option<Entries<'a>> {
        let (number, time) = parse_head(block)?;
        Some(Entries {
            number,
            block,
            at: HEAD,
            last: Raw {
                time,
                ..Raw::default()
            },
        })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Where the next entry begins, and what the one before it said.
    pub(super) fn end(&self) -> (usize, Raw) {
        (self.at, self.last)
    }
}

impl Iterator for Entries<'_> {
    type Item = Raw;

    fn next(&mut self) -> Option<Raw> {
        let (now, length) = read_entry(self.number, &self.last, self.block.get(self.at..)?)?;
        self.at += length;
        self.last = now;
        Some(now)
    }
}

fn put(out: &mut [u8], at: &mut usize, mut value: u64) {
    while value >= 0x80 {
        out[*at] = value as u8 | 0x80;
        value >>= 7;
        *at += 1;
    }
    out[*at] = value as u8;
    *at += 1;
}

fn take(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw() -> impl Strategy<Value = Raw> {
        let value = prop_oneof![Just(0), 0..300u64, any::<u64>()];
        (1..100_000u64, prop::array::uniform24(value))
            .prop_map(|(time, values)| Raw { time, values })
    }

    /// A block of these entries, each `time` after the one before; where each of them ends.
    fn block(number: u32, entries: &[Raw]) -> (Vec<u8>, Vec<Raw>, Vec<usize>) {
        let mut bytes = vec![0; BLOCK];
        bytes[..HEAD].copy_from_slice(&head(number, 77));
        let mut last = Raw {
            time: 77,
            ..Raw::default()
        };
        let (mut at, mut kept, mut ends) = (HEAD, Vec::new(), Vec::new());
        for entry in entries {
            let now = Raw {
                time: last.time + entry.time,
                values: entry.values,
            };
            let mut out = [0; LONGEST];
            let length = write_entry(number, &last, &now, &mut out);
            if at + length > BLOCK {
                break;
            }
            bytes[at..at + length].copy_from_slice(&out[..length]);
            at += length;
            kept.push(now);
            ends.push(at);
            last = now;
        }
        (bytes, kept, ends)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u32, entries in prop::collection::vec(raw(), 0..40)) {
            let (bytes, kept, ends) = block(number, &entries);
            let mut read = Entries::of(&bytes).unwrap();
            prop_assert_eq!(read.by_ref().collect::<Vec<_>>(), kept);
            prop_assert_eq!(read.end().0, ends.last().copied().unwrap_or(HEAD));
        }

        #[test]
        fn a_cut_loses_the_last_entry_only(entries in prop::collection::vec(raw(), 1..20), cut in 0..10usize) {
            let (mut bytes, kept, ends) = block(3, &entries);
            let last = ends.last().copied().unwrap();
            let start = if ends.len() > 1 { ends[ends.len() - 2] } else { HEAD };
            bytes[(last - 1 - cut).max(start)..].fill(0);
            let read: Vec<Raw> = Entries::of(&bytes).unwrap().collect();
            // The check has eight bits: once in a while it fits what is left of the last.
            let whole = kept.len() - 1;
            prop_assert!(read.len() <= kept.len());
            prop_assert_eq!(&read[..whole], &kept[..whole]);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), number: u32) {
            let mut made = head(number, 5).to_vec();
            made.extend(&bytes);
            let all = Entries::of(&made).unwrap().count();
            prop_assert!(all <= bytes.len());
            prop_assert!(Entries::of(&bytes).is_none());
        }
    }

    #[test]
    fn a_page_of_an_older_round_is_not_read() {
        let entries = vec![
            Raw {
                time: 100,
                values: [9; FIGURES],
            };
            60
        ];
        let (old, ..) = block(1, &entries);
        let (new, ..) = block(25, &entries[..1]);
        let mut mixed = new[..HEAD].to_vec();
        mixed.extend(&old[HEAD..]);
        assert_eq!(Entries::of(&mixed).unwrap().count(), 0);
    }

    #[test]
    fn a_quiet_second_is_a_few_bytes() {
        let before = Raw {
            time: 0,
            values: [1000; FIGURES],
        };
        let mut now = before;
        now.time = 100;
        now.values[0] += 10_000;
        now.values[1] += 50;
        assert_eq!(write_entry(1, &before, &now, &mut [0; LONGEST]), 6);
    }
}
