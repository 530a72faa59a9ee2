//! What callers are told when something is wrong, and where.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::fixture::{Oci, is_silo};

#[test]
fn a_log_file_has_a_json_object_a_line() {
    let oci = Oci::new();
    let log = oci.host.files.join("log.json").display().to_string();
    let bundle = oci.bundle("a", &["nonesuch"], |_| {});
    let words = ["--log", &log, "--log-format", "json", "create", "a"];
    let ran = oci.leave(&bundle, &words);
    assert_eq!(ran.code, 1, "{ran}");
    let text = fs::read_to_string(&log).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "error");
    assert!(last["time"].as_str().unwrap().starts_with("20"), "{last}");
    let message = last["msg"].as_str().unwrap();
    assert!(
        message.contains("executable file not found in $PATH"),
        "{message}"
    );
    assert!(
        ran.err.contains("executable file not found in $PATH"),
        "{ran}"
    );
    oci.fails(&["state", "a"], "does not exist");
}

#[test]
fn without_one_errors_are_lines_of_standard_error() {
    let oci = Oci::new();
    let ran = oci.fails(&["state", "nonesuch"], "container does not exist");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("level=error msg="), "{ran}");
    oci.fails(&["state"], "argument");
    oci.fails(&["state", "a", "b"], "argument");
    oci.fails(&["nonesuch"], "nonesuch");
    oci.fails(&["list", "--nonesuch"], "nonesuch");
    oci.fails(&["kill", "nonesuch", "KILL"], "does not exist");
}

#[test]
fn programs_that_cannot_run_are_told_when_they_are_made() {
    let oci = Oci::new();
    for (program, text) in [
        ("nonesuch", "executable file not found in $PATH"),
        ("/nonesuch", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
    ] {
        let bundle = oci.bundle("a", &[program], |_| {});
        for verb in [&["create", "a"][..], &["run", "a"]] {
            let ran = oci.leave(&bundle, verb);
            assert_eq!(ran.code, 1, "{program}: {ran}");
            assert!(ran.err.contains(text), "{program}: {ran}");
        }
    }
    assert_eq!(oci.ok(&["list", "-q"]), "");
}

#[test]
fn specifications_that_cannot_be() {
    let oci = Oci::new();
    let refused = |name: &str, text: &str, change: &dyn Fn(&mut Value)| {
        let bundle = oci.bundle(name, &["true"], |spec| change(spec));
        let ran = oci.leave(&bundle, &["create", name]);
        assert_ne!(ran.code, 0, "{name}: {ran}");
        assert!(ran.err.to_lowercase().contains(text), "{name}: {ran}");
    };
    refused("cwd", "cwd", &|spec| spec["process"]["cwd"] = json!("etc"));
    refused("args", "args", &|spec| spec["process"]["args"] = json!([]));
    refused("root", "nonesuch", &|spec| {
        spec["root"]["path"] = json!("/nonesuch")
    });
    refused("bind", "nonesuch", &|spec| {
        let source = "/nonesuch".as_ref();
        crate::fixture::add(&mut spec["mounts"], crate::fixture::bind(source, "/tmp"));
    });
    let ran = oci.leave(&oci.host.files, &["create", "--bundle", "/nonesuch", "a"]);
    assert!(ran.code != 0 && ran.err.contains("/nonesuch"), "{ran}");
    let ran = oci.leave(&oci.host.files, &["create", "a"]);
    assert!(ran.code != 0 && ran.err.contains("config.json"), "{ran}");
    assert!(oci.groups().is_empty());
}

#[test]
fn what_this_runtime_is() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let version = oci.ok(&["--version"]);
    let lines: Vec<&str> = version.lines().collect();
    assert!(lines[0].starts_with("silo-runtime version "), "{version}");
    assert!(lines[1].starts_with("commit: "), "{version}");
    assert!(lines[2].starts_with("spec: 1.3."), "{version}");
    let features: Value = serde_json::from_str(&oci.ok(&["features"])).unwrap();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    for (list, word) in [
        ("/mountOptions", "rbind"),
        ("/linux/namespaces", "mount"),
        ("/linux/capabilities", "CAP_KILL"),
    ] {
        let words = features.pointer(list).unwrap().as_array().unwrap();
        assert!(words.contains(&json!(word)), "{list}: {words:?}");
    }
    assert_eq!(
        features.pointer("/linux/netDevices/enabled"),
        Some(&json!(true))
    );
    assert_eq!(
        features.pointer("/linux/intelRdt/enabled"),
        Some(&json!(false))
    );
    assert_eq!(oci.host.silo(&["oci", "--version"]).ok(), version);
    assert_eq!(oci.ok(&["help", "create"]), oci.ok(&["create", "--help"]));
    assert!(oci.ok(&["help"]).contains("create"));
    assert!(oci.ok(&["create", "--help"]).contains("--console-socket"));
    // sd_booted(3)
    let is_there = Path::new("/run/systemd/system").exists();
    let systemd = oci.run(&["--systemd-cgroup", "state", "a"]);
    let why = match is_there {
        true => "does not exist",
        false => "cgroupfs",
    };
    assert!(systemd.code != 0 && systemd.err.contains(why), "{systemd}");
}

#[test]
fn a_specification_to_begin_with() {
    let oci = Oci::new();
    let folder = oci.host.folder("spec");
    oci.ok(&["spec", "--bundle", &folder]);
    let file = format!("{folder}/config.json");
    let spec: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(spec["process"]["terminal"], true);
    assert_eq!(spec["process"]["args"], json!(["sh"]));
    assert_eq!(spec["root"], json!({"path": "rootfs", "readonly": true}));
    oci.fails(&["spec", "-b", &folder], "config.json");
    fs::remove_file(&file).unwrap();
    oci.ok(&["spec", "--rootless", "-b", &folder]);
    let spec: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let namespaces = spec["linux"]["namespaces"].as_array().unwrap();
    assert!(
        namespaces.contains(&json!({"type": "user"})),
        "{namespaces:?}"
    );
}
