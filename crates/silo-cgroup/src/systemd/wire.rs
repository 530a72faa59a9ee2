//! D-Bus messages as bytes: what a manager of services is asked and answers, and no more of the format.
//!
//! Pure; called by `bus`. Little-endian both ways out, both byte orders in (D-Bus specification, "Marshaling"). Whatever comes in is
//! looked at with its lengths checked: it may be malformed, but never panics here.

use std::fmt;

/// What a property or an argument can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Byte(u8),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Double(f64),
    Text(String),
    /// `o`
    Path(String),
    /// An array: the signature of its elements, and these.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
}

impl Value {
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    pub fn bytes(bytes: &[u8]) -> Value {
        Value::Array("y".into(), bytes.iter().copied().map(Value::Byte).collect())
    }

    /// Its type as D-Bus writes it.
    pub fn signature(&self) -> String {
        match self {
            Value::Bool(_) => "b".into(),
            Value::Byte(_) => "y".into(),
            Value::I32(_) => "i".into(),
            Value::U32(_) => "u".into(),
            Value::I64(_) => "x".into(),
            Value::U64(_) => "t".into(),
            Value::Double(_) => "d".into(),
            Value::Text(_) => "s".into(),
            Value::Path(_) => "o".into(),
            Value::Array(of, _) => format!("a{of}"),
            Value::Struct(fields) => {
                let inner: String = fields.iter().map(Value::signature).collect();
                format!("({inner})")
            }
        }
    }
}

/// Name and value of a unit's property.
pub type Property = (String, Value);

/// Bytes that grow, each value at its alignment.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        while !self.0.len().is_multiple_of(to) {
            self.0.push(0);
        }
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend(text.bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.bytes());
        self.0.push(0);
    }

    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.u32(u32::from(*value)),
            Value::Byte(value) => self.0.push(*value),
            Value::I32(value) => self.u32(value.cast_unsigned()),
            Value::U32(value) => self.u32(*value),
            Value::I64(value) => self.eight(value.to_le_bytes()),
            Value::U64(value) => self.eight(value.to_le_bytes()),
            Value::Double(value) => self.eight(value.to_le_bytes()),
            Value::Text(text) | Value::Path(text) => self.text(text),
            Value::Array(of, items) => self.array(alignment(of), |writer| {
                items.iter().for_each(|item| writer.value(item));
            }),
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|field| self.value(field));
            }
        }
    }

    fn eight(&mut self, bytes: [u8; 8]) {
        self.align(8);
        self.0.extend(bytes);
    }

    fn variant(&mut self, value: &Value) {
        self.signature(&value.signature());
        self.value(value);
    }

    /// An array; its length counts neither itself nor what aligns the first element.
    fn array(&mut self, align: usize, fill: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let at = self.0.len();
        self.align(align);
        let begin = self.0.len();
        fill(self);
        let length = (self.0.len() - begin) as u32;
        self.0[at - 4..at].copy_from_slice(&length.to_le_bytes());
    }

    /// `a(sv)`: how a manager takes properties.
    pub(super) fn properties(&mut self, properties: &[Property]) {
        self.array(8, |writer| {
            for (name, value) in properties {
                writer.align(8);
                writer.text(name);
                writer.variant(value);
            }
        });
    }
}

fn alignment(signature: &str) -> usize {
    match signature.bytes().next() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

/// Kinds of messages.
pub(super) const CALL: u8 = 1;
pub(super) const REPLY: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// Whom a call goes to, and what it calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// Empty on a connection without a bus between.
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

impl Call<'_> {
    /// The whole message; `signature` is that of `body`.
    pub(super) fn encode(&self, serial: u32, signature: &str, body: Writer) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.0.extend([b'l', CALL, 0, 1]);
        writer.u32(body.0.len() as u32);
        writer.u32(serial);
        writer.array(8, |writer| {
            let mut field = |code: u8, value: Value| {
                writer.align(8);
                writer.0.push(code);
                writer.variant(&value);
            };
            field(1, Value::Path(self.path.into()));
            field(2, Value::text(self.interface));
            field(3, Value::text(self.member));
            if !self.destination.is_empty() {
                field(6, Value::text(self.destination));
            }
            if !signature.is_empty() {
                writer.align(8);
                writer.0.push(8);
                writer.signature("g");
                writer.signature(signature);
            }
        });
        writer.align(8);
        writer.0.extend(body.0);
        writer.0
    }
}

/// Bytes that do not follow the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message that is malformed")
    }
}

impl std::error::Error for Malformed {}

/// The part of a message that says how long the rest is.
pub(super) const START: usize = 16;
/// The specification's limit of a message.
const LONGEST: usize = 1 << 27;

/// The whole length of a message that begins with these [`START`] bytes.
pub(super) fn length(start: &[u8; START]) -> Result<usize, Malformed> {
    let is_big = is_big(start[0])?;
    let number = |at: usize| {
        let mut reader = Reader::at(start, at, is_big);
        reader.u32().map(|n| n as usize)
    };
    let (body, fields) = (number(4)?, number(12)?);
    if body > LONGEST || fields > LONGEST {
        return Err(Malformed);
    }
    Ok(START + fields.next_multiple_of(8) + body)
}

fn is_big(mark: u8) -> Result<bool, Malformed> {
    match mark {
        b'l' => Ok(false),
        b'B' => Ok(true),
        _ => Err(Malformed),
    }
}

/// A message that came in.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// Of the call that it answers.
    pub(super) reply_to: u32,
    pub(super) member: String,
    pub(super) error: String,
    /// The texts of its body, also those in variants, in order; other values are passed over.
    pub(super) texts: Vec<String>,
}

impl Message {
    pub(super) fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        let is_big = is_big(*bytes.first().ok_or(Malformed)?)?;
        let mut message = Message {
            kind: *bytes.get(1).ok_or(Malformed)?,
            ..Message::default()
        };
        let mut reader = Reader::at(bytes, 12, is_big);
        let end = reader.u32()? as usize + START;
        if end > bytes.len() {
            return Err(Malformed);
        }
        let mut signature = String::new();
        while reader.at < end {
            reader.align(8);
            let code = reader.byte()?;
            let kind = reader.signature()?;
            match (code, kind.as_str()) {
                (3, "s") => message.member = reader.text()?,
                (4, "s") => message.error = reader.text()?,
                (5, "u") => message.reply_to = reader.u32()?,
                (8, "g") => signature = reader.signature()?,
                (_, kind) => reader.pass(kind.as_bytes(), &mut Vec::new(), 0)?,
            }
        }
        reader.align(8);
        reader.pass(signature.as_bytes(), &mut message.texts, 0)?;
        Ok(message)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_big: bool,
}

/// How deep values may lie in each other.
const DEEPEST: u8 = 32;

impl<'a> Reader<'a> {
    fn at(bytes: &'a [u8], at: usize, is_big: bool) -> Reader<'a> {
        Reader { bytes, at, is_big }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|taken| taken[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.align(4);
        let bytes = self.take(4)?.try_into().map_err(|_| Malformed)?;
        Ok(match self.is_big {
            false => u32::from_le_bytes(bytes),
            true => u32::from_be_bytes(bytes),
        })
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = self.u32()? as usize;
        self.ended(length)
    }

    fn signature(&mut self) -> Result<String, Malformed> {
        let length = self.byte()?.into();
        self.ended(length)
    }

    fn ended(&mut self, length: usize) -> Result<String, Malformed> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    /// Goes over values of these types and keeps their texts.
    fn pass(&mut self, types: &[u8], texts: &mut Vec<String>, depth: u8) -> Result<(), Malformed> {
        if depth > DEEPEST {
            return Err(Malformed);
        }
        let mut rest = types;
        while !rest.is_empty() {
            let (one, more) = rest.split_at(single(rest)?);
            rest = more;
            match one[0] {
                b's' | b'o' => texts.push(self.text()?),
                b'g' => texts.push(self.signature()?),
                b'y' => drop(self.byte()?),
                b'n' | b'q' => {
                    self.align(2);
                    self.take(2)?;
                }
                b'b' | b'i' | b'u' | b'h' => drop(self.u32()?),
                b'x' | b't' | b'd' => {
                    self.align(8);
                    self.take(8)?;
                }
                b'v' => {
                    let inner = self.signature()?;
                    self.pass(inner.as_bytes(), texts, depth + 1)?;
                }
                b'a' => self.pass_array(&one[1..], texts, depth)?,
                b'(' | b'{' => {
                    self.align(8);
                    self.pass(&one[1..one.len() - 1], texts, depth + 1)?;
                }
                _ => return Err(Malformed),
            }
        }
        Ok(())
    }

    fn pass_array(
        &mut self,
        of: &[u8],
        texts: &mut Vec<String>,
        depth: u8,
    ) -> Result<(), Malformed> {
        let length = self.u32()? as usize;
        self.align(alignment(std::str::from_utf8(of).map_err(|_| Malformed)?));
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        if end > self.bytes.len() {
            return Err(Malformed);
        }
        while self.at < end {
            let before = self.at;
            self.pass(of, texts, depth + 1)?;
            if self.at == before {
                return Err(Malformed);
            }
        }
        Ok(())
    }
}

/// How many letters the first complete type of a signature has.
fn single(types: &[u8]) -> Result<usize, Malformed> {
    match types.first().ok_or(Malformed)? {
        b'a' => Ok(1 + single(&types[1..])?),
        b'(' | b'{' => {
            let mut depth = 0usize;
            for (at, letter) in types.iter().enumerate() {
                match letter {
                    b'(' | b'{' => depth += 1,
                    b')' | b'}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            Err(Malformed)
        }
        _ => Ok(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Vec<u8> {
        let call = Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
        };
        call.encode(1, "", Writer::default())
    }

    /// As dbus-send(1) writes it, but for the order of the fields.
    #[test]
    fn a_call_is_the_bytes_of_the_specification() {
        let bytes = hello();
        assert_eq!(&bytes[..8], b"l\x01\x00\x01\x00\x00\x00\x00");
        assert_eq!(bytes.len() % 8, 0);
        let start: [u8; START] = bytes[..START].try_into().unwrap();
        assert_eq!(length(&start), Ok(bytes.len()));
        let back = Message::decode(&bytes).unwrap();
        assert_eq!((back.kind, back.member.as_str()), (CALL, "Hello"));
        let path = b"\x01\x01o\x00\x15\x00\x00\x00/org/freedesktop/DBus\x00";
        assert_eq!(&bytes[16..16 + path.len()], path);
    }

    #[test]
    fn properties_lie_at_their_alignment() {
        let mut writer = Writer::default();
        writer.properties(&[
            ("A".into(), Value::U64(7)),
            (
                "PIDs".into(),
                Value::Array("u".into(), vec![Value::U32(9), Value::U32(10)]),
            ),
        ]);
        let bytes = writer.0;
        // Length, gap to 8, "A", variant of t at a multiple of 8.
        assert_eq!(u32::from_le_bytes(bytes[..4].try_into().unwrap()), 52);
        assert_eq!(bytes.len(), 60);
        assert_eq!(&bytes[8..17], b"\x01\0\0\0A\0\x01t\0");
        assert_eq!(&bytes[24..32], &7u64.to_le_bytes());
        assert_eq!(&bytes[56..], &10u32.to_le_bytes());
    }

    #[test]
    fn all_values_are_passed_over_and_texts_kept() {
        let values = [
            Value::Bool(true),
            Value::Byte(3),
            Value::text("one"),
            Value::U64(1),
            Value::Array("(sv)".into(), vec![]),
            Value::Struct(vec![Value::text("two"), Value::I64(-1), Value::Double(0.5)]),
            Value::Array("s".into(), vec![Value::text("three"), Value::text("")]),
            Value::Path("/four".into()),
            Value::bytes(&[1, 2, 3]),
            Value::I32(-5),
        ];
        let mut body = Writer::default();
        let mut signature = String::new();
        for value in &values {
            body.value(value);
            signature += &value.signature();
        }
        let call = Call {
            destination: "",
            path: "/",
            interface: "a.b",
            member: "C",
        };
        let bytes = call.encode(5, &signature, body);
        let back = Message::decode(&bytes).unwrap();
        assert_eq!(back.texts, ["one", "two", "three", "", "/four"]);
        // Cut anywhere, or with any byte changed: refused or read, never a panic.
        for at in 0..bytes.len() {
            let _ = Message::decode(&bytes[..at]);
            for wrong in [0, 1, 0x7f, 0xff, b'a', b'(', b')'] {
                let mut bytes = bytes.clone();
                bytes[at] = wrong;
                let _ = Message::decode(&bytes);
            }
        }
    }

    #[test]
    fn signatures_that_do_not_end_are_refused() {
        for bad in ["a", "(", "(s", "aa", "(()"] {
            assert_eq!(single(bad.as_bytes()), Err(Malformed), "{bad}");
        }
        assert_eq!(single(b"a(sv)s"), Ok(5));
    }
}
