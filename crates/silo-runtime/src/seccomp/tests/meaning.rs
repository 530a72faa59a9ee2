//! The compiler against an interpreter of profiles, on profiles and calls made up at random.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    super::{
        compile, default_profile,
        syscalls::{TABLE, multiplexed},
    },
    *,
};
use crate::capabilities::CapSet;

fn verdict_of(action: Action, errno: Option<u32>) -> u32 {
    match action {
        Action::ScmpActErrno | Action::ScmpActTrace => action.as_u32(errno.or(Some(1))),
        _ => action.as_u32(None),
    }
}

/// The meaning of a profile, straight from its entries.
fn meaning(profile: &LinuxSeccomp, call: Call) -> u32 {
    let listed = |arch| profile.architectures().iter().flatten().any(|a| *a == arch);
    let default = verdict_of(profile.default_action(), profile.default_errno_ret());
    let forbids = |v: u32| ![ALLOW, 0x7ffc_0000, 0x7ff0_0000].contains(&(v & 0xffff_0000));
    let skipped = call.number == u32::MAX;
    let abi = match (call.arch, call.number >= X32_BIT && !skipped) {
        (AUDIT_X86_64, false) => Abi::X86_64,
        (AUDIT_X86_64, true) if listed(Arch::ScmpArchX32) => {
            if call.number - X32_BIT < 512 {
                Abi::X86_64
            } else {
                Abi::X32
            }
        }
        (AUDIT_I386, _) if listed(Arch::ScmpArchX86) => Abi::I386,
        _ => return KILL_THREAD,
    };
    let number = match call.arch {
        AUDIT_X86_64 if !skipped && call.number >= X32_BIT => call.number - X32_BIT,
        _ => call.number,
    };
    let number_of = |name: &str| Some(u32::from(abi.number(find(name)?)?));
    let cut = |value: u64| {
        value
            & if abi == Abi::I386 {
                0xffff_ffff
            } else {
                u64::MAX
            }
    };
    let holds = |arg: &LinuxSeccompArg| {
        let (is, value) = (cut(call.args[arg.index()]), cut(arg.value()));
        match arg.op() {
            Operator::ScmpCmpNe => is != value,
            Operator::ScmpCmpLt => is < value,
            Operator::ScmpCmpLe => is <= value,
            Operator::ScmpCmpEq => is == value,
            Operator::ScmpCmpGe => is >= value,
            Operator::ScmpCmpGt => is > value,
            Operator::ScmpCmpMaskedEq => is & value == cut(arg.value_two().unwrap_or(0)) & value,
        }
    };
    let (mut unconditional, mut conditional, mut highest) = (None, None, None);
    for entry in profile.syscalls().iter().flatten() {
        let verdict = verdict_of(entry.action(), entry.errno_ret());
        let args = entry.args().as_deref().unwrap_or_default();
        let distinct: BTreeSet<_> = args.iter().map(LinuxSeccompArg::index).collect();
        let matches = match distinct.len() == args.len() {
            true => args.iter().all(holds),
            false => args.iter().any(holds),
        };
        for name in entry.names() {
            highest = highest.max(number_of(name));
            let carrier = multiplexed(name)
                .filter(|_| abi == Abi::I386 && (args.is_empty() || forbids(verdict)));
            highest = highest.max(carrier.as_ref().and_then(|c| number_of(c.through)));
            if verdict == default {
                continue;
            }
            if number_of(name) == Some(number) && args.is_empty() {
                unconditional = unconditional.or(Some(verdict));
            } else if number_of(name) == Some(number) && matches {
                conditional = conditional.or(Some(verdict));
            }
            if let Some(way) = carrier
                && number_of(way.through) == Some(number)
                && call.args[0] & 0xffff_ffff & way.mask == way.selector
            {
                conditional = conditional.or(Some(verdict));
            }
        }
    }
    let stub = highest.is_some() && forbids(default);
    match unconditional.or(conditional) {
        Some(verdict) => verdict,
        None if stub && skipped => ALLOW,
        None if stub && Some(number) > highest => 0x0005_0000 | 38,
        None => default,
    }
}

/// Calls of each kind: with arguments, multiplexed, of one convention only, new, unknown.
const NAMES: &str = "read open socket bind send socketcall ipc shmat semtimedop clone clone3 personality mmap2 \
    mmap rt_sigaction readv preadv2 getpid getppid gettid file_setattr futex_time64 arch_prctl not_a_call exit rseq_slice_yield";

fn names() -> Vec<&'static str> {
    NAMES.split_whitespace().collect()
}

fn values() -> impl Strategy<Value = u64> {
    let edges = [
        0,
        1,
        2,
        8,
        38,
        40,
        0xffff,
        0x1_0000,
        0x7e02_0000,
        0xffff_fffe,
        0xffff_ffff,
        1 << 32,
        (1 << 32) | 1,
        (1 << 32) | 38,
        u64::MAX - 1,
        u64::MAX,
        0xffff_ffff_0000_0000,
    ];
    prop_oneof![
        4 => prop::sample::select(edges.to_vec()),
        1 => 0..24_u64,
        1 => any::<u64>(),
    ]
}

fn actions() -> impl Strategy<Value = (Action, Option<u32>)> {
    prop_oneof![
        Just((Action::ScmpActAllow, None)),
        Just((Action::ScmpActErrno, None)),
        (0..4096_u32).prop_map(|errno| (Action::ScmpActErrno, Some(errno))),
        Just((Action::ScmpActTrace, Some(7))),
        prop::sample::select(vec![
            Action::ScmpActKill,
            Action::ScmpActKillProcess,
            Action::ScmpActKillThread,
            Action::ScmpActTrap,
            Action::ScmpActLog,
            Action::ScmpActNotify,
        ])
        .prop_map(|action| (action, None)),
    ]
}

fn entries() -> impl Strategy<Value = LinuxSyscall> {
    let operators = prop::sample::select(vec![
        Operator::ScmpCmpNe,
        Operator::ScmpCmpLt,
        Operator::ScmpCmpLe,
        Operator::ScmpCmpEq,
        Operator::ScmpCmpGe,
        Operator::ScmpCmpGt,
        Operator::ScmpCmpMaskedEq,
    ]);
    let arg = (0..3_usize, operators, values(), values())
        .prop_map(|(index, op, value, two)| arg(index, op, value, two));
    let named = prop::collection::vec(prop::sample::select(names()), 1..5);
    let anything = prop::collection::vec((0..TABLE.len()).prop_map(|n| TABLE[n].0), 1..20);
    let names = prop_oneof![3 => named, 1 => anything];
    (names, actions(), prop::collection::vec(arg, 0..4)).prop_map(
        |(mut names, (action, errno), args)| {
            if action == Action::ScmpActNotify {
                names.retain(|name| !matches!(*name, "write" | "sendmsg"));
            }
            entry(&names, action, errno, &args)
        },
    )
}

fn profiles() -> impl Strategy<Value = LinuxSeccomp> {
    let arches = [
        Arch::ScmpArchX86_64,
        Arch::ScmpArchX86,
        Arch::ScmpArchX32,
        Arch::ScmpArchAarch64,
    ];
    let default = actions().prop_filter("no default", |a| a.0 != Action::ScmpActNotify);
    (
        default,
        prop::sample::subsequence(arches.to_vec(), 0..=4),
        prop::collection::vec(entries(), 0..40),
    )
        .prop_map(|((action, errno), arches, entries)| {
            let mut profile = profile(action, &arches, entries);
            profile.set_default_errno_ret(errno);
            profile
        })
}

fn calls() -> impl Strategy<Value = Call> {
    let named = (prop::sample::select(names()), -1..2_i64).prop_filter_map(
        "no such call",
        |(name, off)| {
            let row = find(name)?;
            let abi = [Abi::X86_64, Abi::I386, Abi::X32];
            let number = abi.iter().find_map(|abi| abi.number(row))?;
            u32::try_from(i64::from(number) + off).ok()
        },
    );
    let number = prop_oneof![4 => named, 3 => 0..560_u32, 1 => Just(u32::MAX), 1 => any::<u32>()];
    let arch = prop_oneof![8 => Just(AUDIT_X86_64), 4 => Just(AUDIT_I386), 1 => any::<u32>()];
    (arch, number, any::<bool>(), prop::array::uniform6(values())).prop_map(
        |(arch, number, x32, args)| Call {
            arch,
            number: if x32 && arch == AUDIT_X86_64 {
                number | X32_BIT
            } else {
                number
            },
            args: match arch {
                AUDIT_I386 => args.map(|value| value & 0xffff_ffff),
                _ => args,
            },
        },
    )
}

/// How many profiles are made up: a few seconds' worth, or as SILO_TEST_ROUNDS says.
fn rounds(usual: u32) -> u32 {
    let asked = std::env::var("SILO_TEST_ROUNDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: rounds(60), failure_persistence: None, max_local_rejects: u32::MAX, ..ProptestConfig::default() })]

    #[test]
    fn programs_mean_what_profiles_say(profile in profiles(), calls in prop::collection::vec(calls(), 100)) {
        let program = compile(&profile);
        prop_assume!(!program.as_ref().is_err_and(|e| e.to_string().contains("takes 4096")));
        let program = program.unwrap();
        for call in calls {
            prop_assert_eq!(run(&program, call), meaning(&profile, call), "{:x?}", call);
        }
    }

    #[test]
    fn the_default_program_means_its_profile(bits in any::<u64>(), calls in prop::collection::vec(calls(), 40)) {
        let capabilities: CapSet = CapSet::ALL.iter().filter(|c| bits >> (*c as u32) & 1 != 0).collect();
        let profile = default_profile(capabilities);
        let program = compile(&default_profile(capabilities)).unwrap();
        for call in calls {
            prop_assert_eq!(run(&program, call), meaning(&profile, call), "{:x?}", call);
        }
    }
}

#[test]
fn jumps_reach_over_long_programs() {
    // Each call has a verdict of its own and a test, so that nothing is shared and the tree spans thousands of instructions.
    let entries = TABLE[..400].iter().enumerate().map(|(n, row)| {
        let eq = arg(n % 6, Operator::ScmpCmpEq, n as u64, 0);
        entry(&[row.0], Action::ScmpActErrno, Some(2 + n as u32), &[eq])
    });
    let profile = profile(Action::ScmpActErrno, &[], entries.collect());
    let program = compile(&profile).unwrap();
    assert!(program.len() > 2000, "{}", program.len());
    for number in 0..600 {
        for n in [0, number, 77] {
            let call = Call {
                arch: AUDIT_X86_64,
                number: number as u32,
                args: [n; 6],
            };
            assert_eq!(run(&program, call), meaning(&profile, call), "{call:?}");
        }
    }
}
