//! `saturate-io [--size BYTES] [--path DIR] [--for SECONDS] [--read]`: writes (or reads) a file over and over, past the
//! page cache where the file system can. The file has no name from the start, so nothing is left behind.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::Instant;

use memmap2::MmapMut;
use rustix::fs::{Mode, OFlags};

use super::progress::{Progress, Rate};
use crate::cli::{self, Stop};
use crate::size::human;
use crate::text;

const BLOCK: usize = 1 << 20;

pub fn main(args: &[String]) -> i32 {
    match run(args) {
        Ok(()) => 0,
        Err(message) => cli::fail("saturate-io", &message),
    }
}

struct Work {
    file: File,
    /// Page-aligned, as O_DIRECT wants it.
    block: MmapMut,
    size: u64,
    read: bool,
}

fn run(args: &[String]) -> Result<(), String> {
    let options = cli::options(
        args,
        "s:p:f:r",
        &[("size", 's'), ("path", 'p'), ("for", 'f'), ("read", 'r')],
    )?;
    let size = super::bytes(&options, 's')?
        .unwrap_or(256 << 20)
        .max(4096)
        .next_multiple_of(4096);
    let end = super::duration(&options, 'f')?.map(|time| Instant::now() + time);
    let folder = options.value('p').unwrap_or(".");
    let stop = Stop::on_signals();
    let mut progress = Progress::new("saturate-io");
    let (file, direct) = nameless(folder).map_err(|e| format!("{folder}: {}", cli::reason(&e)))?;
    let mut block =
        MmapMut::map_anon(BLOCK).map_err(|e| format!("no memory: {}", cli::reason(&e)))?;
    block
        .iter_mut()
        .enumerate()
        .for_each(|(i, byte)| *byte = (i * 7 + i / 4096) as u8);
    let mut work = Work {
        file,
        block,
        size,
        read: options.has('r'),
    };
    let how = if direct {
        "past the page cache"
    } else {
        "through the page cache"
    };
    let verb = if work.read { "read" } else { "written" };
    let total = work
        .turn(end, &stop, |total, rate| {
            progress.tick(|| format!("{} {verb} {how}, {}/s", human(total), human(rate())))
        })
        .map_err(|e| format!("{folder}: {}", cli::reason(&e)))?;
    progress.say(&format!("{} {verb} {how}", human(total)));
    Ok(())
}

/// A file without a name, and whether it bypasses the page cache.
fn nameless(folder: &str) -> std::io::Result<(File, bool)> {
    let open = |more: OFlags| {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC | more;
        rustix::fs::open(text::to_os(folder), flags, Mode::RUSR | Mode::WUSR).map(File::from)
    };
    if let Ok(file) = open(OFlags::DIRECT) {
        return Ok((file, true));
    }
    match open(OFlags::empty()) {
        Ok(file) => Ok((file, false)),
        // Some file systems cannot make nameless files: make one and take its name away.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL | rustix::io::Errno::ISDIR) => {
            named(folder)
        }
        Err(e) => Err(e.into()),
    }
}

fn named(folder: &str) -> std::io::Result<(File, bool)> {
    let path = std::path::PathBuf::from(text::to_os(folder))
        .join(format!(".saturate-io.{}", std::process::id()));
    let open = |more: OFlags| {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | more;
        rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    };
    let direct = open(OFlags::DIRECT).map(|file| (file, true));
    let opened = direct.or_else(|_| open(OFlags::empty()).map(|file| (file, false)))?;
    std::fs::remove_file(&path)?;
    Ok(opened)
}

impl Work {
    /// Goes over the file until the time is up; gives how many bytes went through.
    fn turn(
        &mut self,
        end: Option<Instant>,
        stop: &Stop,
        mut report: impl FnMut(u64, &mut dyn FnMut() -> u64),
    ) -> std::io::Result<u64> {
        let mut total = 0;
        let mut rate = Rate::new(0.0);
        let over = || stop.asked() || end.is_some_and(|end| Instant::now() >= end);
        if self.read {
            self.pass(true, &over, |_| {})?;
        }
        while !over() {
            let reading = self.read;
            self.pass(!reading, &over, |bytes| {
                total += bytes;
                report(total, &mut || rate.per_second(total as f64).max(0.0) as u64);
            })?;
        }
        Ok(total)
    }

    /// Once from the start of the file to its end.
    fn pass(
        &mut self,
        write: bool,
        over: &dyn Fn() -> bool,
        mut count: impl FnMut(u64),
    ) -> std::io::Result<()> {
        self.file.rewind()?;
        let mut left = self.size;
        while left > 0 && !over() {
            let length = (BLOCK as u64).min(left) as usize;
            let done = if write {
                self.file.write(&self.block[..length])?
            } else {
                self.file.read(&mut self.block[..length])?
            };
            if done == 0 {
                break;
            }
            left -= done as u64;
            count(done as u64);
        }
        Ok(())
    }
}
