//! AppArmor where the kernel has it: a profile holds for the program and for whoever joins; one that is not loaded is refused.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::fixture::{Oci, is_silo};

/// Loads a profile that forbids writes below /srv; `None`: AppArmor is not there.
fn profile(oci: &Oci) -> Option<String> {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let can = Path::new("/sbin/apparmor_parser").exists()
        || Path::new("/usr/sbin/apparmor_parser").exists();
    if !enabled.is_ok_and(|text| text.starts_with('Y')) || !can || !is_silo() {
        println!("skipped: this host has no AppArmor");
        return None;
    }
    let name = oci.host.mark().to_owned();
    let text = format!(
        "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n file,\n signal,\n capability,\n deny /srv/** w,\n}}\n"
    );
    load(oci, "--replace", &text);
    Some(name)
}

#[track_caller]
fn load(oci: &Oci, how: &str, text: &str) {
    let file = oci.host.file("profile", text);
    let ran = Command::new("apparmor_parser")
        .args([how, "--skip-cache", &file])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn a_profile_holds_for_the_program_and_who_joins() {
    let oci = Oci::new();
    let Some(name) = profile(&oci) else {
        return;
    };
    oci.idle("a", |spec| {
        spec["process"]["apparmorProfile"] = json!(name);
        let srv = json!({"destination": "/srv", "type": "tmpfs", "source": "tmpfs"});
        crate::fixture::add(&mut spec["mounts"], srv);
    });
    let label = fs::read_to_string(format!("/proc/{}/attr/current", oci.pid("a"))).unwrap();
    assert_eq!(label.trim(), format!("{name} (enforce)"));
    let joined = oci.ok(&["exec", "a", "cat", "/proc/self/attr/current"]);
    assert_eq!(joined.trim(), format!("{name} (enforce)"));
    let denied = oci.run(&["exec", "a", "sh", "-c", "echo x > /srv/x"]);
    assert!(denied.code != 0, "{denied}");
    oci.ok(&["exec", "a", "sh", "-c", "echo x > /dev/null"]);
    let bundle = oci.bundle("b", &["true"], |spec| {
        spec["process"]["apparmorProfile"] = json!("nonesuch");
    });
    let ran = oci.run_in(&bundle, &["run", "b"]);
    assert!(ran.code != 0 && ran.err.contains("nonesuch"), "{ran}");
    oci.ok(&["delete", "--force", "a"]);
    load(&oci, "--remove", &format!("profile {name} {{}}\n"));
}
