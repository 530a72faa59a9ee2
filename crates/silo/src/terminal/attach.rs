//! Streams of a container's main process, through its monitor: `run`, `start -a`, `attach`.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use silo_engine::{Connection, Exit, FromMonitor, Request};
use silo_types::{Doing, Result};

use super::{CHUNK, RawMode, keys::Keys, read_stdin, signals, size, to_pass_on, write::write_all};

/// How the streams are joined.
#[derive(Debug)]
pub struct Attachment {
    /// The container has a terminal.
    pub tty: bool,
    pub input: bool,
    pub output: bool,
    pub errors: bool,
    /// Pass signals on.
    pub proxy: bool,
    /// Keys that leave; empty: none.
    pub detach_keys: Vec<u8>,
}

/// Why it came back.
#[derive(Debug)]
pub enum Ended {
    Exit(Exit),
    /// By the detach keys.
    Detached,
    /// The monitor has gone without a word.
    Lost,
    /// Nobody reads the output any more.
    Unread,
}

/// Relays until the main process ends or the user leaves. The terminal is given back as it was.
pub fn attach(connection: &Connection, how: &Attachment) -> Result<Ended> {
    let _raw = match how.tty && how.input {
        true => RawMode::start()?,
        false => None,
    };
    let signals = signals(how.proxy, how.tty)?;
    if how.tty {
        resize(connection)?;
    }
    // A terminal is left by keys; a pipe may hold any bytes.
    let mut keys = Keys::new(match how.tty {
        true => how.detach_keys.clone(),
        false => Vec::new(),
    });
    let mut input = how.input;
    let mut buffer = vec![0u8; CHUNK];
    loop {
        let stdin = std::io::stdin();
        let mut fds = vec![
            PollFd::new(connection, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        if input {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            other => drop(other.doing("wait for the streams")?),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0]
            && let Some(ended) = show(connection, how)?
        {
            return Ok(ended);
        }
        if ready[1] {
            while let Some(number) = signals.read() {
                match to_pass_on(number) {
                    Some(signal) => ignore_gone(connection.request(&Request::Kill { signal })),
                    None => resize(connection)?,
                }
            }
        }
        if ready.get(2) == Some(&true) {
            let got = read_stdin(&mut buffer)?;
            if got == 0 {
                ignore_gone(connection.end_input());
                input = false;
                continue;
            }
            let (through, left) = keys.filter(&buffer[..got]);
            ignore_gone(connection.input(&through));
            if left {
                return Ok(Ended::Detached);
            }
        }
    }
}

/// What cannot be sent any more is followed by the monitor's last word, which says why.
fn ignore_gone(sent: Result<()>) {
    drop(sent);
}

fn resize(connection: &Connection) -> Result<()> {
    let (rows, columns) = size();
    if (rows, columns) != (0, 0) {
        ignore_gone(connection.request(&Request::Resize { rows, columns }));
    }
    Ok(())
}

fn show(connection: &Connection, how: &Attachment) -> Result<Option<Ended>> {
    let read = match connection.receive()? {
        Some(FromMonitor::Output(bytes)) if how.output => write_all(std::io::stdout(), &bytes)?,
        Some(FromMonitor::ErrorOutput(bytes)) if how.errors => {
            write_all(std::io::stderr(), &bytes)?
        }
        // On the user's terminal, never in the stream.
        Some(FromMonitor::Notice(text)) => {
            let line = match how.tty {
                // Whatever stands on the line stays readable.
                true => format!("\r\n{text}\r\n"),
                false => format!("{text}\n"),
            };
            write_all(std::io::stderr(), line.as_bytes())?
        }
        Some(FromMonitor::Exit(exit)) => return Ok(Some(Ended::Exit(exit))),
        None => return Ok(Some(Ended::Lost)),
        Some(_) => true,
    };
    Ok((!read).then_some(Ended::Unread))
}
