//! `hold [--private SIZE] [--shared SIZE] [--cache SIZE] [--cpus N] [--threads N] [--zombies N]`: takes exactly so much of each,
//! says so, and keeps it. Figures of an engine are checked against it, since everything else uses what it likes.
//!
//! Shared memory is a file in /dev/shm that two processes map; cache is a file that was written and is on the disk. Zombies are
//! children that nobody waits for.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::time::{ClockId, clock_gettime};

use super::mem;
use crate::cli::{self, Options, Stop};
use crate::size::human;

/// Followed by the process number.
const SHARED: &str = "/dev/shm/hold";
const CACHED: &str = "/tmp/hold";

/// A share of a processor is given in steps of this.
const STEP: Duration = Duration::from_millis(10);

pub fn main(args: &[String]) -> i32 {
    match run(args) {
        Ok(()) => 0,
        Err(message) => cli::fail("hold", &message),
    }
}

/// What was asked for.
struct Asked {
    private: u64,
    shared: u64,
    cache: u64,
    cpus: f64,
    threads: usize,
    zombies: usize,
}

impl Asked {
    fn of(options: &Options) -> Result<Asked, String> {
        let size = |letter| Ok::<_, String>(super::bytes(options, letter)?.unwrap_or(0));
        let cpus = options.parsed::<f64>('c')?.unwrap_or(0.0);
        if !(0.0..=64.0).contains(&cpus) {
            return Err(format!("--cpus must be between 0 and 64, not {cpus}"));
        }
        let least = 1 + cpus.ceil() as usize;
        let threads = options.parsed::<usize>('n')?.unwrap_or(least);
        if !(least..=4096).contains(&threads) {
            return Err(format!(
                "--threads must be between {least} and 4096, not {threads}: this one, and one for each processor begun"
            ));
        }
        Ok(Asked {
            private: size('p')?,
            shared: size('s')?,
            cache: size('k')?,
            cpus,
            threads,
            zombies: options.parsed('z')?.unwrap_or(0),
        })
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let longs = [
        ("private", 'p'),
        ("shared", 's'),
        ("cache", 'k'),
        ("cpus", 'c'),
        ("threads", 'n'),
        ("zombies", 'z'),
        ("map", 'm'),
    ];
    let options = cli::options(args, "p:s:k:c:n:z:m:", &longs)?;
    let stop = Stop::on_signals();
    if let Some(path) = options.value('m') {
        let file = File::options().read(true).write(true).open(path);
        let _map = map(&file.map_err(|e| cannot(path, &e))?)?;
        cli::print("mapped\n");
        wait(&stop);
        return Ok(());
    }
    let asked = Asked::of(&options)?;
    let _zombies: Vec<Child> = (0..asked.zombies)
        .map(|_| zombie())
        .collect::<Result<_, _>>()?;
    let shared = (asked.shared > 0)
        .then(|| share(asked.shared))
        .transpose()?;
    let cached = own(CACHED);
    if asked.cache > 0 {
        let file = write(&cached, asked.cache)?;
        file.sync_all().map_err(|e| cannot(&cached, &e))?;
    }
    let _private = private(asked.private, &stop)?;
    threads(&asked)?;
    cli::print(&format!(
        "hold: {} private, {} shared, {} of cache, {} CPUs, {} threads, {} zombies: ready\n",
        human(asked.private),
        human(asked.shared),
        human(asked.cache),
        asked.cpus,
        asked.threads,
        asked.zombies
    ));
    wait(&stop);
    if let Some((mut other, _map)) = shared {
        // It may have had the same signal.
        let _ = other.kill();
        let _ = other.wait();
        let _ = std::fs::remove_file(own(SHARED));
    }
    let _ = std::fs::remove_file(cached);
    Ok(())
}

fn wait(stop: &Stop) {
    while !stop.asked() {
        stop.sleep(Duration::from_secs(1));
    }
}

fn own(path: &str) -> String {
    format!("{path}-{}", std::process::id())
}

fn cannot(path: &str, error: &std::io::Error) -> String {
    format!("{path}: {}", cli::reason(error))
}

/// This program under another of its names.
fn this(name: &str, words: &[&str], output: Stdio) -> Result<Child, String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name).args(words).stdout(output);
    command.spawn().map_err(|e| cannot(name, &e))
}

/// A child that has ended; its end is looked at and not taken.
fn zombie() -> Result<Child, String> {
    let child = this("true", &[], Stdio::null())?;
    let pid = Pid::from_child(&child);
    let looked = waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    );
    looked.map_err(|e| cannot("true", &e.into()))?;
    Ok(child)
}

/// A file of so many bytes, none of them in a hole.
fn write(path: &str, size: u64) -> Result<File, String> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(|e| cannot(path, &e))?;
    let piece = vec![0xa5; 1 << 16];
    let mut left = size;
    while left > 0 {
        let length = left.min(piece.len() as u64) as usize;
        file.write_all(&piece[..length])
            .map_err(|e| cannot(path, &e))?;
        left -= length as u64;
    }
    Ok(file)
}

/// All pages of a file, present in this process.
fn map(file: &File) -> Result<MmapRaw, String> {
    let mut options = MmapOptions::new();
    options.populate();
    options
        .map_raw(file)
        .map_err(|e| format!("map: {}", cli::reason(&e)))
}

/// Memory of this process and of a second one.
fn share(size: u64) -> Result<(Child, MmapRaw), String> {
    let path = own(SHARED);
    let file = write(&path, size)?;
    let map = map(&file)?;
    let mut other = this("hold", &["--map", &path], Stdio::piped())?;
    // It is shared when the other one says so.
    if let Some(mut output) = other.stdout.take() {
        output
            .read_exact(&mut [0])
            .map_err(|e| cannot("hold --map", &e))?;
    }
    Ok((other, map))
}

fn private(size: u64, stop: &Stop) -> Result<Option<MmapMut>, String> {
    if size == 0 {
        return Ok(None);
    }
    let length = usize::try_from(size).map_err(|_| format!("{size} bytes do not fit"))?;
    let mut map = MmapMut::map_anon(length)
        .map_err(|e| format!("{} of memory: {}", human(size), cli::reason(&e)))?;
    mem::touch(&mut map, rustix::param::page_size(), 0, stop);
    Ok(Some(map))
}

/// The others of this process: some burn, the rest sleep.
fn threads(asked: &Asked) -> Result<(), String> {
    let mut left = asked.cpus;
    for _ in 1..asked.threads {
        let share = left.clamp(0.0, 1.0);
        left -= share;
        std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || burn(share))
            .map_err(|e| format!("no thread: {}", cli::reason(&e)))?;
    }
    Ok(())
}

fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Uses a share of one processor, as evenly as the machine lets it. What it was kept from for longer than some steps is not
/// made up for.
fn burn(share: f64) {
    if share <= 0.0 {
        loop {
            std::thread::park();
        }
    }
    let (mut start, mut before) = (Instant::now(), own_time());
    loop {
        let due = start.elapsed().mul_f64(share);
        let used = own_time() - before;
        if used >= due {
            // A whole processor is never ahead by more than the clocks are apart.
            std::thread::sleep((used - due).max(STEP.mul_f64((1.0 - share).max(0.01))));
            continue;
        }
        if due - used > 10 * STEP {
            (start, before) = (Instant::now(), own_time());
        }
        let end = own_time() + STEP.mul_f64(share);
        let mut value = 1u64;
        while own_time() < end {
            for _ in 0..20_000 {
                value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(7);
            }
            value = black_box(value);
        }
    }
}
