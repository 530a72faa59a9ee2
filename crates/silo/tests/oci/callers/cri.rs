//! Just enough of gRPC to ask containerd what a kubelet asks: HTTP/2 with one call a connection, and messages of protocol
//! buffers whose fields are written and read by number (`k8s.io/cri-api`, `runtime/v1/api.proto`).

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

/// A message of protocol buffers.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn new() -> Message {
        Message::default()
    }

    pub fn number(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub fn text(self, field: u64, text: &str) -> Message {
        self.bytes(field, text.as_bytes())
    }

    pub fn part(self, field: u64, part: &Message) -> Message {
        self.bytes(field, &part.0)
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field that holds bytes; empty when it is left out.
    pub fn get(&self, field: u64) -> Message {
        let found = self.fields().into_iter().find(|(key, _)| *key == field);
        match found {
            Some((_, Field::Bytes(bytes))) => Message(bytes.to_vec()),
            _ => Message::new(),
        }
    }

    pub fn get_text(&self, field: u64) -> String {
        String::from_utf8(self.get(field).0).unwrap()
    }

    /// 0 when it is left out.
    pub fn get_number(&self, field: u64) -> u64 {
        let found = self.fields().into_iter().find(|(key, _)| *key == field);
        match found {
            Some((_, Field::Number(value))) => value,
            _ => 0,
        }
    }

    fn fields(&self) -> Vec<(u64, Field<'_>)> {
        let mut rest = self.0.as_slice();
        let mut found = Vec::new();
        while !rest.is_empty() {
            let key = take_varint(&mut rest);
            let field = match key & 7 {
                0 => Field::Number(take_varint(&mut rest)),
                2 => {
                    let length = take_varint(&mut rest) as usize;
                    Field::Bytes(rest.split_off(..length).unwrap())
                }
                other => panic!("a field of kind {other}"),
            };
            found.push((key >> 3, field));
        }
        found
    }
}

enum Field<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

fn take_varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = *rest.split_off_first().unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// Frames of HTTP/2 (RFC 9113, section 6) and their flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Asks `/SERVICE/METHOD`; the answer, or an error that the daemon's log explains.
pub fn call(socket: &Path, path: &str, message: &Message) -> io::Result<Message> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    send(&mut stream, SETTINGS, 0, 0, b"")?;
    // Names by their numbers in HPACK's table (RFC 7541, appendix A); nothing is compressed.
    let mut headers = vec![0x83, 0x86];
    let mut add = |name: &[u8], value: &str| {
        headers.extend_from_slice(name);
        headers.push(u8::try_from(value.len()).unwrap());
        headers.extend_from_slice(value.as_bytes());
    };
    add(&[0x04], path);
    add(&[0x01], "localhost");
    add(&[0x0f, 0x10], "application/grpc");
    add(b"\x00\x02te", "trailers");
    send(&mut stream, HEADERS, END_HEADERS, 1, &headers)?;
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.0.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&message.0);
    send(&mut stream, DATA, END_STREAM, 1, &body)?;
    answer(&mut stream, path)
}

fn send(stream: &mut UnixStream, kind: u8, flags: u8, id: u32, data: &[u8]) -> io::Result<()> {
    let mut frame = (data.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(data);
    stream.write_all(&frame)
}

fn answer(stream: &mut UnixStream, path: &str) -> io::Result<Message> {
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (kind, flags) = (head[3], head[4]);
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data)?;
        match kind {
            SETTINGS if flags & ACK == 0 => send(stream, SETTINGS, ACK, 0, b"")?,
            PING if flags & ACK == 0 => send(stream, PING, ACK, 0, &data)?,
            DATA => body.extend_from_slice(&data),
            RST_STREAM | GOAWAY => break,
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            break;
        }
    }
    // Its flag and its length stand before a message; a refusal has none.
    match body.get(5..) {
        Some(message) => Ok(Message(message.to_vec())),
        None => Err(io::Error::other(format!("{path} was refused"))),
    }
}
