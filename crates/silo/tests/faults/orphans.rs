//! What a crash can leave, made by hand: `doctor` names it, `--fix` removes it, and nothing beside it that is not Silo's.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use crate::common::{Host, kernel};

/// Of a container that does not exist.
const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A folder in this host's control groups, in every hierarchy that it uses.
fn group(host: &Host, name: &str) -> Vec<PathBuf> {
    let tops = kernel::hierarchies().into_iter();
    let tops = tops.map(|hierarchy| hierarchy.place.join(host.group()));
    let made = tops.filter(|top| top.exists()).map(|top| top.join(name));
    made.inspect(|path| fs::create_dir(path).unwrap()).collect()
}

#[test]
fn each_is_named_and_removed_and_nothing_else() {
    let host = Host::new();
    // It makes the bridge and the groups, and must be there afterwards.
    host.ok(&["run", "-d", "--name", "lives", "lab", "sleep", "600"]);
    let orphans = group(&host, ID);
    let others = group(&host, "not-a-container");
    assert!(!orphans.is_empty());
    fs::write(host.run.join(ID), b"").unwrap();
    fs::write(host.run.join("other"), b"").unwrap();
    fs::create_dir(host.root.join("containers").join(ID)).unwrap();
    symlink(ID, host.root.join("names/forgotten")).unwrap();
    let bridge = host.group();
    for (name, peer) in [("veth00112233445", "peer-a"), ("vethown", "peer-b")] {
        kernel::run(
            "ip",
            &["link", "add", name, "type", "veth", "peer", "name", peer],
        );
        kernel::run("ip", &["link", "set", name, "master", &bridge]);
    }

    let words = [
        "control group",
        "control socket of 001122334455",
        "unfinished container 001122334455",
        "name forgotten",
        "network link veth00112233445",
    ];
    let found = host.silo(&["doctor"]);
    assert_eq!(found.code, 1, "{found}");
    for word in words {
        assert!(found.out.contains(word), "{word}: {found}");
    }
    for foreign in ["vethown", "not-a-container", "other"] {
        assert!(!found.out.contains(foreign), "{foreign}: {found}");
    }
    let fixed = host.silo(&["doctor", "--fix"]);
    assert_eq!(fixed.code, 0, "{fixed}");
    assert!(host.ok(&["doctor"]).contains("nothing"));
    assert!(orphans.iter().all(|path| !path.exists()));
    assert!(others.iter().all(|path| path.exists()));
    assert!(!host.run.join(ID).exists() && host.run.join("other").exists());
    let links = kernel::links();
    let has = |name: &str| links.iter().any(|link| link == name);
    assert!(!has("veth00112233445") && has("vethown"), "{links:?}");
    assert_eq!(host.status("lives"), "running");

    kernel::run("ip", &["link", "delete", "vethown"]);
    others.iter().for_each(|path| fs::remove_dir(path).unwrap());
    fs::remove_file(host.run.join("other")).unwrap();
}
