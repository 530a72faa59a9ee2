//! The messages of CRIU's service, as far as Silo speaks it: protocol buffers, written by hand (criu, images/rpc.proto).
//!
//! Pure; called by the files beside this one. What comes in is looked at with its lengths checked.

/// Kinds of requests and answers.
pub(super) const DUMP: u64 = 1;
pub(super) const RESTORE: u64 = 2;
pub(super) const PRE_DUMP: u64 = 4;
pub(super) const NOTIFY: u64 = 6;
pub(super) const FEATURES: u64 = 9;
pub(super) const VERSION: u64 = 10;

/// A message in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    /// A switch; off is what is left out.
    pub(super) fn switch(&mut self, field: u64, on: bool) {
        if on {
            self.number(field, 1);
        }
    }

    pub(super) fn text(&mut self, field: u64, text: &str) {
        self.block(field, text.as_bytes());
    }

    pub(super) fn message(&mut self, field: u64, message: &Message) {
        self.block(field, &message.0);
    }

    fn block(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// `ext_mount_map`, `cgroup_root`, `join_namespace`: two words that belong together.
    pub(super) fn pair(key: &str, value: &str) -> Message {
        let mut pair = Message::default();
        pair.text(1, key);
        pair.text(2, value);
        pair
    }

    /// `inherit_fd`: what has this name in the images is that descriptor.
    pub(super) fn inherit(key: &str, fd: u64) -> Message {
        let mut inherit = Message::default();
        inherit.text(1, key);
        inherit.number(2, fd);
        inherit
    }
}

/// What CRIU answers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) kind: u64,
    pub(super) success: bool,
    /// Of the restored process.
    pub(super) pid: i32,
    /// Which point a notification is about.
    pub(super) script: String,
    /// The first process, in some notifications.
    pub(super) noticed: i32,
    /// What CRIU and the kernel can do: follow changes of memory, bring memory later.
    pub(super) tracks: bool,
    pub(super) is_lazy: bool,
    /// Major and minor number of CRIU.
    pub(super) version: (u64, u64),
    pub(super) errno: u64,
    pub(super) text: String,
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Answer {
    /// `None`: malformed.
    pub(super) fn decode(bytes: &[u8]) -> Option<Answer> {
        let mut answer = Answer::default();
        for (field, value) in fields(bytes)? {
            match (field, value) {
                (1, Field::Number(kind)) => answer.kind = kind,
                (2, Field::Number(success)) => answer.success = success != 0,
                (4, Field::Bytes(restored)) => {
                    for (field, value) in fields(restored)? {
                        if let (1, Field::Number(pid)) = (field, value) {
                            answer.pid = i32::try_from(pid).ok()?;
                        }
                    }
                }
                (5, Field::Bytes(notice)) => {
                    for (field, value) in fields(notice)? {
                        match (field, value) {
                            (1, Field::Bytes(script)) => {
                                answer.script = String::from_utf8_lossy(script).into_owned();
                            }
                            (2, Field::Number(pid)) => answer.noticed = i32::try_from(pid).ok()?,
                            _ => {}
                        }
                    }
                }
                (7, Field::Number(errno)) => answer.errno = errno,
                (8, Field::Bytes(features)) => {
                    for (field, value) in fields(features)? {
                        match (field, value) {
                            (1, Field::Number(can)) => answer.tracks = can != 0,
                            (2, Field::Number(can)) => answer.is_lazy = can != 0,
                            _ => {}
                        }
                    }
                }
                (10, Field::Bytes(version)) => {
                    for (field, value) in fields(version)? {
                        match (field, value) {
                            (1, Field::Number(major)) => answer.version.0 = major,
                            (2, Field::Number(minor)) => answer.version.1 = minor,
                            _ => {}
                        }
                    }
                }
                (9, Field::Bytes(text)) => answer.text = String::from_utf8_lossy(text).into_owned(),
                _ => {}
            }
        }
        Some(answer)
    }
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Field::Bytes(take(&mut bytes, length)?)
            }
            1 => Field::Bytes(take(&mut bytes, 8)?),
            5 => Field::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        found.push((key >> 3, value));
    }
    Some(found)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_bytes_of_the_format() {
        let mut options = Message::default();
        options.number(2, 300);
        options.switch(3, false);
        options.text(10, "ab");
        let mut request = Message::default();
        request.number(1, DUMP);
        request.message(2, &options);
        assert_eq!(request.bytes(), b"\x08\x01\x12\x07\x10\xac\x02\x52\x02ab");
    }

    #[test]
    fn answers_are_read_and_rubbish_refused() {
        let mut restored = Message::default();
        restored.number(1, 77);
        let mut bytes = Message::default();
        bytes.number(1, RESTORE);
        bytes.number(2, 1);
        bytes.message(4, &restored);
        let mut features = Message::default();
        features.switch(1, true);
        bytes.message(8, &features);
        bytes.text(9, "why");
        let answer = Answer::decode(bytes.bytes()).unwrap();
        assert_eq!(
            (answer.kind, answer.success, answer.pid),
            (RESTORE, true, 77)
        );
        assert_eq!(answer.text, "why");
        assert_eq!((answer.tracks, answer.is_lazy), (true, false));
        for at in 0..bytes.bytes().len() {
            let _ = Answer::decode(&bytes.bytes()[..at]);
        }
        assert_eq!(Answer::decode(b"\x12\xff\x01"), None);
        assert_eq!(Answer::decode(&[0xff; 12]), None);
    }
}
