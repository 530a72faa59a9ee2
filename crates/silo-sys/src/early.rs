//! Before the C library starts: the program executes itself again from a read-only clone of its own mount, when a word of its
//! command line is one that makes processes of containers.
//!
//! Why so early: starting a static program costs half a millisecond in a virtual machine, since the C library asks the processor
//! for its features (some fifty CPUID instructions, each a visit to the hypervisor), and a second start would pay it twice. What
//! decides is `silo_runtime::ensure_sealed`, which comes later and seals whatever was not sealed here; this only saves its time.
//!
//! The linker makes `silo_start` the entry point (crates/silo/build.rs). Nothing here may need the C library: no thread-local
//! storage, no memcpy or memset (they are chosen for the processor later), no allocation, no panic.

use core::{arch, ffi::c_char, mem::MaybeUninit, ptr};

use crate::mount::{MountAttr, attr};

/// Set for the second start, so that a host where it does not help is noticed instead of tried for ever.
pub const MARK: &str = "SILO_SEALED";

/// With the NULs that execve(2) wants.
const MARKED: &[u8] = b"SILO_SEALED=1\0";
const OWN_PROGRAM: &[u8] = b"/proc/self/exe\0";
const EMPTY: &[u8] = b"\0";

/// Verbs that make processes of containers.
const VERBS: [&[u8]; 6] = [
    b"run\0",
    b"exec\0",
    b"start\0",
    b"restart\0",
    b"oci\0",
    b"create\0",
];

/// Beginning of verbs that are not for people.
const HIDDEN: &[u8] = b"__";

/// Longest environment that is handed on from here; a longer one is sealed later.
const VARIABLES: usize = 510;

/// Flag of statfs(2): the mount is read-only.
const ST_RDONLY: i64 = 1;

// The kernel starts a program with the stack pointer at argc (System V ABI, AMD64, "Process Initialization") and rdx for
// the C library's `_start`; both are given on as they came.
arch::global_asm!(
    ".globl silo_start",
    ".type silo_start,@function",
    "silo_start:",
    "mov rbx, rsp",
    "mov r12, rdx",
    "mov rdi, rsp",
    "call {seal}",
    "mov rsp, rbx",
    "mov rdx, r12",
    "xor ebp, ebp",
    "jmp _start",
    seal = sym seal,
);

/// `stack` points to argc, argv, a null, the environment, a null.
extern "C" fn seal(stack: *const usize) {
    // SAFETY: the layout is the kernel's promise; every list is read up to its null and not further.
    unsafe {
        let words = stack.add(1).cast::<*const c_char>();
        let variables = words.add(ptr::read_volatile(stack) + 1);
        if !makes_processes(words) || is_sealed() {
            return;
        }
        let mut marked = MaybeUninit::<[*const c_char; VARIABLES + 2]>::uninit();
        let list = marked.as_mut_ptr().cast::<*const c_char>();
        let mut count = 0;
        loop {
            let variable = ptr::read_volatile(variables.add(count));
            if variable.is_null() {
                break;
            }
            if count == VARIABLES || begins_with(variable, MARKED, MARK.len()) {
                return;
            }
            ptr::write_volatile(list.add(count), variable);
            count += 1;
        }
        ptr::write_volatile(list.add(count), MARKED.as_ptr().cast());
        ptr::write_volatile(list.add(count + 1), ptr::null());
        execute_sealed(words, list);
    }
}

/// Returns only when it failed.
///
/// # Safety
/// Both lists end with a null and hold strings that end with NUL.
unsafe fn execute_sealed(words: *const *const c_char, variables: *const *const c_char) {
    let flags = 1 | libc::O_CLOEXEC as i64; // OPEN_TREE_CLONE
    let here = libc::AT_FDCWD as i64;
    let read_only = MountAttr {
        set: attr::RDONLY,
        clear: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let empty = EMPTY.as_ptr() as i64;
    let size = size_of::<MountAttr>() as i64;
    // SAFETY: strings end with NUL, the structure has the size given, the lists are the caller's promise.
    unsafe {
        let own = OWN_PROGRAM.as_ptr() as i64;
        let program = call(libc::SYS_open_tree, [here, own, flags, 0, 0]);
        if program < 0 {
            return;
        }
        let change = (&raw const read_only) as i64;
        let at = libc::AT_EMPTY_PATH as i64;
        if call(libc::SYS_mount_setattr, [program, empty, at, change, size]) == 0 {
            let lists = [words as i64, variables as i64];
            call(libc::SYS_execveat, [program, empty, lists[0], lists[1], at]);
        }
        call(libc::SYS_close, [program, 0, 0, 0, 0]);
    }
}

/// On a read-only mount that is attached nowhere: there the file is the root, and its path `/`.
fn is_sealed() -> bool {
    // `struct statfs`: flags are the eleventh word.
    let mut facts = MaybeUninit::<[i64; 15]>::uninit();
    let mut path = MaybeUninit::<[u8; 2]>::uninit();
    let own = OWN_PROGRAM.as_ptr() as i64;
    // SAFETY: the path ends with NUL and the kernel fills 120 bytes, of which one word is read only on success; of the
    // link's two bytes, both are written when the length is two, and none is read.
    unsafe {
        let done = call(libc::SYS_statfs, [own, facts.as_mut_ptr() as i64, 0, 0, 0]);
        if done != 0 || ptr::read_volatile(facts.as_ptr().cast::<i64>().add(10)) & ST_RDONLY == 0 {
            return false;
        }
        let here = libc::AT_FDCWD as i64;
        let length = call(
            libc::SYS_readlinkat,
            [here, own, path.as_mut_ptr() as i64, 2, 0],
        );
        length == 1
    }
}

/// # Safety
/// `words` ends with a null and holds strings that end with NUL.
unsafe fn makes_processes(mut words: *const *const c_char) -> bool {
    // SAFETY: the caller's promise; the first null ends the walk.
    unsafe {
        loop {
            let word = ptr::read_volatile(words);
            // What stands behind a hidden verb is another command line.
            if word.is_null() || begins_with(word, HIDDEN, HIDDEN.len()) {
                return false;
            }
            let mut verb = 0;
            while verb < VERBS.len() {
                let text = *VERBS.as_ptr().add(verb);
                if begins_with(word, text, text.len()) {
                    return true;
                }
                verb += 1;
            }
            words = words.add(1);
        }
    }
}

/// Compares byte by byte, read so that the compiler makes no call of it.
///
/// # Safety
/// `text` ends with NUL, or has no NUL before `length`; `start` has `length` bytes.
unsafe fn begins_with(text: *const c_char, start: &[u8], length: usize) -> bool {
    let mut at = 0;
    while at < length {
        // SAFETY: a difference, which a NUL of `text` is at the latest, ends the walk before anything behind it is read.
        let same = unsafe {
            ptr::read_volatile(text.add(at).cast::<u8>())
                == ptr::read_volatile(start.as_ptr().add(at))
        };
        if !same {
            return false;
        }
        at += 1;
    }
    true
}

/// A system call without the C library: the result, or a negative error number.
///
/// # Safety
/// As the call asks of its arguments.
unsafe fn call(number: i64, words: [i64; 5]) -> i64 {
    let result;
    // SAFETY: the kernel keeps all registers but rax, rcx and r11 (syscall(2), "Architecture calling conventions").
    unsafe {
        arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") words[0],
            in("rsi") words[1],
            in("rdx") words[2],
            in("r10") words[3],
            in("r8") words[4],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
