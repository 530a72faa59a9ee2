//! What a lab is: steps, what is typed in them, and what must then be true. Made by `parse` only, so all of it is well formed.

use std::time::Duration;

use silo_types::{Error, Result, Signal};

use super::words::Template;

/// One lab.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub title: String,
    /// Names of the containers that it makes.
    pub containers: Vec<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub title: String,
    /// What the learner is told, a paragraph each.
    pub text: Vec<Template>,
    /// Files of containers must lie on a disk: in memory they are no cache that could be given back.
    pub needs_disk: bool,
    pub actions: Vec<Action>,
}

impl Script {
    /// The same for a machine where files of containers lie in memory: steps that need a disk do nothing, and say so.
    pub fn without_disk(mut self) -> Result<Script> {
        for step in self.steps.iter_mut().filter(|step| step.needs_disk) {
            let said = "Left out: Silo's data (--root) lies in memory here, on a tmpfs, and files there are no cache that could be \
                        given back. With --root on a disk this step is played.";
            step.text = vec![Template::parse(said, &[]).map_err(Error::internal)?];
            step.actions.clear();
        }
        Ok(self)
    }
}

/// One of the two terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Outside,
    Inside,
}

impl Pane {
    pub fn word(self) -> &'static str {
        match self {
            Pane::Outside => "outside",
            Pane::Inside => "inside",
        }
    }
}

/// Something that is done, and what must come of it.
#[derive(Clone, Debug)]
pub struct Action {
    pub line: usize,
    pub deed: Deed,
    /// It goes on while the next thing is done.
    pub runs_on: bool,
    /// How long it may take until all checks hold.
    pub within: Duration,
    /// A command that only looks is typed anew so often until all checks hold.
    pub again: Option<Duration>,
    pub hint: Option<Template>,
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug)]
pub enum Deed {
    Type(Pane, Template),
    Press(Pane, Key),
    /// Draw what was recorded of a container.
    Plot(String, Figure),
}

/// Keys that a lab presses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Interrupts a program.
    CtrlC,
    /// Ends a shell's input.
    CtrlD,
    Enter,
}

impl Key {
    pub fn byte(self) -> u8 {
        match self {
            Key::CtrlC => 0x03,
            Key::CtrlD => 0x04,
            Key::Enter => b'\r',
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Key::CtrlC => "Ctrl-C",
            Key::CtrlD => "Ctrl-D",
            Key::Enter => "Enter",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Memory,
    Cpu,
}

#[derive(Clone, Debug)]
pub struct Check {
    pub line: usize,
    pub fact: Fact,
    /// In the teacher's words; none: made from the fact.
    pub words: Option<Template>,
}

/// What can be checked. Names are containers of the lab.
#[derive(Clone, Debug)]
pub enum Fact {
    OutputContains(Template),
    OutputLacks(Template),
    /// A regular expression; `^` and `$` are the ends of lines.
    OutputMatches(Template),
    /// Of the last command of the pane.
    Exit(i32),
    Listed(String, bool),
    /// No such container.
    Gone(String),
    Status(String, String),
    /// Exit code of the container.
    Code(String, i32),
    OomKilled(String, bool),
    /// Its control groups are not there.
    GroupGone(String),
    /// Value of a control group's file, by its name on v1 or on v2.
    GroupFile(String, Vec<(String, Template)>),
    /// Bytes: charged now, at most so far, held by its largest process as the host sees it.
    Memory(String, Ends),
    Peak(String, Ends),
    Resident(String, Ends),
    /// Processors used, over so long.
    Cpu(String, Ends, Duration),
    /// Share of its periods in which it was stopped, in percent, over so long.
    Throttled(String, Ends, Duration),
    /// The command that the kernel killed last for want of memory.
    Victim(String, Template),
    Process(Template, ProcessIs),
    /// A namespace of the container is its own (true) or the host's.
    Namespace(String, String, bool),
}

/// From the least to the most, both of which may depend on the machine: bytes, processors or percent.
#[derive(Clone, Debug)]
pub struct Ends {
    pub least: Option<Template>,
    pub most: Option<Template>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessIs {
    Alive,
    Gone,
    /// Its letter in ps.
    State(char),
    /// It ignores, catches or blocks a signal: which field of its status, and the signal.
    Signal(&'static str, Signal),
}
