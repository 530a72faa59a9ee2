//! `httpd [-p PORT] [-h DIR] [-f]`: GET and HEAD of files, one thread for each connection, at most 64 at once. Always in
//! the foreground (`-f` is what people type).

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cli;
use crate::text;

const MOST: usize = 64;
const LONGEST_HEAD: u64 = 16 * 1024;

pub fn main(args: &[String]) -> i32 {
    match serve(args) {
        Ok(()) => 0,
        Err(message) => cli::fail("httpd", &message),
    }
}

fn serve(args: &[String]) -> Result<(), String> {
    let options = cli::options(args, "p:h:f", &[])?;
    let address = options.value('p').unwrap_or("80");
    let address = if address.contains(':') {
        address.to_string()
    } else {
        format!("0.0.0.0:{address}")
    };
    let root = PathBuf::from(text::to_os(options.value('h').unwrap_or(".")));
    let root = root
        .canonicalize()
        .map_err(|e| format!("{}: {}", root.display(), cli::reason(&e)))?;
    let listener =
        TcpListener::bind(&address).map_err(|e| format!("{address}: {}", cli::reason(&e)))?;
    let root = Arc::new(root);
    let open = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming() {
        let Ok(connection) = connection else {
            // Out of descriptors: some connections have to end first.
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if open.load(Ordering::Relaxed) >= MOST {
            drop(connection);
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (root, open) = (Arc::clone(&root), Arc::clone(&open));
        std::thread::spawn(move || {
            // A client that went away is not worth a word.
            let _ = answer(&connection, &root);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

fn answer(connection: &TcpStream, root: &Path) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    connection.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut head = BufReader::new(connection.take(LONGEST_HEAD));
    let mut request = String::new();
    head.read_line(&mut request)?;
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    let words: Vec<&str> = request.split_whitespace().collect();
    let (method, target) = match words.as_slice() {
        [method @ ("GET" | "HEAD"), target, ..] => (*method, *target),
        [_, _, ..] => return status(connection, "405 Method Not Allowed"),
        _ => return status(connection, "400 Bad Request"),
    };
    let Some((mut file, path)) = find(root, target) else {
        return status(connection, "404 Not Found");
    };
    let length = file.metadata()?.len();
    let mut out = connection;
    write!(
        out,
        "HTTP/1.0 200 OK\r\nContent-Type: {}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
        kind(&path)
    )?;
    if method == "GET" {
        std::io::copy(&mut file, &mut out)?;
    }
    Ok(())
}

fn status(mut connection: &TcpStream, status: &str) -> std::io::Result<()> {
    write!(
        connection,
        "HTTP/1.0 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{status}\n",
        status.len() + 1
    )
}

/// The file that a target names, if it is below `root` after all links are followed.
fn find(root: &Path, target: &str) -> Option<(File, PathBuf)> {
    let path = decode(target.split(['?', '#']).next()?)?;
    let mut path = root
        .join(path.trim_start_matches('/'))
        .canonicalize()
        .ok()?;
    if path.is_dir() {
        path = path.join("index.html").canonicalize().ok()?;
    }
    if !path.starts_with(root) || !path.is_file() {
        return None;
    }
    Some((File::open(&path).ok()?, path))
}

fn decode(target: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = target.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            bytes.push((digit(rest.next())? * 16 + digit(rest.next())?) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|path| !path.contains('\0'))
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, find};

    #[test]
    fn targets_stay_below_the_root() {
        assert_eq!(decode("/a%20b"), Some("/a b".into()));
        assert_eq!(decode("/%zz"), None);
        assert_eq!(decode("/%00"), None);
        let root = std::path::Path::new("/proc/self/fdinfo");
        assert!(find(root, "/../../../etc/passwd").is_none());
        assert!(find(root, "/%2e%2e/%2e%2e/%2e%2e/etc/passwd").is_none());
    }
}
