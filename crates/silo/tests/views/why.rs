//! `why`: every verdict is brought about, and then asked for.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::common::{Host, kernel, signal, until};

const MIB: u64 = 1 << 20;

#[track_caller]
fn why(host: &Host, name: &str) -> Value {
    let text = host.ok(&["why", "--format", "json", name]);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The verdict on a container must be this.
#[track_caller]
fn is(host: &Host, name: &str, cause: &str, grade: &str, said: &str) -> Value {
    let facts = why(host, name);
    let verdict = &facts["verdict"];
    assert_eq!(
        (verdict["cause"].as_str(), verdict["grade"].as_str()),
        (Some(cause), Some(grade)),
        "{facts}"
    );
    let text = host.ok(&["why", name]);
    assert!(text.contains(said), "{said:?} is not said: {text}");
    assert!(
        text.contains(&format!("({grade})")) && !text.contains('\u{1b}'),
        "{text}"
    );
    facts
}

/// Runs a container to its end, with a name, without a network.
fn run(host: &Host, name: &str, words: &[&str]) -> i32 {
    host.silo(&[&["run", "--name", name, "--network", "none"], words].concat())
        .code
}

#[test]
fn memory_at_its_own_limit_below_a_ceiling() {
    let mut host = Host::new();
    let parent = host.ceiling(256 * MIB);
    let words = [
        "-m",
        "48m",
        "--cgroup-parent",
        &parent,
        "lab",
        "saturate-mem",
    ];
    assert_eq!(run(&host, "hungry", &words), 137);
    let facts = is(
        &host,
        "hungry",
        "outOfMemory",
        "certain",
        "at its own limit of 48MiB",
    );
    let victim = &facts["victims"][0];
    assert_eq!(victim["scope"], "own", "{facts}");
    assert_eq!(victim["limitBytes"], 48 * MIB);
    assert_eq!(
        (victim["pid"].as_i64(), victim["command"].as_str()),
        (Some(1), Some("saturate-mem"))
    );
    assert!(
        victim["memoryBytes"].as_u64().unwrap() > 30 * MIB,
        "{facts}"
    );
    assert_eq!(facts["signal"], "SIGKILL");
    let text = host.ok(&["why", "hungry"]);
    assert!(
        text.contains("not the machine's doing") && text.contains("% of the limit"),
        "{text}"
    );
}

#[test]
fn memory_at_the_ceiling_above() {
    let mut host = Host::new();
    let parent = host.ceiling(64 * MIB);
    let words = ["--cgroup-parent", &parent, "lab", "saturate-mem"];
    assert_eq!(run(&host, "hungry", &words), 137);
    let facts = is(
        &host,
        "hungry",
        "outOfMemory",
        "certain",
        "a group above it",
    );
    assert_eq!(
        facts["victims"][0]["group"],
        format!("/{parent}"),
        "{facts}"
    );
    assert_eq!(facts["victims"][0]["limitBytes"], 64 * MIB, "{facts}");
}

/// The machine itself runs out: only where the machine is one to throw away.
#[test]
fn memory_of_the_whole_machine() {
    if !kernel::is_emulated() {
        println!(
            "skipped: it takes the memory of the whole machine, which only tests/vm can spare"
        );
        return;
    }
    let host = Host::alone();
    assert_eq!(run(&host, "hungry", &["lab", "saturate-mem"]), 137);
    let said = "in the whole machine: the host ran out";
    let facts = is(&host, "hungry", "outOfMemory", "certain", said);
    let victim = &facts["victims"][0];
    assert_eq!(victim["scope"], "machine", "{facts}");
    assert_eq!(
        (victim["command"].as_str(), victim["limitBytes"].as_u64()),
        (Some("saturate-mem"), Some(0)),
        "{facts}"
    );
    let text = host.ok(&["why", "hungry"]);
    assert!(text.contains("it ran out itself"), "{text}");

    // Where the kernel's log says nothing it follows from limits that were not reached.
    for (name, limit) in [("unseen", "0"), ("roomy", "1000g")] {
        let words = [
            "run",
            "--name",
            name,
            "--network",
            "none",
            "-m",
            limit,
            "lab",
            "saturate-mem",
        ];
        let silo = host.command(&words);
        let mut command = std::process::Command::new("unshare");
        let script = "mount --bind /dev/null /dev/kmsg && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.arg(silo.get_program()).args(silo.get_args());
        let ran = host.finish(command, &words, b"");
        assert_eq!(ran.code, 137, "{ran}");
        let facts = is(&host, name, "outOfMemory", "likely", said);
        assert_eq!(facts["victims"][0]["scope"], "machine", "{facts}");
    }
}

#[test]
fn a_victim_beside_a_first_process_that_lives() {
    let host = Host::new();
    host.idle("box", &["-m", "48m"]);
    is(&host, "box", "running", "certain", "killed nothing");
    assert_eq!(host.silo(&["exec", "box", "saturate-mem"]).code, 137);
    until("the record", || {
        why(&host, "box")["victims"]
            .as_array()
            .is_some_and(|v| !v.is_empty())
    });
    let facts = is(&host, "box", "running", "certain", "1 process");
    let next = &facts["victims"][0]["next"];
    assert_eq!(
        (next["pid"].as_i64(), next["command"].as_str()),
        (Some(1), Some("sleep")),
        "{facts}"
    );
    host.ok(&["kill", "box"]);
    host.ended("box");
    is(&host, "box", "killedBySilo", "certain", "'silo kill' by");
}

/// How memory grew says what would help; each shape is brought about.
#[test]
fn how_memory_grew_before_the_kill() {
    let host = Host::new();
    let in_shell = |script: &str| format!("{script}; exec saturate-mem");
    let (late, full) = (
        in_shell("sleep 4"),
        in_shell("saturate-mem --size 59m & sleep 7"),
    );
    for (name, limit, words, shape, said) in [
        (
            "leak",
            "48m",
            &["saturate-mem", "--rate", "8m"][..],
            "leak",
            "/s, never flat: a leak rather than a size",
        ),
        (
            "spike",
            "48m",
            &["sh", "-c", &late],
            "spike",
            "a sudden allocation rather than a leak",
        ),
        (
            "size",
            "64m",
            &["sh", "-c", &full],
            "size",
            "a size rather than a leak",
        ),
    ] {
        run(&host, name, &[&["-m", limit, "lab"], words].concat());
        let facts = why(&host, name);
        let history = &facts["history"];
        assert_eq!(history["shape"], shape, "{name}: {facts}");
        let limit = limit.trim_end_matches('m').parse::<u64>().unwrap() * MIB;
        let height = history["toBytes"].as_u64().unwrap();
        assert!(height <= limit && height > limit / 10 * 9, "{facts}");
        let curve = history["bytes"].as_array().unwrap();
        assert_eq!(
            (curve.len(), curve[19].as_u64()),
            (20, Some(height)),
            "{facts}"
        );
        let text = host.ok(&["why", name]);
        let line = text
            .lines()
            .find(|line| line.starts_with("last "))
            .expect(&text);
        assert!(
            line.contains(said) && line.contains('\u{2588}') && line.contains("MiB \u{2192}"),
            "{text}"
        );
    }
    assert!(
        why(&host, "leak")["history"]["bytesPerSecond"]
            .as_u64()
            .unwrap()
            > 4 * MIB
    );
    // Who ends otherwise has none.
    run(&host, "true", &["lab", "true"]);
    assert!(why(&host, "true")["history"].is_null());
}

#[test]
fn a_shell_that_ends_after_its_child() {
    let host = Host::new();
    assert_eq!(
        run(
            &host,
            "box",
            &["-m", "32m", "lab", "sh", "-c", "saturate-mem; exit 4"]
        ),
        4
    );
    is(&host, "box", "childOutOfMemory", "likely", "saturate-mem");
}

#[test]
fn killed_by_silo_and_by_whom() {
    let host = Host::new();
    host.idle("box", &[]);
    host.ok(&["kill", "box"]);
    host.ended("box");
    let facts = is(
        &host,
        "box",
        "killedBySilo",
        "certain",
        "'silo kill' by root",
    );
    assert!(
        facts["verdict"]["by"].as_str().unwrap().starts_with("root"),
        "{facts}"
    );
    host.ok(&["start", "box"]);
    // Not TERM, which the program may still answer before the time is over.
    host.ok(&["stop", "-s", "KILL", "-t", "0", "box"]);
    is(
        &host,
        "box",
        "killedBySilo",
        "certain",
        "'silo stop' by root",
    );
    // The run before is not forgotten.
    let before = &why(&host, "box")["before"];
    assert_eq!(before["verdict"]["cause"], "killedBySilo", "{before}");
}

#[test]
fn stopped_in_order() {
    let host = Host::new();
    host.idle("box", &["--init"]);
    host.ok(&["stop", "box"]);
    is(
        &host,
        "box",
        "stoppedBySilo",
        "likely",
        "'silo stop' by root",
    );
    host.ok(&["start", "box"]);
    let monitor = host.inspect("box")["Silo"]["MonitorPid"].as_i64().unwrap();
    signal(monitor as i32, 15);
    host.ended("box");
    is(
        &host,
        "box",
        "stoppedBySilo",
        "likely",
        "SIGTERM sent to its monitor by root",
    );
}

#[test]
fn a_stop_signal_that_is_ignored() {
    let host = Host::new();
    deaf(&host);
    host.ok(&["stop", "-t", "1", "deaf"]);
    let facts = is(
        &host,
        "deaf",
        "ignoredStop",
        "certain",
        "did not follow SIGTERM within 1 s",
    );
    assert!(
        facts["verdict"]["advice"]
            .as_str()
            .unwrap()
            .contains("--init"),
        "{facts}"
    );
    // rt_sigaction(SIGTERM, {SIG_IGN, 0, 0, 0}, NULL, 8), then pause(2) again and again.
    let code = [
        0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x01, 0x6a, 0x0f, 0x5f, 0x48, 0x89, 0xe6, 0x31,
        0xd2, 0x6a, 0x08, 0x41, 0x5a, 0x6a, 0x0d, 0x58, 0x0f, 0x05, 0x6a, 0x22, 0x58, 0x0f, 0x05,
        0xeb, 0xf9,
    ];
    let volume = format!("{}:/stubborn", program(&host, "stubborn", &code));
    let words = [
        "run",
        "-d",
        "--name",
        "stubborn",
        "--network",
        "none",
        "-v",
        &volume,
    ];
    host.ok(&[&words[..], &["lab", "/stubborn"]].concat());
    let main = host.pid("stubborn");
    let ignored = || u64::from_str_radix(&kernel::status(main, "SigIgn"), 16).unwrap();
    until("the signal to be ignored", || ignored() >> 14 & 1 == 1);
    host.ok(&["restart", "-t", "1", "stubborn"]);
    let before = why(&host, "stubborn")["before"].to_string();
    let said = ["it ignores that signal", "'silo restart' by root"];
    assert!(said.iter().all(|text| before.contains(text)), "{before}");
}

#[test]
fn killed_from_outside() {
    let host = Host::new();
    host.idle("box", &["-m", "64m"]);
    signal(host.pid("box"), 9);
    host.ended("box");
    is(
        &host,
        "box",
        "killedFromOutside",
        "certain",
        "from outside the container",
    );
}

#[test]
fn another_signal_from_outside() {
    let host = Host::new();
    // In the host's pid namespace nothing shields it from signals that it does not handle.
    host.idle("box", &["--pid", "host"]);
    signal(host.pid("box"), 15);
    host.ended("box");
    is(&host, "box", "signalledFromOutside", "certain", "SIGTERM");
}

#[test]
fn a_forbidden_system_call() {
    let host = Host::new();
    let profile = host.file(
        "profile.json",
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sync"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
    );
    let option = format!("seccomp={profile}");
    assert_eq!(
        run(&host, "box", &["--security-opt", &option, "lab", "sync"]),
        159
    );
    is(&host, "box", "forbiddenCall", "likely", "SIGSYS");
}

#[test]
fn what_could_not_be_set_up() {
    let host = Host::new();
    let ran = host.silo(&[
        "run",
        "--name",
        "box",
        "--network",
        "none",
        "--sysctl",
        "kernel.shmmax=x",
        "lab",
        "true",
    ]);
    assert_ne!(ran.code, 0, "{ran}");
    is(&host, "box", "startFailed", "certain", "nothing ran");
}

#[test]
fn programs_that_cannot_run() {
    let host = Host::new();
    assert_eq!(run(&host, "missing", &["lab", "saturate-men"]), 127);
    is(
        &host,
        "missing",
        "programNotFound",
        "certain",
        "did you mean saturate-mem",
    );
    assert_eq!(run(&host, "path", &["lab", "/bin/slep"]), 127);
    is(&host, "path", "programNotFound", "certain", "sleep");
    assert_eq!(run(&host, "file", &["lab", "/etc/passwd"]), 126);
    is(&host, "file", "notExecutable", "certain", "permission");
    host.ok(&["create", "--name", "made", "lab"]);
    is(&host, "made", "neverStarted", "certain", "never started");
    host.fails(&["why", "nosuch"], 1, "nosuch");
    host.fails(&["why", "--format", "xml", "made"], 1, "use json");
}

#[test]
fn a_program_that_crashes() {
    let host = Host::new();
    for (name, code, signal, exit) in [
        // xor eax, eax; mov [rax], eax
        ("segv", &[0x31, 0xc0, 0x89, 0x00][..], "SIGSEGV", 139),
        // ud2
        ("ill", &[0x0f, 0x0b], "SIGILL", 132),
        // xor ecx, ecx; div ecx
        ("fpe", &[0x31, 0xc9, 0xf7, 0xf1], "SIGFPE", 136),
    ] {
        let path = program(&host, name, code);
        let volume = format!("{path}:/{name}");
        assert_eq!(
            run(&host, name, &["-v", &volume, "lab", &format!("/{name}")]),
            exit,
            "{name}"
        );
        is(&host, name, "fault", "certain", signal);
    }
    // exit(7): the smallest program that ends by itself.
    let path = program(
        &host,
        "exit",
        &[0x6a, 0x3c, 0x58, 0x6a, 0x07, 0x5f, 0x0f, 0x05],
    );
    assert_eq!(
        run(
            &host,
            "ends",
            &["-v", &format!("{path}:/exit"), "lab", "/exit"]
        ),
        7
    );
    is(&host, "ends", "endedByItself", "certain", "with code 7");
}

/// A container whose program has no handler for any signal: pause(2) again and again.
fn deaf(host: &Host) {
    let path = program(host, "deaf", &[0x6a, 0x22, 0x58, 0x0f, 0x05, 0xeb, 0xf9]);
    let volume = format!("{path}:/deaf");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "deaf",
        "--network",
        "none",
        "-v",
        &volume,
        "lab",
        "/deaf",
    ]);
}

/// A program of one segment with this code, after elf(5).
fn program(host: &Host, name: &str, code: &[u8]) -> String {
    let (base, headers) = (0x40_0000u64, 64 + 56u64);
    let size = headers + code.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [base + headers, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, base, base, size, size, 0x1000] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(code);
    let path = host.files.join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn a_monitor_that_was_killed() {
    let host = Host::new();
    host.idle("box", &[]);
    let monitor = host.inspect("box")["Silo"]["MonitorPid"].as_i64().unwrap();
    let main = host.pid("box");
    signal(monitor as i32, 9);
    until("the end of its process", || !kernel::alive(main));
    // Init takes its time to reap what it inherits.
    until("that it is reaped", || {
        !std::path::Path::new(&format!("/proc/{main}")).exists()
    });
    is(
        &host,
        "box",
        "monitorKilled",
        "certain",
        "its monitor was killed",
    );
}

/// Another life of the machine: the kernel's id of it differs from the one at the start, as after a restart.
#[test]
fn a_machine_that_was_restarted() {
    let host = Host::new();
    host.idle("box", &[]);
    let facts = host.inspect("box");
    let monitor = facts["Silo"]["MonitorPid"].as_i64().unwrap() as i32;
    let main = host.pid("box");
    signal(monitor, 9);
    until("the end of its process", || !kernel::alive(main));
    // Init takes its time to reap what it inherits.
    until("that it is reaped", || {
        !std::path::Path::new(&format!("/proc/{main}")).exists()
    });
    let id = facts["Id"].as_str().unwrap();
    let path = host.root.join("containers").join(id).join("state.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let boot = state["last"]["boot"].as_str().unwrap();
    let now = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(boot, now.trim());
    state["last"]["boot"] = "00000000-0000-4000-8000-000000000000".into();
    std::fs::write(&path, state.to_string()).unwrap();
    is(
        &host,
        "box",
        "machineRestarted",
        "certain",
        "the machine was restarted",
    );
    assert!(
        host.inspect("box")["State"]["Error"]
            .as_str()
            .unwrap()
            .contains("restarted")
    );
}

/// The notice points to `why`, so the answer must outlive the container.
#[test]
fn a_container_that_is_gone() {
    let host = Host::new();
    let words = [
        "run",
        "--rm",
        "--name",
        "gone",
        "--network",
        "none",
        "-m",
        "32m",
        "lab",
        "saturate-mem",
    ];
    assert_eq!(host.silo(&words).code, 137);
    let facts = why(&host, "gone");
    assert_eq!(
        (facts["status"].as_str(), facts["exitCode"].as_i64()),
        (Some("removed"), Some(137))
    );
    let text = host.ok(&["why", "gone"]);
    assert!(
        text.contains("at its own limit of 32MiB (certain)"),
        "{text}"
    );
    // A later one of that name, removed by hand.
    host.idle("gone", &[]);
    host.ok(&["rm", "-f", "gone"]);
    let text = host.ok(&["why", "gone"]);
    assert!(text.contains("killed by 'silo rm' by root"), "{text}");
    host.fails(&["why", "nosuch"], 1, "no such container");
}

#[test]
fn readable_at_eighty_columns() {
    let host = Host::new();
    deaf(&host);
    host.ok(&["stop", "-t", "1", "deaf"]);
    let mut session = host.terminal(&["why", "deaf"]);
    session.wait();
    let screen = session.screen.clone();
    assert!(screen.contains("certain"), "{screen}");
    let plain = strip(&screen);
    assert!(
        plain.lines().all(|line| line.chars().count() <= 80),
        "{plain}"
    );
}

/// Without the escapes that make letters bold.
fn strip(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => while letters.next().is_some_and(|c| !c.is_ascii_alphabetic()) {},
            '\r' => {}
            other => out.push(other),
        }
    }
    out
}
