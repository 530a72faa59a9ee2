//! `sh`: a POSIX shell (XCU chapter 2) small enough to read. Called by the applet table; `main` gives the exit code.
//!
//! words/parser → ast → exec, with expand, pattern and arith for words, fds, launch, children and jobs for processes.

mod arith;
mod ast;
mod builtins;
mod children;
mod exec;
mod expand;
mod fds;
mod interactive;
mod jobs;
mod launch;
mod parser;
mod pattern;
mod signals;
mod state;
mod subshell;
mod words;

use std::ffi::OsString;

use ast::{Command, Compound, List};
use parser::{ParseError, Parser};
use state::{Flow, Options, Run, Shell};

use crate::text;

pub use signals::{name as signal_name, number as signal_number};

/// What the command line asks for.
#[derive(Debug, Default)]
struct Invocation {
    command: Option<String>,
    interactive: bool,
    login: bool,
    stdin: bool,
    options: Options,
    operands: Vec<String>,
}

/// Runs the shell with the arguments after its name.
pub fn main(args: &[OsString]) -> i32 {
    let args: Vec<String> = args.iter().map(|a| text::from_os(a)).collect();
    if let [mark, descriptor] = args.as_slice()
        && mark == subshell::MARK
    {
        return match subshell::resume(descriptor) {
            Ok((mut shell, body)) => {
                let result = shell.run_subshell_body(&body);
                shell.end(result)
            }
            Err(e) => {
                eprintln!("sh: cannot resume a subshell: {e}");
                2
            }
        };
    }
    match parse_arguments(&args) {
        Ok(invocation) => run(invocation),
        Err(message) => {
            eprintln!("sh: {message}\nusage: sh [-eilsux] [-c COMMAND | FILE] [WORD...]");
            2
        }
    }
}

fn parse_arguments(args: &[String]) -> Result<Invocation, String> {
    let mut invocation = Invocation::default();
    let mut command = false;
    let mut at = 0;
    while let Some(word) = args.get(at) {
        let (on, letters) = match word.split_at_checked(1) {
            Some(("-", letters)) if !letters.is_empty() => (true, letters),
            Some(("+", letters)) if !letters.is_empty() => (false, letters),
            _ => break,
        };
        at += 1;
        match letters {
            "-" => break,
            "-login" => invocation.login = true,
            _ => {
                for letter in letters.chars() {
                    match letter {
                        'c' => command = on,
                        'i' => invocation.interactive = on,
                        'l' => invocation.login = on,
                        's' => invocation.stdin = on,
                        other => {
                            *invocation
                                .options
                                .by_letter(other)
                                .ok_or(format!("no such option: {word}"))? = on
                        }
                    }
                }
            }
        }
    }
    invocation.operands = args[at..].to_vec();
    if command {
        if invocation.operands.is_empty() {
            return Err("-c needs a command".into());
        }
        invocation.command = Some(invocation.operands.remove(0));
    }
    Ok(invocation)
}

fn run(mut invocation: Invocation) -> i32 {
    let from_stdin =
        invocation.command.is_none() && (invocation.stdin || invocation.operands.is_empty());
    let name = if from_stdin || invocation.operands.is_empty() {
        "sh".to_string()
    } else {
        invocation.operands.remove(0)
    };
    let mut shell = Shell::new(name);
    shell.positional = invocation.operands;
    shell.options = invocation.options;
    shell.options.interactive = invocation.interactive
        || (from_stdin && shell.fds.is_terminal(0) && shell.fds.is_terminal(2));
    if let Err(e) = shell.take_charge() {
        shell.complain(&format!("cannot handle signals: {}", state::reason(&e)));
    }
    if invocation.login {
        shell.run_start_file("/etc/profile");
    }
    if let Some(file) = shell
        .get("ENV")
        .map(str::to_string)
        .filter(|_| shell.options.interactive)
    {
        shell.run_start_file(&file);
    }
    let result = if let Some(command) = invocation.command {
        shell.run_final(&command)
    } else if from_stdin {
        interactive::read_and_run(&mut shell)
    } else {
        shell.run_file()
    };
    shell.end(result)
}

impl Shell {
    fn take_charge(&mut self) -> std::io::Result<()> {
        if !self.options.interactive {
            return if fds::is_init() {
                self.signals.script_as_init()
            } else {
                Ok(())
            };
        }
        self.signals.interactive()?;
        self.jobs.control_terminal();
        self.children.collect_in_background()
    }

    fn run_start_file(&mut self, path: &str) {
        let Ok(script) = std::fs::read(text::to_os(path)) else {
            return;
        };
        if let Err(Flow::Error(message)) = self.run_text(&text::from_bytes(&script)) {
            self.complain(&message);
        }
    }

    fn run_file(&mut self) -> Run {
        match std::fs::read(text::to_os(&self.name)) {
            Ok(script) => self.run_final(&text::from_bytes(&script)),
            Err(e) => {
                let missing = e.kind() == std::io::ErrorKind::NotFound;
                self.complain(&format!(
                    "{}: {}",
                    self.name,
                    if missing {
                        "not found".into()
                    } else {
                        state::reason(&e)
                    }
                ));
                self.status = if missing { 127 } else { 126 };
                Ok(())
            }
        }
    }

    /// Runs text line by line (`eval`, `.`, traps).
    ///
    /// # Errors
    /// As [`Self::run_list`]; a syntax error is [`Flow::Error`].
    pub fn run_text(&mut self, text: &str) -> Run {
        self.run_lines(text, false)
    }

    /// As [`Self::run_text`], with nothing to do afterwards: the last program may replace the shell.
    fn run_final(&mut self, text: &str) -> Run {
        self.run_lines(text, true)
    }

    fn run_lines(&mut self, text: &str, last: bool) -> Run {
        let mut rest = text.to_string();
        loop {
            let aliases = self.aliases.clone();
            let mut parser = Parser::new(&rest, &aliases);
            // One parser serves until an alias appears or changes.
            while self.aliases == aliases {
                let Some(list) = parser.next_line().map_err(syntax_error)? else {
                    return Ok(());
                };
                if last && parser.at_end() {
                    return self.run_last(&list);
                }
                self.run_list(&list)?;
            }
            rest = parser.rest();
        }
    }

    /// Runs a list after which the shell ends.
    fn run_last(&mut self, list: &List) -> Run {
        let Some((end, start)) = list.0.split_last() else {
            return Ok(());
        };
        for item in start {
            self.run_list(&List(vec![item.clone()]))?;
        }
        let simple = !end.background
            && end.rest.is_empty()
            && !end.first.negate
            && matches!(end.first.stages.as_slice(), [Command::Simple(_)]);
        self.replaceable = simple && !self.options.interactive && self.signals.traps.is_empty();
        let result = self.run_list(&List(vec![end.clone()]));
        self.replaceable = false;
        result
    }

    fn run_subshell_body(&mut self, body: &Command) -> Run {
        if let Command::Compound(compound, redirects) = body
            && let Compound::Subshell(list) = &**compound
        {
            return if self.redirect_all(redirects)? {
                self.run_last(list)
            } else {
                Ok(())
            };
        }
        self.run_stage_alone(body)
    }

    /// The end: what went wrong, the EXIT trap, the code.
    fn end(&mut self, result: Run) -> i32 {
        if let Err(Flow::Error(message)) = result {
            self.complain(&message);
            self.status = 2;
        }
        if let Some(action) = self.signals.traps.remove(&0) {
            let status = self.status;
            match self.run_text(&action) {
                Err(Flow::Exit) => {}
                Err(Flow::Error(message)) => self.complain(&message),
                _ => self.status = status,
            }
        }
        self.status
    }
}

fn syntax_error(error: ParseError) -> Flow {
    Flow::Error(match error {
        ParseError::Incomplete => "syntax error: unexpected end of file".into(),
        ParseError::Syntax(message) => message,
    })
}
