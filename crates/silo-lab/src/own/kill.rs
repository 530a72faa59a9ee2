//! `kill`, also a builtin.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Made;
use crate::sh::{signal_name, signal_number};

pub fn main(args: &[String]) -> i32 {
    run(args).finish("kill")
}

/// `kill [-SIGNAL | -s SIGNAL] PID...` and `kill -l [NUMBER]`; a negative pid is a process group.
pub fn run(args: &[String]) -> Made {
    let mut made = Made::default();
    let (signal, pids) = match args {
        [option, rest @ ..] if option == "-l" => {
            made.output = list(rest);
            return made;
        }
        [option, name, rest @ ..] if option == "-s" || option == "-n" => {
            (signal_number(name).ok_or(name.clone()), rest)
        }
        [option, rest @ ..] if option == "--" => (Ok(15), rest),
        [option, rest @ ..] if option.len() > 1 && option.starts_with('-') => (
            signal_number(&option[1..]).ok_or(option[1..].to_string()),
            rest,
        ),
        rest => (Ok(15), rest),
    };
    let signal = match signal {
        Ok(signal) => signal,
        Err(name) => {
            made.complaints.push(format!("{name}: no such signal"));
            return made;
        }
    };
    let pids = if pids.first().is_some_and(|p| p == "--") {
        &pids[1..]
    } else {
        pids
    };
    if pids.is_empty() {
        made.complaints.push("usage: kill [-SIGNAL] PID...".into());
    }
    for pid in pids {
        if let Err(message) = send(signal, pid) {
            made.complaints.push(format!("{pid}: {message}"));
        }
    }
    made
}

fn list(rest: &[String]) -> String {
    if let Some(number) = rest.first().and_then(|n| n.parse::<i32>().ok()) {
        return format!("{}\n", signal_name(number & 0x7f));
    }
    let names: Vec<String> = (1..32).map(signal_name).collect();
    format!("{}\n", names.join(" "))
}

fn send(signal: i32, pid: &str) -> Result<(), String> {
    use rustix::process::{
        test_kill_current_process_group, test_kill_process, test_kill_process_group,
    };
    let number: i32 = pid.parse().map_err(|_| "not a process id".to_string())?;
    let target = number.checked_abs().and_then(Pid::from_raw);
    let signal = if signal == 0 {
        None
    } else {
        Some(Signal::from_named_raw(signal).ok_or("this signal cannot be sent")?)
    };
    let result = match (target, signal) {
        (None, None) => test_kill_current_process_group(),
        (None, Some(signal)) => rustix::process::kill_current_process_group(signal),
        (Some(pid), None) if number < 0 => test_kill_process_group(pid),
        (Some(pid), None) => test_kill_process(pid),
        (Some(pid), Some(signal)) if number < 0 => kill_process_group(pid, signal),
        (Some(pid), Some(signal)) => kill_process(pid, signal),
    };
    result.map_err(|e| crate::cli::reason(&e.into()).to_lowercase())
}
