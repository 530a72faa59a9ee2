//! `saturate-cpu [--threads N] [--for SECONDS]`: arithmetic on all CPUs, and how much CPU time it really got.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::progress::{Progress, Rate};
use crate::cli::{self, Stop};

pub fn main(args: &[String]) -> i32 {
    match run(args) {
        Ok(()) => 0,
        Err(message) => cli::fail("saturate-cpu", &message),
    }
}

/// CPU seconds of this process, all threads.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// CPUs that this process may run on, whatever its quota.
fn cpus() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize)
}

fn run(args: &[String]) -> Result<(), String> {
    let options = cli::options(args, "n:f:", &[("threads", 'n'), ("for", 'f')])?;
    let threads = options
        .parsed::<usize>('n')?
        .unwrap_or_else(cpus)
        .clamp(1, 4096);
    let end = super::duration(&options, 'f')?.map(|time| Instant::now() + time);
    let stop = Stop::on_signals();
    let mut progress = Progress::new("saturate-cpu");
    let (start, before) = (Instant::now(), cpu_seconds());
    for _ in 0..threads {
        std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(burn)
            .map_err(|e| format!("no thread: {}", cli::reason(&e)))?;
    }
    let mut rate = Rate::new(before);
    let name = if threads == 1 {
        "1 thread".to_string()
    } else {
        format!("{threads} threads")
    };
    // Below a quota this thread is throttled too, so it looks at clocks rather than counting its own sleeps.
    while !stop.asked() && end.is_none_or(|end| Instant::now() < end) {
        let left = end.map_or(Duration::from_secs(1), |end| {
            end.saturating_duration_since(Instant::now())
        });
        stop.sleep(left.min(Duration::from_secs(1)));
        if rate.age() >= Duration::from_millis(900) {
            progress.tick(|| format!("{name}, using {:.2} CPUs", rate.per_second(cpu_seconds())));
        }
    }
    let (wall, used) = (start.elapsed().as_secs_f64(), cpu_seconds() - before);
    progress.say(&format!(
        "{name}, used {used:.2} CPU seconds in {wall:.2} s: {:.2} CPUs",
        used / wall.max(1e-6)
    ));
    Ok(())
}

/// Never ends; the process's end ends it.
fn burn() {
    let mut value = 0x2545_f491_4f6c_dd1d_u64;
    loop {
        for _ in 0..1_000_000 {
            value ^= value << 13;
            value ^= value >> 7;
            value ^= value << 17;
        }
        value = black_box(value);
    }
}
