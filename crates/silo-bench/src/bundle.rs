//! Bundles for the bare runtimes: `crun spec`'s default, with and without Docker's system call filter.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use silo_types::{Doing, Error, Result};

use crate::measure::output;

/// The capabilities that Docker gives by default: they decide which rules of its profile apply.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Writes `folder/config.json`: the runtime's own default specification with another command, on `rootfs`.
pub fn write(folder: &Path, rootfs: &Path, args: &[&str], seccomp: Option<&Value>) -> Result<()> {
    fs::create_dir_all(folder).doing_with(|| format!("make {}", folder.display()))?;
    let path = folder.join("config.json");
    if path.exists() {
        fs::remove_file(&path).doing_with(|| format!("remove {}", path.display()))?;
    }
    output(Command::new("crun").arg("spec").current_dir(folder))?;
    let text = fs::read(&path).doing_with(|| format!("read {}", path.display()))?;
    let mut spec: Value = serde_json::from_slice(&text).doing("understand crun's specification")?;
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(args);
    spec["root"]["path"] = json!(rootfs);
    if let Some(profile) = seccomp {
        spec["linux"]["seccomp"] = profile.clone();
    }
    fs::write(&path, spec.to_string()).doing_with(|| format!("write {}", path.display()))
}

/// Docker's default profile in the form of an OCI specification, from the profile file that podman ships.
pub fn default_seccomp(profile: &Path) -> Result<Value> {
    let text = fs::read(profile).doing_with(|| format!("read {}", profile.display()))?;
    let profile: Value = serde_json::from_slice(&text).doing("understand the seccomp profile")?;
    let rules = profile["syscalls"]
        .as_array()
        .ok_or_else(|| Error::invalid("the seccomp profile has no rules"))?;
    let rules: Vec<Value> = rules
        .iter()
        .filter(|rule| applies(rule))
        .map(oci_rule)
        .collect();
    Ok(json!({
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"].as_u64().unwrap_or(1),
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    }))
}

/// A rule's conditions: `includes` must all hold, none of `excludes` may.
fn applies(rule: &Value) -> bool {
    let names = |value: &Value| -> Vec<String> {
        let names = value.as_array().into_iter().flatten();
        names
            .filter_map(|n| n.as_str().map(str::to_owned))
            .collect()
    };
    let has = |cap: &String| CAPABILITIES.contains(&cap.as_str());
    let here = |arch: &String| matches!(arch.as_str(), "amd64" | "x86" | "x32");
    let includes = &rule["includes"];
    let excludes = &rule["excludes"];
    let arches = names(&includes["arches"]);
    names(&includes["caps"]).iter().all(has)
        && (arches.is_empty() || arches.iter().any(here))
        && !names(&excludes["caps"]).iter().any(has)
        && !names(&excludes["arches"]).iter().any(here)
}

fn oci_rule(rule: &Value) -> Value {
    let mut oci = serde_json::Map::new();
    for key in ["names", "action", "errnoRet", "args"] {
        match &rule[key] {
            Value::Null => {}
            Value::Array(list) if list.is_empty() => {}
            value => drop(oci.insert(key.to_owned(), value.clone())),
        }
    }
    Value::Object(oci)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_other_machines_and_capabilities_are_left_out() {
        assert!(applies(&json!({"names": ["read"]})));
        assert!(applies(&json!({"includes": {"caps": ["CAP_SYS_CHROOT"]}})));
        assert!(!applies(&json!({"includes": {"caps": ["CAP_SYS_ADMIN"]}})));
        assert!(applies(&json!({"excludes": {"caps": ["CAP_SYS_ADMIN"]}})));
        assert!(!applies(&json!({"includes": {"arches": ["s390x"]}})));
        assert!(applies(
            &json!({"includes": {"arches": ["amd64", "arm64"]}})
        ));
    }

    #[test]
    fn a_rule_keeps_what_the_oci_form_knows() {
        let rule = json!({"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [], "comment": "x"});
        let expected = json!({"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22});
        assert_eq!(oci_rule(&rule), expected);
    }
}
