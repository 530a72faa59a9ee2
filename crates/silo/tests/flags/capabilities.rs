//! --cap-add --cap-drop --privileged.

use crate::common::{Host, kernel};

/// Docker's 14, as bits of capability numbers.
const DEFAULT: u64 = bits(&[0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31]);
const NET_ADMIN: u64 = bits(&[12]);
const CHOWN: u64 = bits(&[0]);
const NET_BIND: u64 = bits(&[10]);

const fn bits(numbers: &[u32]) -> u64 {
    let (mut sum, mut at) = (0, 0);
    while at < numbers.len() {
        sum |= 1 << numbers[at];
        at += 1;
    }
    sum
}

/// Inheritable, permitted, effective, bounding, ambient.
fn sets(status: &str) -> [u64; 5] {
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    })
}

#[test]
fn exactly_dockers_fourteen() {
    let host = Host::new();
    let status = |flags: &[&str]| sets(&host.offline(flags, "cat /proc/self/status"));
    assert_eq!(status(&[]), [0, DEFAULT, DEFAULT, DEFAULT, 0]);
    // Another user than root has none in hand, only the bound of what a setuid program could get.
    assert_eq!(status(&["-u", "lab"]), [0, 0, 0, DEFAULT, 0]);
    let more = DEFAULT | NET_ADMIN;
    assert_eq!(
        status(&["--cap-add", "NET_ADMIN"]),
        [0, more, more, more, 0]
    );
    assert_eq!(
        status(&["--cap-add", "cap_net_admin"]),
        [0, more, more, more, 0]
    );
    let less = DEFAULT & !CHOWN;
    assert_eq!(status(&["--cap-drop", "chown"]), [0, less, less, less, 0]);
    assert_eq!(status(&["--cap-drop", "ALL"]), [0; 5]);
    assert_eq!(
        status(&["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"]),
        [0, NET_BIND, NET_BIND, NET_BIND, 0]
    );
    assert_eq!(
        status(&["-u", "lab", "--cap-add", "NET_ADMIN"]),
        [0, 0, 0, more, 0]
    );
    host.fails(
        &["run", "--rm", "--cap-add", "nosuch", "lab", "true"],
        125,
        "NOSUCH",
    );
    host.fails(
        &["run", "--rm", "--cap-drop", "a b", "lab", "true"],
        125,
        "a b",
    );

    host.idle("other", &["--cap-drop", "CHOWN"]);
    let exec = |flags: &[&str]| {
        sets(&host.ok(&[&["exec"], flags, &["other", "cat", "/proc/self/status"]].concat()))
    };
    assert_eq!(exec(&[]), [0, less, less, less, 0]);
    assert_eq!(exec(&["-u", "lab"]), [0, 0, 0, less, 0]);
}

#[test]
fn all_of_them_and_privileged() {
    let host = Host::new();
    let own = sets(&std::fs::read_to_string("/proc/self/status").unwrap())[3];
    let status = |flags: &[&str]| sets(&host.offline(flags, "cat /proc/self/status"));
    assert_eq!(status(&["--cap-add", "ALL"])[2], own);
    assert_eq!(status(&["--privileged"])[2], own);
    host.idle("strong", &["--privileged"]);
    let pid = host.pid("strong");
    assert_eq!(kernel::status(pid, "Seccomp"), "0");
    let mounts = kernel::mounts(pid);
    assert!(!mounts.contains_key("/proc/sys") && !mounts.contains_key("/proc/kcore"));
    assert!(
        mounts["/sys"].0.split(',').any(|o| o == "rw"),
        "{:?}",
        mounts["/sys"]
    );
    let devices = host.ok(&["exec", "strong", "ls", "/dev"]);
    assert!(devices.lines().any(|d| d == "kmsg"), "{devices}");
    assert_eq!(host.inspect("strong")["HostConfig"]["Privileged"], true);
    // Processes of the host stay out of sight all the same.
    let seen = host.ok(&["exec", "strong", "sh", "-c", "ls -d /proc/[0-9]*"]);
    assert!((2..=4).contains(&seen.lines().count()), "{seen}");

    host.idle("other", &[]);
    let text = host.ok(&["exec", "--privileged", "other", "cat", "/proc/self/status"]);
    assert_eq!(sets(&text)[2], own);
    assert!(
        text.lines()
            .any(|l| l.split_whitespace().eq(["Seccomp:", "0"])),
        "{text}"
    );
}

/// A capability that was dropped is really gone.
#[test]
fn what_capabilities_allow() {
    let host = Host::new();
    let chown = "chown 5 /etc/passwd 2>/dev/null && echo done || echo refused";
    assert_eq!(host.offline(&[], chown), "done");
    assert_eq!(host.offline(&["--cap-drop", "CHOWN"], chown), "refused");
    let mount = "mount -t tmpfs none /tmp 2>/dev/null && echo done || echo refused";
    assert_eq!(host.offline(&[], mount), "refused");
    assert_eq!(host.offline(&["--cap-add", "SYS_ADMIN"], mount), "done");
}
