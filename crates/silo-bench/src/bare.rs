//! The least that a recorder could do: wake up ten times a second and read two counters, nothing else. What that costs on a
//! machine is the floor under the cost of a look; it runs as a process of its own beside the monitor that is measured.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use silo_types::{Doing, Error, Result};

const EVERY: Duration = Duration::from_millis(100);

/// Never returns.
pub fn run(files: &[PathBuf]) -> Result<()> {
    let open = |path: &PathBuf| File::open(path).doing_with(|| format!("open {}", path.display()));
    let files: Vec<File> = files.iter().map(open).collect::<Result<_>>()?;
    let mut text = [0; 64];
    loop {
        std::thread::sleep(EVERY);
        for file in &files {
            file.read_at(&mut text, 0).doing("read a counter")?;
        }
    }
}

/// A process that does it; ended when dropped.
pub struct Bare(Child);

impl Bare {
    pub fn start(files: &[PathBuf]) -> Result<Bare> {
        let program = std::env::current_exe().doing("find this program")?;
        let words: Vec<&str> = files.iter().filter_map(|file| file.to_str()).collect();
        // What else is required is not used.
        let child = Command::new(program)
            .args(["--silo", "/", "--work", "/", "--bare", &words.join(",")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .doing("start the bare loop")?;
        Ok(Bare(child))
    }

    pub fn pid(&self) -> Result<i32> {
        i32::try_from(self.0.id()).map_err(|_| Error::internal("an impossible process number"))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Microseconds on a processor (sched-stats.rst) and wakes.
pub fn spent(pid: i32) -> Result<(f64, f64)> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let time = read(&folder.join("schedstat"))?;
    let status = read(&folder.join("status"))?;
    let wakes = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    let number = |text: &str| text.trim().parse::<f64>().unwrap_or(0.0);
    let time = number(time.split(' ').next().unwrap_or_default());
    Ok((time / 1000.0, number(wakes.unwrap_or_default())))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).doing_with(|| format!("read {}", path.display()))
}
