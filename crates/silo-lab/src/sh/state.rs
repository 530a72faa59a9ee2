//! The shell: what it knows (variables, functions, options, descriptors, jobs) and how it says that something is wrong.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::ast::Command;
use super::children::Children;
use super::fds::Fds;
use super::jobs::Jobs;
use super::parser::Aliases;
use super::signals::Signals;
use crate::text;

/// Why the run of commands stops before its end.
#[derive(Debug)]
pub enum Flow {
    /// `break N`, `continue N`
    Break(u32),
    Continue(u32),
    Return,
    /// `exit`, or `set -e` met a failure; the code is `Shell::status`.
    Exit,
    /// Ctrl-C in an interactive shell: back to the prompt.
    Interrupted,
    /// An error of expansion or assignment: ends a script, and the line of an interactive shell.
    Error(String),
}

pub type Run<T = ()> = Result<T, Flow>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Variable {
    /// `None`: exported or read-only, but not set.
    pub value: Option<String>,
    pub exported: bool,
    pub readonly: bool,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    pub errexit: bool,
    pub nounset: bool,
    pub xtrace: bool,
    pub noglob: bool,
    pub noclobber: bool,
    pub allexport: bool,
    pub interactive: bool,
}

/// `set -X` letters with their long names.
pub const OPTIONS: &[(char, &str)] = &[
    ('a', "allexport"),
    ('C', "noclobber"),
    ('e', "errexit"),
    ('f', "noglob"),
    ('u', "nounset"),
    ('x', "xtrace"),
];

impl Options {
    /// The option of a `set` letter.
    pub fn by_letter(&mut self, letter: char) -> Option<&mut bool> {
        Some(match letter {
            'a' => &mut self.allexport,
            'C' => &mut self.noclobber,
            'e' => &mut self.errexit,
            'f' => &mut self.noglob,
            'u' => &mut self.nounset,
            'x' => &mut self.xtrace,
            _ => return None,
        })
    }

    /// `$-`
    pub fn letters(mut self) -> String {
        let mut letters: String = OPTIONS
            .iter()
            .map(|o| o.0)
            .filter(|&c| self.by_letter(c).is_some_and(|on| *on))
            .collect();
        if self.interactive {
            letters.push('i');
        }
        letters
    }
}

pub struct Shell {
    pub variables: BTreeMap<String, Variable>,
    pub functions: BTreeMap<String, Rc<Command>>,
    pub aliases: Aliases,
    /// `$1` …
    pub positional: Vec<String>,
    /// `$0`
    pub name: String,
    pub options: Options,
    /// `$?`
    pub status: i32,
    /// `$$`: also in a subshell that of the main shell.
    pub pid: u32,
    /// `$!`
    pub last_background: Option<u32>,
    pub fds: Fds,
    pub children: Children,
    pub jobs: Jobs,
    pub signals: Signals,
    /// Above 0 where a failure is expected (conditions): `set -e` does not act.
    pub tested: u32,
    pub loops: u32,
    /// What `local` has to put back, per function call.
    pub locals: Vec<Vec<(String, Option<Variable>)>>,
    /// Status of the last `$(…)`, for a command that is only assignments.
    pub substitution_status: Option<i32>,
    /// The next plain program may replace the shell: nothing is left to do after it.
    pub replaceable: bool,
    /// `getopts`: place inside a cluster of letters.
    pub getopts_at: usize,
}

impl Shell {
    pub fn new(name: String) -> Self {
        let mut variables = BTreeMap::new();
        for (key, value) in std::env::vars_os() {
            let variable = Variable {
                value: Some(text::from_os(&value)),
                exported: true,
                readonly: false,
            };
            variables.insert(text::from_os(&key), variable);
        }
        let mut shell = Self {
            variables,
            functions: BTreeMap::new(),
            aliases: Aliases::new(),
            positional: Vec::new(),
            name,
            options: Options::default(),
            status: 0,
            pid: std::process::id(),
            last_background: None,
            fds: Fds::default(),
            children: Children::default(),
            jobs: Jobs::default(),
            signals: Signals::default(),
            tested: 0,
            loops: 0,
            locals: Vec::new(),
            substitution_status: None,
            replaceable: false,
            getopts_at: 0,
        };
        shell.defaults();
        shell
    }

    fn defaults(&mut self) {
        for (name, value) in [
            ("IFS", " \t\n"),
            ("PS2", "> "),
            ("PS4", "+ "),
            ("OPTIND", "1"),
        ] {
            let variable = self.variables.entry(name.into()).or_default();
            variable.value = Some(value.into());
        }
        if self.get("PATH").is_none() {
            self.put(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
        }
        if let Ok(here) = std::env::current_dir() {
            self.put("PWD", &text::from_os(here.as_os_str()));
        }
    }

    /// A variable's text, `None` when unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.value.as_deref()
    }

    /// Sets a variable of the shell's own, read-only or not.
    pub fn put(&mut self, name: &str, value: &str) {
        self.variables.entry(name.into()).or_default().value = Some(value.into());
    }

    /// `NAME=value`
    ///
    /// # Errors
    /// When the variable is read-only.
    pub fn assign(&mut self, name: &str, value: &str) -> Run {
        let all = self.options.allexport;
        let variable = self.variables.entry(name.into()).or_default();
        if variable.readonly {
            return Err(Flow::Error(format!("{name}: is read only")));
        }
        variable.exported |= all;
        variable.value = Some(value.into());
        if name == "OPTIND" {
            self.getopts_at = 0;
        }
        Ok(())
    }

    /// Special parameters and variables; `None` when unset. (`$@` and `$*` belong to the expander.)
    pub fn parameter(&self, name: &str) -> Option<String> {
        if let Ok(number) = name.parse::<usize>() {
            return match number.checked_sub(1) {
                None => Some(self.name.clone()),
                Some(index) => self.positional.get(index).cloned(),
            };
        }
        match name {
            "?" => Some(self.status.to_string()),
            "$" => Some(self.pid.to_string()),
            "#" => Some(self.positional.len().to_string()),
            "!" => self.last_background.map(|p| p.to_string()),
            "-" => Some(self.options.letters()),
            "PPID" => Some(
                rustix::process::getppid()
                    .map_or(0, |p| p.as_raw_nonzero().get())
                    .to_string(),
            ),
            _ => self.get(name).map(str::to_string),
        }
    }

    /// One line on the shell's standard error.
    pub fn complain(&self, message: &str) {
        // Nobody is left to be told when standard error itself fails.
        let _ = self
            .fds
            .write(2, &text::to_bytes(&format!("sh: {message}\n")));
    }

    /// Writes to standard output; `$?` of the builtin.
    pub fn say(&self, message: &str) -> i32 {
        match self.fds.write(1, &text::to_bytes(message)) {
            Ok(()) => 0,
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {
                128 + signal_hook::consts::SIGPIPE
            }
            Err(e) => {
                self.complain(&format!("write error: {}", reason(&e)));
                1
            }
        }
    }
}

/// An operating system error in the words of strerror(3).
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}
