//! Builtins about processes: exec, wait, jobs, kill, trap, umask, ulimit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::children::State;
use super::super::signals;
use super::super::state::{Flow, Run, Shell, reason};
use super::quoted;
use crate::own;

pub fn exec(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let words = &argv[usize::from(argv.get(1).is_some_and(|a| a == "--"))..];
    if words.len() < 2 {
        return Ok(0);
    }
    let refusal = shell.become_program(&words[1..], &[]);
    shell.complain(&format!("exec: {}", refusal.message));
    shell.status = refusal.status;
    if shell.options.interactive {
        Ok(refusal.status)
    } else {
        Err(Flow::Exit)
    }
}

pub fn wait(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    if argv.len() == 1 {
        let pids: Vec<u32> = shell
            .jobs
            .list
            .iter()
            .filter(|j| !j.stopped)
            .flat_map(|j| j.pids.clone())
            .collect();
        for pid in pids {
            if let Err(status) = wait_one(shell, pid) {
                return Ok(status);
            }
        }
        shell.jobs.list.retain(|j| j.stopped);
        return Ok(0);
    }
    let mut status = 0;
    for word in &argv[1..] {
        let pid = match word.strip_prefix('%') {
            Some(_) => shell
                .jobs
                .find(Some(word))
                .and_then(|i| shell.jobs.list[i].pids.last().copied()),
            None => word.parse().ok(),
        };
        let Some(pid) = pid else {
            return Ok(shell.misuse(argv, &format!("no such job: {word}")));
        };
        status = match wait_one(shell, pid) {
            Ok(state) => state.map_or(127, State::status),
            Err(status) => return Ok(status),
        };
        shell.jobs.list.retain(|j| j.pids != [pid]);
    }
    Ok(status)
}

/// Waits for one child; `Err(status)` when a trapped signal came first, `Ok(None)` when it is no child.
fn wait_one(shell: &mut Shell, pid: u32) -> Result<Option<State>, i32> {
    if shell.children.state(pid).is_none() {
        return Ok(None);
    }
    let interactive = shell.options.interactive;
    let asked = interactive || !shell.signals.traps.is_empty();
    let give_up = || shell.signals.pending(interactive);
    let over = |table: &super::super::children::Table| match table.get(&pid) {
        None => Some(None),
        Some(state) => state.is_over().then_some(Some(*state)),
    };
    match shell
        .children
        .wait_until(over, asked.then_some(&give_up as &dyn Fn() -> bool))
    {
        Some(state) => {
            shell.children.forget(pid);
            Ok(state)
        }
        None => Err(128 + signal_hook::consts::SIGINT),
    }
}

pub fn fg(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let Some(index) = shell.jobs.find(argv.get(1).map(String::as_str)) else {
        return Ok(shell.failed(argv, "no such job"));
    };
    let mut job = shell.jobs.list.remove(index);
    job.stopped = false;
    shell.complain_raw(&format!("{}\n", job.text));
    // The group may have ended; the wait below finds that out.
    let _ = shell.jobs.give_terminal(&job);
    shell.resume(&job);
    shell.foreground(job)?;
    Ok(shell.status)
}

pub fn bg(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let Some(index) = shell.jobs.find(argv.get(1).map(String::as_str)) else {
        return Ok(shell.failed(argv, "no such job"));
    };
    shell.jobs.list[index].stopped = false;
    let job = shell.jobs.list[index].clone();
    shell.resume(&job);
    shell.complain_raw(&format!("[{}] {}\n", job.id, job.text));
    Ok(0)
}

pub fn kill(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let mut words = argv[1..].to_vec();
    for word in words.iter_mut().filter(|w| w.starts_with('%')) {
        let job = shell.jobs.find(Some(word)).map(|i| &shell.jobs.list[i]);
        let group = shell.jobs.controls_terminal();
        match job.and_then(|j| j.pids.first()) {
            Some(pid) => {
                *word = if group {
                    format!("-{pid}")
                } else {
                    pid.to_string()
                }
            }
            None => return Ok(shell.failed(argv, &format!("{word}: no such job"))),
        }
    }
    if argv.get(1).is_some_and(|a| a.starts_with('%')) {
        words.insert(0, "--".into());
    }
    let done = own::kill::run(&words);
    let status = shell.say(&done.output);
    done.complaints
        .iter()
        .for_each(|c| shell.complain(&format!("kill: {c}")));
    Ok(if done.complaints.is_empty() {
        status
    } else {
        1
    })
}

pub fn trap(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let words = &argv[usize::from(argv.get(1).is_some_and(|a| a == "--"))..];
    let Some(action) = words.get(1) else {
        let line = |(number, action): (&i32, &String)| {
            format!("trap -- {} {}\n", quoted(action), signals::name(*number))
        };
        let lines: String = shell.signals.traps.iter().map(line).collect();
        return Ok(shell.say(&lines));
    };
    let only_signals = words.len() == 2 || action.parse::<u32>().is_ok();
    let names = if only_signals {
        &words[1..]
    } else {
        &words[2..]
    };
    for name in names {
        let Some(signal) = signals::number(name) else {
            return Ok(shell.failed(argv, &format!("{name}: no such signal")));
        };
        if only_signals || action == "-" {
            shell.signals.untrap(signal, shell.options.interactive);
        } else if let Err(e) = shell.signals.trap(signal, action) {
            return Ok(shell.failed(argv, &format!("{name}: {}", reason(&e))));
        }
    }
    Ok(0)
}

pub fn umask(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    use rustix::fs::Mode;
    let Some(word) = argv.get(1) else {
        let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::umask(mask);
        return Ok(shell.say(&format!("{:04o}\n", mask.as_raw_mode())));
    };
    match u32::from_str_radix(word, 8) {
        Ok(mask) if mask <= 0o777 => {
            rustix::process::umask(Mode::from_raw_mode(mask));
            Ok(0)
        }
        _ => Ok(shell.misuse(argv, &format!("{word}: not an octal mask such as 022"))),
    }
}

/// Letter, resource, unit in bytes, title.
const LIMITS: &[(char, Resource, u64, &str)] = &[
    ('t', Resource::Cpu, 1, "cpu time (seconds)"),
    ('f', Resource::Fsize, 512, "file size (blocks)"),
    ('d', Resource::Data, 1024, "data seg size (kbytes)"),
    ('s', Resource::Stack, 1024, "stack size (kbytes)"),
    ('c', Resource::Core, 512, "core file size (blocks)"),
    ('m', Resource::Rss, 1024, "resident set size (kbytes)"),
    ('l', Resource::Memlock, 1024, "locked memory (kbytes)"),
    ('p', Resource::Nproc, 1, "processes"),
    ('n', Resource::Nofile, 1, "open files"),
    ('v', Resource::As, 1024, "virtual memory (kbytes)"),
];

pub fn ulimit(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let (mut hard, mut soft, mut letter, mut value) = (false, false, 'f', None);
    for word in &argv[1..] {
        match word.strip_prefix('-') {
            Some(letters) => {
                for c in letters.chars() {
                    match c {
                        'H' => hard = true,
                        'S' => soft = true,
                        other => letter = other,
                    }
                }
            }
            None => value = Some(word),
        }
    }
    if letter == 'a' {
        let line = |&(c, resource, unit, title): &(char, Resource, u64, &str)| {
            format!("-{c}: {title:<28}{}\n", limit_text(resource, unit, hard))
        };
        let lines: String = LIMITS.iter().map(line).collect();
        return Ok(shell.say(&lines));
    }
    let Some(&(_, resource, unit, _)) = LIMITS.iter().find(|l| l.0 == letter) else {
        return Ok(shell.misuse(argv, &format!("no such limit: -{letter}")));
    };
    let Some(value) = value else {
        return Ok(shell.say(&format!("{}\n", limit_text(resource, unit, hard))));
    };
    let wanted = match (value.as_str(), value.parse::<u64>()) {
        ("unlimited", _) => None,
        (_, Ok(n)) => Some(n.saturating_mul(unit)),
        _ => return Ok(shell.misuse(argv, &format!("not a number: {value}"))),
    };
    let old = getrlimit(resource);
    let both = hard == soft;
    let new = Rlimit {
        current: if soft || both { wanted } else { old.current },
        maximum: if hard || both { wanted } else { old.maximum },
    };
    match setrlimit(resource, new) {
        Ok(()) => Ok(0),
        Err(e) => Ok(shell.failed(argv, &reason(&e.into()))),
    }
}

fn limit_text(resource: Resource, unit: u64, hard: bool) -> String {
    let limit = getrlimit(resource);
    let value = if hard { limit.maximum } else { limit.current };
    value.map_or("unlimited".into(), |n| (n / unit).to_string())
}
