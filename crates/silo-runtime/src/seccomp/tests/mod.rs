//! An interpreter of BPF that the other tests run programs through, and what they build profiles from.

mod default;
mod kernel;
mod meaning;
mod rules;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator as Operator, LinuxSyscall, LinuxSyscallBuilder,
};
use silo_sys::seccomp::SockFilter;

use super::{
    compile::{AUDIT_I386, AUDIT_X86_64},
    syscalls::{Abi, X32_BIT, find},
};

const ALLOW: u32 = 0x7fff_0000;
const KILL_THREAD: u32 = 0;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0000 | 38;

/// One call as a filter sees it, `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
struct Call {
    arch: u32,
    number: u32,
    args: [u64; 6],
}

impl Call {
    fn named(abi: Abi, name: &str, args: &[u64]) -> Call {
        let number = u32::from(abi.number(find(name).unwrap()).unwrap());
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        Call {
            arch: if abi == Abi::I386 {
                AUDIT_I386
            } else {
                AUDIT_X86_64
            },
            number: if abi == Abi::X32 {
                number | X32_BIT
            } else {
                number
            },
            args: all,
        }
    }
}

/// Runs a program as the kernel does, and fails on what its checker would refuse (`seccomp_check_filter`).
fn run(program: &[SockFilter], call: Call) -> u32 {
    let word = |offset: u32| match offset {
        0 => call.number,
        4 => call.arch,
        16..64 if offset.is_multiple_of(8) => call.args[(offset as usize - 16) / 8] as u32,
        16..64 if offset % 8 == 4 => (call.args[(offset as usize - 16) / 8] >> 32) as u32,
        _ => panic!("load at {offset}"),
    };
    let (mut at, mut a) = (0, 0);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        at += 1;
        let holds = match code {
            0x20 => {
                a = word(k);
                continue;
            }
            0x54 => {
                a &= k;
                continue;
            }
            0x14 => {
                a = a.wrapping_sub(k);
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return k,
            0x15 => a == k,
            0x25 => a > k,
            0x35 => a >= k,
            0x45 => a & k != 0,
            _ => panic!("instruction {code:#x}"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
}

fn arg(index: usize, op: Operator, value: u64, two: u64) -> LinuxSeccompArg {
    let arg = LinuxSeccompArgBuilder::default()
        .index(index)
        .op(op)
        .value(value);
    arg.value_two(two).build().unwrap()
}

fn entry(
    names: &[&str],
    action: Action,
    errno: Option<u32>,
    args: &[LinuxSeccompArg],
) -> LinuxSyscall {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut entry = LinuxSyscallBuilder::default().names(names).action(action);
    if let Some(errno) = errno {
        entry = entry.errno_ret(errno);
    }
    if !args.is_empty() {
        entry = entry.args(args);
    }
    entry.build().unwrap()
}

fn profile(default: Action, arches: &[Arch], entries: Vec<LinuxSyscall>) -> LinuxSeccomp {
    LinuxSeccompBuilder::default()
        .default_action(default)
        .architectures(arches)
        .syscalls(entries)
        .build()
        .unwrap()
}
