//! `cat [-n] [FILE...]`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use crate::{cli, text};

pub fn main(args: &[String]) -> i32 {
    let options = match cli::options(args, "nu", &[]) {
        Ok(options) => options,
        Err(message) => return cli::fail("cat", &message),
    };
    let standard = [String::from("-")];
    let files = if options.operands.is_empty() {
        &standard[..]
    } else {
        &options.operands
    };
    let mut status = 0;
    let mut line = 1_u64;
    for name in files {
        match copy(name, options.has('n').then_some(&mut line)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                return 128 + signal_hook::consts::SIGPIPE;
            }
            Err(e) => status = cli::fail("cat", &format!("{name}: {}", cli::reason(&e))),
        }
    }
    status
}

fn copy(name: &str, number: Option<&mut u64>) -> io::Result<()> {
    let mut input: Box<dyn Read> = if name == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(text::to_os(name))?)
    };
    // The descriptor itself: nothing may wait in a buffer while the other side waits for it.
    let mut output = File::from(rustix::io::dup(io::stdout())?);
    let Some(number) = number else {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => output.write_all(&buffer[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    };
    let mut lines = BufReader::new(input);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let mut numbered = format!("{number:>6}\t").into_bytes();
        numbered.append(&mut line);
        output.write_all(&numbered)?;
        *number += 1;
    }
    Ok(())
}
