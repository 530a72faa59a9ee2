//! `saturate-fork [--max N] [--rate N] [--hold SECONDS]`: children that only sleep, until --max or until the kernel refuses.
//!
//! A child is this same program with `--child`: it dies with its parent even when that is killed.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::progress::Progress;
use crate::cli::{self, Stop};

pub fn main(args: &[String]) -> i32 {
    if let [mark, parent] = args
        && mark == "--child"
    {
        return sleep_with(parent);
    }
    match run(args) {
        Ok(()) => 0,
        Err(message) => cli::fail("saturate-fork", &message),
    }
}

fn sleep_with(parent: &str) -> i32 {
    let alive = || getppid().is_some_and(|p| p.as_raw_nonzero().to_string() == parent);
    // The parent may have gone before the wish was known to the kernel.
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() || !alive() {
        return 1;
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let options = cli::options(
        args,
        "m:r:t:",
        &[("max", 'm'), ("rate", 'r'), ("hold", 't')],
    )?;
    let most = options.parsed::<usize>('m')?.unwrap_or(usize::MAX);
    let rate = options.parsed::<f64>('r')?;
    if rate.is_some_and(|r| r.is_nan() || r <= 0.0) {
        return Err("--rate must be above 0".into());
    }
    let hold = super::duration(&options, 't')?;
    let stop = Stop::on_signals();
    let mut progress = Progress::new("saturate-fork");
    let mut children = Vec::new();
    let why = grow(&mut children, most, rate, &stop, &mut progress);
    progress.say(&format!("{} children, stopped by {why}", children.len()));
    let end = hold.map(|time| Instant::now() + time);
    while !stop.asked() && end.is_none_or(|end| Instant::now() < end) {
        let left = end.map_or(Duration::from_secs(1), |end| {
            end.saturating_duration_since(Instant::now())
        });
        stop.sleep(left.min(Duration::from_secs(1)));
    }
    let count = children.len();
    end_all(children);
    progress.say(&format!("{count} children ended"));
    Ok(())
}

/// Starts children; gives the reason why there are not more.
fn grow(
    children: &mut Vec<Child>,
    most: usize,
    rate: Option<f64>,
    stop: &Stop,
    progress: &mut Progress,
) -> String {
    let start = Instant::now();
    let me = std::process::id().to_string();
    while children.len() < most {
        if stop.asked() {
            return "a signal".into();
        }
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("saturate-fork")
            .args(["--child", &me])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => children.push(child),
            Err(e) => return format!("the kernel: {}", cli::reason(&e)),
        }
        progress.tick(|| format!("{} children", children.len()));
        if let Some(rate) = rate {
            let due =
                Duration::try_from_secs_f64(children.len() as f64 / rate).unwrap_or(Duration::MAX);
            stop.sleep(due.saturating_sub(start.elapsed()));
        }
    }
    "--max".into()
}

/// Kills all before it waits for the first, so that they die together.
fn end_all(mut children: Vec<Child>) {
    for child in &mut children {
        // A child that is dead already needs no killing; the wait below reaps it all the same.
        let _ = child.kill();
    }
    for child in &mut children {
        let _ = child.wait();
    }
}
