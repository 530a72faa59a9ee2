//! `silo web` for a test, and requests to it byte by byte: what no well-behaved client would send can be sent as well.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::common::{Host, signal, soon};

/// A server that runs until it is dropped.
pub struct Web {
    child: Child,
    pub address: SocketAddr,
    pub token: String,
    pub url: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Web {
    pub fn start(host: &Host, flags: &[&str]) -> Web {
        let words = [&["web", "--listen", "127.0.0.1:0"], flags].concat();
        let mut command = host.command(&words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let rest = url.strip_prefix("http://").expect("an address");
        let (address, token) = rest.split_once("/#token=").expect("a token");
        Web {
            child,
            address: address.parse().unwrap(),
            token: token.to_owned(),
            url,
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(soon())).unwrap();
        socket
    }

    /// Sends bytes as they are; everything up to the end of the answer.
    #[track_caller]
    pub fn raw(&self, text: &str) -> Answer {
        let mut socket = self.connect();
        // It may have answered and closed before all was sent.
        let _ = socket.write_all(text.as_bytes());
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).expect("an answer");
        let all = String::from_utf8(bytes).unwrap();
        let (head, body) = all
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer to {text:?}: {all:?}"));
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub fn head(&self, method: &str, path: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n",
            self.address, self.token
        )
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.raw(&format!("{}\r\n", self.head("GET", path)))
    }

    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let length = body.len();
        let head = self.head("POST", path);
        self.raw(&format!(
            "{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Opens a live page's stream.
    #[track_caller]
    pub fn live(&self, query: &str) -> Live {
        let mut socket = self.connect();
        let head = self.head("GET", &format!("/api/live?{query}"));
        socket.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(socket);
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
        Live(lines)
    }

    /// Ends it with a signal; the exit code.
    #[track_caller]
    pub fn end(mut self, number: i32) -> i32 {
        signal(self.pid(), number);
        let mut code = None;
        crate::common::until("the end of the server", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().expect("an exit code")
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Messages, one a second.
pub struct Live(BufReader<TcpStream>);

impl Live {
    #[track_caller]
    pub fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    /// Waits for a message that has what is looked for.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut find: impl FnMut(&Value) -> Option<T>) -> T {
        let end = std::time::Instant::now() + soon();
        loop {
            let message = self.next();
            if let Some(found) = find(&message) {
                return found;
            }
            assert!(std::time::Instant::now() < end, "{what}: {message}");
        }
    }
}

/// A container in a message or an answer.
pub fn container<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    let all = message["containers"].as_array()?;
    all.iter().find(|one| one["name"] == name)
}

pub fn kill(container: &str, signal: i32) -> Value {
    json!({"container": container, "signal": signal})
}
