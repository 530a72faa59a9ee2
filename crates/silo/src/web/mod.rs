//! The task manager as a page: what `dash` shows in the terminal, for a browser on the same machine.
//!
//! ```text
//! browser ◀─ HTTP ─▶ serve (the loop) ─▶ guard, routes (who may ask, and what)
//!                      │  ▲
//!                      ▼  │ channel
//!                    work: one thread looks (live, timeline, logs), one acts (limit, kill)
//! ```
//! It listens on loopback only, and has no state of its own: what it shows is read from where every command reads it, and it
//! leaves nothing behind. Nothing here clones, so it may have threads.

mod act;
mod assets;
mod guard;
mod http;
mod past;
mod picture;
mod routes;
mod serve;
mod work;

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    sync::mpsc::channel,
};

use silo_types::{Doing, Error, Result};

use self::{guard::Token, serve::Server, work::Worker};
use crate::{cli::Context, output::print_line};

/// "SILO" on a telephone.
pub const LISTEN: &str = "127.0.0.1:7456";

/// Serves until a signal ends it.
pub fn run(context: &Context, listen: &str, control: bool) -> Result<i32> {
    let address = parse(listen)?;
    let listener = bind(address)?;
    let own = listener.local_addr().doing("find the page's address")?;
    // Before the threads: they take over what is blocked.
    let signals = serve::end_signals()?;
    let token = Token::new()?;
    let url = format!("http://{own}/#token={}", token.text());
    let (replies, received) = channel();
    let (waker, woken) = UnixStream::pair().doing("make a socket pair")?;
    for socket in [&waker, &woken] {
        socket.set_nonblocking(true).doing("set up a socket")?;
    }
    let start = |name| -> Result<_> {
        let (jobs, taken) = channel();
        let waker = waker.try_clone().doing("make a socket pair")?;
        Worker::start(
            name,
            context.engine()?,
            control,
            taken,
            replies.clone(),
            waker,
        )?;
        Ok(jobs)
    };
    let threads = (start("looks")?, start("acts")?);
    print_line(&url)?;
    Server::new(
        listener,
        signals,
        token,
        control,
        threads,
        (received, woken),
    )
    .run()?;
    Ok(0)
}

fn parse(listen: &str) -> Result<SocketAddr> {
    let unknown = || {
        Error::invalid(format!(
            "unknown address '{listen:.80}': use 127.0.0.1:PORT, or port 0 for any that is free"
        ))
    };
    let listen = match listen.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => listen.to_owned(),
    };
    let address: SocketAddr = listen.parse().map_err(|_| unknown())?;
    let port = address.port();
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(Error::invalid(format!(
            "{address} can be reached from outside, and this page shows all of the host: use --listen 127.0.0.1:{port}, and \
             from another machine 'ssh -L {port}:127.0.0.1:{port} HOST'"
        ))),
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Error::conflict(format!(
            "{address} is in use: use --listen {}:0 for a port that is free",
            match address {
                SocketAddr::V4(v4) => v4.ip().to_string(),
                SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            }
        )),
        _ => Error::system(format!("listen on {address}"), error),
    })?;
    listener
        .set_nonblocking(true)
        .doing("set up the listening socket")?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, known) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("127.1.2.3:0", "127.1.2.3:0"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), known);
        }
        for text in ["0.0.0.0:80", "[::]:80", "10.1.2.3:80", "192.168.1.1:7456"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("ssh -L"), "{error}");
        }
        for text in [
            "",
            "80",
            ":80",
            "example.org:80",
            "127.0.0.1",
            "127.0.0.1:x",
        ] {
            assert!(
                parse(text)
                    .unwrap_err()
                    .to_string()
                    .contains("127.0.0.1:PORT"),
                "{text}"
            );
        }
    }
}
