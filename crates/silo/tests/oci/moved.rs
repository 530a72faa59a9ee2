//! Network devices of the host's in a container: they come with their addresses, and back when it does not come about.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{
    common::until,
    fixture::{Oci, is_silo},
};

/// A pair in this test's own network namespace, one end with addresses and up.
fn pair() {
    sh("ip link add dev0 type veth peer name dev1");
    sh("ip link set dev1 up");
    sh("ip link set dev0 address 02:00:5e:10:00:01 mtu 1400");
    sh("ip addr add 192.0.2.7/24 dev dev0 && ip addr add 127.0.0.33/32 scope host dev dev0");
    sh("ip link set dev0 up && ip addr add 2001:db8::7/64 dev dev0 nodad");
}

#[track_caller]
fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn is_here(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
        || Command::new("ip")
            .args(["link", "show", name])
            .output()
            .unwrap()
            .status
            .success()
}

/// As `ip -o addr` and `ip -o link` show it.
fn is_whole(shown: &str, name: &str) {
    for part in [
        &format!(" {name}@"),
        "192.0.2.7/24",
        "2001:db8::7/64",
        "02:00:5e:10:00:01",
        "mtu 1400",
        ",UP",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

fn shown(name: &str) -> String {
    sh(&format!("ip -o link show {name}; ip -o addr show {name}"))
}

#[test]
fn they_come_with_their_addresses_and_a_new_name() {
    let oci = Oci::new();
    for (id, wanted, inside) in [
        ("a", json!({"dev0": {}}), "dev0"),
        ("b", json!({"dev0": {"name": "net7"}}), "net7"),
        ("c", json!({"dev0": {"name": "net%d"}}), "net0"),
    ] {
        if !is_silo() && id == "c" {
            continue;
        }
        pair();
        oci.idle(id, |spec| spec["linux"]["netDevices"] = wanted);
        let pid = oci.pid(id);
        let inside_shown = sh(&format!(
            "nsenter -t {pid} -n sh -c 'ip -o link show {inside}; ip -o addr show {inside}'"
        ));
        is_whole(&inside_shown, inside);
        assert!(!inside_shown.contains("127.0.0.33"), "{inside_shown}");
        assert!(!is_here("dev0"));
        // What is virtual goes with its namespace, and its other end with it.
        oci.ok(&["delete", "--force", id]);
        until("the pair to be gone", || !is_here("dev1"));
    }
}

#[test]
fn a_namespace_that_others_hold_keeps_them() {
    let oci = Oci::new();
    let mut keeper = Command::new("unshare")
        .args(["-n", "sleep", "600"])
        .spawn()
        .unwrap();
    let path = format!("/proc/{}/ns/net", keeper.id());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    until("the namespace", || {
        std::fs::read_link(&path).is_ok_and(|other| other != own)
    });
    pair();
    oci.idle("a", |spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "network", "path": path}));
        spec["linux"]["netDevices"] = json!({"dev0": {"name": "kept"}});
    });
    oci.ok(&["delete", "--force", "a"]);
    let there = sh(&format!(
        "nsenter -t {} -n ip -o addr show kept",
        keeper.id()
    ));
    assert!(there.contains("192.0.2.7/24"), "{there}");
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}

#[test]
fn they_come_back_when_the_container_does_not_come_about() {
    let oci = Oci::new();
    if !is_silo() {
        return;
    }
    pair();
    sh("ip link add aaa type veth peer name aab");
    let before = shown("dev0");
    is_whole(&before, "dev0");
    let tried = |id: &str, devices: serde_json::Value, program: &str, text: &str| {
        let bundle = oci.bundle(id, &[program], |spec| {
            spec["linux"]["netDevices"] = devices;
        });
        let ran = oci.leave(&bundle, &["run", "-d", id]);
        assert!(ran.code != 0 && ran.err.contains(text), "{ran}");
        let after = shown("dev0");
        is_whole(&after, "dev0");
        assert!(after.contains("127.0.0.33"), "{after}");
        assert!(is_here("aaa"));
        oci.fails(&["state", id], "does not exist");
    };
    let both = |name: &str| json!({"aaa": {"name": "moved"}, "dev0": {"name": name}});
    // The container has one of that name: one of two was moved already.
    tried("a", both("lo"), "true", "has a device lo already");
    tried("b", both("moved"), "true", "has a device moved already");
    tried(
        "c",
        json!({"dev0": {}, "none": {}}),
        "true",
        "there is no device none",
    );
    // The container cannot be: its program is not there.
    tried("d", both("later"), "/none", "no such file");
    // A hook that comes after the move fails.
    let bundle = oci.bundle("e", &["true"], |spec| {
        spec["linux"]["netDevices"] = both("later");
        spec["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
    });
    assert_ne!(oci.leave(&bundle, &["create", "e"]).code, 0);
    is_whole(&shown("dev0"), "dev0");
    sh("ip link del dev0 && ip link del aaa");
}

#[test]
fn names_and_namespaces_that_cannot_be_are_refused() {
    let oci = Oci::new();
    if !is_silo() {
        return;
    }
    pair();
    let refused = |devices: serde_json::Value, path: Option<&str>, text: &str| {
        let bundle = oci.bundle("a", &["true"], |spec| {
            spec["linux"]["netDevices"] = devices;
            if let Some(path) = path {
                let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "network");
                if !path.is_empty() {
                    namespaces.push(json!({"type": "network", "path": path}));
                }
            }
        });
        let ran = oci.run_in(&bundle, &["run", "a"]);
        assert!(ran.code != 0 && ran.err.contains(text), "{ran}");
        is_whole(&shown("dev0"), "dev0");
    };
    for name in ["a/b", "a b", "0123456789abcdef", "..", "%d%d"] {
        refused(
            json!({"dev0": {"name": name}}),
            None,
            "is no name of a network device",
        );
    }
    refused(json!({"dev0": {}}), Some(""), "needs a network namespace");
    let own = format!(
        "/proc/{}/task/{}/ns/net",
        std::process::id(),
        rustix::thread::gettid().as_raw_nonzero()
    );
    refused(
        json!({"dev0": {}}),
        Some(&own),
        "is the one that the devices are in",
    );
    refused(json!({"lo": {}}), None, "netDevices");
    sh("ip link del dev0");
}
