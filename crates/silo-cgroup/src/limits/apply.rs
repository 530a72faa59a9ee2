//! Carries out a plan on one group: writes each value, reads it back, compares.
//!
//! Order: limits hang together (memory ≤ memory and swap; quota ≤ the parent's; burst ≤ quota), so a write that is right
//! at the end may be refused at the start, depending on whether a limit is raised or lowered. A refused step is therefore
//! tried again after the others, for as long as that gets any further.

use super::{Check, Step, Write};
use crate::{file, parse};
use rustix::io::Errno;
use silo_types::{Error, Result};

/// Applies `steps`; `dirs` are the group's directories, by place.
///
/// With `restore`, what had been changed before a step failed is set back (as far as the kernel lets it), for a group in
/// use; a fresh group is thrown away instead.
pub(crate) fn apply(dirs: &[String], steps: &[Step], restore: bool) -> Result<()> {
    let mut undo = Vec::new();
    let mut waiting: Vec<&Step> = steps.iter().collect();
    let outcome = loop {
        let mut refused = Vec::new();
        let before = waiting.len();
        let mut failure = None;
        for step in waiting {
            match run(&dirs[step.place], step, restore.then_some(&mut undo)) {
                Ok(()) => {}
                Err(Failure::Order(error)) => refused.push((step, error)),
                Err(Failure::Final(error)) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = failure {
            break Err(error);
        }
        if refused.is_empty() {
            break Ok(());
        }
        if refused.len() == before {
            break Err(refused.swap_remove(0).1);
        }
        waiting = refused.into_iter().map(|(step, _)| step).collect();
    };
    if outcome.is_err() {
        set_back(undo);
    }
    outcome
}

/// Old values, newest first; twice, as they hang together like the new ones.
fn set_back(undo: Vec<(String, String)>) {
    for _ in 0..2 {
        for (path, value) in undo.iter().rev() {
            // Best effort: the failure that led here is the one to tell
            let _ = file::write(path, value.trim());
        }
    }
}

enum Failure {
    /// The kernel refused the value; it may take it after other steps.
    Order(Error),
    Final(Error),
}

type Undo = Vec<(String, String)>;

fn run(dir: &str, step: &Step, undo: Option<&mut Undo>) -> Result<(), Failure> {
    for way in &step.ways {
        let path = format!("{dir}/{}", way.file);
        let fd = match file::open_both(&path) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(refused(dir, step, way, errno)),
        };
        let old = match undo {
            Some(_) if is_single(&way.check) => file::reread_text(&fd).ok(),
            _ => None,
        };
        match file::write_fd(&fd, &way.value) {
            Ok(()) => {}
            // As if the file were missing: bfq's files exist where no disk uses bfq
            Err(Errno::OPNOTSUPP) if step.ways.len() > 1 => continue,
            Err(errno) => return Err(refused(dir, step, way, errno)),
        }
        if let (Some(undo), Some(old)) = (undo, old) {
            undo.push((path.clone(), old));
        }
        let got = match way.check {
            Check::ListIn(other) => file::read(&format!("{dir}/{other}")),
            _ => file::reread_text(&fd),
        };
        return match got {
            Ok(got) if reads_back(way, &got) => Ok(()),
            Ok(got) => Err(Failure::Final(mismatch(step, way, &got))),
            Err(errno) => {
                let doing = format!("{}: read back {path}", step.what);
                Err(Failure::Final(Error::system(doing, errno)))
            }
        };
    }
    if step.lacking.is_empty() {
        return Ok(());
    }
    let files: Vec<_> = step.ways.iter().map(|way| way.file.as_ref()).collect();
    Err(Failure::Final(Error::unsupported(format!(
        "{}: this host cannot enforce it, {dir} has no {}: {}",
        step.what,
        files.join(" and no "),
        step.lacking
    ))))
}

/// Files that hold one value, so that the old one can be written back.
fn is_single(check: &Check) -> bool {
    matches!(
        check,
        Check::Text | Check::Bytes(_) | Check::List | Check::ListIn(_)
    )
}

/// Does `got` say what was written?
pub(crate) fn reads_back(way: &Write, got: &str) -> bool {
    let (want, got) = (way.value.trim(), got.trim());
    match way.check {
        Check::Text => want == got,
        Check::Bytes(unit) => same_bytes(want, got, unit),
        Check::List | Check::ListIn(_) => parse::list(want) == parse::list(got),
        Check::Line => has_line(want, got),
        Check::NoLine => key_of(want).is_none_or(|key| parse::line_of(got, key).is_none()),
        Check::Free => {
            same_bytes(want, got, 4096)
                || has_line(want, got)
                || is_one_of_the_words(want, got)
                || !want.bytes().all(|byte| byte.is_ascii_digit())
        }
    }
}

fn same_bytes(want: &str, got: &str, unit: u64) -> bool {
    let parse = |text: &str| parse::limit(text.as_bytes());
    match (parse(want), parse(got)) {
        (Some(None), Some(None)) => true,
        (Some(Some(want)), Some(Some(got))) => want / unit == got / unit && got <= want,
        // More than the counter holds is unlimited
        (Some(Some(want)), Some(None)) => want >= 1 << 62,
        _ => false,
    }
}

/// A file that shows more than was written: "default 100" after 100, "50000 100000" after 50000, oom_control's lines.
fn is_one_of_the_words(want: &str, got: &str) -> bool {
    let first = got.lines().next().unwrap_or("");
    first.split_ascii_whitespace().any(|word| word == want)
}

fn key_of(want: &str) -> Option<&str> {
    want.split(' ').next()
}

/// Is there a line with the first word of `want` at its start, that has all its other words?
fn has_line(want: &str, got: &str) -> bool {
    let mut words = want.split_ascii_whitespace();
    let Some(key) = words.next() else {
        return false;
    };
    let Some(line) = parse::line_of(got, key) else {
        return false;
    };
    words.all(|word| line.split_ascii_whitespace().any(|other| other == word))
}

fn mismatch(step: &Step, way: &Write, got: &str) -> Error {
    Error::unsupported(format!(
        "{}: {} was written to {}, but the kernel made it {}: this host cannot enforce the value",
        step.what,
        way.value,
        way.file,
        got.trim().replace('\n', ", "),
    ))
}

fn refused(dir: &str, step: &Step, way: &Write, errno: Errno) -> Failure {
    let (what, value, name) = (&step.what, &way.value, &way.file);
    match errno {
        Errno::INVAL | Errno::RANGE => Failure::Order(Error::invalid(format!(
            "{what}: the kernel refuses {value} for {name}{}",
            hint(dir, way)
        ))),
        Errno::BUSY => Failure::Order(Error::conflict(format!(
            "{what}: {value} is below what is in use{}",
            usage(dir, way)
        ))),
        Errno::NODEV | Errno::NXIO => {
            Failure::Final(Error::invalid(format!("{what}: there is no such device")))
        }
        Errno::NOSPC => Failure::Final(Error::conflict(format!(
            "{what}: {value} would leave running processes without a place"
        ))),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Failure::Final(Error::unsupported(format!(
            "{what}: no permission to write {value} to {dir}/{name}: root, or a delegated group that allows it, is needed"
        ))),
        errno => Failure::Final(Error::system(
            format!("{what}: write {value} to {dir}/{name}"),
            errno,
        )),
    }
}

/// What a refusal of this file most often means.
fn hint(dir: &str, way: &Write) -> String {
    let other = match way.file.as_ref() {
        "memory.limit_in_bytes" => "memory.memsw.limit_in_bytes",
        "memory.memsw.limit_in_bytes" => "memory.limit_in_bytes",
        "cpu.rt_runtime_us" | "cpu.rt_period_us" => {
            return ": the group above must have real-time time to give".to_owned();
        }
        file if file.starts_with("cpu.") => {
            return ": it is out of range, or more than the group above has".to_owned();
        }
        _ => return String::new(),
    };
    let now = file::read(&format!("{dir}/{other}")).unwrap_or_default();
    let sides = match other {
        "memory.limit_in_bytes" => "it must not be below the memory limit",
        _ => "it must not be above the limit of memory and swap; change that at the same time",
    };
    format!(": {sides}, which is {}", now.trim())
}

fn usage(dir: &str, way: &Write) -> String {
    let file = match way.file.as_ref() {
        "memory.limit_in_bytes" => "memory.usage_in_bytes",
        "memory.memsw.limit_in_bytes" => "memory.memsw.usage_in_bytes",
        _ => return String::new(),
    };
    match file::read(&format!("{dir}/{file}")) {
        Ok(now) => format!(
            ", {} bytes: free some, or choose a higher limit",
            now.trim()
        ),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(check: Check, value: &str, got: &str) -> bool {
        let way = Write {
            file: "x".into(),
            value: value.to_owned(),
            check,
        };
        reads_back(&way, got)
    }

    #[test]
    fn values_read_back() {
        assert!(check(Check::Text, "100", "100\n"));
        assert!(check(Check::Bytes(4096), "5000", "4096\n"));
        assert!(!check(Check::Bytes(4096), "5000", "8192\n"));
        assert!(check(Check::Bytes(4096), "-1", "9223372036854771712\n"));
        assert!(check(Check::Bytes(4096), "max", "max\n"));
        assert!(!check(Check::Bytes(4096), "4096", "max\n"));
        assert!(check(Check::List, "0,1,2", "0-2\n"));
        assert!(!check(Check::List, "0-3", "0-2\n"));
        assert!(check(
            Check::Line,
            "8:0 wbps=2 rbps=1",
            "8:0 rbps=1 wbps=2 riops=max\n"
        ));
        assert!(!check(Check::Line, "8:0 rbps=2", "8:0 rbps=1\n"));
        assert!(check(Check::Line, "default 100", "default 100\n8:0 50\n"));
        assert!(check(Check::NoLine, "8:0 0", "8:16 5\n"));
        assert!(!check(Check::NoLine, "8:0 0", "8:0 5\n"));
    }

    #[test]
    fn free_values_read_back() {
        assert!(check(Check::Free, "50000", "50000 100000\n"));
        assert!(!check(Check::Free, "50000", "60000 100000\n"));
        assert!(check(Check::Free, "1", "oom_kill_disable 1\nunder_oom 0\n"));
        assert!(!check(
            Check::Free,
            "1",
            "oom_kill_disable 0\nunder_oom 1\n"
        ));
        assert!(check(Check::Free, "64M", "67108864\n"));
        assert!(check(Check::Free, "max", "max 100000\n"));
    }
}
