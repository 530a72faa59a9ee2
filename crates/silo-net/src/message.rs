//! Netlink messages as bytes: a builder for batches and readers for answers.
//!
//! Used by every file here that talks to the kernel. What must hold: a length is checked before it is written, so that no
//! value from a configuration can wrap a 16-bit attribute length and smuggle in attributes of its own (CVE-2021-43784);
//! the readers take any bytes and never panic. Format: netlink(7), "include/uapi/linux/netlink.h".

use std::borrow::Cow;

use silo_types::{Error, Result};

pub const REQUEST: u16 = 0x1;
pub const ACK: u16 = 0x4;
pub const REPLACE: u16 = 0x100;
pub const EXCL: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;
/// `NLM_F_ROOT | NLM_F_MATCH`: all objects.
pub const DUMP: u16 = 0x300;
/// The kernel says: the objects changed while they were listed.
pub const DUMP_INTERRUPTED: u16 = 0x10;

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
const NESTED: u16 = 0x8000;
/// The two top bits of an attribute's kind are flags (nested, big endian).
const KIND_MASK: u16 = 0x3fff;

/// Several requests in one buffer, sent with one system call. The kernel carries them out in order.
pub struct Batch {
    bytes: Vec<u8>,
    first: u32,
    /// What each request does, for errors; its sequence number is `first` plus the index.
    doing: Vec<Cow<'static, str>>,
    /// Where the open message starts.
    start: usize,
    too_long: Option<usize>,
}

impl Batch {
    /// `first`: the sequence number of the first request.
    pub fn new(first: u32) -> Batch {
        Batch {
            bytes: Vec::with_capacity(512),
            first,
            doing: Vec::new(),
            start: 0,
            too_long: None,
        }
    }

    /// Opens the next request and closes the one before. `doing` says what fails if it fails: "create bridge silo0".
    pub fn begin(&mut self, kind: u16, flags: u16, doing: impl Into<Cow<'static, str>>) {
        self.close();
        self.start = self.bytes.len();
        let sequence = self.first.wrapping_add(self.doing.len() as u32);
        self.doing.push(doing.into());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes
            .extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
    }

    /// The fixed header that follows the netlink header, by family (`ifinfomsg`, `nfgenmsg`, …).
    pub fn body(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// One attribute; [`Batch::finish`] fails if it does not fit 16 bits of length.
    pub fn attr(&mut self, kind: u16, value: &[u8]) {
        match u16::try_from(value.len().saturating_add(ATTRIBUTE_HEADER)) {
            Ok(length) => {
                self.bytes.extend_from_slice(&length.to_ne_bytes());
                self.bytes.extend_from_slice(&kind.to_ne_bytes());
                self.bytes.extend_from_slice(value);
                self.pad();
            }
            Err(_) => self.too_long = Some(value.len()),
        }
    }

    /// A text attribute with its closing zero byte.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.attr(kind, &bytes);
    }

    /// A number in the host's byte order, as rtnetlink has them.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_ne_bytes());
    }

    /// A number in network byte order, as nfnetlink has them.
    pub fn number_be(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    /// An attribute that holds what `fill` appends.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Batch)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = self.bytes.len() - start;
        match u16::try_from(length) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.too_long = Some(length - ATTRIBUTE_HEADER),
        }
    }

    /// Closes the batch. An error is a value that was too long: nothing may be sent then.
    pub fn finish(mut self) -> Result<Finished> {
        self.close();
        if let Some(length) = self.too_long {
            return Err(Error::invalid(format!(
                "a netlink attribute cannot hold {length} bytes"
            )));
        }
        Ok(Finished {
            bytes: self.bytes,
            first: self.first,
            doing: self.doing,
            last_start: self.start,
        })
    }

    pub fn requests(&self) -> u32 {
        self.doing.len() as u32
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }

    fn close(&mut self) {
        if self.doing.is_empty() {
            return;
        }
        // A batch is a few KiB: a message of 4 GiB cannot be built from attributes that are checked one by one.
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// A batch ready to be sent.
pub struct Finished {
    bytes: Vec<u8>,
    first: u32,
    doing: Vec<Cow<'static, str>>,
    last_start: usize,
}

impl Finished {
    /// Asks for an answer to the last request: the others answer only when they fail.
    pub fn acknowledge_last(&mut self) {
        self.flag(self.last_start);
    }

    /// Asks for an answer to the request before the last: an nfnetlink batch ends with a marker that older kernels
    /// do not acknowledge.
    pub fn acknowledge_before_end(&mut self) -> u32 {
        let starts: Vec<usize> = message_starts(&self.bytes).collect();
        let index = starts.len().saturating_sub(2);
        if let Some(&start) = starts.get(index) {
            self.flag(start);
        }
        self.first.wrapping_add(index as u32)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Sequence number of the last request.
    pub fn last(&self) -> u32 {
        self.first
            .wrapping_add(self.doing.len() as u32)
            .wrapping_sub(1)
    }

    /// What the request of that number does; `None` if the number is not of this batch.
    pub fn doing(&self, sequence: u32) -> Option<&str> {
        let index = sequence.wrapping_sub(self.first) as usize;
        self.doing.get(index).map(|text| text.as_ref())
    }

    fn flag(&mut self, start: usize) {
        if let Some(flags) = self.bytes.get_mut(start + 6) {
            *flags |= ACK as u8;
        }
    }
}

fn message_starts(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut rest = messages(bytes);
    std::iter::from_fn(move || {
        let at = bytes.len() - rest.bytes.len();
        rest.next().map(|_| at)
    })
}

/// One message of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// What follows the netlink header.
    pub body: &'a [u8],
}

/// The messages in what one receive returned; stops at the first malformed one.
pub fn messages(bytes: &[u8]) -> Messages<'_> {
    Messages { bytes }
}

pub struct Messages<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32_at(self.bytes, 0)? as usize;
        if length < HEADER || length > self.bytes.len() {
            return None;
        }
        let message = Message {
            kind: u16_at(self.bytes, 4)?,
            flags: u16_at(self.bytes, 6)?,
            sequence: u32_at(self.bytes, 8)?,
            body: &self.bytes[HEADER..length],
        };
        let next = length.next_multiple_of(4).min(self.bytes.len());
        self.bytes = &self.bytes[next..];
        Some(message)
    }
}

/// The attributes in `bytes` as (kind without flags, value); stops at the first malformed one.
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { bytes }
}

/// The attributes that follow a fixed header of `header` bytes.
pub fn attributes_after(body: &[u8], header: usize) -> Attributes<'_> {
    attributes(body.get(header..).unwrap_or_default())
}

pub struct Attributes<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16_at(self.bytes, 0)?);
        let kind = u16_at(self.bytes, 2)? & KIND_MASK;
        if length < ATTRIBUTE_HEADER || length > self.bytes.len() {
            return None;
        }
        let value = &self.bytes[ATTRIBUTE_HEADER..length];
        let next = length.next_multiple_of(4).min(self.bytes.len());
        self.bytes = &self.bytes[next..];
        Some((kind, value))
    }
}

/// A text attribute's value, without its closing zero byte.
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A number in the host's byte order at an offset, if the bytes reach so far.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let slice = bytes.get(at..at.checked_add(4)?)?;
    slice.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let slice = bytes.get(at..at.checked_add(2)?)?;
    slice.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(fill: impl FnOnce(&mut Batch)) -> Result<Finished> {
        let mut batch = Batch::new(7);
        batch.begin(16, CREATE, "test");
        fill(&mut batch);
        batch.finish()
    }

    #[test]
    fn a_length_beyond_16_bits_is_refused() {
        let fits = vec![1u8; 65535 - 4];
        assert!(one(|b| b.attr(1, &fits)).is_ok());
        let long = vec![1u8; 65535 - 3];
        assert!(one(|b| b.attr(1, &long)).is_err());
        let wraps = vec![1u8; 65536 + 8];
        assert!(one(|b| b.attr(1, &wraps)).is_err());
    }

    #[test]
    fn a_nest_beyond_16_bits_is_refused() {
        let half = vec![1u8; 40_000];
        let two = one(|b| {
            b.nest(1, |b| {
                b.attr(2, &half);
                b.attr(3, &half);
            })
        });
        assert!(two.is_err());
    }

    #[test]
    fn batches_number_their_requests() {
        let mut batch = Batch::new(u32::MAX);
        batch.begin(1, 0, "first");
        batch.begin(2, 0, "second");
        batch.attr(9, b"abc");
        let mut finished = batch.finish().unwrap();
        finished.acknowledge_last();
        let read: Vec<Message> = messages(finished.bytes()).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].sequence, read[0].flags), (u32::MAX, REQUEST));
        assert_eq!((read[1].sequence, read[1].flags), (0, REQUEST | ACK));
        assert_eq!(finished.doing(u32::MAX), Some("first"));
        assert_eq!(finished.doing(finished.last()), Some("second"));
        assert_eq!(finished.doing(5), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec((0u16..0x3fff, proptest::collection::vec(any::<u8>(), 0..300)), 0..20), nested in any::<bool>()) {
            let finished = one(|b| {
                b.body(&[0; 16]);
                let put = |b: &mut Batch| for (kind, value) in &values { b.attr(*kind, value) };
                if nested { b.nest(5, put) } else { put(b) }
            }).unwrap();
            let message = messages(finished.bytes()).next().unwrap();
            let mut outer = attributes_after(message.body, 16);
            let found: Vec<(u16, Vec<u8>)> = if nested {
                let (kind, inner) = outer.next().unwrap();
                prop_assert_eq!(kind, 5);
                attributes(inner).map(|(k, v)| (k, v.to_vec())).collect()
            } else {
                outer.map(|(k, v)| (k, v.to_vec())).collect()
            };
            prop_assert_eq!(found, values);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for message in messages(&bytes) {
                for (_, value) in attributes_after(message.body, 16) {
                    let _ = text(value);
                    let _ = attributes(value).count();
                }
            }
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4);
        }
    }
}
