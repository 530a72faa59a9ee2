//! Verdicts by table: which facts make which cause, how sure, and what is said.

use silo_types::{
    Asked, ContainerConfig, Handling, Ignored, LastRun, Lost, OomScope, Status, Victim, Who,
};

use super::verdict::{Cause, Facts, Grade, Run, Verdict, judge};

const START: u64 = 1_000_000_000_000;
const END: u64 = START + 30_000_000_000;

/// One row: facts that differ from a container that ran for 30 s and ended with 137 by KILL.
struct Case {
    init: bool,
    status: Status,
    code: i32,
    oom_killed: bool,
    error: &'static str,
    last: LastRun,
    victims: Vec<Victim>,
    near: Vec<String>,
}

impl Case {
    fn new(last: LastRun) -> Case {
        Case {
            init: false,
            status: Status::Exited,
            code: 137,
            oom_killed: false,
            error: "",
            last: LastRun {
                host_pid: 4711,
                ..last
            },
            victims: Vec::new(),
            near: Vec::new(),
        }
    }

    fn killed() -> Case {
        Case::new(LastRun {
            signal: 9,
            ..LastRun::default()
        })
    }

    fn exited(code: i32) -> Case {
        Case {
            code,
            ..Case::new(LastRun::default())
        }
    }

    fn judge(&self) -> Verdict {
        let mut config = ContainerConfig::default();
        config.life.init = self.init;
        config.process.args = vec!["srv".to_owned()];
        judge(&Facts {
            name: "box",
            config: &config,
            run: Run {
                status: self.status,
                started: START,
                finished: END,
                exit_code: self.code,
                oom_killed: self.oom_killed,
                error: self.error,
                last: &self.last,
            },
            victims: &self.victims,
            near: &self.near,
            user: &|uid| {
                if uid == 0 {
                    "root".to_owned()
                } else {
                    "alice".to_owned()
                }
            },
        })
    }

    #[track_caller]
    fn is(&self, cause: Cause, grade: Grade, said: &str) {
        let verdict = self.judge();
        assert_eq!(
            (verdict.cause, verdict.grade),
            (cause, grade),
            "{verdict:?}"
        );
        let all = format!(
            "{}\n{}\n{}",
            verdict.statement,
            verdict.from.join("\n"),
            verdict.advice
        );
        assert!(all.contains(said), "{said:?} is not said: {all}");
    }
}

fn asked(what: &str, signal: i32) -> Asked {
    Asked {
        time: END - 300_000_000,
        what: what.to_owned(),
        signal,
        timeout: (what == "stop").then_some(10),
        by: Who {
            pid: 812,
            uid: 1000,
            ..Who::default()
        },
    }
}

fn victim(host_pid: i32, scope: OomScope) -> Victim {
    Victim {
        time: END - 10_000_000,
        host_pid,
        pid: 7,
        command: "leak".to_owned(),
        limit_bytes: 512 << 20,
        group: "/batch".to_owned(),
        scope,
        kills: 1,
        ..Victim::default()
    }
}

#[test]
fn out_of_memory() {
    for (scope, said) in [
        (OomScope::Own, "at its own limit of 512MiB"),
        (
            OomScope::Above,
            "at the limit of 512MiB of /batch, a group above it",
        ),
        (OomScope::Machine, "in the whole machine"),
    ] {
        let mut case = Case::killed();
        case.oom_killed = true;
        case.victims = vec![victim(4711, scope)];
        case.is(Cause::OutOfMemory, Grade::Certain, said);
    }
    let mut unnamed = Case::killed();
    unnamed.oom_killed = true;
    unnamed.victims = vec![victim(0, OomScope::Unknown)];
    unnamed.is(Cause::OutOfMemory, Grade::Likely, "does not name who");
    unnamed.victims = vec![victim(0, OomScope::Machine)];
    unnamed.is(Cause::OutOfMemory, Grade::Likely, "the host ran out");
    // A child's death long before is another story.
    let mut other = Case::killed();
    other.victims = vec![victim(9999, OomScope::Own)];
    other.is(Cause::KilledFromOutside, Grade::Certain, "from outside");
}

#[test]
fn a_child_that_was_killed() {
    let mut case = Case::exited(4);
    case.victims = vec![victim(9999, OomScope::Own)];
    case.is(
        Cause::ChildOutOfMemory,
        Grade::Likely,
        "leak (pid 7) was killed for want of memory",
    );
    case.code = 0;
    case.is(Cause::EndedByItself, Grade::Certain, "with code 0");
    let mut old = Case::exited(4);
    old.victims = vec![Victim {
        time: START + 1,
        ..victim(9999, OomScope::Own)
    }];
    old.is(Cause::EndedByItself, Grade::Certain, "with code 4");
    // Of an earlier run.
    let mut earlier = Case::exited(4);
    earlier.victims = vec![Victim {
        time: START - 1,
        ..victim(9999, OomScope::Own)
    }];
    earlier.is(Cause::EndedByItself, Grade::Certain, "with code 4");
}

#[test]
fn asked_for() {
    let mut case = Case::killed();
    case.last.asked = vec![asked("kill", 9)];
    case.is(
        Cause::KilledBySilo,
        Grade::Certain,
        "'silo kill' by alice (pid 812)",
    );
    case.last.asked = vec![asked("rm", 9)];
    case.is(Cause::KilledBySilo, Grade::Certain, "'silo rm'");
    let mut at_once = Case::killed();
    at_once.last.asked = vec![Asked {
        timeout: Some(0),
        ..asked("stop", 15)
    }];
    at_once.last.ignored = Some(Ignored::default());
    at_once.is(Cause::KilledBySilo, Grade::Certain, "'silo stop'");
    let mut followed = Case::exited(0);
    followed.last.asked = vec![asked("stop", 15)];
    followed.is(
        Cause::StoppedBySilo,
        Grade::Likely,
        "with code 0, 0.3 s after 'silo stop' by alice",
    );
    // What was asked long before, or does not end anything, did not lead to it.
    followed.last.asked[0].time = START;
    followed.is(Cause::EndedByItself, Grade::Certain, "with code 0");
    followed.last.asked = vec![asked("kill", 10)];
    followed.is(Cause::EndedByItself, Grade::Certain, "with code 0");
    followed.last.asked = vec![asked("kill", 2)];
    followed.last.started_by = Some(followed.last.asked[0].by.clone());
    followed.is(
        Cause::StoppedBySilo,
        Grade::Likely,
        "the command that alice started it with (pid 812)",
    );
    let mut sent = Case::new(LastRun {
        signal: 10,
        asked: vec![asked("kill", 10)],
        ..LastRun::default()
    });
    sent.code = 138;
    sent.is(
        Cause::StoppedBySilo,
        Grade::Certain,
        "ended by SIGUSR1, sent by 'silo kill'",
    );
    let mut sudo = Case::killed();
    sudo.last.asked = vec![asked("kill", 9)];
    sudo.last.asked[0].by = Who {
        pid: 9,
        uid: 0,
        login_uid: None,
        sudo_user: "bob".to_owned(),
    };
    sudo.is(Cause::KilledBySilo, Grade::Certain, "root (bob by sudo)");
    sudo.last.asked[0].by.login_uid = Some(1000);
    sudo.is(
        Cause::KilledBySilo,
        Grade::Certain,
        "root (logged in as alice)",
    );
}

#[test]
fn a_stop_that_was_not_followed() {
    for (handling, said) in [
        (Handling::None, "--init"),
        (Handling::Ignored, "it ignores that signal"),
        (Handling::Blocked, "it blocks that signal"),
        (Handling::Caught, "did not end it in time"),
        (Handling::Unknown, "could not be seen"),
    ] {
        let mut case = Case::killed();
        case.last.asked = vec![asked("stop", 15)];
        case.last.ignored = Some(Ignored {
            signal: 15,
            seconds: 10,
            handling,
        });
        case.is(Cause::IgnoredStop, Grade::Certain, said);
        case.is(
            Cause::IgnoredStop,
            Grade::Certain,
            "did not follow SIGTERM within 10 s",
        );
        case.is(Cause::IgnoredStop, Grade::Certain, "by alice");
    }
}

#[test]
fn killed_by_others() {
    Case::killed().is(
        Cause::KilledFromOutside,
        Grade::Certain,
        "from outside the container",
    );
    let mut init = Case::exited(137);
    init.init = true;
    init.is(Cause::KilledFromOutside, Grade::Certain, "and not by Silo");
    init.victims = vec![victim(9999, OomScope::Own)];
    init.is(Cause::OutOfMemory, Grade::Certain, "at its own limit");
    let hup = Case::new(LastRun {
        signal: 1,
        ..LastRun::default()
    });
    hup.is(
        Cause::SignalledFromOutside,
        Grade::Certain,
        "SIGHUP, which Silo did not send",
    );
}

#[test]
fn programs_that_crash() {
    let fault = |signal| {
        Case::new(LastRun {
            signal,
            ..LastRun::default()
        })
    };
    fault(11).is(
        Cause::Fault,
        Grade::Certain,
        "memory that is not its own (SIGSEGV)",
    );
    fault(6).is(Cause::Fault, Grade::Certain, "gave up by itself");
    fault(8).is(Cause::Fault, Grade::Certain, "divided by zero");
    fault(31).is(Cause::ForbiddenCall, Grade::Likely, "SIGSYS");
    let mut shared = fault(11);
    shared.init = true;
    shared.is(Cause::Fault, Grade::Likely, "SIGSEGV");
    shared.last.asked = vec![asked("kill", 11)];
    shared.is(Cause::StoppedBySilo, Grade::Likely, "sent by 'silo kill'");
    shared.last.fault = "srv[4711]: segfault at 0".to_owned();
    shared.is(Cause::Fault, Grade::Certain, "segfault at 0");
}

#[test]
fn programs_that_did_not_start() {
    let mut case = Case::new(LastRun {
        failed: true,
        ..LastRun::default()
    });
    case.status = Status::Created;
    case.error = "exec: \"srv\": executable file not found in $PATH";
    case.code = 127;
    case.near = vec!["serve".to_owned()];
    case.is(
        Cause::ProgramNotFound,
        Grade::Certain,
        "did you mean serve?",
    );
    case.code = 126;
    case.is(Cause::NotExecutable, Grade::Certain, "not executable");
    case.code = 125;
    case.is(Cause::StartFailed, Grade::Certain, "could not be set up");
}

#[test]
fn ends_that_nobody_saw() {
    for (lost, cause, said) in [
        (Lost::Machine, Cause::MachineRestarted, "silo start box"),
        (
            Lost::Monitor,
            Cause::MonitorKilled,
            "who did that is not known",
        ),
        (
            Lost::MonitorOutOfMemory,
            Cause::MonitorKilled,
            "ran out of memory",
        ),
    ] {
        let case = Case::new(LastRun {
            lost: Some(lost),
            ..LastRun::default()
        });
        case.is(cause, Grade::Certain, said);
    }
}

#[test]
fn by_itself_and_not_at_all() {
    Case::exited(3).is(Cause::EndedByItself, Grade::Certain, "with code 3");
    Case::exited(127).is(
        Cause::EndedByItself,
        Grade::Certain,
        "does not find a command",
    );
    Case::exited(143).is(Cause::EndedByItself, Grade::Certain, "ended by SIGTERM");
    let mut made = Case::exited(0);
    made.status = Status::Created;
    made.is(Cause::NeverStarted, Grade::Certain, "never started");
    let mut up = Case::exited(0);
    up.status = Status::Running;
    up.is(Cause::Running, Grade::Certain, "killed nothing");
    up.victims = vec![victim(9999, OomScope::Own)];
    up.is(Cause::Running, Grade::Certain, "1 process");
}
