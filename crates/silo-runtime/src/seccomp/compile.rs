//! From a profile of the OCI specification to a program: what each call number gets, and the ranges that it falls into.
//!
//! Pure. The rules, where they go beyond the specification's words (config-linux.md, "Seccomp"), are runc's and libseccomp's:
//! - an entry whose verdict is the default one says nothing; names that no kernel known here has are skipped;
//! - of several entries for a call, the first without arguments decides, wherever it stands; else the first that matches;
//! - the arguments of an entry must all match, except when one argument is named twice: then each is an entry of its own;
//! - i386 arguments are compared as 32 bits, the value cut to them;
//! - an architecture that is not listed kills the thread (x32 too), and the native one is always listed.
//!
//! x32 numbers below 512 are those of x86-64 and get the same; libseccomp keeps a table of its own and compares 32 bits. The
//! registers have 64 there too, and one table for both makes the program a third shorter.
//!
//! Beyond them: an entry without arguments for a call that i386 multiplexes covers its way through socketcall(2) or ipc(2),
//! as in libseccomp. Arguments cannot be seen there (they are behind a pointer); so an entry with arguments covers that way if
//! it forbids, and does not if it permits. libseccomp permits.
//!
//! When the default forbids, calls newer than any that the profile names get ENOSYS: C libraries try a new call first and go
//! back to the old one on ENOSYS alone. Number -1, into which a tracer turns a call that it skips (seccomp(2)), is then left to
//! the kernel, which answers ENOSYS by itself.

use std::iter;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};
use silo_sys::seccomp::SockFilter;
use silo_types::{Error, Result};

use super::{
    bpf::{self, Condition, Range, Second, Section, Test},
    syscalls::{self, Abi, Row, X32_BIT, X32_FIRST},
};

/// `AUDIT_ARCH_*` of linux/audit.h, as in `seccomp_data.arch`.
pub(super) const AUDIT_X86_64: u32 = 0xc000_003e;
pub(super) const AUDIT_I386: u32 = 0x4000_0003;

/// `SECCOMP_RET_*` of linux/seccomp.h.
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = ERRNO | 38;

/// What a tracer sets as the number of a call that is to be skipped.
const SKIPPED: u32 = u32::MAX;

/// The kernel's limits: `MAX_ERRNO`, `BPF_MAXINSNS`.
const MAX_ERRNO: u32 = 4095;
const MAX_INSTRUCTIONS: usize = 4096;

/// Compiles a profile into a program for `silo_sys::seccomp::load`.
///
/// Architectures of other machines are skipped. Errors, all of kind Invalid: an empty call name, an argument above 5, an error
/// number above 4095 or with a verdict that takes none, NOTIFY for write(2) and sendmsg(2) (the runtime itself calls them after the
/// filter is on) or as default, more than 4096 instructions.
pub fn compile(profile: &LinuxSeccomp) -> Result<Vec<SockFilter>> {
    let default = default_verdict(profile)?;
    let mut tables: Vec<Table> = abis(profile.architectures().as_deref().unwrap_or_default())
        .map(|abi| Table::new(abi, default))
        .collect();
    for entry in profile.syscalls().iter().flatten() {
        let verdict = entry_verdict(entry)?;
        let alternatives = alternatives(entry)?;
        for name in entry.names() {
            check_name(name, entry.action())?;
            let name = Name::find(name);
            for table in &mut tables {
                table.enter(&name, verdict, &alternatives);
            }
        }
    }
    for table in &mut tables {
        table.tests.sort_by_key(|(number, _)| *number);
    }
    let program = bpf::assemble(&sections(&tables), KILL_THREAD);
    match program.len() {
        ..=MAX_INSTRUCTIONS => Ok(program),
        length => Err(Error::invalid(format!(
            "seccomp profile needs {length} instructions, the kernel takes {MAX_INSTRUCTIONS}: name fewer calls or arguments"
        ))),
    }
}

/// The calling conventions that a profile covers, x86-64 always among them.
fn abis(listed: &[Arch]) -> impl Iterator<Item = Abi> {
    let i386 = listed.contains(&Arch::ScmpArchX86);
    let x32 = listed.contains(&Arch::ScmpArchX32);
    iter::once(Abi::X86_64)
        .chain(x32.then_some(Abi::X32))
        .chain(i386.then_some(Abi::I386))
}

fn default_verdict(profile: &LinuxSeccomp) -> Result<u32> {
    let action = profile.default_action();
    if action == Action::ScmpActNotify {
        return Err(Error::invalid(
            "seccomp profile: SCMP_ACT_NOTIFY cannot be the default action",
        ));
    }
    verdict(action, profile.default_errno_ret()).map_err(|e| e.context("seccomp profile"))
}

fn entry_verdict(entry: &LinuxSyscall) -> Result<u32> {
    verdict(entry.action(), entry.errno_ret()).map_err(|e| e.context(of_entry(entry)))
}

/// The words that begin an error about an entry.
fn of_entry(entry: &LinuxSyscall) -> String {
    let name = entry.names().first().map_or("no call", String::as_str);
    format!("seccomp profile, entry of {name}")
}

fn verdict(action: Action, errno: Option<u32>) -> Result<u32> {
    let data = match (action, errno) {
        (Action::ScmpActErrno | Action::ScmpActTrace, None) => EPERM,
        (Action::ScmpActErrno, Some(errno)) if errno > MAX_ERRNO => {
            return Err(Error::invalid(format!(
                "error number {errno} is above {MAX_ERRNO}"
            )));
        }
        (Action::ScmpActErrno | Action::ScmpActTrace, Some(errno)) => errno & 0xffff,
        (_, None) => 0,
        (_, Some(errno)) => {
            return Err(Error::invalid(format!(
                "{action} takes no error number, but {errno} is given"
            )));
        }
    };
    Ok(data
        | match action {
            Action::ScmpActKill | Action::ScmpActKillThread => KILL_THREAD,
            Action::ScmpActKillProcess => KILL_PROCESS,
            Action::ScmpActTrap => TRAP,
            Action::ScmpActErrno => ERRNO,
            Action::ScmpActNotify => NOTIFY,
            Action::ScmpActTrace => TRACE,
            Action::ScmpActLog => LOG,
            Action::ScmpActAllow => ALLOW,
        })
}

/// Whether a verdict keeps the call from being made. TRACE does not: the tracer decides.
fn forbids(verdict: u32) -> bool {
    !matches!(verdict & 0xffff_0000, ALLOW | LOG | TRACE)
}

fn check_name(name: &str, action: Action) -> Result<()> {
    match (name, action) {
        ("", _) => Err(Error::invalid("seccomp profile: a call's name is empty")),
        // The process that loads the filter hands its listener over with these, which nobody could answer yet.
        ("write" | "sendmsg", Action::ScmpActNotify) => Err(Error::invalid(format!(
            "seccomp profile: SCMP_ACT_NOTIFY cannot be used for the {name} syscall"
        ))),
        _ => Ok(()),
    }
}

/// The sets of conditions of an entry, of which one must hold; none: it always applies.
fn alternatives(entry: &LinuxSyscall) -> Result<Vec<Vec<Condition>>> {
    let args = match entry.args() {
        Some(args) if !args.is_empty() => args,
        _ => return Ok(Vec::new()),
    };
    let conditions = args
        .iter()
        .map(condition)
        .collect::<Result<Vec<_>>>()
        .map_err(|e| e.context(of_entry(entry)))?;
    let twice = |c: &Condition| conditions.iter().filter(|other| other.arg == c.arg).count() > 1;
    Ok(match conditions.iter().any(twice) {
        true => conditions.into_iter().map(|c| vec![c]).collect(),
        false => vec![conditions],
    })
}

fn condition(arg: &LinuxSeccompArg) -> Result<Condition> {
    match arg.index() {
        index @ 0..=5 => Ok(Condition {
            arg: index as u32,
            op: arg.op(),
            value: arg.value(),
            value_two: arg.value_two().unwrap_or(0),
        }),
        index => Err(Error::invalid(format!(
            "argument {index} does not exist: a call has 0 to 5"
        ))),
    }
}

/// What the tables know of a name: nothing, when no kernel known here has the call.
struct Name {
    row: Option<&'static Row>,
    /// The call that carries this one on i386, and the condition that selects it there.
    through: Option<(&'static Row, Condition)>,
}

impl Name {
    fn find(name: &str) -> Name {
        let through = syscalls::multiplexed(name).and_then(|way| {
            let selected = Condition {
                arg: 0,
                op: Operator::ScmpCmpMaskedEq,
                value: way.mask,
                value_two: way.selector,
            };
            Some((syscalls::find(way.through)?, selected))
        });
        Name {
            row: syscalls::find(name),
            through,
        }
    }
}

/// What each call number of one calling convention gets.
struct Table {
    abi: Abi,
    default: u32,
    /// The verdict of the first entry without conditions, by number from the convention's first on.
    always: Vec<Option<u32>>,
    /// Number and test, in the profile's order until sorted by number.
    tests: Vec<(u16, Test)>,
    /// The highest number that the profile names.
    highest: Option<u16>,
}

impl Table {
    fn new(abi: Abi, default: u32) -> Table {
        Table {
            abi,
            default,
            always: Vec::with_capacity(600),
            tests: Vec::new(),
            highest: None,
        }
    }

    /// Takes up what an entry says on `name`: always when there are no alternatives.
    fn enter(&mut self, name: &Name, verdict: u32, alternatives: &[Vec<Condition>]) {
        if let Some(row) = name.row {
            self.enter_row(row, verdict, alternatives);
        }
        if self.abi == Abi::I386
            && (alternatives.is_empty() || forbids(verdict))
            && let Some((row, selected)) = name.through
        {
            self.enter_row(row, verdict, &[vec![selected]]);
        }
    }

    fn enter_row(&mut self, row: &Row, verdict: u32, alternatives: &[Vec<Condition>]) {
        let Some(number) = self.abi.number(row) else {
            return;
        };
        self.highest = self.highest.max(Some(number));
        if verdict == self.default || number < self.abi.first() {
            return;
        }
        if alternatives.is_empty() {
            let at = usize::from(number - self.abi.first());
            if self.always.len() <= at {
                self.always.resize(at + 1, None);
            }
            self.always[at].get_or_insert(verdict);
        }
        for conditions in alternatives {
            let conditions: Vec<Condition> = conditions
                .iter()
                .map(|condition| condition.cut(self.abi.widest()))
                .collect();
            if !self.decided(number, &conditions) {
                self.tests.push((
                    number,
                    Test {
                        conditions,
                        verdict,
                    },
                ));
            }
        }
    }

    /// Whether an earlier test matches whenever these conditions, of the form "argument is n", do. Spares the many selectors
    /// of socketcall(2) when the profile names whole ranges of them.
    fn decided(&self, number: u16, conditions: &[Condition]) -> bool {
        let [only] = conditions else { return false };
        let wanted = match only.op {
            Operator::ScmpCmpEq => only.value,
            Operator::ScmpCmpMaskedEq if only.value == self.abi.widest() => only.value_two,
            _ => return false,
        };
        self.tests.iter().any(|(of, test)| {
            *of == number
                && matches!(&test.conditions[..], [one] if one.arg == only.arg && one.holds(wanted))
        })
    }

    /// The ranges of numbers that get the same, and what is beyond the last.
    fn ranges(&self) -> Ranges<'_> {
        let mut ranges = Ranges::default();
        let mut tests = self.tests.as_slice();
        let first = self.abi.first();
        let end = self.highest.map_or(first, |highest| first.max(highest + 1));
        for number in first..end {
            let count = tests.iter().take_while(|t| t.0 == number).count();
            let (these, rest) = tests.split_at(count);
            tests = rest;
            let always = self.always.get(usize::from(number - first)).copied();
            let always = always.flatten();
            ranges.push(Range {
                start: number.into(),
                tests: match always {
                    Some(_) => Vec::new(),
                    None => these.iter().map(|(_, test)| test).collect(),
                },
                verdict: always.unwrap_or(self.default),
                narrow: self.abi == Abi::I386,
            });
        }
        ranges.push_plain(end.into(), self.beyond());
        ranges
    }

    /// What a number above all that the profile names gets.
    fn beyond(&self) -> u32 {
        match self.highest {
            Some(_) if forbids(self.default) => ENOSYS,
            _ => self.default,
        }
    }

    /// What number -1 gets.
    fn skipped(&self) -> u32 {
        match self.highest {
            Some(_) if forbids(self.default) => ALLOW,
            _ => self.default,
        }
    }
}

/// Ranges in order; a plain one that says the same as the one before is part of it.
#[derive(Default)]
struct Ranges<'a>(Vec<Range<'a>>);

impl<'a> Ranges<'a> {
    fn push(&mut self, range: Range<'a>) {
        match self.0.last() {
            Some(last)
                if last.tests.is_empty()
                    && range.tests.is_empty()
                    && last.verdict == range.verdict => {}
            _ => self.0.push(range),
        }
    }

    fn push_plain(&mut self, start: u32, verdict: u32) {
        self.push(Range {
            start,
            tests: Vec::new(),
            verdict,
            narrow: false,
        });
    }
}

/// One section for each `AUDIT_ARCH_*`: x86-64 and x32 share one.
fn sections(tables: &[Table]) -> Vec<Section<'_>> {
    let of = |abi| tables.iter().find(|table| table.abi == abi);
    let mut sections = Vec::with_capacity(2);
    if let Some(table) = of(Abi::X86_64) {
        let mut ranges = table.ranges();
        let x32 = of(Abi::X32).map(Table::ranges);
        let second = match x32 {
            Some(mut ranges) => {
                ranges.push_plain(SKIPPED - X32_BIT, table.skipped());
                Some(Second {
                    base: X32_BIT,
                    first: X32_FIRST.into(),
                    ranges: ranges.0,
                })
            }
            None => {
                ranges.push_plain(X32_BIT, KILL_THREAD);
                ranges.push_plain(SKIPPED, table.skipped());
                None
            }
        };
        sections.push(Section {
            architecture: AUDIT_X86_64,
            ranges: ranges.0,
            second,
        });
    }
    if let Some(table) = of(Abi::I386) {
        let mut ranges = table.ranges();
        ranges.push_plain(SKIPPED, table.skipped());
        sections.push(Section {
            architecture: AUDIT_I386,
            ranges: ranges.0,
            second: None,
        });
    }
    sections
}
