//! Every child of the shell, and every orphan that PID 1 inherits, is collected here.
//!
//! A script waits for its children itself. An interactive shell has a collector thread, so that orphans do not stay
//! zombies while the shell sits at its prompt; spawning holds the table's lock, because std waits by itself for a child
//! whose exec failed and must not find it collected.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};
use signal_hook::consts::SIGCHLD;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Running,
    Stopped(i32),
    Exited(i32),
    Signaled(i32),
}

impl State {
    /// What `$?` becomes.
    pub fn status(self) -> i32 {
        match self {
            Self::Running => 0,
            Self::Exited(code) => code,
            Self::Stopped(signal) | Self::Signaled(signal) => 128 + signal,
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Exited(_) | Self::Signaled(_))
    }
}

/// Known children by pid.
pub type Table = HashMap<u32, State>;

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub struct Children {
    shared: Arc<Shared>,
    threaded: bool,
}

impl Children {
    /// Starts the collector thread.
    ///
    /// # Errors
    /// When the SIGCHLD handler or the thread cannot be made.
    pub fn collect_in_background(&mut self) -> io::Result<()> {
        let mut signals = signal_hook::iterator::Signals::new([SIGCHLD])?;
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new()
            .name("collector".into())
            .spawn(move || {
                for _ in signals.forever() {
                    collect(&mut shared.lock(), WaitOptions::NOHANG);
                    shared.changed.notify_all();
                }
            })?;
        self.threaded = true;
        Ok(())
    }

    /// Starts a child and knows it from then on.
    ///
    /// # Errors
    /// As `Command::spawn`.
    pub fn spawn(&self, command: &mut std::process::Command) -> io::Result<u32> {
        let mut table = self.shared.lock();
        let pid = command.spawn()?.id();
        table.insert(pid, State::Running);
        Ok(pid)
    }

    /// Takes note of what has ended, without waiting.
    pub fn poll(&self) {
        if !self.threaded {
            collect(&mut self.shared.lock(), WaitOptions::NOHANG);
        }
    }

    pub fn state(&self, pid: u32) -> Option<State> {
        self.shared.lock().get(&pid).copied()
    }

    /// Marks a stopped child as running again, before SIGCONT.
    pub fn resumed(&self, pid: u32) {
        if let Some(state @ State::Stopped(_)) = self.shared.lock().get_mut(&pid) {
            *state = State::Running;
        }
    }

    pub fn forget(&self, pid: u32) {
        self.shared.lock().remove(&pid);
    }

    /// Waits until `ready` gives something. With `give_up`, that is asked every few milliseconds, and ends the wait.
    pub fn wait_until<T>(
        &self,
        ready: impl Fn(&Table) -> Option<T>,
        give_up: Option<&dyn Fn() -> bool>,
    ) -> Option<T> {
        let mut table = self.shared.lock();
        loop {
            if let Some(result) = ready(&table) {
                return Some(result);
            }
            if give_up.is_some_and(|g| g()) {
                return None;
            }
            table = match (self.threaded, give_up) {
                (true, None) => self
                    .shared
                    .changed
                    .wait(table)
                    .unwrap_or_else(PoisonError::into_inner),
                (true, Some(_)) => {
                    let wait = self
                        .shared
                        .changed
                        .wait_timeout(table, Duration::from_millis(20));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                (false, None) => {
                    collect(&mut table, WaitOptions::empty());
                    table
                }
                (false, Some(_)) => {
                    if !collect(&mut table, WaitOptions::NOHANG) {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    table
                }
            };
        }
    }
}

/// Collects one change (waiting for it unless NOHANG), then all others there are. Was there any?
fn collect(table: &mut Table, mut options: WaitOptions) -> bool {
    let mut any = false;
    loop {
        match wait(options | WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) => {
                any = true;
                options = WaitOptions::NOHANG;
                if let Some(state) = table.get_mut(&(pid.as_raw_nonzero().get() as u32)) {
                    *state = state_of(status);
                }
            }
            Ok(None) => return any,
            Err(Errno::INTR) => {}
            Err(_) => {
                // No children at all: whatever is still believed to run was collected by someone else.
                for state in table.values_mut().filter(|s| **s == State::Running) {
                    *state = State::Exited(127);
                }
                return any;
            }
        }
    }
}

fn state_of(status: WaitStatus) -> State {
    if let Some(code) = status.exit_status() {
        State::Exited(code)
    } else if let Some(signal) = status.terminating_signal() {
        State::Signaled(signal)
    } else if let Some(signal) = status.stopping_signal() {
        State::Stopped(signal)
    } else {
        State::Running
    }
}
