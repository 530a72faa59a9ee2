//! Who may ask. Three doors, each shut on its own:
//!
//! - `Host` must name this machine's loopback, so that no name of somebody else's that resolves to it (DNS rebinding) gets in;
//! - a page of another origin is refused, whatever it knows;
//! - the data needs the token, which is never in a request's path and in no cookie: nothing sends it by itself.
//!
//! A container that shares the host's network reaches the port, and stops at the third. Pure, but for making the token.

use std::net::Ipv4Addr;

use silo_types::{Doing, Result};

use super::http::{Method, Refused, Request};

/// What the page has to know: 256 random bits.
pub struct Token(String);

impl Token {
    pub fn new() -> Result<Token> {
        let mut bytes = [0_u8; 32];
        let mut filled = 0;
        while filled < bytes.len() {
            let flags = rustix::rand::GetRandomFlags::empty();
            filled += rustix::rand::getrandom(&mut bytes[filled..], flags).doing("make a token")?;
        }
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Token(digits.collect()))
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// Takes as long whatever is wrong.
    fn is(&self, said: &str) -> bool {
        let (own, said) = (self.0.as_bytes(), said.as_bytes());
        let mut different = u8::from(own.len() != said.len());
        for (at, byte) in own.iter().enumerate() {
            different |= byte ^ said.get(at).copied().unwrap_or(0);
        }
        std::hint::black_box(different) == 0
    }
}

/// For everything, the page itself as well.
pub fn check_host(request: &Request) -> Result<(), Refused> {
    let host = request.header("host").unwrap_or_default();
    match is_loopback(host) {
        true => Ok(()),
        false => Err(Refused::new(
            421,
            "this server answers to 127.0.0.1, [::1] and localhost only",
        )),
    }
}

/// For the data and for what changes something.
pub fn check_caller(request: &Request, token: &Token) -> Result<(), Refused> {
    let own = format!("http://{}", request.header("host").unwrap_or_default());
    let foreign = request.header("origin").is_some_and(|origin| origin != own);
    let site = request.header("sec-fetch-site").unwrap_or("none");
    if foreign || !matches!(site, "none" | "same-origin") {
        return Err(Refused::new(403, "only this server's own page may ask"));
    }
    let said = request.header("authorization").unwrap_or_default();
    if !token.is(said.strip_prefix("Bearer ").unwrap_or_default()) {
        return Err(Refused::new(
            401,
            "wrong or missing token: open the address that 'silo web' printed",
        ));
    }
    let is_json = request.header("content-type") == Some("application/json");
    match request.method == Method::Post && !is_json {
        true => Err(Refused::new(415, "the body must be application/json")),
        false => Ok(()),
    }
}

/// With any port: `ssh -L` may give it another one.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let is_v4 = name.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
    is_v4 || name == "localhost" || name == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::{super::http::parse, *};

    fn request(method: &str, headers: &str) -> Request {
        let text = format!("{method} /api/live HTTP/1.1\r\n{headers}\r\n");
        parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn hosts() {
        for host in [
            "127.0.0.1:7456",
            "127.1.2.3:80",
            "localhost:9",
            "[::1]:80",
            "localhost",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:7456",
            "127.0.0.1.evil.example:80",
            "localhost:",
            "localhost:99999",
            "127.0.0.1:80:80",
            "localhost.",
            "0.0.0.0:80",
            "10.0.0.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn callers() {
        let token = Token::new().unwrap();
        assert_ne!(token.text(), Token::new().unwrap().text());
        assert_eq!(token.text().len(), 64);
        let own = "Host: localhost:7456\r\n";
        let bearer = format!("Authorization: Bearer {}\r\n", token.text());
        let status = |method, headers: &str| {
            check_caller(&request(method, headers), &token).map_err(|refused| refused.status)
        };
        assert_eq!(status("GET", &format!("{own}{bearer}")), Ok(()));
        assert_eq!(status("GET", own), Err(401));
        for wrong in ["", "Bearer ", "Bearer x", &bearer[22..80]] {
            let headers = format!("{own}Authorization: {wrong}\r\n");
            assert_eq!(status("GET", &headers), Err(401), "{wrong}");
        }
        let longer = format!("{own}{}0\r\n", bearer.trim_end());
        assert_eq!(status("GET", &longer), Err(401));
        for (from, allowed) in [
            ("Origin: http://localhost:7456", true),
            ("Origin: https://localhost:7456", false),
            ("Origin: http://localhost:7457", false),
            ("Origin: http://evil.example", false),
            ("Origin: null", false),
            ("Sec-Fetch-Site: same-origin", true),
            ("Sec-Fetch-Site: cross-site", false),
            ("Sec-Fetch-Site: same-site", false),
        ] {
            let found = status("GET", &format!("{own}{bearer}{from}\r\n"));
            assert_eq!(found, if allowed { Ok(()) } else { Err(403) }, "{from}");
        }
        let plain = format!("{own}{bearer}Content-Length: 0\r\nContent-Type: text/plain\r\n");
        assert_eq!(status("POST", &plain), Err(415));
    }
}
