//! Facts → verdict: pure, one function for each kind of end, tried in the order of what is surest.

use serde::Serialize;
use silo_types::{
    Asked, ByteSize, ContainerConfig, Handling, LastRun, Lost, NamespaceMode, OomScope, Status,
    Victim,
};

use super::{signal_name, who_text};

/// What ended it. Serialised in camel case, stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    NeverStarted,
    Running,
    OutOfMemory,
    /// A child was killed for want of memory, and the main process then ended by itself.
    ChildOutOfMemory,
    /// KILL by `kill`, `stop -t 0` or `rm`.
    KilledBySilo,
    /// Another signal by `kill` or `stop`, which it followed.
    StoppedBySilo,
    /// It did not follow the stop signal, and was killed.
    IgnoredStop,
    KilledFromOutside,
    SignalledFromOutside,
    Fault,
    ForbiddenCall,
    ProgramNotFound,
    NotExecutable,
    StartFailed,
    EndedByItself,
    MonitorKilled,
    MachineRestarted,
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Grade {
    /// The kernel or the monitor has seen it.
    Certain,
    /// It fits, and nobody has seen it.
    Likely,
    Unknown,
}

/// A graded statement, what it follows from, and what may help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub cause: Cause,
    pub grade: Grade,
    pub statement: String,
    pub from: Vec<String>,
    pub advice: String,
    /// Who asked for it; empty: nobody, or not known.
    pub by: String,
}

/// One run of a container.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) status: Status,
    pub(super) started: u64,
    pub(super) finished: u64,
    pub(super) exit_code: i32,
    pub(super) oom_killed: bool,
    pub(super) error: &'a str,
    pub(super) last: &'a LastRun,
}

/// All that a verdict is drawn from.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    pub(super) config: &'a ContainerConfig,
    pub(super) run: Run<'a>,
    /// Of all runs.
    pub(super) victims: &'a [Victim],
    /// Names like that of a program that was not found.
    pub(super) near: &'a [String],
    pub(super) user: &'a dyn Fn(u32) -> String,
}

/// A child's death this shortly before the end has to do with it.
const SHORTLY: u64 = 2_000_000_000;

const KILL: i32 = 9;

pub(super) fn judge(facts: &Facts<'_>) -> Verdict {
    let run = &facts.run;
    if run.last.failed {
        return failed(facts);
    }
    if let Some(lost) = run.last.lost {
        return nobody_saw(facts, lost);
    }
    match run.status {
        Status::Created => Verdict::new(
            Cause::NeverStarted,
            Grade::Certain,
            "it was made and never started",
        ),
        Status::Running | Status::Paused => running(facts),
        _ => match run.last.signal {
            0 if facts.config.life.init && run.exit_code == 128 + KILL => killed(facts),
            0 => by_itself(facts),
            KILL => killed(facts),
            4 | 5 | 6 | 7 | 8 | 11 => fault(facts),
            31 => forbidden(facts),
            _ => signalled(facts),
        },
    }
}

impl Verdict {
    fn new(cause: Cause, grade: Grade, statement: impl Into<String>) -> Verdict {
        Verdict {
            cause,
            grade,
            statement: statement.into(),
            from: Vec::new(),
            advice: String::new(),
            by: String::new(),
        }
    }

    fn from(mut self, evidence: impl Into<String>) -> Verdict {
        self.from.push(evidence.into());
        self
    }

    fn advice(mut self, advice: impl Into<String>) -> Verdict {
        self.advice = advice.into();
        self
    }

    fn by(mut self, by: &str) -> Verdict {
        self.by = by.to_owned();
        self
    }
}

impl Facts<'_> {
    fn recent(&self) -> impl DoubleEndedIterator<Item = &Victim> {
        let (from, to) = (self.run.started, self.run.finished);
        let up = self.run.status.is_up();
        self.victims
            .iter()
            .filter(move |v| v.time >= from && (up || v.time <= to))
    }

    /// The first process of a pid namespace of its own: nothing inside can kill it, pid_namespaces(7).
    fn is_protected(&self) -> bool {
        self.config.namespaces.pid == NamespaceMode::Private && !self.config.life.init
    }

    fn who(&self, asked: &Asked) -> String {
        who_text(&asked.by, self.user)
    }

    fn last_asked(&self, wanted: impl Fn(&Asked) -> bool) -> Option<&Asked> {
        self.run.last.asked.iter().rev().find(|asked| wanted(asked))
    }
}

/// `'silo stop' by alice (pid 812)`.
fn command(facts: &Facts<'_>, asked: &Asked) -> String {
    let by = facts.who(asked);
    let started_by = facts.run.last.started_by.as_ref();
    match asked.what.as_str() {
        // An attached command hands on the signals that it gets.
        "kill" if started_by.is_some_and(|who| who.pid == asked.by.pid) => {
            format!(
                "the command that {by} started it with (pid {})",
                asked.by.pid
            )
        }
        "monitor" => format!(
            "{} sent to its monitor by {by} (pid {})",
            signal_name(asked.signal),
            asked.by.pid
        ),
        what => format!("'silo {what}' by {by} (pid {})", asked.by.pid),
    }
}

fn failed(facts: &Facts<'_>) -> Verdict {
    let program = facts.config.process.args.first().map_or("", String::as_str);
    let verdict = match facts.run.exit_code {
        127 => {
            let verdict = Verdict::new(
                Cause::ProgramNotFound,
                Grade::Certain,
                format!("program not found: {program:?} is not in the image, so nothing ran"),
            );
            match facts.near {
                [] => verdict,
                near => verdict.advice(format!("did you mean {}?", near.join(", "))),
            }
        }
        126 => Verdict::new(
            Cause::NotExecutable,
            Grade::Certain,
            format!("not executable: the kernel refuses to run {program:?}, so nothing ran"),
        )
        .advice(
            "a program needs the x permission, and must be one for this machine or begin with #!",
        ),
        _ => Verdict::new(
            Cause::StartFailed,
            Grade::Certain,
            "it could not be set up, so nothing ran",
        ),
    };
    verdict.from(facts.run.error)
}

fn nobody_saw(facts: &Facts<'_>, lost: Lost) -> Verdict {
    match lost {
        Lost::Machine => Verdict::new(
            Cause::MachineRestarted,
            Grade::Certain,
            "the machine was restarted, or went down, while it ran",
        )
        .from("the kernel's boot id is another one than at its start")
        .advice(format!("start it again with 'silo start {}'", facts.name)),
        Lost::MonitorOutOfMemory => Verdict::new(
            Cause::MonitorKilled,
            Grade::Certain,
            "the machine ran out of memory and the kernel killed its monitor; the container went with it",
        )
        .from("the kernel's log names the monitor"),
        Lost::Monitor => Verdict::new(
            Cause::MonitorKilled,
            Grade::Certain,
            "its monitor was killed, and the container with it; who did that is not known",
        )
        .from("the monitor had gone without writing the end, and the machine was not restarted"),
    }
}

fn running(facts: &Facts<'_>) -> Verdict {
    match facts.recent().count() {
        0 => Verdict::new(
            Cause::Running,
            Grade::Certain,
            "it runs, and the kernel has killed nothing in it",
        ),
        count => {
            let what = if count == 1 {
                "1 process".to_owned()
            } else {
                format!("{count} processes")
            };
            Verdict::new(
                Cause::Running,
                Grade::Certain,
                format!("it runs; the kernel has killed {what} in it for want of memory"),
            )
            .advice(memory_advice(facts))
        }
    }
}

fn killed(facts: &Facts<'_>) -> Verdict {
    let run = &facts.run;
    let main = |victim: &&Victim| victim.host_pid == run.last.host_pid;
    if let Some(victim) = facts.recent().rev().find(main) {
        return out_of_memory(facts, victim, Grade::Certain);
    }
    if run.oom_killed
        && let Some(victim) = facts.recent().next_back()
    {
        return out_of_memory(facts, victim, Grade::Likely);
    }
    if let Some(ignored) = run.last.ignored.filter(|i| i.seconds > 0) {
        return ignored_stop(facts, ignored);
    }
    if let Some(asked) = facts.last_asked(|a| a.signal == KILL || a.timeout == Some(0)) {
        let statement = format!("killed by {}", command(facts, asked));
        return Verdict::new(Cause::KilledBySilo, Grade::Certain, statement)
            .from("its monitor was asked, and the kernel says by whom")
            .by(&facts.who(asked));
    }
    if facts.config.life.init
        && let Some(victim) = facts.recent().next_back()
        && run.finished.saturating_sub(victim.time) < SHORTLY
    {
        return out_of_memory(facts, victim, Grade::Certain);
    }
    let statement = match facts.is_protected() {
        true => "killed by SIGKILL from outside the container; who sent it is not known",
        false => "killed by SIGKILL, and not by Silo; who sent it is not known",
    };
    let verdict = Verdict::new(Cause::KilledFromOutside, Grade::Certain, statement)
        .from("no Silo command asked for it, and the kernel counted no kill for want of memory");
    match facts.is_protected() {
        true => verdict.from("no process inside can kill the first one of its pid namespace"),
        false => verdict,
    }
}

fn out_of_memory(facts: &Facts<'_>, victim: &Victim, grade: Grade) -> Verdict {
    let limit = ByteSize(victim.limit_bytes);
    let where_it_ran_out = match (victim.scope, victim.limit_bytes) {
        (OomScope::Own, 0) => "at a limit inside the container".to_owned(),
        (OomScope::Own, _) => format!("at its own limit of {limit}"),
        (OomScope::Above, 0) => format!("at the limit of {}, a group above it", victim.group),
        (OomScope::Above, _) => format!(
            "at the limit of {limit} of {}, a group above it",
            victim.group
        ),
        (OomScope::Machine, _) => "in the whole machine: the host ran out".to_owned(),
        (OomScope::Unknown, 0) => "somewhere above it".to_owned(),
        (OomScope::Unknown, _) => format!("at its own limit of {limit}, or above it"),
    };
    let cause = Cause::OutOfMemory;
    let verdict =
        Verdict::new(cause, grade, format!("out of memory, {where_it_ran_out}")).from(format!(
            "the kernel counted it: oom_kill is {} in its own control group",
            victim.kills.max(1)
        ));
    let verdict = match victim.host_pid {
        0 if victim.scope == OomScope::Machine => verdict
            .from(
                "no limit of its own or of a group above was reached, so the machine's memory was",
            )
            .from("the kernel's log does not name who was killed"),
        0 => verdict.from("the kernel's log does not name who was killed"),
        pid => verdict.from(format!("the kernel's log names host pid {pid}")),
    };
    verdict.advice(memory_advice(facts))
}

fn memory_advice(facts: &Facts<'_>) -> String {
    let name = facts.name;
    match facts.recent().next_back().map(|victim| victim.scope) {
        Some(OomScope::Above) => {
            "the group above has to give more, or this container less".to_owned()
        }
        Some(OomScope::Machine) => format!(
            "give it a limit, so that it cannot take the machine's: 'silo limit {name} -m SIZE'"
        ),
        _ => format!("it needs a higher limit, 'silo limit {name} -m SIZE', or less memory"),
    }
}

fn ignored_stop(facts: &Facts<'_>, ignored: silo_types::Ignored) -> Verdict {
    let signal = signal_name(ignored.signal);
    let why = match ignored.handling {
        Handling::None if facts.is_protected() => {
            "it has no handler for it, and the kernel spares the first process of a container signals without one"
        }
        Handling::None => "it has no handler for it",
        Handling::Ignored => "it ignores that signal",
        Handling::Blocked => "it blocks that signal",
        Handling::Caught => "it has a handler for it, which did not end it in time",
        Handling::Unknown => "what it does about that signal could not be seen",
    };
    let statement = format!(
        "did not follow {signal} within {} s, and was killed",
        ignored.seconds
    );
    let verdict = Verdict::new(Cause::IgnoredStop, Grade::Certain, statement).from(why);
    let verdict = match ignored.handling {
        Handling::None if facts.is_protected() => {
            verdict.advice("run it with --init, or with --stop-signal and a signal that it handles")
        }
        Handling::Caught => {
            verdict.advice("if it needs more time: 'silo stop -t SECONDS', or --stop-timeout")
        }
        _ => verdict.advice("choose a signal that it follows, with --stop-signal"),
    };
    match facts.last_asked(|a| a.timeout.is_some()) {
        Some(asked) => verdict
            .from(format!("asked for by {}", command(facts, asked)))
            .by(&facts.who(asked)),
        None => verdict,
    }
}

fn fault(facts: &Facts<'_>) -> Verdict {
    let last = facts.run.last;
    let (signal, what) = (signal_name(last.signal), fault_words(last.signal));
    // Neither from inside nor from outside can such a signal be sent to it: only its own fault forces one.
    let own = last.signal != 6 && facts.is_protected();
    let asked = facts.last_asked(|a| a.signal == last.signal);
    let seen = !last.fault.is_empty();
    if let (Some(asked), false) = (asked, seen || own) {
        return signalled_by(facts, asked, Grade::Likely);
    }
    let grade = if seen || own || last.signal == 6 {
        Grade::Certain
    } else {
        Grade::Likely
    };
    let statement = format!("its program crashed: {what} ({signal})");
    let mut verdict = Verdict::new(Cause::Fault, grade, statement);
    if seen {
        verdict = verdict.from(format!("the kernel's log: {}", last.fault));
    } else if own {
        verdict = verdict.from("nobody can send that signal to the first process of a container");
    }
    if last.dumped {
        verdict = verdict.from("the kernel wrote a core dump");
    }
    verdict.advice("a bug of the program: the last lines of 'silo logs' may say more")
}

fn fault_words(signal: i32) -> &'static str {
    match signal {
        4 => "it came to an instruction that this processor does not have",
        5 => "it came to a breakpoint",
        6 => "it gave up by itself, for instance at a failed check",
        7 => "it used memory that its file or device does not have",
        8 => "it divided by zero or the like",
        _ => "it used memory that is not its own",
    }
}

fn forbidden(facts: &Facts<'_>) -> Verdict {
    Verdict::new(
        Cause::ForbiddenCall,
        Grade::Likely,
        "it made a system call that its filter punishes with death (SIGSYS)",
    )
    .from("nothing else sends that signal by itself")
    .advice(format!("see 'silo explain {}' for the filter", facts.name))
}

fn signalled(facts: &Facts<'_>) -> Verdict {
    let signal = facts.run.last.signal;
    if let Some(asked) = facts.last_asked(|a| a.signal == signal) {
        return signalled_by(facts, asked, Grade::Certain);
    }
    let statement = format!(
        "ended by {}, which Silo did not send; who did is not known",
        signal_name(signal)
    );
    Verdict::new(Cause::SignalledFromOutside, Grade::Certain, statement)
        .from("no Silo command asked for it")
}

fn signalled_by(facts: &Facts<'_>, asked: &Asked, grade: Grade) -> Verdict {
    let statement = format!(
        "ended by {}, sent by {}",
        signal_name(asked.signal),
        command(facts, asked)
    );
    Verdict::new(Cause::StoppedBySilo, grade, statement).by(&facts.who(asked))
}

fn by_itself(facts: &Facts<'_>) -> Verdict {
    let run = &facts.run;
    let code = run.exit_code;
    let led_to_it = |asked: &Asked| {
        let seconds = asked.timeout.map_or(0, |s| s.max(0)).max(10) as u64;
        let ends = asked.timeout.is_some() || [1, 2, 3, 9, 15].contains(&asked.signal);
        ends && run.finished.saturating_sub(asked.time) <= (seconds + 1) * 1_000_000_000
    };
    if let Some(asked) = facts.last_asked(led_to_it) {
        let statement = format!(
            "ended by itself with code {code}, {} after {} sent {}",
            span(run.finished.saturating_sub(asked.time)),
            command(facts, asked),
            signal_name(asked.signal)
        );
        return Verdict::new(Cause::StoppedBySilo, Grade::Likely, statement)
            .from(
                "the monitor saw the request and then the end; that one led to the other is likely",
            )
            .by(&facts.who(asked));
    }
    let victim = facts.recent().next_back();
    if let Some(victim) =
        victim.filter(|v| code != 0 && run.finished.saturating_sub(v.time) < SHORTLY)
    {
        let who = match victim.host_pid {
            0 => "a process that it had started".to_owned(),
            _ => format!("{} (pid {})", victim.command, victim.pid),
        };
        let statement = format!(
            "ended by itself with code {code}, just after {who} was killed for want of memory"
        );
        return Verdict::new(Cause::ChildOutOfMemory, Grade::Likely, statement)
            .from(format!(
                "that kill was {} before the end",
                span(run.finished.saturating_sub(victim.time))
            ))
            .advice(memory_advice(facts));
    }
    let verdict = Verdict::new(
        Cause::EndedByItself,
        Grade::Certain,
        format!("ended by itself with code {code}"),
    )
    .from("the kernel reports an exit and no signal");
    match code {
        126 | 127 => verdict.advice(format!(
            "{code} is what a shell says when it {} a command",
            if code == 127 {
                "does not find"
            } else {
                "may not run"
            }
        )),
        129..=192 => verdict.advice(format!(
            "{code} is what a shell says when a command that it ran ended by {}",
            signal_name(code - 128)
        )),
        _ => verdict,
    }
}

/// `30 ms`, `0.3 s`, `12 s`.
fn span(nanoseconds: u64) -> String {
    let seconds = nanoseconds as f64 / 1e9;
    match seconds {
        ..0.1 => format!("{} ms", nanoseconds / 1_000_000),
        ..10.0 => format!("{seconds:.1} s"),
        _ => format!("{seconds:.0} s"),
    }
}
