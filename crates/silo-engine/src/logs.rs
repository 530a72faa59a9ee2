//! Reading a container's log, rotated files first, and following it.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, ErrorKind},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use serde::Deserialize;
use silo_types::{Doing, Error, LogDriver, Result};

use crate::{Engine, container::Container};

/// One line as it was logged.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// With its newline, if it had one.
    pub log: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// RFC 3339 with nanoseconds.
    pub time: String,
}

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    pub follow: bool,
    /// Nanoseconds since the epoch.
    pub since: Option<u64>,
    pub until: Option<u64>,
    /// The last so many; `None`: all.
    pub tail: Option<usize>,
}

impl Engine {
    /// Hands the lines to `sink` until it returns false or there are no more (with `follow`: until the container ends).
    pub fn logs(
        &self,
        container: &Container,
        options: &LogOptions,
        sink: &mut dyn FnMut(&LogLine) -> bool,
    ) -> Result<()> {
        if container.config.log.driver == LogDriver::None {
            return Err(Error::invalid(format!(
                "container {} keeps no log: it was made with --log-driver none",
                container.name()
            )));
        }
        let path = self.paths.container(container.id()).join("log.json");
        let mut kept: VecDeque<LogLine> = VecDeque::new();
        let mut current = None;
        for mut reader in open_files(&path)? {
            let goes_on = drain(&mut reader, options, &mut |line| match options.tail {
                None => sink(&line),
                Some(most) => {
                    kept.push_back(line);
                    if kept.len() > most {
                        kept.pop_front();
                    }
                    true
                }
            })?;
            if !goes_on {
                return Ok(());
            }
            current = Some(reader);
        }
        if !kept.iter().all(&mut *sink) {
            return Ok(());
        }
        match options.follow {
            true => self.follow(container, &path, current, options, sink),
            false => Ok(()),
        }
    }

    fn follow(
        &self,
        container: &Container,
        path: &Path,
        mut current: Option<Reader>,
        options: &LogOptions,
        sink: &mut dyn FnMut(&LogLine) -> bool,
    ) -> Result<()> {
        loop {
            // Asked before the last read, so that nothing written in between is missed.
            let runs = self.container(container.id()).is_ok_and(|now| {
                now.state.status != silo_types::Status::Exited && now.state.monitor.is_some()
            });
            if !read_on(path, &mut current, options, &mut |line| sink(&line))? {
                return Ok(());
            }
            let over = options
                .until
                .is_some_and(|until| crate::create::now() > until);
            if !runs || over {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) type Reader = BufReader<File>;

/// Reads what has come since, through as many rotations as there were; `current` is then the newest file. False: enough.
fn read_on(
    path: &Path,
    current: &mut Option<Reader>,
    options: &LogOptions,
    take: &mut dyn FnMut(LogLine) -> bool,
) -> Result<bool> {
    loop {
        let before = match current {
            Some(reader) => {
                if !drain(reader, options, take)? {
                    return Ok(false);
                }
                let inode = inode(reader);
                if inode == std::fs::metadata(path).map(|m| m.ino()).ok() {
                    return Ok(true);
                }
                // Put aside meanwhile: nothing is written to it any more, but something may have been just before.
                if !drain(reader, options, take)? {
                    return Ok(false);
                }
                inode
            }
            None => None,
        };
        let mut files = open_files(path)?;
        let known = files.iter().rposition(|file| inode(file) == before);
        files.drain(..known.map_or(0, |place| place + 1));
        match files.is_empty() {
            true => return Ok(true),
            false => *current = Some(files.swap_remove(0)),
        }
    }
}

fn inode(reader: &Reader) -> Option<u64> {
    reader.get_ref().metadata().map(|m| m.ino()).ok()
}

/// `log.json.N` … `log.json.1`, `log.json`, the oldest first.
///
/// Opened from the newest on: a file that is rotated meanwhile has a higher number then and is met again, never missed. Between
/// the two steps of a rotation one number is vacant.
pub(crate) fn open_files(path: &Path) -> Result<Vec<Reader>> {
    let mut files: Vec<Reader> = Vec::new();
    let mut vacant = 0;
    for number in 0.. {
        let mut name = path.as_os_str().to_owned();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        match File::open(&name) {
            Ok(file) => {
                let reader = BufReader::new(file);
                if !files.iter().any(|known| inode(known) == inode(&reader)) {
                    files.push(reader);
                }
                vacant = 0;
            }
            Err(e) if e.kind() == ErrorKind::NotFound && vacant < 2 => vacant += 1,
            Err(e) if e.kind() == ErrorKind::NotFound => break,
            Err(e) => return Err(Error::system(format!("open {}", name.display()), e)),
        }
    }
    files.reverse();
    Ok(files)
}

/// Hands over the whole lines that are there; false when the taker wants no more.
fn drain(
    reader: &mut Reader,
    options: &LogOptions,
    take: &mut dyn FnMut(LogLine) -> bool,
) -> Result<bool> {
    while let Some(line) = next_line(reader)? {
        if wanted(&line, options) && !take(line) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The next whole line; one that is being written is left for later.
fn next_line(reader: &mut Reader) -> Result<Option<LogLine>> {
    loop {
        let mut text = Vec::new();
        let got = reader.read_until(b'\n', &mut text).doing("read the log")?;
        if got == 0 {
            return Ok(None);
        }
        if text.last() != Some(&b'\n') {
            reader.seek_relative(-(got as i64)).doing("read the log")?;
            return Ok(None);
        }
        if let Ok(line) = serde_json::from_slice(&text) {
            return Ok(Some(line));
        }
    }
}

fn wanted(line: &LogLine, options: &LogOptions) -> bool {
    if options.since.is_none() && options.until.is_none() {
        return true;
    }
    let time = time_of(line);
    options.since.is_none_or(|since| time >= since)
        && options.until.is_none_or(|until| time <= until)
}

/// Nanoseconds since the epoch; 0 when it has none.
pub(crate) fn time_of(line: &LogLine) -> u64 {
    line.time
        .parse::<jiff::Timestamp>()
        .map_or(0, |t| t.as_nanosecond().max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(path: &Path, text: &str) {
        use std::io::Write;
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "{{\"log\":\"{text}\"}}").unwrap();
    }

    fn rotate(path: &Path, files: u32) {
        let numbered = |n: u32| path.with_extension(format!("json.{n}"));
        for n in (1..files).rev() {
            let _ = std::fs::rename(numbered(n), numbered(n + 1));
        }
        std::fs::rename(path, numbered(1)).unwrap();
    }

    #[test]
    fn no_rotation_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.json");
        let mut current = None;
        let mut read = || {
            let mut seen = Vec::new();
            let mut take = |line: LogLine| {
                seen.push(line.log);
                true
            };
            assert!(read_on(&path, &mut current, &LogOptions::default(), &mut take).unwrap());
            seen.join(" ")
        };
        assert_eq!(read(), "");
        append(&path, "1");
        assert_eq!(read(), "1");
        append(&path, "2");
        rotate(&path, 5);
        append(&path, "3");
        rotate(&path, 5);
        // Half-way through a rotation: nothing has the first name.
        assert_eq!(read(), "2 3");
        append(&path, "4");
        append(&path, "5");
        assert_eq!(read(), "4 5");
        for text in ["6", "7", "8"] {
            append(&path, text);
            rotate(&path, 5);
        }
        append(&path, "9");
        assert_eq!(read(), "6 7 8 9");
        assert_eq!(read(), "");
    }
}
