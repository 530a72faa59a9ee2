//! The default profile in the real kernel: programs in child processes, and how long loading takes.

use std::{
    env,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, Instant},
};

use silo_sys::seccomp::{self as sys, Flags};

use super::{
    super::{Filter, compile, default_profile},
    *,
};
use crate::capabilities::CapSet;

const UNDER_FILTER: &str = "SILO_TEST_UNDER_FILTER";

/// Runs a program in a child, with Silo's default filter on or without.
fn run_in_child(filtered: bool, program: &[&str]) -> Output {
    let mut child = match filtered {
        true => Command::new(env::current_exe().unwrap()),
        false => Command::new(program[0]),
    };
    match filtered {
        true => child
            .args([
                "--exact",
                "seccomp::tests::kernel::child",
                "--nocapture",
                "--quiet",
            ])
            .env(UNDER_FILTER, program.join("\u{1}")),
        false => child.args(&program[1..]),
    };
    child.output().unwrap()
}

/// Not a test of its own: what `run_in_child` starts.
#[test]
fn child() {
    let Ok(words) = env::var(UNDER_FILTER) else {
        return;
    };
    let words: Vec<&str> = words.split('\u{1}').collect();
    Filter::new(&default_profile(CapSet::DEFAULT))
        .unwrap()
        .load()
        .unwrap();
    let error = Command::new(words[0])
        .args(&words[1..])
        .env_remove(UNDER_FILTER)
        .exec();
    panic!("{}: {error}", words[0]);
}

/// Calls by number from perl, which is part of each Debian; each line "LABEL ERRNO", 0 for success.
fn answers(filtered: bool, calls: &[(&str, &str)]) -> Vec<(String, u32)> {
    let lines = calls.iter().map(|(label, call)| {
        format!("$! = 0; $r = syscall({call}); printf qq(answer {label} %d\\n), $r < 0 ? $!+0 : 0;")
    });
    let script: String = lines.collect();
    let output = run_in_child(filtered, &["perl", "-e", &script]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    text.lines()
        .filter_map(|line| line.strip_prefix("answer ")?.rsplit_once(' '))
        .map(|(label, errno)| (label.to_string(), errno.parse().unwrap()))
        .collect()
}

#[test]
fn the_kernel_enforces_the_default_profile() {
    const UNIX_SHIFTED: u64 = 1 << 32 | 1;
    const VSOCK_SHIFTED: u64 = 1 << 32 | 40;
    const ALG_SHIFTED: u64 = 1 << 32 | 38;
    let unix = format!("41, {UNIX_SHIFTED}, 1, 0");
    let vsock = format!("41, {VSOCK_SHIFTED}, 1, 0");
    let alg = format!("41, {ALG_SHIFTED}, 5, 0");
    let calls = [
        ("getpid", "39"),
        ("unix socket", "41, 1, 1, 0"),
        ("fork", "57"),
        ("unshare nothing", "272, 0"),
        ("clone3", "435, 0, 0"),
        ("personality", "135, 0xffffffff"),
        ("no randomisation", "135, 0x0040000"),
        ("alg", "41, 38, 5, 0"),
        ("alg shifted", &alg),
        ("vsock shifted", &vsock),
        ("unix shifted", &unix),
        ("keyctl", "250, 0, -3, 0"),
        ("call 600", "600"),
    ];
    // Both sides of the fork report; the parent's first line comes twice at most.
    let free = answers(false, &calls);
    let find = |list: &[(String, u32)], label: &str| {
        list.iter()
            .find(|(of, _)| of == label)
            .map(|(_, errno)| *errno)
    };
    for (label, errno) in [
        ("unshare nothing", 0),
        ("clone3", 22),
        ("no randomisation", 0),
        ("unix shifted", 0),
        ("call 600", 38),
    ] {
        assert_eq!(find(&free, label), Some(errno), "{label} without a filter");
    }
    let filtered = answers(true, &calls);
    for (label, errno) in [
        ("getpid", 0),
        ("unix socket", 0),
        ("fork", 0),
        ("unshare nothing", 1),
        ("clone3", 38),
        ("personality", 0),
        ("no randomisation", 1),
        ("alg", 1),
        ("alg shifted", 1),
        ("vsock shifted", 1),
        ("unix shifted", 1),
        ("keyctl", 1),
        ("call 600", 38),
    ] {
        assert_eq!(
            find(&filtered, label),
            Some(errno),
            "{label} under the filter"
        );
    }
}

/// A 32-bit program: calls `eax` with `ebx` and, in `ecx`, the address of three words, exits with the error number.
fn program_32(name: &str, eax: u32, ebx: u32, words: [u32; 3]) -> PathBuf {
    const BASE: u32 = 0x0804_8000;
    const CODE: u32 = 84;
    let address = BASE + CODE + 28;
    let mut code = vec![0xb8];
    code.extend(eax.to_le_bytes());
    code.push(0xbb);
    code.extend(ebx.to_le_bytes());
    code.push(0xb9);
    code.extend(address.to_le_bytes());
    // int 0x80; neg eax; mov ebx, eax; mov eax, 1; int 0x80
    code.extend([
        0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80,
    ]);
    assert_eq!(code.len(), 28);
    code.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let length = CODE + code.len() as u32;
    let header: [u32; 9] = [0x0003_0002, 1, BASE + CODE, 52, 0, 0, 0x0020_0034, 1, 0];
    let segment: [u32; 8] = [1, 0, BASE, BASE, length, length, 5, 0x1000];
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(
        header
            .iter()
            .chain(&segment)
            .flat_map(|word| word.to_le_bytes()),
    );
    file.extend(code);
    let path = env::temp_dir().join(format!("silo-test-{}-{name}", std::process::id()));
    std::fs::write(&path, file).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_32_bit_program_cannot_get_around_the_families() {
    // A success is a small descriptor, of which the negative is no error number in use here.
    let exit = |filtered, path: &PathBuf| {
        let output = run_in_child(filtered, &[path.to_str().unwrap()]);
        output.status.code().unwrap()
    };
    let socketcall = program_32("socketcall", 102, 1, [1, 1, 0]);
    let bind = program_32("bind", 102, 2, [u32::MAX, 0, 0]);
    let vsock = program_32("vsock", 359, 40, [1, 0, 0]);
    let (free, denied) = (exit(false, &socketcall), exit(true, &socketcall));
    let (bind_denied, vsock_denied) = (exit(true, &bind), exit(true, &vsock));
    for path in [socketcall, bind, vsock] {
        std::fs::remove_file(path).unwrap();
    }
    assert!(free > 128, "socketcall works without a filter: {free}");
    assert_eq!(denied, 38);
    assert_eq!(bind_denied, 9, "other calls pass: bad descriptor");
    assert_eq!(vsock_denied, 1);
}

/// `cargo test --release -p silo-runtime seccomp::tests::kernel::timing -- --ignored --nocapture`
#[test]
#[ignore = "prints how long compiling and loading take"]
fn timing() {
    let median = |mut work: Box<dyn FnMut() -> Duration>| {
        let mut all: Vec<_> = (0..101).map(|_| work()).collect();
        all.sort();
        all[50]
    };
    let timed = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let profile = default_profile(CapSet::DEFAULT);
    let whole = compile(&profile).unwrap();
    let with = |arches: &[Arch]| {
        let mut part = profile.clone();
        part.set_architectures(Some(arches.to_vec()));
        compile(&part).unwrap()
    };
    let (native, i386) = (with(&[]), with(&[Arch::ScmpArchX86]));
    let linear = linear(&whole);
    println!(
        "profile {:?}",
        median(Box::new(move || timed(&|| drop(default_profile(
            CapSet::DEFAULT
        )))))
    );
    println!(
        "compile {:?}",
        median(Box::new(move || timed(&|| drop(compile(&profile)))))
    );
    for (label, program) in [
        ("x86-64 only", native),
        ("with i386", i386),
        ("return", vec![whole[whole.len() - 1]]),
        ("whole", whole),
        ("linear", linear),
    ] {
        let length = program.len();
        let load = median(Box::new(move || {
            let program = program.clone();
            let load = move || timed(&|| sys::load(&program, Flags::default()).unwrap());
            std::thread::spawn(load).join().unwrap()
        }));
        println!("load {label}: {length} instructions, {load:?}");
    }
}

/// The same verdicts, one comparison after another.
fn linear(program: &[SockFilter]) -> Vec<SockFilter> {
    let step = |code, k, jt, jf| SockFilter { code, jt, jf, k };
    let section = |arch, base: u32| {
        let numbers = (0..600).filter(move |n| {
            let call = Call {
                arch,
                number: base + n,
                args: [0; 6],
            };
            run(program, call) == ALLOW
        });
        numbers.flat_map(move |n| [step(0x15, base + n, 0, 1), step(0x06, ALLOW, 0, 0)])
    };
    let native: Vec<_> = section(AUDIT_X86_64, 0)
        .chain(section(AUDIT_X86_64, X32_BIT))
        .collect();
    let i386: Vec<_> = section(AUDIT_I386, 0).collect();
    let skip = native.len() as u32 + 2;
    let mut all = vec![
        step(0x20, 4, 0, 0),
        step(0x15, AUDIT_X86_64, 1, 0),
        step(0x05, skip, 0, 0),
        step(0x20, 0, 0, 0),
    ];
    all.extend(native);
    all.extend([step(0x06, EPERM, 0, 0), step(0x20, 0, 0, 0)]);
    all.extend(i386);
    all.push(step(0x06, EPERM, 0, 0));
    all
}
