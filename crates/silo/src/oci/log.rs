//! What went wrong, to people on standard error and to callers in their log file.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use serde_json::json;
use silo_types::{Doing, Error, Result};

use crate::output::{now, rfc3339_seconds};

/// Where and how to log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub file: Option<PathBuf>,
    pub json: bool,
    pub debug: bool,
}

impl Log {
    pub fn error(&self, text: &str) {
        self.write("error", text);
        if self.file.is_some() {
            eprintln!("{text}");
        }
    }

    pub fn warning(&self, text: &str) {
        self.write("warning", text);
    }

    pub fn debug(&self, text: &str) {
        if self.debug {
            self.write("debug", text);
        }
    }

    /// Fails early when the log cannot be written.
    pub fn check(&self) -> Result<()> {
        match &self.file {
            Some(path) => open(path)
                .map(drop)
                .doing_with(|| format!("open the log {}", path.display())),
            None => Ok(()),
        }
    }

    /// The error of a verb; the exit code is its caller's.
    pub fn failure(&self, doing: &str, error: &Error) {
        self.error(&match doing {
            "" => error.to_string(),
            doing => format!("{doing}: {error}"),
        });
    }

    fn write(&self, level: &str, text: &str) {
        let time = rfc3339_seconds(now());
        let line = match self.json {
            true => format!("{}\n", json!({"level": level, "msg": text, "time": time})),
            false => format!("time={time:?} level={level} msg={text:?}\n"),
        };
        // A log that cannot be written must not hide what went wrong.
        match &self.file {
            Some(path) => drop(open(path).and_then(|mut file| file.write_all(line.as_bytes()))),
            None => eprint!("{line}"),
        }
    }
}

fn open(path: &PathBuf) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)
}
