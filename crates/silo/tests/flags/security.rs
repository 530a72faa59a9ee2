//! --security-opt --sysctl, descriptors, and what the filter of system calls refuses.
//!
//! The test program is static: it runs inside the container, too, as a probe that tries what it should not be able to do.

use std::{fs, os::fd::AsRawFd};

use rustix::net::{AddressFamily, SocketType, socket};

use crate::common::{Host, kernel};

/// Prints what it could do, a word a line. On the host it is harmless and says nothing of interest.
#[test]
#[ignore = "it is run inside containers by the other tests"]
fn probe() {
    for family in [1, 2, 10, 16, 17, 38, 40] {
        let made = socket(AddressFamily::from_raw(family), SocketType::RAW, None)
            .or_else(|_| socket(AddressFamily::from_raw(family), SocketType::SEQPACKET, None))
            .or_else(|_| socket(AddressFamily::from_raw(family), SocketType::DGRAM, None));
        let word = match made {
            Ok(_) => "yes".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        println!("family-{family} {word}");
    }
    let listing = fs::read_dir("/proc/self/fd").unwrap();
    let own = fs::File::open("/proc/self/fd").unwrap().as_raw_fd();
    for entry in listing.flatten() {
        let number: i32 = entry.file_name().to_string_lossy().parse().unwrap();
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if number > 2 && number != own && !target.ends_with("fd") {
            println!("descriptor {number} {}", target.display());
        }
    }
    println!("end of the probe");
}

/// What the probe says in a container with these flags.
fn probe_in(host: &Host, flags: &[&str]) -> String {
    let own = std::env::current_exe().unwrap();
    let mount = format!("{}:/probe:ro", own.display());
    let command = [
        "/probe",
        "--ignored",
        "--exact",
        "security::probe",
        "--nocapture",
        "--test-threads=1",
    ];
    let words = [
        &["run", "--rm", "--network", "none", "-v", &mount],
        flags,
        &["lab"],
        &command,
    ];
    let text = host.ok(&words.concat());
    assert!(text.contains("end of the probe"), "{text}");
    text
}

#[test]
fn the_filter_is_on() {
    let host = Host::new();
    host.idle("filtered", &[]);
    let pid = host.pid("filtered");
    assert_eq!(kernel::status(pid, "Seccomp"), "2");
    assert_eq!(kernel::status(pid, "NoNewPrivs"), "0");
    let exec = host.ok(&["exec", "filtered", "cat", "/proc/self/status"]);
    assert!(
        exec.lines()
            .any(|l| l.split_whitespace().eq(["Seccomp:", "2"])),
        "{exec}"
    );

    let text = probe_in(&host, &[]);
    // AF_ALG and AF_VSOCK, CVE-2026-31431.
    for family in [38, 40] {
        assert!(!text.contains(&format!("family-{family} yes")), "{text}");
    }
    for family in [1, 2, 16] {
        assert!(text.contains(&format!("family-{family} yes")), "{text}");
    }
    assert!(!text.contains("descriptor "), "{text}");
}

#[test]
fn no_descriptor_gets_in() {
    let host = Host::new();
    // The caller has many, none closed at exec.
    let silo = env!("CARGO_BIN_EXE_silo");
    let base = format!(
        "{silo} --root {} --run {}",
        host.root.display(),
        host.run.display()
    );
    let list = "ls /proc/self/fd | wc -l";
    let script = format!(
        "exec 5</etc 7</ 9>/dev/null; {base} run --rm --network none lab sh -c '{list}'; {base} run -d --name box --network none lab sleep 600 > /dev/null; {base} exec box sh -c '{list}'"
    );
    // 0, 1, 2 and the listing's own.
    let text = kernel::run("bash", &["-c", &script]);
    let counts: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(counts, ["4", "4"]);
    let inside = fs::read_dir(format!("/proc/{}/fd", host.pid("box")))
        .unwrap()
        .count();
    assert_eq!(inside, 3);
}

#[test]
fn profiles_of_ones_own() {
    let host = Host::new();
    host.idle("open", &["--security-opt", "seccomp=unconfined"]);
    assert_eq!(kernel::status(host.pid("open"), "Seccomp"), "0");
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}]}"#;
    let file = host.file("profile.json", profile);
    let option = format!("seccomp={file}");
    let text = host.offline(&["--security-opt", &option], "mkdir /tmp/x 2>&1 || true");
    assert!(text.to_lowercase().contains("quota"), "{text}");
    let file = host.file("broken.json", "{");
    host.fails(
        &[
            "run",
            "--rm",
            "--security-opt",
            &format!("seccomp={file}"),
            "lab",
            "true",
        ],
        125,
        "seccomp",
    );
    host.fails(
        &[
            "run",
            "--rm",
            "--security-opt",
            "seccomp=/nosuch",
            "lab",
            "true",
        ],
        125,
        "/nosuch",
    );
    host.fails(
        &["run", "--rm", "--security-opt", "nosuch=1", "lab", "true"],
        125,
        "nosuch",
    );
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 1);
}

#[test]
fn no_new_privileges() {
    let host = Host::new();
    host.idle("humble", &["--security-opt", "no-new-privileges"]);
    assert_eq!(kernel::status(host.pid("humble"), "NoNewPrivs"), "1");
    assert_eq!(kernel::status(host.pid("humble"), "Seccomp"), "2");
    let exec = host.ok(&["exec", "humble", "grep", "NoNewPrivs", "/proc/self/status"]);
    assert!(exec.ends_with('1'), "{exec}");
    host.idle("usual", &["--security-opt", "no-new-privileges=false"]);
    assert_eq!(kernel::status(host.pid("usual"), "NoNewPrivs"), "0");
}

/// A security module that the host does not have cannot be honoured.
#[test]
fn security_modules() {
    let host = Host::new();
    let apparmor = std::path::Path::new("/sys/kernel/security/apparmor").exists();
    let selinux = std::path::Path::new("/sys/fs/selinux/enforce").exists();
    host.offline(
        &[
            "--security-opt",
            "apparmor=unconfined",
            "--security-opt",
            "label=disable",
        ],
        "true",
    );
    if !apparmor {
        host.fails(
            &[
                "run",
                "--rm",
                "--security-opt",
                "apparmor=docker-default",
                "lab",
                "true",
            ],
            125,
            "apparmor",
        );
    }
    if !selinux {
        host.fails(
            &[
                "run",
                "--rm",
                "--security-opt",
                "label=type:x",
                "lab",
                "true",
            ],
            125,
            "label",
        );
    }
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn parameters_of_the_kernel() {
    let host = Host::new();
    let flags = [
        "--sysctl",
        "net.ipv4.ip_local_port_range=2000 3000",
        "--sysctl",
        "kernel.msgmax=4096",
        "--sysctl",
        "kernel.shm_rmid_forced=1",
    ];
    let text = host.offline(
        &flags,
        "cd /proc/sys; cat net/ipv4/ip_local_port_range kernel/msgmax kernel/shm_rmid_forced",
    );
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>(),
        ["2000", "3000", "4096", "1"]
    );
    for wrong in [
        "kernel.core_pattern=x",
        "vm.swappiness=1",
        "kernel.msgmax",
        "net.ipv4/../../kernel.x=1",
        "kernel.hostname=x",
        "net..x=1",
        "net.ipv4.nosuch=1",
    ] {
        let key = wrong.split('=').next().unwrap();
        host.fails(
            &[
                "run",
                "--rm",
                "--network",
                "none",
                "--sysctl",
                wrong,
                "lab",
                "true",
            ],
            125,
            &key[..6],
        );
    }
    host.fails(
        &[
            "run",
            "--rm",
            "--network",
            "host",
            "--sysctl",
            "net.ipv4.ip_forward=1",
            "lab",
            "true",
        ],
        125,
        "namespace",
    );
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}
