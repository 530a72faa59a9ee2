//! As much of HTTP/1.1 (RFC 9112) as a page on the same machine needs: one request a connection, everything bounded. Pure.
//!
//! What is doubtful is refused: folded or doubled headers that matter, bodies of unknown length, odd bytes in names and paths.

/// Longest head of a request, and longest body, bytes.
pub const LONGEST_HEAD: usize = 8 * 1024;
pub const LONGEST_BODY: usize = 4 * 1024;

const MOST_HEADERS: usize = 64;
const LONGEST_TARGET: usize = 1024;

/// Of these one has to be enough.
const ONCE: [&str; 6] = [
    "host",
    "origin",
    "authorization",
    "content-length",
    "content-type",
    "sec-fetch-site",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// A whole request. Header names are in lower case.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub text: String,
}

impl Refused {
    pub fn new(status: u16, text: impl Into<String>) -> Refused {
        Refused {
            status,
            text: text.into(),
        }
    }
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn asked(&self, name: &str) -> Option<&str> {
        let mut all = self.query.iter();
        all.find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The request that `bytes` begin with; `None`: it is not all there yet.
pub fn parse(bytes: &[u8]) -> Result<Option<Request>, Refused> {
    let window = &bytes[..bytes.len().min(LONGEST_HEAD)];
    let Some(end) = window.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match bytes.len() {
            ..LONGEST_HEAD => Ok(None),
            _ => Err(Refused::new(431, "the request's head is too long")),
        };
    };
    let head = std::str::from_utf8(&bytes[..end])
        .map_err(|_| Refused::new(400, "the request's head is no text"))?;
    let mut lines = head.split("\r\n");
    let (method, target) = request_line(lines.next().unwrap_or_default())?;
    let headers = headers(lines)?;
    let (path, query) = split_target(target)?;
    let mut request = Request {
        method,
        path,
        query,
        headers,
        body: Vec::new(),
    };
    let length = body_length(&request)?;
    let body = &bytes[end + 4..];
    if body.len() < length {
        return Ok(None);
    }
    request.body = body[..length].to_vec();
    Ok(Some(request))
}

fn request_line(line: &str) -> Result<(Method, &str), Refused> {
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else {
        return Err(Refused::new(400, "no request line"));
    };
    if version != "HTTP/1.1" && version != "HTTP/1.0" {
        return Err(Refused::new(505, "this server speaks HTTP/1.1"));
    }
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        _ => return Err(Refused::new(405, "only GET and POST are known")),
    };
    Ok((method, target))
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<(String, String)>, Refused> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines {
        let bad = || Refused::new(400, "a header has an unknown form");
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || !name.bytes().all(is_name) || value.contains(char::is_control) {
            return Err(bad());
        }
        let name = name.to_ascii_lowercase();
        let is_known = headers.iter().any(|(known, _)| *known == name);
        if is_known && ONCE.contains(&name.as_str()) {
            return Err(Refused::new(400, format!("{name} is given twice")));
        }
        if headers.len() == MOST_HEADERS {
            return Err(Refused::new(431, "the request has too many headers"));
        }
        headers.push((name, value.trim().to_owned()));
    }
    Ok(headers)
}

/// Path and query. Nothing that this server knows needs more than the plain letters, so that nothing has to be decoded.
fn split_target(target: &str) -> Result<(String, Vec<(String, String)>), Refused> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.=&?".contains(&b);
    if target.len() > LONGEST_TARGET {
        return Err(Refused::new(414, "the request's path is too long"));
    }
    if !target.starts_with('/') || !target.bytes().all(plain) {
        return Err(Refused::new(400, "the request's path has an unknown form"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok((path.to_owned(), query.collect()))
}

fn body_length(request: &Request) -> Result<usize, Refused> {
    if request.header("transfer-encoding").is_some() {
        return Err(Refused::new(411, "a body needs its length"));
    }
    match (request.method, request.header("content-length")) {
        (Method::Get, None | Some("0")) => Ok(0),
        (Method::Get, Some(_)) => Err(Refused::new(400, "GET has no body")),
        (Method::Post, None) => Err(Refused::new(411, "a body needs its length")),
        (Method::Post, Some(length)) => {
            let digits = length.bytes().all(|b| b.is_ascii_digit());
            match length.parse::<usize>() {
                Ok(length) if digits && length <= LONGEST_BODY => Ok(length),
                Ok(_) if digits => Err(Refused::new(413, "the request's body is too long")),
                _ => Err(Refused::new(400, "content-length is no number")),
            }
        }
    }
}

/// What every answer says about itself. Scripts and styles come from here alone and are never made out of text, nothing may frame
/// it, no other page may read it, and nothing of it is kept.
const SAFETY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
trusted-types 'none'\r\n\
X-Content-Type-Options: nosniff\r\n\
X-Frame-Options: DENY\r\n\
Referrer-Policy: no-referrer\r\n\
Cross-Origin-Opener-Policy: same-origin\r\n\
Cross-Origin-Resource-Policy: same-origin\r\n\
Permissions-Policy: camera=(), geolocation=(), microphone=(), usb=()\r\n\
Cache-Control: no-store\r\n\
Connection: close\r\n";

/// A whole answer.
pub fn answer(status: u16, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{SAFETY}\r\n",
        reason(status)
    );
    [head.as_bytes(), body].concat()
}

pub fn json(status: u16, document: &serde_json::Value) -> Vec<u8> {
    answer(status, "application/json", document.to_string().as_bytes())
}

pub fn refusal(refused: &Refused) -> Vec<u8> {
    json(refused.status, &serde_json::json!({"error": refused.text}))
}

/// The head of an answer that goes on until one side ends it.
pub fn stream_head() -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{SAFETY}\r\n").into_bytes()
}

/// One message of such an answer (the HTML standard's server-sent events).
pub fn message(document: &serde_json::Value) -> Vec<u8> {
    format!("data: {document}\n\n").into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status(text: &str) -> u16 {
        parse(text.as_bytes()).unwrap_err().status
    }

    #[test]
    fn requests() {
        let text = "POST /api/kill?a=1&b HTTP/1.1\r\nHost: x:1\r\nContent-Length: 3\r\n\r\n{}\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end]).unwrap(), None, "{end}");
        }
        let request = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(request.method, Method::Post);
        assert_eq!(request.path, "/api/kill");
        assert_eq!(
            (request.asked("a"), request.asked("b")),
            (Some("1"), Some(""))
        );
        assert_eq!(request.header("host"), Some("x:1"));
        assert_eq!(request.body, b"{}\n");
    }

    #[test]
    fn doubtful_ones_are_refused() {
        for (text, code) in [
            ("PUT / HTTP/1.1\r\n\r\n", 405),
            ("GET / HTTP/2\r\n\r\n", 505),
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("GET http://x/ HTTP/1.1\r\n\r\n", 400),
            ("GET /%2e HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("POST / HTTP/1.1\r\n\r\n", 411),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            ("POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n", 413),
        ] {
            assert_eq!(status(text), code, "{text}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1024));
        assert_eq!(status(&long), 414);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
        assert_eq!(status(&many), 431);
        assert_eq!(status(&"x".repeat(LONGEST_HEAD)), 431);
        assert_eq!(
            status(&format!(
                "GET / HTTP/1.1\r\nA: {}\r\n\r\n",
                "b".repeat(9000)
            )),
            431
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"POST / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat());
        }
    }
}
