//! The default profile by what it says.

use oci_spec::runtime::Capability;

use super::{
    super::{compile, default_profile},
    *,
};
use crate::capabilities::CapSet;

/// What the default program says to a call.
fn default_says(capabilities: CapSet, abi: Abi, name: &str, args: &[u64]) -> u32 {
    let program = compile(&default_profile(capabilities)).unwrap();
    run(&program, Call::named(abi, name, args))
}

#[test]
fn the_default_profile_denies_what_reaches_the_host() {
    let denied = "mount umount2 unshare setns fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr pivot_root \
        open_by_handle_at io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key userfaultfd kexec_load \
        kexec_file_load init_module finit_module delete_module reboot swapon swapoff bpf perf_event_open syslog acct \
        settimeofday clock_settime iopl ioperm vhangup quotactl sethostname setdomainname lookup_dcookie kcmp \
        pidfd_getfd process_madvise fanotify_init mbind move_pages nfsservctl ustat sysfs";
    for name in denied.split_whitespace() {
        assert_eq!(
            default_says(CapSet::DEFAULT, Abi::X86_64, name, &[]),
            EPERM,
            "{name}"
        );
    }
    let allowed = "read openat execve ptrace process_vm_readv chroot mknod setuid fork vfork clone prctl seccomp futex_wait";
    for name in allowed.split_whitespace() {
        for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
            assert_eq!(
                default_says(CapSet::DEFAULT, abi, name, &[]),
                ALLOW,
                "{name}"
            );
        }
    }
    let without = CapSet::DEFAULT - CapSet::one(Capability::SysChroot);
    assert_eq!(default_says(without, Abi::X86_64, "chroot", &[]), EPERM);
}

#[test]
fn capabilities_open_their_calls() {
    let opened = [
        (
            Capability::SysAdmin,
            "mount unshare setns bpf clone3 fsopen open_tree_attr quotactl",
        ),
        (Capability::DacReadSearch, "open_by_handle_at"),
        (Capability::SysBoot, "reboot"),
        (Capability::SysModule, "finit_module"),
        (Capability::SysPacct, "acct"),
        (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise"),
        (Capability::SysRawio, "iopl"),
        (Capability::SysTime, "clock_settime"),
        (Capability::SysTtyConfig, "vhangup"),
        (Capability::SysNice, "mbind set_mempolicy"),
        (Capability::Syslog, "syslog"),
        (Capability::Bpf, "bpf"),
        (Capability::Perfmon, "perf_event_open"),
    ];
    for (capability, names) in opened {
        for name in names.split(' ') {
            let with = CapSet::DEFAULT | CapSet::one(capability);
            assert_ne!(
                default_says(CapSet::DEFAULT, Abi::X86_64, name, &[]),
                ALLOW,
                "{name}"
            );
            assert_eq!(default_says(with, Abi::X86_64, name, &[]), ALLOW, "{name}");
        }
    }
    for name in ["io_uring_setup", "keyctl", "kexec_load", "swapon"] {
        assert_eq!(
            default_says(CapSet::ALL, Abi::X86_64, name, &[]),
            EPERM,
            "{name}"
        );
    }
}

#[test]
fn sockets_of_denied_families_cannot_be_made_by_any_way() {
    let socket = |abi, family| default_says(CapSet::ALL, abi, "socket", &[family, 2, 0]);
    for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
        for family in 0..64 {
            let right = if matches!(family, 38 | 40 | 48..) {
                EPERM
            } else {
                ALLOW
            };
            assert_eq!(socket(abi, family), right, "{abi:?} {family}");
        }
    }
    // The kernel takes the lower half of the register only.
    for family in [38, 40, 2] {
        assert_eq!(socket(Abi::X86_64, family | 1 << 32), EPERM);
        assert_eq!(socket(Abi::X86_64, family | 0xffff_ffff << 32), EPERM);
    }
    let through = |selector| default_says(CapSet::ALL, Abi::I386, "socketcall", &[selector]);
    assert_eq!(through(1), ENOSYS);
    assert!((2..=20).all(|selector| through(selector) == ALLOW));
}

#[test]
fn new_namespaces_and_odd_personalities_are_denied() {
    let clone = |flags| default_says(CapSet::DEFAULT, Abi::X86_64, "clone", &[flags]);
    assert_eq!(clone(0x0100_0011), ALLOW);
    for bit in [17, 25, 26, 27, 28, 29, 30] {
        assert_eq!(clone(1 << bit), EPERM, "bit {bit}");
        let admin = CapSet::one(Capability::SysAdmin);
        assert_eq!(
            default_says(admin, Abi::X86_64, "clone", &[1 << bit]),
            ALLOW
        );
    }
    assert_eq!(
        default_says(CapSet::DEFAULT, Abi::X86_64, "clone3", &[]),
        ENOSYS
    );
    let personality = |value| default_says(CapSet::DEFAULT, Abi::X86_64, "personality", &[value]);
    for allowed in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        assert_eq!(personality(allowed), ALLOW);
    }
    for denied in [0x004_0000, 0x040_0000, 0x8000_0000, 1] {
        assert_eq!(personality(denied), EPERM);
    }
}

#[test]
fn what_is_newer_than_the_profile_does_not_exist() {
    let program = compile(&default_profile(CapSet::DEFAULT)).unwrap();
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
    for arch in [AUDIT_X86_64, AUDIT_I386] {
        assert_eq!(number(arch, 466), ALLOW, "removexattrat is the newest");
        assert_eq!(number(arch, 467), ENOSYS);
        assert_eq!(number(arch, 9999), ENOSYS);
        assert_eq!(number(arch, u32::MAX), ALLOW, "skipped by a tracer");
    }
    assert_eq!(number(AUDIT_X86_64, X32_BIT | 548), ENOSYS);
    assert_eq!(number(0xc000_00b7, 1), KILL_THREAD, "another architecture");
}
