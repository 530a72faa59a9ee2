//! What compiling refuses, and the rules that have a case of their own.

use std::collections::BTreeSet;

use oci_spec::runtime::LinuxSeccompFilterFlag;
use silo_sys::seccomp::Flags;
use silo_types::Result;

use super::{
    super::{
        Filter, compile,
        syscalls::{TABLE, multiplexed},
    },
    *,
};

#[test]
fn names_are_found() {
    for row in &TABLE {
        assert_eq!(find(row.0), Some(row));
    }
    for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
        let numbers: Vec<u16> = TABLE.iter().filter_map(|row| abi.number(row)).collect();
        let distinct: BTreeSet<u16> = numbers.iter().copied().collect();
        assert_eq!(numbers.len(), distinct.len(), "{abi:?} has a number twice");
    }
    assert_eq!(Abi::X32.number(find("preadv2").unwrap()), Some(546));
    assert!(find("accept5").is_none());
    assert_eq!(multiplexed("shmctl").unwrap().selector, 24);
}

#[test]
fn errors_name_what_is_wrong() {
    let read = |action, errno, args: &[LinuxSeccompArg]| {
        let entries = vec![entry(&["read"], action, errno, args)];
        compile(&profile(Action::ScmpActErrno, &[], entries))
    };
    let text = |result: Result<_>| result.unwrap_err().to_string();
    let eq = |index| arg(index, Operator::ScmpCmpEq, 0, 0);
    assert_eq!(
        text(read(Action::ScmpActAllow, None, &[eq(6)])),
        "seccomp profile, entry of read: argument 6 does not exist: a call has 0 to 5"
    );
    assert_eq!(
        text(read(Action::ScmpActErrno, Some(4096), &[])),
        "seccomp profile, entry of read: error number 4096 is above 4095"
    );
    assert_eq!(
        text(read(Action::ScmpActAllow, Some(2), &[])),
        "seccomp profile, entry of read: SCMP_ACT_ALLOW takes no error number, but 2 is given"
    );
    let write = vec![entry(&["write"], Action::ScmpActNotify, None, &[])];
    assert!(
        text(compile(&profile(Action::ScmpActAllow, &[], write)))
            .ends_with("cannot be used for the write syscall")
    );
    let sendmsg = vec![entry(&["sendmsg"], Action::ScmpActNotify, None, &[])];
    assert!(
        text(compile(&profile(Action::ScmpActAllow, &[], sendmsg)))
            .ends_with("cannot be used for the sendmsg syscall")
    );
    let empty = vec![entry(&[""], Action::ScmpActAllow, None, &[])];
    assert!(text(compile(&profile(Action::ScmpActErrno, &[], empty))).ends_with("name is empty"));
    assert!(text(compile(&profile(Action::ScmpActNotify, &[], vec![]))).contains("default action"));
    let long = (0..1200_u64).map(|n| arg(0, Operator::ScmpCmpEq, n << 20, 0));
    let long: Vec<_> = long
        .map(|arg| entry(&["read"], Action::ScmpActAllow, None, &[arg]))
        .collect();
    assert!(
        text(compile(&profile(Action::ScmpActErrno, &[], long))).contains("the kernel takes 4096")
    );
}

#[test]
fn flags_follow_the_profile() {
    let mut profile = profile(Action::ScmpActAllow, &[], vec![]);
    let spec_allow = |profile: &LinuxSeccomp| Filter::new(profile).unwrap().flags.spec_allow;
    assert!(spec_allow(&profile), "what is not said is as with runc");
    profile.set_flags(Some(Vec::new()));
    assert!(!spec_allow(&profile));
    assert_eq!(Filter::new(&profile).unwrap().kernel_flags(), 0);
    profile.set_flags(Some(vec![
        LinuxSeccompFilterFlag::SeccompFilterFlagLog,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv,
    ]));
    let filter = Filter::new(&profile).unwrap();
    let log = Flags {
        log: true,
        ..Flags::default()
    };
    assert_eq!((filter.flags, filter.notifies), (log, false));
    profile.set_syscalls(Some(vec![entry(
        &["mount"],
        Action::ScmpActNotify,
        None,
        &[],
    )]));
    let filter = Filter::new(&profile).unwrap();
    assert!(filter.notifies && filter.flags.wait_killable_recv);
    let listener = std::thread::spawn(move || filter.load().unwrap());
    assert!(listener.join().unwrap().is_some());
}

#[test]
fn x32_is_killed_when_it_is_not_listed() {
    let profile = profile(Action::ScmpActAllow, &[], vec![]);
    let program = compile(&profile).unwrap();
    let number = |arch, number| {
        run(
            &program,
            Call {
                arch,
                number,
                args: [0; 6],
            },
        )
    };
    assert_eq!(number(AUDIT_X86_64, 1), ALLOW);
    assert_eq!(number(AUDIT_X86_64, X32_BIT | 1), KILL_THREAD);
    assert_eq!(number(AUDIT_I386, 1), KILL_THREAD);
    assert_eq!(number(AUDIT_X86_64, u32::MAX), ALLOW);
}

/// What a profile of entries for read(2), else EPERM, says when it is called with these arguments.
fn read_says(entries: &[(Action, Option<u32>, &[LinuxSeccompArg])], args: &[u64]) -> u32 {
    let entries = entries
        .iter()
        .map(|(action, errno, args)| entry(&["read"], *action, *errno, args));
    let program = compile(&profile(Action::ScmpActErrno, &[], entries.collect()));
    run(&program.unwrap(), Call::named(Abi::X86_64, "read", args))
}

#[test]
fn the_first_entry_that_matches_decides() {
    let (errno, allow) = (Action::ScmpActErrno, Action::ScmpActAllow);
    let above_3 = [arg(0, Operator::ScmpCmpGt, 3, 0)];
    let other_is_7 = [arg(1, Operator::ScmpCmpEq, 7, 0)];
    let tests: [(_, _, &[_]); 2] = [(errno, Some(5), &above_3), (errno, Some(6), &other_is_7)];
    assert_eq!(read_says(&tests, &[4, 7]), 0x0005_0005);
    assert_eq!(read_says(&tests, &[0, 7]), 0x0005_0006);
    assert_eq!(read_says(&tests, &[0, 0]), EPERM);
    let last: [(_, _, &[_]); 2] = [(errno, Some(5), &above_3), (allow, None, &[])];
    assert_eq!(
        read_says(&last, &[4, 7]),
        ALLOW,
        "no arguments: wherever it stands"
    );
    let both = [above_3[0], other_is_7[0]];
    assert_eq!(read_says(&[(allow, None, &both)], &[4, 0]), EPERM);
    assert_eq!(read_says(&[(allow, None, &both)], &[4, 7]), ALLOW);
    let twice = [above_3[0], arg(0, Operator::ScmpCmpEq, 1, 0)];
    assert_eq!(read_says(&[(allow, None, &twice)], &[1]), ALLOW);
}

#[test]
fn masks_of_all_kinds() {
    let says = |mask, wanted, is| {
        let first = [arg(0, Operator::ScmpCmpEq, 99, 0)];
        let masked = [arg(0, Operator::ScmpCmpMaskedEq, mask, wanted)];
        let allow = Action::ScmpActAllow;
        read_says(&[(allow, None, &first), (allow, None, &masked)], &[is])
    };
    assert_eq!(says(0, 0, 5), ALLOW, "always holds");
    assert_eq!(says(0, 7, 5), ALLOW, "what is wanted is masked too");
    assert_eq!((says(6, 4, 5), says(6, 4, 7)), (ALLOW, EPERM));
    assert_eq!(
        (says(6 << 32, 4 << 32, 5 << 32), says(6 << 32, 4 << 32, 5)),
        (ALLOW, EPERM)
    );
    assert_eq!(
        (says(!1, 42, 43), says(!1, 42, 43 | 1 << 40)),
        (ALLOW, EPERM)
    );
}
