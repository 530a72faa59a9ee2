//! The last lines of a container's log up to a moment, without reading all of it: a log may be as large as its disk, and whoever
//! scrolls through time asks often.

use std::{fs::File, os::unix::fs::FileExt};

use silo_types::{Doing, Error, LogDriver, Result};

use crate::{
    Engine, LogLine,
    container::Container,
    logs::{open_files, time_of},
};

/// Bytes of a file that lines are taken from, and in which its lines are looked for by time: a line has at most 16 KiB.
const WINDOW: u64 = 512 << 10;
const BLOCK: u64 = 64 << 10;

impl Engine {
    /// The last `most` lines that were written by `until` (nanoseconds since the epoch), the oldest first; from the newest
    /// half MiB of each of its files.
    pub fn log_before(
        &self,
        container: &Container,
        until: Option<u64>,
        most: usize,
    ) -> Result<Vec<LogLine>> {
        if container.config.log.driver == LogDriver::None {
            return Err(Error::invalid(format!(
                "container {} keeps no log: it was made with --log-driver none",
                container.name()
            )));
        }
        let path = self.paths.container(container.id()).join("log.json");
        let mut lines: Vec<LogLine> = Vec::new();
        for reader in open_files(&path)?.into_iter().rev() {
            let mut older = last_lines(reader.get_ref(), until, most - lines.len())?;
            older.append(&mut lines);
            lines = older;
            if lines.len() >= most {
                break;
            }
        }
        Ok(lines)
    }
}

fn last_lines(file: &File, until: Option<u64>, most: usize) -> Result<Vec<LogLine>> {
    let length = file.metadata().doing("read the log")?.len();
    let end = match until {
        Some(until) => behind(file, length, until)?,
        None => length,
    };
    let start = end.saturating_sub(WINDOW);
    let bytes = read(file, start, end)?;
    let mut pieces: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // Behind the last newline: one that is being written, or is cut off here.
    pieces.pop();
    // And one that begins before the window.
    let first = usize::from(start > 0);
    let lines = pieces.into_iter().skip(first).rev();
    let lines = lines.filter_map(|piece| serde_json::from_slice::<LogLine>(piece).ok());
    let wanted = |line: &LogLine| until.is_none_or(|until| time_of(line) <= until);
    let mut last: Vec<LogLine> = lines.filter(wanted).take(most).collect();
    last.reverse();
    Ok(last)
}

/// A place behind all lines up to a moment, and at most two blocks behind: lines are in the order of their times.
fn behind(file: &File, length: u64, until: u64) -> Result<u64> {
    let (mut low, mut high) = (0, length);
    while high - low > BLOCK {
        let middle = low + (high - low) / 2;
        match first_time(file, middle, length)? {
            Some(time) if time <= until => low = middle,
            _ => high = middle,
        }
    }
    Ok((high + BLOCK).min(length))
}

/// Of the first line that begins behind a place.
fn first_time(file: &File, place: u64, length: u64) -> Result<Option<u64>> {
    let bytes = read(file, place, (place + BLOCK).min(length))?;
    let mut pieces = bytes.split_inclusive(|byte| *byte == b'\n').skip(1);
    let line = pieces.find_map(|piece| serde_json::from_slice::<LogLine>(piece).ok());
    Ok(line.map(|line| time_of(&line)))
}

fn read(file: &File, start: u64, end: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; (end - start) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::system("read the log", e)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_lines_up_to_any_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.json");
        let mut file = std::io::BufWriter::new(File::create(&path).unwrap());
        let count = 30_000;
        for n in 0..count {
            let time = crate::time_text(n * 1_000_000_000);
            let text = "x".repeat((n % 100) as usize);
            writeln!(
                file,
                r#"{{"log":"{n} {text}\n","stream":"stdout","time":"{time}"}}"#
            )
            .unwrap();
        }
        write!(file, r#"{{"log":"half"#).unwrap();
        drop(file);
        let file = File::open(&path).unwrap();
        let last = |until: Option<u64>, most| -> Vec<u64> {
            let lines = last_lines(&file, until.map(|s| s * 1_000_000_000), most).unwrap();
            let number = |line: &LogLine| line.log.split(' ').next().unwrap().parse().unwrap();
            lines.iter().map(number).collect()
        };
        assert_eq!(last(None, 3), [count - 3, count - 2, count - 1]);
        for until in [0, 1, 2, 700, 14_999, 15_000, 22_222, count - 1, count + 9] {
            let newest = until.min(count - 1);
            let expected: Vec<u64> = (newest.saturating_sub(2)..=newest).collect();
            assert_eq!(last(Some(until), 3), expected, "{until}");
        }
    }
}
