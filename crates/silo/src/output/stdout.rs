//! Standard output for people and scripts: a reader that went away ends the command quietly.

use std::io::{ErrorKind, Write};

use silo_types::{Error, Result};

/// What a shell reports of a program that died of SIGPIPE.
const BROKEN_PIPE: i32 = 128 + 13;

/// Writes and flushes.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(BROKEN_PIPE),
        Err(e) => Err(Error::system("write to standard output", e)),
    }
}

pub fn print_line(line: &str) -> Result<()> {
    print(&format!("{line}\n"))
}
