//! Assembler for the classic BPF that seccomp(2) takes: a search tree over call numbers, and tests of arguments.
//!
//! The program is put together from its end to its start, so that the target of each jump, always forward, is known when the
//! jump is written. Only instructions that the kernel's own emulator follows are used before arguments are read
//! (`seccomp_is_const_allow`, since Linux 5.11): calls that are always allowed then never run the filter at all.

use oci_spec::runtime::LinuxSeccompOperator as Operator;
use silo_sys::seccomp::SockFilter;

/// `BPF_LD | BPF_W | BPF_ABS`: loads a word of `struct seccomp_data` into the accumulator.
const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`, `BPF_ALU | BPF_SUB | BPF_K`
const AND: u16 = 0x54;
const SUBTRACT: u16 = 0x14;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;
/// `BPF_JMP | BPF_JA`
const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`, and its kin.
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_GREATER_OR_EQUAL: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// A test of one argument, as in `linux.seccomp.syscalls[].args[]` of the OCI specification.
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition {
    /// Which argument, 0 to 5.
    pub arg: u32,
    pub op: Operator,
    /// The mask, when `op` is `MASKED_EQ`.
    pub value: u64,
    /// What the masked argument must be, when `op` is `MASKED_EQ`.
    pub value_two: u64,
}

impl Condition {
    /// The condition as it reads on arguments up to `widest`.
    pub(super) fn cut(&self, widest: u64) -> Condition {
        Condition {
            value: self.value & widest,
            value_two: self.value_two & widest,
            ..*self
        }
    }

    /// Whether an argument that is `number` passes.
    pub(super) fn holds(&self, number: u64) -> bool {
        match self.op {
            Operator::ScmpCmpNe => number != self.value,
            Operator::ScmpCmpLt => number < self.value,
            Operator::ScmpCmpLe => number <= self.value,
            Operator::ScmpCmpEq => number == self.value,
            Operator::ScmpCmpGe => number >= self.value,
            Operator::ScmpCmpGt => number > self.value,
            Operator::ScmpCmpMaskedEq => number & self.value == self.value_two & self.value,
        }
    }
}

/// All conditions hold: then this verdict.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub conditions: Vec<Condition>,
    pub verdict: u32,
}

/// What happens from one call number up to the next range.
#[derive(Clone, Debug)]
pub(super) struct Range<'a> {
    pub start: u32,
    /// Tried in order; mostly empty.
    pub tests: Vec<&'a Test>,
    /// When no test holds.
    pub verdict: u32,
    /// Compare arguments as 32 bits.
    pub narrow: bool,
}

/// A place in the unfinished program, counted from its end.
#[derive(Clone, Copy, PartialEq)]
struct Label(usize);

/// The calls of one architecture.
pub(super) struct Section<'a> {
    /// `AUDIT_ARCH_*`
    pub architecture: u32,
    /// In order, the first from 0.
    pub ranges: Vec<Range<'a>>,
    /// A second set of numbers within the first.
    pub second: Option<Second<'a>>,
}

/// Numbers from `base` on mean, less `base`, the same as plain ones up to `first`, and from there what `ranges` say.
pub(super) struct Second<'a> {
    pub base: u32,
    pub first: u32,
    /// In order, the first from `first`.
    pub ranges: Vec<Range<'a>>,
}

/// The whole program; calls of an architecture without a section get `elsewhere`.
pub(super) fn assemble(sections: &[Section<'_>], elsewhere: u32) -> Vec<SockFilter> {
    let mut program = Assembler::default();
    let mut next = program.verdict(elsewhere);
    let heads: Vec<Label> = sections.iter().map(|s| program.section(s)).collect();
    for (section, head) in sections.iter().zip(heads) {
        next = program.branch(IF_EQUAL, section.architecture, head, next);
    }
    program.step(LOAD, ARCHITECTURE, next);
    program.reversed.reverse();
    program.reversed
}

#[derive(Default)]
struct Assembler {
    /// The last instruction first.
    reversed: Vec<SockFilter>,
    /// Where each verdict was written last.
    verdicts: Vec<(u32, Label)>,
}

impl Assembler {
    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) -> Label {
        self.reversed.push(SockFilter { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }

    /// How many instructions a jump written now would skip to get to `to`.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len() - 1 - to.0
    }

    /// Where `verdict` is returned: shared as long as a conditional jump reaches it, since a second copy costs no more than
    /// a jump to the first.
    fn verdict(&mut self, verdict: u32) -> Label {
        let known = self.verdicts.iter().position(|known| known.0 == verdict);
        if let Some(at) = known
            && self.distance(self.verdicts[at].1) < 250
        {
            return self.verdicts[at].1;
        }
        let label = self.push(RETURN, verdict, 0, 0);
        match known {
            Some(at) => self.verdicts[at].1 = label,
            None => self.verdicts.push((verdict, label)),
        }
        label
    }

    /// Makes `to` reachable by the eight bits of a conditional jump, with `room` instructions still to come before it.
    fn near(&mut self, to: Label, room: usize) -> Label {
        match self.distance(to) {
            distance if distance + room <= usize::from(u8::MAX) => to,
            distance => self.push(JUMP, distance as u32, 0, 0),
        }
    }

    /// The accumulator against `k`.
    fn branch(&mut self, op: u16, k: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let no = self.near(no, 1);
        let yes = self.near(yes, 0);
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(op, k, jt, jf)
    }

    /// An instruction that changes the accumulator, and then goes on at `next`.
    fn step(&mut self, code: u16, k: u32, next: Label) -> Label {
        let distance = self.distance(next);
        if distance > 0 {
            self.push(JUMP, distance as u32, 0, 0);
        }
        self.push(code, k, 0, 0)
    }

    /// Loads the call number and finds what it gets.
    fn section(&mut self, section: &Section<'_>) -> Label {
        let plain = self.tree(&section.ranges);
        let head = match &section.second {
            None => plain,
            Some(second) => {
                let own = self.tree(&second.ranges);
                let split = self.branch(IF_GREATER_OR_EQUAL, second.first, own, plain);
                let less = self.step(SUBTRACT, second.base, split);
                self.branch(IF_GREATER_OR_EQUAL, second.base, less, plain)
            }
        };
        self.step(LOAD, NUMBER, head)
    }

    /// Binary search for the range of the call number, which is in the accumulator.
    fn tree(&mut self, ranges: &[Range<'_>]) -> Label {
        match ranges {
            [range] => self.leaf(range),
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let start = high[0].start;
                let high = self.tree(high);
                let low = self.tree(low);
                self.branch(IF_GREATER_OR_EQUAL, start, high, low)
            }
        }
    }

    fn leaf(&mut self, range: &Range<'_>) -> Label {
        let mut next = self.verdict(range.verdict);
        for test in range.tests.iter().rev() {
            let mut held = self.verdict(test.verdict);
            for condition in test.conditions.iter().rev() {
                held = self.condition(condition, range.narrow, held, next);
            }
            next = held;
        }
        next
    }

    fn condition(&mut self, c: &Condition, narrow: bool, yes: Label, no: Label) -> Label {
        match c.op {
            Operator::ScmpCmpEq => self.masked(c.arg, u64::MAX, c.value, narrow, yes, no),
            Operator::ScmpCmpNe => self.masked(c.arg, u64::MAX, c.value, narrow, no, yes),
            Operator::ScmpCmpMaskedEq => {
                self.masked(c.arg, c.value, c.value_two & c.value, narrow, yes, no)
            }
            Operator::ScmpCmpGe => {
                self.ordered(c.arg, IF_GREATER_OR_EQUAL, c.value, narrow, yes, no)
            }
            Operator::ScmpCmpLt => {
                self.ordered(c.arg, IF_GREATER_OR_EQUAL, c.value, narrow, no, yes)
            }
            Operator::ScmpCmpGt => self.ordered(c.arg, IF_GREATER, c.value, narrow, yes, no),
            Operator::ScmpCmpLe => self.ordered(c.arg, IF_GREATER, c.value, narrow, no, yes),
        }
    }

    /// `argument & mask == wanted`, in one or two words.
    fn masked(
        &mut self,
        arg: u32,
        mask: u64,
        wanted: u64,
        narrow: bool,
        yes: Label,
        no: Label,
    ) -> Label {
        let low = self.masked_word(low_word(arg), mask as u32, wanted as u32, yes, no);
        if narrow {
            return low;
        }
        let (mask, wanted) = ((mask >> 32) as u32, (wanted >> 32) as u32);
        self.masked_word(high_word(arg), mask, wanted, low, no)
    }

    fn masked_word(&mut self, offset: u32, mask: u32, wanted: u32, yes: Label, no: Label) -> Label {
        if mask == 0 {
            return yes;
        }
        let test = match (mask, wanted) {
            (u32::MAX, _) => self.branch(IF_EQUAL, wanted, yes, no),
            (_, 0) => self.branch(IF_ANY_BIT, mask, no, yes),
            _ => {
                let equal = self.branch(IF_EQUAL, wanted, yes, no);
                self.step(AND, mask, equal)
            }
        };
        self.step(LOAD, offset, test)
    }

    /// `argument >= value` or `argument > value`, unsigned, in one or two words.
    fn ordered(
        &mut self,
        arg: u32,
        op: u16,
        value: u64,
        narrow: bool,
        yes: Label,
        no: Label,
    ) -> Label {
        let low = self.branch(op, value as u32, yes, no);
        let low = self.step(LOAD, low_word(arg), low);
        if narrow {
            return low;
        }
        let high = (value >> 32) as u32;
        let equal = self.branch(IF_EQUAL, high, low, no);
        let test = self.branch(IF_GREATER, high, yes, equal);
        self.step(LOAD, high_word(arg), test)
    }
}

/// Offset of the less significant half of an argument (x86 is little-endian).
fn low_word(arg: u32) -> u32 {
    ARGUMENTS + 8 * arg
}

fn high_word(arg: u32) -> u32 {
    low_word(arg) + 4
}
