//! `--init`: a first process that reaps what is orphaned and hands signals on, so that the program need not.
//!
//! It is this very code, in the container with the container's user, capabilities and filter, and needs no file of the image. It
//! ends with its child: the kernel then ends all that is left in the pid namespace.

use std::os::fd::AsFd;

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, wait},
};
use silo_sys::{process::exit_now, signal::SignalFd};

/// Signals that mean something to the program itself are handed on; SIGCHLD is ours.
const CHILD: i32 = 17;

/// Lets others see its descriptors, as they see those of any first process: programs write to /proc/1/fd/1 what is meant for the
/// container's log. Before the program is there.
pub(crate) fn show() {
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
}

/// Serves as the first process for `child`, which is its child; ends with its exit code, or 128 and the signal.
pub(crate) fn serve(child: i32) -> ! {
    let _ = rustix::thread::set_name(c"silo-init");
    give_terminal(child);
    // All but KILL and STOP, which nobody can take, and faults of our own.
    let own_faults = [4, 5, 7, 8, 9, 11, 19];
    let taken: Vec<i32> = (1..=64).filter(|s| !own_faults.contains(s)).collect();
    let Ok(signals) = SignalFd::new(&taken) else {
        exit_now(125)
    };
    loop {
        reap(child);
        let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
        let _ = poll(&mut fds, None);
        while let Some(signal) = signals.read() {
            if signal != CHILD
                && let (Some(pid), Some(signal)) =
                    (Pid::from_raw(child), Signal::from_named_raw(signal))
            {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }
}

/// The program is a process group of its own, in the foreground of the terminal if there is one: Ctrl-C reaches it, and once.
fn give_terminal(child: i32) {
    let pid = Pid::from_raw(child);
    let _ = rustix::process::setpgid(pid, pid);
    if let Some(pid) = pid {
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), pid);
    }
}

/// Waits for everything that has ended; ends when the child was among it.
fn reap(child: i32) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == child {
            exit_now(code(status));
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or(9),
    }
}
