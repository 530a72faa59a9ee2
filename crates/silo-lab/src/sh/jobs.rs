//! Jobs: which processes belong together, who has the terminal, and what is said when one ends.
//!
//! The terminal is handed over after the child was started, so a quick child may read it too early and stop (SIGTTIN);
//! such a stop is undone at once. The shell takes the terminal back from the background, which the kernel allows only
//! while SIGTTOU is blocked (tcsetpgrp(3)); children must not inherit that, so it is blocked only for that moment.

use std::os::fd::OwnedFd;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr, tcsetpgrp};
use signal_hook::consts::{SIGINT, SIGPIPE, SIGTTIN, SIGTTOU};

use super::children::{State, Table};
use super::signals;
use super::state::{Flow, Run, Shell};

#[derive(Clone, Debug)]
pub struct Job {
    pub id: usize,
    /// The processes in the pipeline's order; the first leads the process group under job control.
    pub pids: Vec<u32>,
    pub text: String,
    /// Status of the last stage when that could not even be started.
    refused: i32,
    pub stopped: bool,
}

struct Terminal {
    fd: OwnedFd,
    own_group: Pid,
    modes: Termios,
}

#[derive(Default)]
pub struct Jobs {
    pub list: Vec<Job>,
    terminal: Option<Terminal>,
}

impl Job {
    pub fn new(pids: Vec<u32>, refused: i32, text: &str) -> Self {
        Self {
            id: 0,
            pids,
            text: text.to_string(),
            refused,
            stopped: false,
        }
    }

    fn group(&self) -> Option<Pid> {
        Pid::from_raw(*self.pids.first()? as i32)
    }

    /// The state of the whole: of its last process once all are over, or of one that stopped.
    pub fn state(&self, table: &Table) -> Option<State> {
        let mut over = true;
        for pid in &self.pids {
            match table.get(pid) {
                Some(state @ State::Stopped(_)) => return Some(*state),
                Some(state) => over &= state.is_over(),
                None => {}
            }
        }
        if !over {
            return None;
        }
        if self.refused != 0 {
            return Some(State::Exited(self.refused));
        }
        self.pids
            .last()
            .map_or(Some(State::Exited(self.refused)), |p| {
                table.get(p).copied().or(Some(State::Exited(127)))
            })
    }
}

impl Jobs {
    /// Takes the terminal under control; without one (no tty, or another group has it) there is no job control.
    pub fn control_terminal(&mut self) {
        let Ok(fd) = rustix::fs::open(
            "/dev/tty",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        ) else {
            return;
        };
        let (Ok(holder), Ok(modes)) = (nix::unistd::tcgetpgrp(&fd), tcgetattr(&fd)) else {
            return;
        };
        let own_group = nix::unistd::getpgrp();
        if holder != own_group {
            return;
        }
        // Group 0 lies outside of this pid namespace (PID 1 without setsid(2)): nobody here could name it.
        let own_group = match Pid::from_raw(own_group.as_raw()) {
            Some(group) => group,
            None if rustix::process::setpgid(None, None).is_ok() => rustix::process::getpid(),
            None => return,
        };
        self.terminal = Some(Terminal {
            fd,
            own_group,
            modes,
        });
        self.take_terminal(false);
    }

    pub fn controls_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    pub fn add(&mut self, mut job: Job) -> usize {
        let id = self.list.iter().map(|j| j.id).max().unwrap_or(0) + 1;
        job.id = id;
        self.list.push(job);
        id
    }

    /// `%1`, `%%`, `%+`, `%-`, or nothing for the newest.
    pub fn find(&self, spec: Option<&str>) -> Option<usize> {
        match spec.map(|s| s.trim_start_matches('%')) {
            None | Some("" | "%" | "+") => self.list.len().checked_sub(1),
            Some("-") => self.list.len().checked_sub(2),
            Some(number) => {
                let id: usize = number.parse().ok()?;
                self.list.iter().position(|j| j.id == id)
            }
        }
    }

    /// # Errors
    /// When the group is gone.
    pub fn give_terminal(&self, job: &Job) -> rustix::io::Result<()> {
        match (&self.terminal, job.group()) {
            (Some(terminal), Some(group)) => tcsetpgrp(&terminal.fd, group),
            _ => Ok(()),
        }
    }

    fn take_terminal(&self, restore_modes: bool) {
        let Some(terminal) = &self.terminal else {
            return;
        };
        let mut quiet = SigSet::empty();
        quiet.add(NixSignal::SIGTTOU);
        // Each of these fails only when the terminal was hung up; then the next read ends the shell.
        let _ = quiet.thread_block();
        let _ = tcsetpgrp(&terminal.fd, terminal.own_group);
        if restore_modes {
            let _ = tcsetattr(&terminal.fd, OptionalActions::Drain, &terminal.modes);
        }
        let _ = quiet.thread_unblock();
    }

    fn remember_modes(&mut self) {
        if let Some(terminal) = &mut self.terminal
            && let Ok(modes) = tcgetattr(&terminal.fd)
        {
            terminal.modes = modes;
        }
    }
}

impl Shell {
    /// Waits for a job that has the terminal; `$?` is its status.
    ///
    /// # Errors
    /// [`Flow::Interrupted`] when Ctrl-C ended it under an interactive shell.
    pub fn foreground(&mut self, mut job: Job) -> Run {
        if job.pids.is_empty() {
            self.status = job.refused;
            return Ok(());
        }
        let state = self.wait_in_foreground(&job);
        let signaled = matches!(state, State::Signaled(_));
        if !signaled && !matches!(state, State::Stopped(_)) {
            self.jobs.take_terminal(false);
            self.jobs.remember_modes();
        } else {
            self.jobs.take_terminal(true);
        }
        self.status = state.status();
        if let State::Stopped(_) = state {
            job.stopped = true;
            let text = job.text.clone();
            let id = if job.id == 0 {
                self.jobs.add(job)
            } else {
                self.put_back(job)
            };
            self.complain_raw(&format!("\n[{id}]+  Stopped                 {text}\n"));
            return Ok(());
        }
        job.pids.iter().for_each(|&pid| self.children.forget(pid));
        self.report(state)
    }

    fn put_back(&mut self, job: Job) -> usize {
        let id = job.id;
        self.jobs.list.push(job);
        self.jobs.list.sort_by_key(|j| j.id);
        id
    }

    fn wait_in_foreground(&self, job: &Job) -> State {
        for _ in 0..20 {
            // The group may be over already; then there is nothing to hand over.
            let _ = self.jobs.give_terminal(job);
            let state = self
                .children
                .wait_until(|table| job.state(table), None)
                .unwrap_or(State::Exited(127));
            match state {
                State::Stopped(SIGTTIN | SIGTTOU) if self.jobs.controls_terminal() => {
                    self.resume(job)
                }
                state => return state,
            }
        }
        State::Exited(127)
    }

    /// SIGCONT to a whole job.
    pub fn resume(&self, job: &Job) {
        job.pids.iter().for_each(|&pid| self.children.resumed(pid));
        if let Some(group) = job.group() {
            // A group that is gone needs no waking.
            let _ = kill_process_group(group, Signal::CONT);
        }
    }

    fn report(&mut self, state: State) -> Run {
        match state {
            State::Signaled(SIGINT) if self.options.interactive => {
                self.complain_raw("\n");
                return Err(Flow::Interrupted);
            }
            State::Signaled(SIGINT | SIGPIPE) => {}
            State::Signaled(signal) => {
                self.complain_raw(&format!("{}\n", signals::description(signal)))
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells (interactive) which background jobs have ended, and forgets them.
    pub fn notify_jobs(&mut self) {
        self.children.poll();
        let mut over = Vec::new();
        for job in &self.jobs.list {
            let state = self
                .children
                .wait_until(|table| Some(job.state(table)), None)
                .flatten();
            match state {
                Some(state) if state.is_over() => over.push((job.id, state)),
                _ => {}
            }
        }
        for (id, state) in over {
            let Some(index) = self.jobs.list.iter().position(|j| j.id == id) else {
                continue;
            };
            let job = self.jobs.list.remove(index);
            self.complain_raw(&format!("[{id}]+  {:<24}{}\n", state_text(state), job.text));
            job.pids.iter().for_each(|&pid| self.children.forget(pid));
        }
    }

    /// The lines of `jobs`.
    pub fn job_lines(&self) -> String {
        let mut lines = String::new();
        for job in &self.jobs.list {
            let state = self
                .children
                .wait_until(|table| Some(job.state(table)), None)
                .flatten();
            let state = state_text(state.unwrap_or(State::Running));
            lines.push_str(&format!("[{}]   {state:<24}{}\n", job.id, job.text));
        }
        lines
    }
}

fn state_text(state: State) -> String {
    match state {
        State::Running => "Running".into(),
        State::Stopped(_) => "Stopped".into(),
        State::Exited(0) => "Done".into(),
        State::Exited(code) => format!("Done({code})"),
        State::Signaled(signal) => signals::description(signal),
    }
}
