//! `silo lab process-isolation`: the lesson that a container is just processes of the host, played step by step for real.
//!
//! Each step is a command as one would type it, run by this very program, its output as it appears, and a check of what must be
//! true. A check that fails ends the lab with its reason and a code other than zero. The containers that eat memory run below a
//! control group with a ceiling, so that the machine stays safe; everything that the lab made is removed at its end.

mod steps;
mod terminal;

use std::{
    io::Write,
    process::{Command, Output},
    time::Duration,
};

use silo_engine::Engine;
use silo_types::{Doing, Error, Result};

pub use terminal::{ON_TERMINAL, on_terminal};

/// The lesson as it is being played.
pub struct Lab<'a> {
    engine: &'a Engine,
    /// `--root` and `--run`, repeated for every command.
    globals: Vec<String>,
    /// Told apart from other containers: pinger and the like.
    prefix: String,
    /// Wait for Enter before each step.
    interactive: bool,
    step: usize,
}

impl<'a> Lab<'a> {
    pub fn new(engine: &'a Engine, auto: bool) -> Lab<'a> {
        let paths = engine.paths();
        Lab {
            engine,
            globals: vec![
                "--root".to_owned(),
                paths.root.display().to_string(),
                "--run".to_owned(),
                paths.run.display().to_string(),
            ],
            prefix: String::new(),
            interactive: !auto,
            step: 0,
        }
    }

    /// Plays the whole lesson; what it made is removed, whatever happened.
    pub fn play(&mut self) -> Result<()> {
        self.choose_names()?;
        let bridge = self.engine.bridge()?;
        let had_network = bridge.find()?.is_some();
        println!(
            "Process isolation: a container is just processes of the host, seen through namespaces and held by limits."
        );
        let played = steps::all(self);
        let removed = self.clean_up();
        played?;
        removed?;
        // What was not there before goes, too: the network and the group above the containers.
        if !had_network && self.engine.list()?.is_empty() {
            bridge.remove_all()?;
            self.engine.doctor(true)?;
            self.engine.remove_empty_group()?;
        }
        println!("\nAll checks passed. Nothing of the lab is left on this machine.");
        Ok(())
    }

    /// `pinger`, unless somebody has one already.
    fn choose_names(&mut self) -> Result<()> {
        let taken = |prefix: &str| {
            steps::NAMES
                .iter()
                .any(|name| self.engine.find(&format!("{prefix}{name}")).is_ok())
        };
        if taken("") {
            self.prefix = format!("lab{}-", std::process::id());
        }
        Ok(())
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn title(&mut self, title: &str) -> Result<()> {
        self.step += 1;
        println!("\n\u{2501}\u{2501} {} \u{2501}\u{2501} {title}", self.step);
        if self.interactive {
            print!("   press Enter ");
            std::io::stdout().flush().doing("write to the terminal")?;
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .doing("read from the terminal")?;
        }
        Ok(())
    }

    /// Shows a command as it is typed, runs it, shows its output.
    fn run(&self, words: &[&str]) -> Result<String> {
        println!("   $ silo {}", words.join(" "));
        let output = self.quiet(words)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        for line in text.lines().chain(said.lines()) {
            println!("   {line}");
        }
        match output.status.success() {
            true => Ok(text),
            false => Err(Error::internal(format!(
                "'silo {}' ended with {}: {}",
                words.join(" "),
                output.status,
                said.trim()
            ))),
        }
    }

    /// The same without showing anything.
    fn quiet(&self, words: &[&str]) -> Result<Output> {
        Command::new(std::env::current_exe().doing("find the own program")?)
            .args(&self.globals)
            .args(words)
            .output()
            .doing("run silo")
    }

    /// A command on a terminal of its own, shown as it goes.
    fn on_terminal(&self, words: &[&str]) -> Result<terminal::Session> {
        println!("   $ silo {}", words.join(" "));
        let all: Vec<&str> = self
            .globals
            .iter()
            .map(String::as_str)
            .chain(words.iter().copied())
            .collect();
        terminal::Session::start(&all, true)
    }

    /// What must be true, or the lab ends.
    fn check(&self, what: &str, holds: bool) -> Result<()> {
        if holds {
            println!("   \u{2713} {what}");
            return Ok(());
        }
        println!("   \u{2717} {what}");
        Err(Error::internal(format!(
            "step {}: not true: {what}",
            self.step
        )))
    }

    /// Waits until something becomes true.
    fn until(&self, most: Duration, mut holds: impl FnMut() -> bool) -> bool {
        let until = std::time::Instant::now() + most;
        while std::time::Instant::now() < until {
            if holds() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        holds()
    }

    fn clean_up(&self) -> Result<()> {
        for name in steps::NAMES {
            if let Ok(container) = self.engine.find(&self.name(name)) {
                self.engine.remove(&container, true, true)?;
            }
        }
        Ok(())
    }
}
