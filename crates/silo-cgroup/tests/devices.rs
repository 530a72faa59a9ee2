//! The BPF program of device rules, run by a small interpreter and compared with the rules' meaning.

use oci_spec::runtime::LinuxDeviceCgroup;
use silo_cgroup::devices::program::{self as bpf, Insn, program};
use silo_cgroup::devices::{ALL, MKNOD, READ, Rules, Type, WRITE};

/// Runs a program on one request, as the kernel would; panics on what the verifier refuses.
fn run(code: &[Insn], typ: i32, access: u8, major: u32, minor: u32) -> bool {
    let mut registers = [0u64; 6];
    let mut at = 0usize;
    loop {
        let insn = code[at];
        let (dst, src) = (
            (insn.registers & 15) as usize,
            (insn.registers >> 4) as usize,
        );
        let imm = insn.imm as i64 as u64;
        at += 1;
        let mut jump = false;
        match insn.code {
            bpf::LDX_W => {
                assert_eq!(src, 1, "only the context is memory");
                registers[dst] = match insn.off {
                    0 => u64::from(access) << 16 | typ as u64,
                    4 => major.into(),
                    8 => minor.into(),
                    off => panic!("load from {off}"),
                }
            }
            bpf::MOV_IMM => registers[dst] = imm,
            bpf::MOV_REG => registers[dst] = registers[src],
            bpf::AND_IMM => registers[dst] &= imm,
            bpf::RSH_IMM => registers[dst] >>= imm,
            bpf::JEQ_IMM => jump = registers[dst] == imm,
            bpf::JNE_IMM => jump = registers[dst] != imm,
            bpf::JNE32_IMM => jump = registers[dst] as u32 != imm as u32,
            bpf::EXIT => return registers[0] == 1,
            code => panic!("unknown operation {code:#x}"),
        }
        if jump {
            assert!(insn.off > 0, "loops are refused");
            at += insn.off as usize;
        }
    }
}

/// What the rules mean: for each access the last rule that names it.
fn means(rules: &Rules, typ: i32, access: u8, major: u32, minor: u32) -> bool {
    [READ, WRITE, MKNOD]
        .into_iter()
        .filter(|bit| access & bit != 0)
        .all(|bit| {
            let last = rules.as_slice().iter().rev().find(|rule| {
                let types = match rule.typ {
                    Type::Any => true,
                    Type::Block => typ == bpf::BLOCK,
                    Type::Char => typ == bpf::CHAR,
                };
                types
                    && rule.major.is_none_or(|n| n == major)
                    && rule.minor.is_none_or(|n| n == minor)
                    && rule.access & bit != 0
            });
            last.is_some_and(|rule| rule.allow)
        })
}

fn rules(lines: &[(bool, &str, i64, i64, &str)]) -> Rules {
    let list: Vec<LinuxDeviceCgroup> = lines
        .iter()
        .map(|(allow, typ, major, minor, access)| {
            let json = format!(
                r#"{{"allow": {allow}, "type": "{typ}", "major": {major}, "minor": {minor}, "access": "{access}"}}"#
            );
            serde_json::from_str(&json).unwrap()
        })
        .collect();
    Rules::new(&list).unwrap()
}

/// Code that can never be reached is refused by the kernel.
fn check_reachable(code: &[Insn]) {
    let mut reached = vec![false; code.len()];
    let mut todo = vec![0];
    while let Some(at) = todo.pop() {
        if std::mem::replace(&mut reached[at], true) {
            continue;
        }
        let insn = code[at];
        if insn.code == bpf::EXIT {
            continue;
        }
        todo.push(at + 1);
        if [bpf::JEQ_IMM, bpf::JNE_IMM, bpf::JNE32_IMM].contains(&insn.code) {
            todo.push(at + 1 + insn.off as usize);
        }
    }
    assert!(
        reached.iter().all(|yes| *yes),
        "unreachable code in {code:?}"
    );
}

#[test]
fn the_program_does_what_the_rules_mean() {
    let lists = [
        rules(&[]),
        rules(&[(true, "a", -1, -1, "rwm")]),
        rules(&[(false, "a", -1, -1, "rwm")]),
        rules(&[
            (false, "a", -1, -1, "rwm"),
            (true, "c", 1, 3, "rwm"),
            (true, "c", 5, -1, "rw"),
        ]),
        rules(&[(true, "c", 1, 3, "r"), (true, "c", 1, 3, "w")]),
        rules(&[
            (true, "c", -1, -1, "rwm"),
            (false, "c", 1, 3, "w"),
            (true, "b", -1, -1, "m"),
        ]),
        rules(&[
            (true, "a", -1, -1, ""),
            (false, "b", 8, -1, "w"),
            (true, "b", 8, 1, "w"),
        ]),
        rules(&[
            (true, "c", 4294967294, 3000000000, "rw"),
            (true, "a", -1, -1, "m"),
        ]),
        rules(&[
            (true, "a", -1, -1, "r"),
            (false, "a", 1, -1, "r"),
            (true, "a", 1, 3, "rm"),
        ]),
    ];
    let numbers = [0, 1, 3, 5, 8, 3_000_000_000, 4_294_967_294];
    for list in &lists {
        let code = program(list);
        check_reachable(&code);
        for typ in [bpf::BLOCK, bpf::CHAR] {
            for access in 1..=ALL {
                for major in numbers {
                    for minor in numbers {
                        assert_eq!(
                            run(&code, typ, access, major, minor),
                            means(list, typ, access, major, minor),
                            "{list:?}: type {typ} access {access} of {major}:{minor}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_list_without_a_start_starts_with_deny() {
    let list = rules(&[(true, "c", 1, 3, "rwm")]);
    assert_eq!(list.as_slice().len(), 2);
    assert!(list.as_slice()[0].is_total());
    // What comes before a rule about everything is void
    let list = rules(&[(true, "c", 1, 3, "rwm"), (true, "a", -1, -1, "rwm")]);
    assert_eq!(list.as_slice().len(), 1);
}

#[test]
fn bad_rules_are_errors() {
    for json in [
        r#"{"allow": true, "type": "p", "access": "rwm"}"#,
        r#"{"allow": true, "type": "c", "access": "rx"}"#,
        r#"{"allow": true, "type": "c", "major": -7, "access": "r"}"#,
        r#"{"allow": true, "type": "c", "major": 4294967296, "access": "r"}"#,
    ] {
        let rule: LinuxDeviceCgroup = serde_json::from_str(json).unwrap();
        assert!(Rules::new(&[rule]).is_err(), "{json}");
    }
}
