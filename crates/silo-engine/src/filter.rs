//! Which seccomp filter a container gets: the default for its capabilities, or a profile of the user's in Docker's form.

use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Map, Value, json};
use silo_runtime::{
    capabilities::{self, CapSet},
    seccomp::{Filter, default_profile},
};
use silo_types::{Error, Kind, Result, SeccompChoice, Security};

/// The filter of a container's processes; `None`: unconfined.
pub(crate) fn of(security: &Security, set: CapSet) -> Result<Option<Filter>> {
    if security.privileged {
        return Ok(None);
    }
    match &security.seccomp {
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::Default => Filter::new(&default_profile(set)).map(Some),
        SeccompChoice::Profile(text) => Filter::new(&profile(text, set)?).map(Some),
    }
}

/// Reads a profile: the OCI's form, with Docker's `archMap`, `includes` and `excludes` resolved for these capabilities.
fn profile(text: &str, set: CapSet) -> Result<LinuxSeccomp> {
    let bad = |why: &str| Error::new(Kind::Invalid, format!("seccomp profile: {why}"));
    let mut document: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| bad(&e.to_string()))?;
    if let Some(Value::Array(map)) = document.remove("archMap") {
        let architectures: Vec<Value> = map
            .iter()
            .filter(|entry| entry["architecture"] == "SCMP_ARCH_X86_64")
            .flat_map(|entry| {
                let others = entry["subArchitectures"].as_array().cloned();
                [entry["architecture"].clone()]
                    .into_iter()
                    .chain(others.unwrap_or_default())
            })
            .collect();
        document.insert("architectures".to_owned(), Value::Array(architectures));
    }
    let syscalls = match document.remove("syscalls") {
        Some(Value::Array(list)) => list,
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return Err(bad("syscalls is not a list")),
    };
    let mut kept = Vec::new();
    for mut entry in syscalls {
        let Some(fields) = entry.as_object_mut() else {
            return Err(bad("an entry of syscalls is not an object"));
        };
        let includes = fields.remove("includes").unwrap_or_default();
        let excludes = fields.remove("excludes").unwrap_or_default();
        fields.remove("comment");
        if let Some(name) = fields.remove("name") {
            fields.insert("names".to_owned(), json!([name]));
        }
        if applies(&includes, &excludes, set) {
            kept.push(entry);
        }
    }
    document.insert("syscalls".to_owned(), Value::Array(kept));
    serde_json::from_value(Value::Object(document)).map_err(|e| bad(&e.to_string()))
}

fn applies(includes: &Value, excludes: &Value, set: CapSet) -> bool {
    let has = |name: &Value| {
        name.as_str()
            .and_then(|name| capabilities::parse(name).ok())
            .is_some_and(|capability| set.contains(capability))
    };
    let list = |rules: &Value, key: &str| rules[key].as_array().cloned().unwrap_or_default();
    let ours = |arch: &Value| arch == "amd64" || arch == "x86_64";
    let arches = list(includes, "arches");
    list(includes, "caps").iter().all(has)
        && (arches.is_empty() || arches.iter().any(ours))
        && kernel_is_new_enough(&includes["minKernel"])
        && !list(excludes, "caps").iter().any(has)
        && !list(excludes, "arches").iter().any(ours)
        && (excludes["minKernel"].is_null() || !kernel_is_new_enough(&excludes["minKernel"]))
}

/// `minKernel` is `MAJOR.MINOR`; absent: any.
fn kernel_is_new_enough(wanted: &Value) -> bool {
    let Some(wanted) = wanted.as_str() else {
        return true;
    };
    let numbers = |text: &str| {
        let mut parts = text
            .split(['.', '-'])
            .map(|p| p.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    let release = rustix::system::uname();
    numbers(&release.release().to_string_lossy()) >= numbers(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_form_is_understood() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
            "syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
            {"name":"mount","action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
            {"names":["bpf"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["amd64"]}}]}"#;
        let parsed = profile(text, CapSet::DEFAULT).unwrap();
        let names: Vec<&str> = parsed
            .syscalls()
            .iter()
            .flatten()
            .flat_map(|s| s.names().iter().map(String::as_str))
            .collect();
        assert_eq!(names, ["read", "write", "ptrace"]);
        assert_eq!(parsed.architectures().as_ref().unwrap().len(), 2);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"defaultAction":"NO"}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":3}"#,
        ] {
            assert!(profile(bad, CapSet::DEFAULT).is_err(), "{bad}");
        }
    }
}
