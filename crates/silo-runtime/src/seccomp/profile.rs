//! Silo's default profile: what a container may ask of the kernel when nothing else is said.
//!
//! Its reach is that of Docker's default: everything that ordinary programs call, nothing that a container has no business
//! with. What the kernel guards with a capability is permitted with that capability. The rest gets EPERM: new and old calls
//! alike that load code into the kernel (kexec_load), reach around the file system (open_by_handle_at), have a long history
//! of holes (io_uring_setup, userfaultfd, the key ring) or concern the machine and not the container (swapon, reboot).
//!
//! Stricter than Docker's in one place. Address families AF_ALG and AF_VSOCK are denied, but a 32-bit program (or 32-bit code
//! in a 64-bit one) can also open sockets through socketcall(2), whose arguments lie behind a pointer that a filter cannot
//! follow. So opening a socket that way is denied, with ENOSYS. musl calls socket(2) anyway; 32-bit programs of glibc, whose usual
//! builds know socketcall(2) only, need a profile of their own for the network (and a security module that denies AF_ALG).

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};

use super::calls::{ALWAYS, WITH_CAPABILITY};
use crate::capabilities::CapSet;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// `CLONE_NEW*` of linux/sched.h: mount, cgroup, uts, ipc, user, pid and net namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// personality(2): Linux itself and 32-bit Linux, each plain and with the kernel's version shown as 2.6, and the question which
/// it is. The others turn protections of memory off.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The address families but AF_ALG (38), the kernel's crypto with its many holes, and AF_VSOCK (40), which reaches the
/// hypervisor: below 38, then 39, 41, 42 to 43, 44 to 47 (the last there are).
///
/// No "above 40": a filter sees 64 bits where the kernel takes 32, and 38 with a bit above those is above 40.
const FAMILIES: [(Operator, u64, u64); 5] = [
    (Operator::ScmpCmpLt, 38, 0),
    (Operator::ScmpCmpEq, 39, 0),
    (Operator::ScmpCmpEq, 41, 0),
    (Operator::ScmpCmpMaskedEq, !1, 42),
    (Operator::ScmpCmpMaskedEq, !3, 44),
];

/// `SYS_SOCKET` of linux/net.h, the first argument of socketcall(2).
const SOCKETCALL_SOCKET: u64 = 1;

/// The default profile of a container with these capabilities.
pub fn default_profile(capabilities: CapSet) -> LinuxSeccomp {
    let mut entries: Vec<LinuxSyscall> = ALWAYS.iter().map(|names| allow(names)).collect();
    entries.extend(arguments());
    entries.extend(
        WITH_CAPABILITY
            .iter()
            .filter(|(capability, _)| capabilities.contains(*capability))
            .map(|(_, names)| allow(names)),
    );
    if !capabilities.contains(Capability::SysAdmin) {
        entries.extend(clone_without_namespaces());
    }
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(Action::ScmpActErrno)
        .set_default_errno_ret(Some(EPERM))
        .set_architectures(Some(vec![
            Arch::ScmpArchX86_64,
            Arch::ScmpArchX86,
            Arch::ScmpArchX32,
        ]))
        // Silo's own keeps the kernel's mitigations.
        .set_flags(Some(Vec::new()))
        .set_syscalls(Some(entries));
    profile
}

/// Calls that are permitted with some arguments only.
fn arguments() -> impl Iterator<Item = LinuxSyscall> {
    let families = FAMILIES
        .iter()
        .map(|&(op, value, two)| allow_if("socket", op, value, two));
    let personalities = PERSONALITIES
        .iter()
        .map(|&value| allow_if("personality", Operator::ScmpCmpEq, value, 0));
    let mut no_socket = allow_if("socketcall", Operator::ScmpCmpEq, SOCKETCALL_SOCKET, 0);
    no_socket
        .set_action(Action::ScmpActErrno)
        .set_errno_ret(Some(ENOSYS));
    let other = allow_if("socketcall", Operator::ScmpCmpGt, SOCKETCALL_SOCKET, 0);
    families.chain(personalities).chain([no_socket, other])
}

/// clone(2) for processes and threads. The flags of clone3(2) are behind a pointer: with ENOSYS, C libraries turn to clone.
fn clone_without_namespaces() -> [LinuxSyscall; 2] {
    let mut clone3 = allow(&["clone3"]);
    clone3
        .set_action(Action::ScmpActErrno)
        .set_errno_ret(Some(ENOSYS));
    [
        allow_if("clone", Operator::ScmpCmpMaskedEq, NEW_NAMESPACES, 0),
        clone3,
    ]
}

fn allow(names: &[&str]) -> LinuxSyscall {
    let mut entry = LinuxSyscall::default();
    entry
        .set_names(names.iter().map(|name| name.to_string()).collect())
        .set_action(Action::ScmpActAllow);
    entry
}

/// Allows `name` when its first argument passes.
fn allow_if(name: &str, op: Operator, value: u64, value_two: u64) -> LinuxSyscall {
    let arg = LinuxSeccompArgBuilder::default()
        .index(0_usize)
        .value(value)
        .value_two(value_two)
        .op(op)
        .build()
        .expect("each field has a default");
    let mut entry = allow(&[name]);
    entry.set_args(Some(vec![arg]));
    entry
}
