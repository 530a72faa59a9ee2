//! `touch [-c] [-a] [-m] [-r FILE] FILE...`

use std::fs::{File, FileTimes, OpenOptions};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::{cli, text};

pub fn main(args: &[String]) -> i32 {
    let options = match cli::options(args, "camr:", &[("no-create", 'c'), ("reference", 'r')]) {
        Ok(options) if !options.operands.is_empty() => options,
        Ok(_) => return cli::fail("touch", "which file?"),
        Err(message) => return cli::fail("touch", &message),
    };
    let (mut accessed, mut modified) = (SystemTime::now(), SystemTime::now());
    if let Some(reference) = options.value('r') {
        let times = File::open(text::to_os(reference))
            .and_then(|f| f.metadata())
            .and_then(|m| Ok((m.accessed()?, m.modified()?)));
        match times {
            Ok(times) => (accessed, modified) = times,
            Err(e) => return cli::fail("touch", &format!("{reference}: {}", cli::reason(&e))),
        }
    }
    let mut times = FileTimes::new();
    if options.has('a') || !options.has('m') {
        times = times.set_accessed(accessed);
    }
    if options.has('m') || !options.has('a') {
        times = times.set_modified(modified);
    }
    options.operands.iter().fold(0, |status, name| {
        let path = PathBuf::from(text::to_os(name));
        let file = if path.is_dir() {
            File::open(&path)
        } else {
            OpenOptions::new()
                .append(true)
                .create(!options.has('c'))
                .open(&path)
        };
        match file.and_then(|f| f.set_times(times)) {
            Ok(()) => status,
            Err(e) if options.has('c') && e.kind() == std::io::ErrorKind::NotFound => status,
            Err(e) => cli::fail("touch", &format!("{name}: {}", cli::reason(&e))),
        }
    })
}
