//! The timing loop: commands in turn, each from spawn to wait, and until nothing of it is left.

use std::{
    ffi::{OsStr, OsString},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{io::Errno, process::WaitOptions};
use silo_types::{Doing, Error, Result};

use crate::{machine, summary::Summary};

/// Command lines to be timed as one, and what to call them.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub name: String,
    pub words: Vec<OsString>,
    /// What follows, each after the end of the one before.
    pub then: Vec<Vec<OsString>>,
}

/// What was measured of a candidate.
#[derive(Debug)]
pub struct Timed {
    pub name: String,
    /// From spawn until the command ended.
    pub returned: Summary,
    /// From spawn until every process that it left behind ended too.
    pub gone: Summary,
    /// Mean processor time of the command and all it started.
    pub cpu: Duration,
}

/// Whether to wait, untimed, for what a command leaves running before the next one starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// No process of ours may be left: for commands that run while nothing else does.
    Wait,
    /// Containers run in the background.
    No,
}

impl Candidate {
    pub fn new<S: AsRef<OsStr>>(
        name: impl Into<String>,
        words: impl IntoIterator<Item = S>,
    ) -> Self {
        Candidate {
            name: name.into(),
            words: words.into_iter().map(|w| w.as_ref().to_owned()).collect(),
            then: Vec::new(),
        }
    }

    /// With another command line after it.
    pub fn then<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.then
            .push(words.into_iter().map(|w| w.as_ref().to_owned()).collect());
        self
    }

    fn commands(&self) -> Result<Vec<Command>> {
        std::iter::once(&self.words)
            .chain(&self.then)
            .map(|words| {
                let (program, arguments) = words
                    .split_first()
                    .ok_or_else(|| Error::internal("an empty command line"))?;
                let mut command = Command::new(program);
                command
                    .args(arguments)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                Ok(command)
            })
            .collect()
    }

    /// Runs it once, untimed, and says what it printed if it failed.
    pub fn check(&self) -> Result<()> {
        self.commands()?
            .iter_mut()
            // Not with pipes where something follows: what was made keeps them, and their end would never come.
            .try_for_each(|command| match self.then.is_empty() {
                true => output(command).map(drop),
                false => self.status(command),
            })
            .map_err(|e| e.context(&self.name))
    }

    fn status(&self, command: &mut Command) -> Result<()> {
        let status = command
            .status()
            .doing_with(|| format!("start {}", self.name))?;
        match status.success() {
            true => Ok(()),
            false => Err(Error::conflict(format!(
                "{} failed ({status})",
                shown(command)
            ))),
        }
    }

    /// One timed run.
    pub fn time(&self) -> Result<Duration> {
        let mut commands = self.commands()?;
        let start = Instant::now();
        let done = commands
            .iter_mut()
            .try_for_each(|command| self.status(command));
        let took = start.elapsed();
        let Err(failed) = done else {
            return Ok(took);
        };
        self.check()?;
        Err(failed.context(format!(
            "{}, which succeeded when it was run again",
            self.name
        )))
    }

    /// The largest peak of resident memory of one process of it, in bytes, while it runs once.
    pub fn peak(&self) -> Result<u64> {
        let mut peak = 0;
        for mut command in self.commands()? {
            let child = command
                .spawn()
                .doing_with(|| format!("start {}", self.name))?;
            let (status, used) = silo_sys::process::wait_usage(child.id())
                .doing_with(|| format!("wait for {}", self.name))?;
            if !status.success() {
                return Err(Error::conflict(format!("{} failed ({status})", self.name)));
            }
            peak = peak.max(used);
        }
        Ok(peak)
    }
}

/// Runs a command and returns its standard output; a failure tells its standard error.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .output()
        .doing_with(|| format!("start {}", shown(command)))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::conflict(format!(
        "{} failed ({}): {}",
        shown(command),
        output.status,
        said.trim()
    )))
}

/// A command line for a message: the first words say enough.
fn shown(command: &Command) -> String {
    const WORDS: usize = 10;
    let words: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect();
    let more = if words.len() > WORDS { " …" } else { "" };
    let first = words[..words.len().min(WORDS)].join(" ");
    format!("{} {first}{more}", command.get_program().display())
}

/// Times all candidates in turn, `rounds` times: A B C, C B A, A B C … so that none always follows the same other.
pub fn interleave(candidates: &[Candidate], rounds: usize, settle: Settle) -> Result<Vec<Timed>> {
    const WARM_UP: usize = 3;
    for candidate in candidates {
        candidate.check()?;
        if settle == Settle::Wait {
            reap_all()?;
        }
    }
    let mut all = vec![Samples::default(); candidates.len()];
    for round in 0..rounds + WARM_UP {
        let order: Vec<usize> = match round % 2 {
            0 => (0..candidates.len()).collect(),
            _ => (0..candidates.len()).rev().collect(),
        };
        for index in order {
            let sample = run_once(&candidates[index], settle)?;
            if round >= WARM_UP {
                all[index].add(&sample);
            }
        }
    }
    Ok(candidates
        .iter()
        .zip(all)
        .map(|(candidate, samples)| samples.summed_up(&candidate.name))
        .collect())
}

struct Sample {
    returned: Duration,
    gone: Duration,
    cpu: Duration,
}

#[derive(Clone, Default)]
struct Samples {
    returned: Vec<Duration>,
    gone: Vec<Duration>,
    cpu: Duration,
}

impl Samples {
    fn add(&mut self, sample: &Sample) {
        self.returned.push(sample.returned);
        self.gone.push(sample.gone);
        self.cpu += sample.cpu;
    }

    fn summed_up(self, name: &str) -> Timed {
        let runs = u32::try_from(self.returned.len().max(1)).unwrap_or(u32::MAX);
        Timed {
            name: name.to_owned(),
            returned: Summary::of(self.returned),
            gone: Summary::of(self.gone),
            cpu: self.cpu / runs,
        }
    }
}

fn run_once(candidate: &Candidate, settle: Settle) -> Result<Sample> {
    let cpu_before = machine::cpu_of_children();
    let start = Instant::now();
    let returned = candidate.time()?;
    if settle == Settle::Wait {
        reap_all()?;
    }
    let gone = start.elapsed();
    let cpu = machine::cpu_of_children().saturating_sub(cpu_before);
    Ok(Sample {
        returned,
        gone,
        cpu,
    })
}

/// Waits until this process has no children, its own or adopted ones.
pub fn reap_all() -> Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(Error::system("wait for what a command left behind", error)),
        }
    }
}

/// Collects adopted processes that ended already, so that no zombie stands beside the measurement.
pub fn reap_ended() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}
