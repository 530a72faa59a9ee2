//! The BPF program that decides about device access in a v2 group (`BPF_PROG_TYPE_CGROUP_DEVICE`, Linux 4.15).
//!
//! The kernel asks it with type, access and numbers of the device (`struct bpf_cgroup_dev_ctx`); 1 allows. It goes through
//! the rules from the last to the first and keeps in a register the accesses that no rule has allowed yet: a rule that
//! denies one of them ends it, and so does the one that allows the last of them.

use super::{ALL, Rule, Rules, Type};
pub use silo_sys::bpf::Insn;

/// Registers: r0 verdict, r1 context and then scratch, r2 type, r3 accesses still open, r4 major, r5 minor.
const SCRATCH: u8 = 1;
const TYPE: u8 = 2;
const OPEN: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Operation codes (linux/bpf_common.h, linux/bpf.h).
pub const LDX_W: u8 = 0x61;
pub const MOV_IMM: u8 = 0xb7;
pub const MOV_REG: u8 = 0xbf;
pub const AND_IMM: u8 = 0x57;
pub const RSH_IMM: u8 = 0x77;
pub const JEQ_IMM: u8 = 0x15;
pub const JNE_IMM: u8 = 0x55;
/// Compares the lower 32 bits, unsigned: for numbers above the positive range of an immediate (Linux 5.1).
pub const JNE32_IMM: u8 = 0x56;
pub const EXIT: u8 = 0x95;

/// `BPF_DEVCG_DEV_*`.
pub const BLOCK: i32 = 1;
pub const CHAR: i32 = 2;

/// The program for `rules`; nothing after the first rule that always decides, as the kernel refuses code that it cannot
/// reach.
pub fn program(rules: &Rules) -> Vec<Insn> {
    let mut code = vec![
        insn(LDX_W, TYPE, SCRATCH, 0, 0),
        insn(MOV_REG, OPEN, TYPE, 0, 0),
        insn(AND_IMM, TYPE, 0, 0, 0xffff),
        insn(RSH_IMM, OPEN, 0, 0, 16),
        insn(LDX_W, MAJOR, SCRATCH, 4, 0),
        insn(LDX_W, MINOR, SCRATCH, 8, 0),
    ];
    for rule in rules.as_slice().iter().rev() {
        let body = body(rule);
        let mut head = Vec::new();
        if rule.typ != Type::Any {
            let typ = if rule.typ == Type::Block { BLOCK } else { CHAR };
            head.push(insn(JNE_IMM, TYPE, 0, 0, typ));
        }
        if let Some(major) = rule.major {
            head.push(differs(MAJOR, major));
        }
        if let Some(minor) = rule.minor {
            head.push(differs(MINOR, minor));
        }
        let length = head.len() + body.len();
        for (at, jump) in head.iter_mut().enumerate() {
            jump.off = (length - at - 1) as i16;
        }
        let decides = head.is_empty() && rule.access == ALL;
        code.extend(head);
        code.extend(body);
        if decides {
            return code;
        }
    }
    code.extend(verdict(false));
    code
}

/// What a rule does for a device that it is about.
fn body(rule: &Rule) -> Vec<Insn> {
    let access = i32::from(rule.access);
    let mut code = Vec::with_capacity(5);
    match (rule.access == ALL, rule.allow) {
        (true, allow) => code.extend(verdict(allow)),
        (false, true) => {
            code.push(insn(AND_IMM, OPEN, 0, 0, i32::from(ALL) & !access));
            code.push(insn(JNE_IMM, OPEN, 0, 2, 0));
            code.extend(verdict(true));
        }
        (false, false) => {
            code.push(insn(MOV_REG, SCRATCH, OPEN, 0, 0));
            code.push(insn(AND_IMM, SCRATCH, 0, 0, access));
            code.push(insn(JEQ_IMM, SCRATCH, 0, 2, 0));
            code.extend(verdict(false));
        }
    }
    code
}

/// Jumps over the rule when the register is another number.
fn differs(register: u8, number: u32) -> Insn {
    match i32::try_from(number) {
        Ok(number) => insn(JNE_IMM, register, 0, 0, number),
        Err(_) => insn(JNE32_IMM, register, 0, 0, number as i32),
    }
}

fn verdict(allow: bool) -> [Insn; 2] {
    [insn(MOV_IMM, 0, 0, 0, allow.into()), insn(EXIT, 0, 0, 0, 0)]
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        registers: src << 4 | dst,
        off,
        imm,
    }
}
