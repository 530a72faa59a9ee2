//! What a hostile image tries, in containers of somebody without privileges: what they may change on the host is theirs, and still
//! it stays as it was. The same for root is in the tests of the command line (crates/silo/tests/threats).

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::json;

use crate::support::{Bundle, Said};

/// A user without privileges.
const NOBODY: u32 = 65_500;

fn bundle() -> Bundle {
    let mut bundle = Bundle::new().called_by(NOBODY);
    bundle.user_namespace(NOBODY, 1);
    for name in ["canary", "ptmx"] {
        fs::write(bundle.host().join(name), "whole").unwrap();
    }
    bundle
}

/// The host's folder is as it was made.
#[track_caller]
fn is_whole(bundle: &Bundle, said: &Said) {
    let mut names: Vec<_> = fs::read_dir(bundle.host())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["canary", "ptmx"], "{}", said.errors);
    for name in names {
        let text = fs::read_to_string(bundle.host().join(name)).unwrap();
        assert_eq!(text, "whole", "{}", said.errors);
    }
}

fn link(bundle: &Bundle, to: &Path, name: &str) {
    let place = bundle.rootfs().join(name);
    let _ = fs::remove_dir(&place);
    symlink(to, place).unwrap();
}

#[test]
fn places_of_the_kernel_are_no_links() {
    for name in ["proc", "sys", "dev"] {
        let mut bundle = bundle();
        let host = bundle.host();
        link(&bundle, &host, name);
        let said = bundle.run(&["pid"]);
        is_whole(&bundle, &said);
        assert!(
            said.code != 0 && said.errors.contains("symbolic link"),
            "{}",
            said.errors
        );
    }
}

#[test]
fn links_lead_nowhere() {
    let mut bundle = bundle();
    let host = bundle.host();
    link(&bundle, &host, "out");
    bundle.mount(json!({"destination": "/out/new/deep", "type": "tmpfs", "source": "t"}));
    bundle.set("/process/cwd", json!("/out/work"));
    let said = bundle.run(&["pid", "link:/proc/self/cwd"]);
    is_whole(&bundle, &said);
    assert_eq!(said.code, 0, "{}", said.errors);

    bundle.set("/linux/maskedPaths", json!(["/out/canary"]));
    let said = bundle.run(&["pid"]);
    is_whole(&bundle, &said);
    assert_ne!(said.code, 0);
}

#[test]
fn the_null_device_is_one() {
    let mut bundle = bundle();
    let dev = bundle.folder.join("dev");
    fs::create_dir(&dev).unwrap();
    fs::write(bundle.rootfs().join("secret"), "secret").unwrap();
    symlink(bundle.host().join("canary"), dev.join("null")).unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    bundle
        .mount(json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]}));
    bundle.set("/linux/maskedPaths", json!(["/secret"]));
    let said = bundle.run(&["read:/secret"]);
    is_whole(&bundle, &said);
    assert!(
        said.code != 0 && said.errors.contains("null device"),
        "{}",
        said.errors
    );
}

/// Nobody's caller has descriptors of the host, too.
#[test]
fn folders_that_are_open_lead_nowhere() {
    for number in 3..15 {
        let mut bundle = bundle();
        let up = "/..".repeat(20);
        let program = format!(
            "/proc/self/fd/{number}{up}{}",
            bundle.rootfs().join("probe").display()
        );
        bundle.set("/process/args", json!([program, "pid"]));
        let output = bundle.command(&[]).output().unwrap();
        assert!(!output.status.success(), "{number}");
        bundle.set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        let said = bundle.run(&["pid"]);
        assert_ne!(said.code, 0, "{number}");
    }
}

#[test]
fn users_and_settings_are_refused() {
    let mut bundle = bundle();
    bundle.set("/process/user", json!({"uid": u32::MAX, "gid": 0}));
    assert!(bundle.refused().contains("out of range"));
    bundle.set("/process/user", json!({"uid": 0, "gid": 0}));
    bundle.set("/linux/sysctl", json!({"kernel.core_pattern": "|/x"}));
    assert!(bundle.refused().contains("would change the host"));
}
