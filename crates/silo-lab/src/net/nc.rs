//! `nc HOST PORT`, `nc -l -p PORT`, `nc [-l] -U PATH`: standard input to the connection, the connection to standard
//! output. `-z` only connects; `-w SECONDS` bounds the connecting.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::cli::{self, Options};
use crate::text;

pub fn main(args: &[String]) -> i32 {
    let result = cli::options(args, "lp:U:w:zvnN", &[]).and_then(|options| run(&options));
    match result {
        Ok(()) => 0,
        Err(message) => cli::fail("nc", &message),
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("bad port: {text}"))
}

fn run(options: &Options) -> Result<(), String> {
    let failed = |what: &str, e: &io::Error| format!("{what}: {}", cli::reason(e));
    if let Some(path) = options.value('U') {
        let connection = if options.has('l') {
            UnixListener::bind(text::to_os(path))
                .and_then(|l| l.accept())
                .map(|c| c.0)
        } else {
            UnixStream::connect(text::to_os(path))
        };
        let connection = connection.map_err(|e| failed(path, &e))?;
        return pump(&connection, connection.try_clone(), |c| {
            c.shutdown(Shutdown::Write)
        })
        .map_err(|e| failed(path, &e));
    }
    let connection = if options.has('l') {
        let port = port(
            options
                .value('p')
                .or(options.operands.last().map(String::as_str))
                .ok_or("which port?")?,
        )?;
        let listener = TcpListener::bind(("0.0.0.0", port))
            .map_err(|e| failed(&format!("port {port}"), &e))?;
        listener
            .accept()
            .map(|c| c.0)
            .map_err(|e| failed("accept", &e))?
    } else {
        let [host, number] = options.operands.as_slice() else {
            return Err("usage: nc HOST PORT | nc -l -p PORT | nc [-l] -U PATH".into());
        };
        let address = SocketAddr::new(super::resolve(host)?, port(number)?);
        let wait = options
            .parsed::<u64>('w')?
            .map_or(Duration::from_secs(60), Duration::from_secs)
            .max(Duration::from_millis(1));
        TcpStream::connect_timeout(&address, wait).map_err(|e| failed(&address.to_string(), &e))?
    };
    if options.has('z') {
        return Ok(());
    }
    pump(&connection, connection.try_clone(), |c| {
        c.shutdown(Shutdown::Write)
    })
    .map_err(|e| failed("connection", &e))
}

/// Both directions until the other side has ended; our end of input is passed on.
fn pump<C: Write + Send + 'static>(
    mut input: impl Read,
    writer: io::Result<C>,
    end: fn(&C) -> io::Result<()>,
) -> io::Result<()> {
    let mut writer = writer?;
    let sender = std::thread::spawn(move || {
        // A reader that has gone is noticed by the other direction.
        let _ = copy(&mut io::stdin(), &mut writer);
        let _ = end(&writer);
    });
    let mut output = File::from(rustix::io::dup(io::stdout())?);
    copy(&mut input, &mut output)?;
    // The other side has said all; what is still on its way to it must not be lost. Nobody waits for a person to type.
    if !io::stdin().is_terminal() && sender.join().is_err() {
        return Err(io::Error::other("the sending half broke down"));
    }
    Ok(())
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
