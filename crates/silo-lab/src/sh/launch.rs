//! Starts processes: programs, pipeline stages, subshells; puts them into jobs; finds programs in PATH.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use rustix::fs::{Access, access};

use super::ast::{Command, Compound, Item, List};
use super::builtins;
use super::jobs::Job;
use super::state::{Flow, Run, Shell, reason};
use super::subshell;
use crate::text;

/// Why a program could not be started: the status (126 or 127) and what to say.
pub struct Refusal {
    pub status: i32,
    pub message: String,
}

impl Shell {
    /// The file that a command's name stands for.
    ///
    /// # Errors
    /// 127 when there is none, 126 when it cannot be executed.
    pub fn find_program(&self, name: &str) -> Result<PathBuf, Refusal> {
        let not_found = || Refusal {
            status: 127,
            message: format!("{name}: not found"),
        };
        if name.contains('/') {
            let path = PathBuf::from(text::to_os(name));
            return match usable(&path) {
                None => Err(not_found()),
                Some(false) => Err(denied(name, &path)),
                Some(true) => Ok(path),
            };
        }
        let mut unusable = None;
        for folder in self
            .get("PATH")
            .unwrap_or_default()
            .split(':')
            .filter(|_| !name.is_empty())
        {
            let path = Path::new(&text::to_os(if folder.is_empty() { "." } else { folder }))
                .join(text::to_os(name));
            match usable(&path) {
                Some(true) => return Ok(path),
                Some(false) if !path.is_dir() => unusable = Some(path),
                _ => {}
            }
        }
        Err(unusable.map_or_else(not_found, |path| denied(name, &path)))
    }

    /// A program with arguments, environment and descriptors, not yet started.
    fn prepare(
        &self,
        path: &Path,
        argv: &[String],
        assigns: &[(String, String)],
    ) -> io::Result<Process> {
        let mut process = Process::new(path);
        process
            .arg0(text::to_os(&argv[0]))
            .args(argv[1..].iter().map(|a| text::to_os(a)))
            .env_clear();
        self.set_environment(&mut process, assigns);
        self.fds.give_to(&mut process)?;
        Ok(process)
    }

    fn set_environment(&self, process: &mut Process, assigns: &[(String, String)]) {
        for (name, variable) in &self.variables {
            if let (true, Some(value)) = (variable.exported, &variable.value) {
                process.env(text::to_os(name), text::to_os(value));
            }
        }
        process.envs(
            assigns
                .iter()
                .map(|(name, value)| (text::to_os(name), text::to_os(value))),
        );
    }

    /// Starts a program in process group `group` (`Some(0)`: its own).
    fn start_program(
        &self,
        argv: &[String],
        assigns: &[(String, String)],
        group: Option<i32>,
    ) -> Result<u32, Refusal> {
        let path = self.find_program(&argv[0])?;
        let start = |path: &Path, argv: &[String]| {
            let mut process = self.prepare(path, argv, assigns)?;
            if let Some(group) = group {
                process.process_group(group);
            }
            self.children.spawn(&mut process)
        };
        match start(&path, argv) {
            Err(e) if is_script_without_interpreter(&e, &path) => {
                start(Path::new(subshell::own_program()), &as_script(&path, argv))
            }
            other => other,
        }
        .map_err(|e| refusal(&argv[0], &e))
    }

    /// Replaces the shell by a program; returns only on failure.
    pub fn become_program(&self, argv: &[String], assigns: &[(String, String)]) -> Refusal {
        let path = match self.find_program(&argv[0]) {
            Ok(path) => path,
            Err(refusal) => return refusal,
        };
        let replace = |path: &Path, argv: &[String]| match self.prepare(path, argv, assigns) {
            Ok(mut process) => process.exec(),
            Err(e) => e,
        };
        let mut error = replace(&path, argv);
        if is_script_without_interpreter(&error, &path) {
            error = replace(Path::new(subshell::own_program()), &as_script(&path, argv));
        }
        refusal(&argv[0], &error)
    }

    fn start_subshell(&self, body: &Command, group: Option<i32>) -> io::Result<u32> {
        let (mut process, state) = subshell::process(self, body)?;
        process.env_clear();
        self.set_environment(&mut process, &[]);
        self.fds.give_to(&mut process)?;
        if let Some(group) = group {
            process.process_group(group);
        }
        let pid = self.children.spawn(&mut process)?;
        drop(state);
        Ok(pid)
    }

    /// Starts a stage of a pipeline with the current table; a plain program without a process in between.
    ///
    /// # Errors
    /// As expansion; what cannot be started is said, and given as the status in `Err` inside.
    fn start_stage(&mut self, stage: &Command, group: Option<i32>) -> Run<Result<u32, i32>> {
        if let Command::Simple(simple) = stage {
            let argv = self.expand_words(&simple.words)?;
            let plain = argv.first().is_some_and(|name| {
                !self.functions.contains_key(name) && builtins::find(name).is_none()
            });
            if plain {
                let assigns = self.assignments(&simple.assigns)?;
                if !self.redirect_all(&simple.redirects)? {
                    return Ok(Err(1));
                }
                return Ok(self
                    .start_program(&argv, &assigns, group)
                    .map_err(|refusal| self.refused(&refusal)));
            }
        }
        Ok(self.start_subshell(stage, group).map_err(|e| {
            self.complain(&format!("cannot start a subshell: {}", reason(&e)));
            2
        }))
    }

    fn refused(&self, refusal: &Refusal) -> i32 {
        self.complain(&refusal.message);
        refusal.status
    }

    /// The group for the first process of a job: its own when there is job control.
    fn new_group(&self) -> Option<i32> {
        self.jobs.controls_terminal().then_some(0)
    }

    /// Runs a program in the foreground.
    ///
    /// # Errors
    /// [`Flow::Interrupted`] after Ctrl-C.
    pub fn run_program(
        &mut self,
        argv: &[String],
        assigns: &[(String, String)],
        text: &str,
    ) -> Run {
        match self.start_program(argv, assigns, self.new_group()) {
            Ok(pid) => self.foreground(Job::new(vec![pid], 0, text)),
            Err(refusal) => {
                self.status = self.refused(&refusal);
                Ok(())
            }
        }
    }

    /// `( … )` in the foreground.
    ///
    /// # Errors
    /// As [`Self::run_program`].
    pub fn run_subshell(&mut self, command: &Command, text: &str) -> Run {
        match self.start_subshell(command, self.new_group()) {
            Ok(pid) => self.foreground(Job::new(vec![pid], 0, text)),
            Err(e) => Err(Flow::Error(format!(
                "cannot start a subshell: {}",
                reason(&e)
            ))),
        }
    }

    /// `a | b | c` in the foreground.
    ///
    /// # Errors
    /// As [`Self::run_program`], and as expansion.
    pub fn run_connected(&mut self, stages: &[Command], text: &str) -> Run {
        let job = self.start_pipeline(stages, text)?;
        self.foreground(job)
    }

    fn start_pipeline(&mut self, stages: &[Command], text: &str) -> Run<Job> {
        let outer = self.fds.clone();
        let control = self.new_group();
        let mut pids = Vec::new();
        let mut input = None;
        let mut last = 0;
        for (index, stage) in stages.iter().enumerate() {
            let group = control.map(|own| pids.first().map_or(own, |&leader: &u32| leader as i32));
            if let Some(input) = input.take() {
                self.fds.set(0, input);
            }
            if index + 1 < stages.len() {
                let (read, write) =
                    io::pipe().map_err(|e| Flow::Error(format!("no pipe: {}", reason(&e))))?;
                self.fds.set(1, write.into());
                input = Some(read.into());
            }
            let started = self.start_stage(stage, group);
            self.fds = outer.clone();
            match started? {
                Ok(pid) => {
                    pids.push(pid);
                    last = 0;
                }
                Err(status) => last = status,
            }
        }
        Ok(Job::new(pids, last, text))
    }

    /// `list &`
    ///
    /// # Errors
    /// As expansion.
    pub fn run_background(&mut self, item: &Item) -> Run {
        let outer = self.fds.clone();
        if !self.jobs.controls_terminal()
            && let Ok(null) = std::fs::File::open("/dev/null")
        {
            self.fds.set(0, null.into());
        }
        let started = if item.rest.is_empty() && !item.first.negate {
            self.start_pipeline(&item.first.stages, &item.text)
        } else {
            let whole = Item {
                background: false,
                ..item.clone()
            };
            let body =
                Command::Compound(Box::new(Compound::Subshell(List(vec![whole]))), Vec::new());
            self.start_pipeline(&[body], &item.text)
        };
        self.fds = outer;
        let job = started?;
        if let Some(&pid) = job.pids.last() {
            self.last_background = Some(pid);
            let id = self.jobs.add(job);
            if self.options.interactive {
                self.complain_raw(&format!("[{id}] {pid}\n"));
            }
        }
        self.status = 0;
        Ok(())
    }

    /// A line on standard error without the shell's name.
    pub fn complain_raw(&self, line: &str) {
        // As for every notice: nobody is left to be told.
        let _ = self.fds.write(2, &text::to_bytes(line));
    }

    /// What `$(body)` prints, without the line ends at its end.
    ///
    /// # Errors
    /// As expansion; [`Flow::Interrupted`] after Ctrl-C.
    pub fn capture(&mut self, body: &Command) -> Run<String> {
        let (mut read, write) =
            io::pipe().map_err(|e| Flow::Error(format!("no pipe: {}", reason(&e))))?;
        let outer = self.fds.clone();
        self.fds.set(1, write.into());
        let started = self.start_stage(body, None);
        self.fds = outer;
        let mut output = Vec::new();
        match started? {
            Err(status) => self.substitution_status = Some(status),
            Ok(pid) => {
                read.read_to_end(&mut output)
                    .map_err(|e| Flow::Error(format!("no output: {}", reason(&e))))?;
                let state = self
                    .children
                    .wait_until(|t| t.get(&pid).copied().filter(|s| s.is_over()), None);
                self.children.forget(pid);
                self.substitution_status = state.map(super::children::State::status);
            }
        }
        self.status = self.substitution_status.unwrap_or(0);
        self.run_pending_traps()?;
        output.retain(|&b| b != 0);
        let end = output
            .iter()
            .rposition(|&b| b != b'\n')
            .map_or(0, |i| i + 1);
        Ok(text::from_bytes(&output[..end]))
    }
}

/// `None`: does not exist. `Some(true)`: a file that may be executed.
fn usable(path: &Path) -> Option<bool> {
    let metadata = path.metadata().ok()?;
    Some(metadata.is_file() && access(path, Access::EXEC_OK).is_ok())
}

fn denied(name: &str, path: &Path) -> Refusal {
    let why = if path.is_dir() {
        "is a directory"
    } else {
        "permission denied"
    };
    Refusal {
        status: 126,
        message: format!("{name}: {why}"),
    }
}

fn refusal(name: &str, error: &io::Error) -> Refusal {
    match error.kind() {
        // The file is there: what is missing is its interpreter.
        io::ErrorKind::NotFound => Refusal {
            status: 127,
            message: format!("{name}: not found: its interpreter is missing"),
        },
        _ => Refusal {
            status: 126,
            message: format!("{name}: {}", reason(error)),
        },
    }
}

/// ENOEXEC, and the file looks like text: POSIX has the shell read it as a script.
fn is_script_without_interpreter(error: &io::Error, path: &Path) -> bool {
    if error.raw_os_error() != Some(rustix::io::Errno::NOEXEC.raw_os_error()) {
        return false;
    }
    let mut start = [0; 128];
    let read = std::fs::File::open(path).and_then(|mut f| f.read(&mut start));
    read.is_ok_and(|n| !start[..n].contains(&0))
}

fn as_script(path: &Path, argv: &[String]) -> Vec<String> {
    let mut script = vec!["sh".to_string(), text::from_os(path.as_os_str())];
    script.extend_from_slice(&argv[1..]);
    script
}
