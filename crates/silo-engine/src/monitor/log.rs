//! The container's log: Docker's `json-file` format, a JSON object a line, rotated by size.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use silo_types::{LogConfig, LogDriver};

/// Docker's bound: a longer line is split into parts without a newline.
const LONGEST_LINE: usize = 16 * 1024;

/// Which stream a chunk came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// Cuts chunks into lines and writes them; the file is made with the first one.
#[derive(Debug)]
pub(crate) struct LogWriter {
    path: PathBuf,
    config: LogConfig,
    file: Option<File>,
    size: u64,
    /// Beginning of a line that has not ended, by stream.
    open_lines: [Vec<u8>; 2],
    /// Lines made but not yet written: one write for each chunk read.
    pending: Vec<u8>,
}

impl LogWriter {
    pub(crate) fn new(path: PathBuf, config: LogConfig) -> LogWriter {
        LogWriter {
            path,
            config,
            file: None,
            size: 0,
            open_lines: [Vec::new(), Vec::new()],
            pending: Vec::new(),
        }
    }

    /// Takes a chunk as it was read. A full disk costs log lines, never the container.
    pub(crate) fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        if self.config.driver == LogDriver::None {
            return;
        }
        let time = timestamp();
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.line(stream, &bytes[..=end], &time);
            bytes = &bytes[end + 1..];
        }
        while self.open_lines[stream as usize].len() + bytes.len() >= LONGEST_LINE {
            let room = LONGEST_LINE - self.open_lines[stream as usize].len();
            self.line(stream, &bytes[..room], &time);
            bytes = &bytes[room..];
        }
        self.open_lines[stream as usize].extend_from_slice(bytes);
        self.flush();
    }

    /// Writes what has no newline yet: at the end of a stream.
    pub(crate) fn finish(&mut self) {
        let time = timestamp();
        for stream in [Stream::Output, Stream::Error] {
            if !self.open_lines[stream as usize].is_empty() {
                self.line(stream, &[], &time);
            }
        }
        self.flush();
        self.open_lines = [Vec::new(), Vec::new()];
        self.pending = Vec::new();
    }

    fn line(&mut self, stream: Stream, rest: &[u8], time: &str) {
        let mut line = std::mem::take(&mut self.open_lines[stream as usize]);
        line.extend_from_slice(rest);
        let name = match stream {
            Stream::Output => "stdout",
            Stream::Error => "stderr",
        };
        let text = String::from_utf8_lossy(&line);
        let mut record = b"{\"log\":".to_vec();
        // Writing a string to a vector cannot fail.
        let _ = serde_json::to_writer(&mut record, &text);
        for part in [",\"stream\":\"", name, "\",\"time\":\"", time, "\"}\n"] {
            record.extend_from_slice(part.as_bytes());
        }
        line.clear();
        self.open_lines[stream as usize] = line;
        let before = self.size + self.pending.len() as u64;
        let most = self.config.max_size;
        if most > 0 && before > 0 && before + record.len() as u64 > most {
            self.flush();
            self.rotate();
        }
        self.pending.extend_from_slice(&record);
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.file.is_none() {
            let opened = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path);
            if let Ok(file) = opened {
                self.size = file.metadata().map_or(0, |m| m.len());
                self.file = Some(file);
            }
        }
        if let Some(file) = &mut self.file
            && file.write_all(&self.pending).is_ok()
        {
            self.size += self.pending.len() as u64;
        }
        self.pending.clear();
        if self.pending.capacity() > 4 * LONGEST_LINE {
            self.pending = Vec::new();
        }
    }

    /// `log.json` → `log.json.1` → …; the oldest is overwritten.
    fn rotate(&mut self) {
        self.file = None;
        self.size = 0;
        let numbered = |n: u32| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{n}"));
            PathBuf::from(path)
        };
        let kept = self.config.max_files.max(1);
        if kept == 1 {
            let _ = std::fs::remove_file(&self.path);
            return;
        }
        for n in (1..kept - 1).rev() {
            let _ = std::fs::rename(numbered(n), numbered(n + 1));
        }
        let _ = std::fs::rename(&self.path, numbered(1));
    }
}

/// RFC 3339 with nanoseconds, UTC.
fn timestamp() -> String {
    crate::time_text(crate::create::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(config: LogConfig) -> (tempfile::TempDir, LogWriter) {
        let folder = tempfile::tempdir().unwrap();
        let log = LogWriter::new(folder.path().join("log.json"), config);
        (folder, log)
    }

    fn texts(path: &std::path::Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
            .map(|v| v["log"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn lines_come_out_whole_whatever_the_chunks() {
        let (folder, mut log) = writer(LogConfig::default());
        log.write(Stream::Output, b"one\ntw");
        log.write(Stream::Error, b"bad\n");
        log.write(Stream::Output, b"o\nrest");
        log.finish();
        let path = folder.path().join("log.json");
        assert_eq!(texts(&path), ["one\n", "bad\n", "two\n", "rest"]);
    }

    #[test]
    fn long_lines_are_split_and_files_rotated() {
        let (folder, mut log) = writer(LogConfig {
            max_size: 20_000,
            max_files: 3,
            ..LogConfig::default()
        });
        log.write(Stream::Output, &[b'x'; 100_000]);
        log.finish();
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert!(
            names.len() <= 3 && names.contains(&"log.json.1".to_owned()),
            "{names:?}"
        );
        let bytes: usize = texts(&folder.path().join("log.json.1"))
            .iter()
            .map(String::len)
            .sum();
        assert!(bytes > 0 && bytes <= 20_000);
    }

    #[test]
    fn no_log_means_no_file() {
        let (folder, mut log) = writer(LogConfig {
            driver: LogDriver::None,
            ..LogConfig::default()
        });
        log.write(Stream::Output, b"x\n");
        log.finish();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
