//! Names, Docker's rules, and both halves in the real kernel: in threads, each of which has capabilities and a user of its own.

use rustix::process::Uid;
use silo_types::Kind;

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

fn resolved(add: &str, drop: &str) -> CapSet {
    resolve(&words(add), &words(drop), false, CapSet::ALL).unwrap()
}

fn set(names: &str) -> CapSet {
    names
        .split_whitespace()
        .map(|n| parse(n).unwrap())
        .collect()
}

#[test]
fn numbers_and_names_are_the_kernels() {
    for (number, (capability, name)) in TABLE.iter().enumerate() {
        let kernel = CapabilitySet::from_name(name).unwrap();
        assert_eq!(kernel.bits(), 1 << number, "{name}");
        assert_eq!(capability.to_string(), *name);
        assert_eq!(super::number(*capability), number);
    }
    assert_eq!(CapSet::ALL.len(), 41);
    assert_eq!(CapSet::ALL.iter().count(), 41);
}

#[test]
fn names_in_any_form() {
    for text in ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_Net_Admin"] {
        assert_eq!(parse(text).unwrap(), Capability::NetAdmin);
    }
    assert_eq!(
        parse("NET_ADMN").unwrap_err().to_string(),
        "unknown capability \"NET_ADMN\": did you mean CAP_NET_ADMIN?"
    );
    assert_eq!(
        parse("root").unwrap_err().to_string(),
        "unknown capability \"root\": see capabilities(7) for the names"
    );
}

#[test]
fn the_default_is_dockers() {
    let docker = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP \
        NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE";
    assert_eq!(CapSet::DEFAULT, set(docker));
    assert_eq!(CapSet::DEFAULT.len(), 14);
    assert_eq!(set("kill chown").to_string(), "CAP_CHOWN, CAP_KILL");
}

#[test]
fn adding_and_dropping_is_dockers() {
    let default = CapSet::DEFAULT;
    for (add, drop, right) in [
        ("", "", default),
        ("net_admin", "", default | set("NET_ADMIN")),
        ("", "CAP_MKNOD net_raw", default - set("MKNOD NET_RAW")),
        ("mknod", "mknod", default),
        ("", "ALL", CapSet::EMPTY),
        ("chown", "all", set("CHOWN")),
        ("ALL", "", CapSet::ALL),
        ("cap_all", "sys_admin", CapSet::ALL - set("SYS_ADMIN")),
        ("ALL", "ALL", CapSet::ALL),
        ("ALL chown", "chown", CapSet::ALL - set("CHOWN")),
    ] {
        assert_eq!(resolved(add, drop), right, "add {add:?} drop {drop:?}");
    }
}

#[test]
fn what_the_host_lacks_is_not_given() {
    let available = CapSet::ALL - set("SYS_RESOURCE MKNOD");
    let resolve = |add: &str, drop: &str, privileged| {
        resolve(&words(add), &words(drop), privileged, available)
    };
    assert_eq!(resolve("", "", true).unwrap(), available);
    assert_eq!(resolve("", "chown", true).unwrap(), available);
    assert_eq!(resolve("ALL", "", false).unwrap(), available);
    assert_eq!(
        resolve("", "", false).unwrap(),
        CapSet::DEFAULT - set("MKNOD")
    );
    let error = resolve("SYS_RESOURCE chown", "", false).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(
        error
            .to_string()
            .starts_with("cannot add CAP_SYS_RESOURCE: "),
        "{error}"
    );
    assert_eq!(resolve("", "CHWN", true).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn inheritable_and_ambient_are_empty() {
    let sets = CapSet::DEFAULT.to_oci();
    for filled in [sets.bounding(), sets.effective(), sets.permitted()] {
        assert_eq!(CapSet::from(filled), CapSet::DEFAULT);
    }
    for empty in [sets.inheritable(), sets.ambient()] {
        assert_eq!(*empty, Some(HashSet::new()));
    }
}

/// Runs `work` in a thread, whose capabilities and user are its own, and ends it.
fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}

/// A line of a status file, e.g. `CapEff`.
fn line(status: &str, key: &str) -> CapSet {
    let mut lines = status.lines();
    let value = lines.find_map(|l| l.strip_prefix(key)?.strip_prefix(":\t"));
    CapSet(u64::from_str_radix(value.unwrap(), 16).unwrap())
}

fn own(key: &str) -> CapSet {
    line(
        &std::fs::read_to_string("/proc/thread-self/status").unwrap(),
        key,
    )
}

fn become_user(id: u32) {
    let id = Uid::from_raw(id);
    thread::set_thread_res_uid(id, id, id).unwrap();
}

#[test]
fn a_root_process_and_its_programs_keep_what_was_given() {
    apart(|| {
        let sets = CapSet::DEFAULT.to_oci();
        before_setuid(&sets).unwrap();
        become_user(0);
        assert_eq!(after_setuid(&sets).unwrap(), CapSet::EMPTY);
        for key in ["CapBnd", "CapPrm", "CapEff"] {
            assert_eq!(own(key), CapSet::DEFAULT, "{key}");
        }
        assert_eq!(own("CapInh") | own("CapAmb"), CapSet::EMPTY);
        let mut cat = std::process::Command::new("cat");
        let output = cat.arg("/proc/self/status").output().unwrap();
        let status = String::from_utf8(output.stdout).unwrap();
        assert_eq!(line(&status, "CapEff"), CapSet::DEFAULT);
        assert_eq!(line(&status, "CapBnd"), CapSet::DEFAULT);
    });
}

#[test]
fn another_user_keeps_them_until_exec_only() {
    apart(|| {
        let sets = CapSet::DEFAULT.to_oci();
        before_setuid(&sets).unwrap();
        become_user(1000);
        assert_eq!(own("CapEff"), CapSet::EMPTY);
        after_setuid(&sets).unwrap();
        assert_eq!(own("CapEff"), CapSet::DEFAULT);
        let mut cat = std::process::Command::new("cat");
        let output = cat.arg("/proc/self/status").output().unwrap();
        let status = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            line(&status, "CapEff") | line(&status, "CapPrm"),
            CapSet::EMPTY
        );
        assert_eq!(line(&status, "CapBnd"), CapSet::DEFAULT);
    });
}

#[test]
fn ambient_ones_are_raised_when_asked_for() {
    apart(|| {
        let one = HashSet::from([Capability::NetBindService]);
        let mut sets = CapSet::DEFAULT.to_oci();
        sets.set_inheritable(Some(one.clone()));
        sets.set_ambient(Some(HashSet::from([
            Capability::NetBindService,
            Capability::Chown,
        ])));
        before_setuid(&sets).unwrap();
        become_user(1000);
        assert_eq!(
            after_setuid(&sets).unwrap(),
            set("CHOWN"),
            "not inheritable"
        );
        assert_eq!(own("CapAmb"), set("NET_BIND_SERVICE"));
        assert_eq!(own("CapInh"), set("NET_BIND_SERVICE"));
        // Left over from before: gone with the next, empty, sets.
        after_setuid(&CapSet::DEFAULT.to_oci()).unwrap();
        assert_eq!(own("CapAmb") | own("CapInh"), CapSet::EMPTY);
    });
}

#[test]
fn what_this_process_lacks_is_left_out() {
    apart(|| {
        let held = CapSet::of_this_process().unwrap() - set("MAC_ADMIN");
        let sets = CapabilitySets {
            effective: held.kernel(),
            permitted: held.kernel(),
            inheritable: CapabilitySet::empty(),
        };
        thread::set_capabilities(None, sets).unwrap();
        let all = CapSet::ALL.to_oci();
        before_setuid(&all).unwrap();
        become_user(0);
        assert_eq!(after_setuid(&all).unwrap(), CapSet::ALL - held);
        assert_eq!(own("CapEff"), held);
    });
}
