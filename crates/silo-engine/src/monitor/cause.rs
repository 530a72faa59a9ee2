//! What `why` will want to know, noted by the monitor when it happens: who asked, what was ignored, which signal it was.
//!
//! Facts only; `crate::why` draws the conclusion when somebody asks. Nothing here may fail: what cannot be read stays unknown.

use rustix::process::WaitIdStatus;
use silo_observe::KernelLog;
use silo_types::{Asked, Handling, Ignored, LastRun, PastRun, Signal, Who};

use super::run::Monitor;
use crate::create::now;

/// Requests that are kept.
const MOST_ASKED: usize = 8;

/// Signals that the kernel sends for faults of the program itself.
const FAULTS: [i32; 6] = [4, 5, 7, 8, 11, 31];

/// What /proc/PID/loginuid says where nobody logged in.
const NOBODY: u32 = u32::MAX;

impl Monitor<'_> {
    /// The main process runs.
    pub(super) fn note_begin(&mut self, host_pid: i32) {
        self.set_run_aside();
        self.stop_sent = None;
        self.state.last = LastRun {
            boot: boot_id(),
            host_pid,
            started_by: self
                .clients
                .iter()
                .find(|client| client.waits_for_start)
                .and_then(super::Client::peer)
                .map(|(pid, uid)| starter(pid, uid)),
            ..LastRun::default()
        };
    }

    /// What is known of a run that is over, before another begins.
    fn set_run_aside(&mut self) {
        let run = std::mem::take(&mut self.state.last);
        if self.state.finished > 0 && self.state.started > 0 && !run.failed {
            self.state.earlier = Some(PastRun {
                started: self.state.started,
                finished: self.state.finished,
                exit_code: self.state.exit_code,
                oom_killed: self.state.oom_killed,
                error: std::mem::take(&mut self.state.error),
                run,
            });
        }
    }

    /// The program could not be started.
    pub(super) fn note_failed(&mut self) {
        self.set_run_aside();
        self.state.last = LastRun {
            boot: boot_id(),
            failed: true,
            ..LastRun::default()
        };
    }

    /// A client asks for something that ends containers.
    pub(super) fn note_asked(
        &mut self,
        client: usize,
        what: &str,
        signal: Option<Signal>,
        timeout: Option<i64>,
    ) {
        let by = self.clients[client]
            .peer()
            .map_or_else(Who::default, |(pid, uid)| who(pid, uid));
        let life = &self.config.life;
        let usual = life.stop_signal.unwrap_or(Signal::TERM);
        let asked = Asked {
            time: now(),
            what: what.to_owned(),
            signal: signal.unwrap_or(usual).number(),
            timeout: matches!(what, "stop" | "restart")
                .then(|| timeout.or(life.stop_timeout).unwrap_or(10)),
            by,
        };
        self.push_asked(asked);
    }

    /// The monitor itself was told to end its container.
    pub(super) fn note_signalled(&mut self, signal: i32, pid: i32, uid: u32) {
        let asked = Asked {
            time: now(),
            what: "monitor".to_owned(),
            signal,
            timeout: Some(self.config.life.stop_timeout.unwrap_or(10)),
            by: who(pid, uid),
        };
        self.push_asked(asked);
    }

    fn push_asked(&mut self, asked: Asked) {
        let all = &mut self.state.last.asked;
        all.push(asked);
        let surplus = all.len().saturating_sub(MOST_ASKED);
        all.drain(..surplus);
    }

    /// The time for a stop is over, and the main process is still there: what it does about the signal is seen now or never.
    pub(super) fn note_ignored(&mut self) {
        let (Some((signal, since)), Some(main)) = (self.stop_sent.take(), &self.main) else {
            return;
        };
        let status = std::fs::read_to_string(format!("/proc/{}/status", main.process.pid));
        self.state.last.ignored = Some(Ignored {
            signal: signal.number(),
            seconds: since.elapsed().as_secs(),
            handling: handling(&status.unwrap_or_default(), signal.number()),
        });
    }

    /// The main process has ended.
    pub(super) fn note_end(&mut self, status: &WaitIdStatus) {
        let last = &mut self.state.last;
        last.signal = status.terminating_signal().unwrap_or(0);
        last.dumped = status.dumped();
        if FAULTS.contains(&last.signal) {
            let log = KernelLog::open_at_start().and_then(|mut log| log.last_fault(last.host_pid));
            last.fault = log.ok().flatten().unwrap_or_default();
        }
    }
}

/// Which life of the machine this is, random(4); empty: not known.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

/// The command that started the monitor: its login and environment are the monitor's own by the fork.
fn starter(pid: i32, uid: u32) -> Who {
    Who {
        pid,
        uid,
        login_uid: login_uid("self"),
        sudo_user: std::env::var("SUDO_USER").map_or_else(|_| String::new(), |name| short(&name)),
    }
}

/// A process that asked.
fn who(pid: i32, uid: u32) -> Who {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let sudo = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"SUDO_USER="));
    Who {
        pid,
        uid,
        login_uid: login_uid(&pid.to_string()),
        sudo_user: sudo.map_or_else(String::new, |name| short(&silo_observe::printable(name))),
    }
}

fn login_uid(process: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != NOBODY)
}

/// Names of users have at most 32 letters, useradd(8).
fn short(name: &str) -> String {
    name.chars().take(32).collect()
}

/// By the masks of proc_pid_status(5): bit n-1 is signal n.
fn handling(status: &str, signal: i32) -> Handling {
    let has = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let mask = u64::from_str_radix(line.trim(), 16).ok()?;
        Some(mask >> (signal - 1) & 1 == 1)
    };
    match (has("SigBlk:"), has("SigIgn:"), has("SigCgt:")) {
        (Some(true), ..) => Handling::Blocked,
        (_, Some(true), _) => Handling::Ignored,
        (.., Some(true)) => Handling::Caught,
        (Some(false), Some(false), Some(false)) => Handling::None,
        _ => Handling::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_signals() {
        let status = "Name:\tsh\nSigBlk:\t0000000000010000\nSigIgn:\t0000000000004000\nSigCgt:\t0000000000000002\n";
        assert_eq!(handling(status, 17), Handling::Blocked);
        assert_eq!(handling(status, 15), Handling::Ignored);
        assert_eq!(handling(status, 2), Handling::Caught);
        assert_eq!(handling(status, 1), Handling::None);
        assert_eq!(handling("", 15), Handling::Unknown);
    }
}
