//! Signals and `trap`. Handlers only set flags (through signal-hook); the executor looks at them between commands.
//!
//! `trap '' SIG` is a handler that does nothing, so a program that the shell starts has the default action again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};
use signal_hook::flag;

const SURVIVED: &[i32] = &[SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU];

#[derive(Default)]
struct Handler {
    arrived: Arc<AtomicBool>,
    /// While set, the signal's default action is taken.
    by_default: Arc<AtomicBool>,
}

#[derive(Default)]
pub struct Signals {
    handlers: BTreeMap<i32, Handler>,
    /// Signal number (0: EXIT) → command text.
    pub traps: BTreeMap<i32, String>,
}

/// `INT`, `SIGINT`, `2`, `EXIT` → number; `None` when there is no such signal.
pub fn number(name: &str) -> Option<i32> {
    let upper = name.to_uppercase();
    if upper == "EXIT" || upper == "0" {
        return Some(0);
    }
    if let Ok(number) = upper.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let full = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    full.parse::<Signal>().ok().map(|s| s as i32)
}

/// `INT` for 2; the number itself when it has no name.
pub fn name(number: i32) -> String {
    match (number, Signal::try_from(number)) {
        (0, _) => "EXIT".into(),
        (_, Ok(signal)) => signal.as_str().trim_start_matches("SIG").to_string(),
        (n, Err(_)) => n.to_string(),
    }
}

/// What a shell says of a child that a signal ended.
pub fn description(signal: i32) -> String {
    let text = match Signal::try_from(signal) {
        Ok(Signal::SIGHUP) => "Hangup",
        Ok(Signal::SIGQUIT) => "Quit",
        Ok(Signal::SIGILL) => "Illegal instruction",
        Ok(Signal::SIGTRAP) => "Trace/breakpoint trap",
        Ok(Signal::SIGABRT) => "Aborted",
        Ok(Signal::SIGBUS) => "Bus error",
        Ok(Signal::SIGFPE) => "Floating point exception",
        Ok(Signal::SIGKILL) => "Killed",
        Ok(Signal::SIGUSR1) => "User defined signal 1",
        Ok(Signal::SIGSEGV) => "Segmentation fault",
        Ok(Signal::SIGUSR2) => "User defined signal 2",
        Ok(Signal::SIGALRM) => "Alarm clock",
        Ok(Signal::SIGTERM) => "Terminated",
        Ok(Signal::SIGSYS) => "Bad system call",
        _ => return format!("Signal {signal}"),
    };
    text.into()
}

impl Signals {
    fn watch(&mut self, signal: i32, by_default: bool) -> io::Result<()> {
        if let Some(handler) = self.handlers.get(&signal) {
            handler.by_default.store(by_default, Ordering::SeqCst);
            return Ok(());
        }
        let handler = Handler::default();
        handler.by_default.store(by_default, Ordering::SeqCst);
        flag::register_conditional_default(signal, Arc::clone(&handler.by_default))?;
        flag::register(signal, Arc::clone(&handler.arrived))?;
        self.handlers.insert(signal, handler);
        Ok(())
    }

    /// An interactive shell survives Ctrl-C, Ctrl-\, SIGTERM and the terminal's stop signals. Handlers, unlike ignored
    /// signals, are not inherited by the programs that it starts.
    ///
    /// # Errors
    /// As sigaction(2).
    pub fn interactive(&mut self) -> io::Result<()> {
        SURVIVED
            .iter()
            .copied()
            .try_for_each(|signal| self.watch(signal, false))
    }

    /// A script as PID 1: the kernel would drop signals that have no handler, so TERM and INT end it as they end any script.
    ///
    /// # Errors
    /// As sigaction(2).
    pub fn script_as_init(&mut self) -> io::Result<()> {
        for signal in [SIGTERM, SIGINT] {
            let handler = self.handlers.entry(signal).or_default();
            handler.by_default.store(true, Ordering::SeqCst);
            flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&handler.by_default),
            )?;
            flag::register(signal, Arc::clone(&handler.arrived))?;
        }
        Ok(())
    }

    /// `trap ACTION SIG`; an empty action ignores.
    ///
    /// # Errors
    /// For signals that cannot be caught.
    pub fn trap(&mut self, signal: i32, action: &str) -> io::Result<()> {
        if signal != 0 {
            self.watch(signal, false)?;
        }
        self.traps.insert(signal, action.into());
        Ok(())
    }

    /// `trap - SIG`
    pub fn untrap(&mut self, signal: i32, interactive: bool) {
        self.traps.remove(&signal);
        if let Some(handler) = self.handlers.get(&signal) {
            handler.by_default.store(
                !(interactive && SURVIVED.contains(&signal)),
                Ordering::SeqCst,
            );
        }
    }

    /// Has this signal come since it was last asked?
    pub fn take(&self, signal: i32) -> bool {
        self.handlers
            .get(&signal)
            .is_some_and(|h| h.arrived.swap(false, Ordering::SeqCst))
    }

    /// Is a signal waiting for its trap, or (`interactive`) for the way back to the prompt?
    pub fn pending(&self, interactive: bool) -> bool {
        self.handlers.iter().any(|(signal, handler)| {
            let cared_for = self.traps.get(signal).is_some_and(|a| !a.is_empty())
                || (interactive && *signal == SIGINT);
            cared_for && handler.arrived.load(Ordering::SeqCst)
        })
    }
}
