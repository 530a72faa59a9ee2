//! Reading a container's log, rotated files first, and following it.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::PathBuf,
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
        let mut kept: std::collections::VecDeque<LogLine> = Default::default();
        let mut current: Option<BufReader<File>> = None;
        for file in existing_files(&path) {
            let mut reader = BufReader::new(
                File::open(&file).doing_with(|| format!("open {}", file.display()))?,
            );
            while let Some(line) = next_line(&mut reader)? {
                if !wanted(&line, options) {
                    continue;
                }
                match options.tail {
                    None => {
                        if !sink(&line) {
                            return Ok(());
                        }
                    }
                    Some(most) => {
                        kept.push_back(line);
                        if kept.len() > most {
                            kept.pop_front();
                        }
                    }
                }
            }
            current = (file == path).then_some(reader);
        }
        for line in &kept {
            if !sink(line) {
                return Ok(());
            }
        }
        if options.follow {
            self.follow(container, &path, current, options, sink)?;
        }
        Ok(())
    }

    fn follow(
        &self,
        container: &Container,
        path: &PathBuf,
        mut current: Option<BufReader<File>>,
        options: &LogOptions,
        sink: &mut dyn FnMut(&LogLine) -> bool,
    ) -> Result<()> {
        loop {
            // Asked before the last read, so that nothing written in between is missed.
            let runs = self.container(container.id()).is_ok_and(|now| {
                now.state.status != silo_types::Status::Exited && now.state.monitor.is_some()
            });
            if current.is_none() {
                current = File::open(path).ok().map(BufReader::new);
            }
            if let Some(reader) = &mut current {
                while let Some(line) = next_line(reader)? {
                    if wanted(&line, options) && !sink(&line) {
                        return Ok(());
                    }
                }
                let here = reader.get_ref().metadata().map(|m| m.ino()).ok();
                if here != std::fs::metadata(path).map(|m| m.ino()).ok() {
                    current = None;
                    continue;
                }
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

/// `log.json.N` … `log.json.1`, `log.json`.
fn existing_files(path: &std::path::Path) -> Vec<PathBuf> {
    let numbered = |n: u32| {
        let mut file = path.as_os_str().to_owned();
        file.push(format!(".{n}"));
        PathBuf::from(file)
    };
    let mut files: Vec<PathBuf> = (1..).map(numbered).take_while(|f| f.exists()).collect();
    files.reverse();
    if path.exists() {
        files.push(path.to_owned());
    }
    files
}

/// The next whole line; one that is being written is left for later.
fn next_line(reader: &mut BufReader<File>) -> Result<Option<LogLine>> {
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
    let time = line
        .time
        .parse::<jiff::Timestamp>()
        .map_or(0, |t| t.as_nanosecond().max(0) as u64);
    options.since.is_none_or(|since| time >= since)
        && options.until.is_none_or(|until| time <= until)
}
