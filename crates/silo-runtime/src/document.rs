//! Reading a specification's documents as the specification has them, where the types of `oci-spec` are stricter or spell a word
//! in another way. What is dropped is returned as warnings, since nothing here prints.

use oci_spec::runtime::{
    Capability, LinuxSchedulerFlag, MemoryPolicyFlagType, MemoryPolicyModeType, Process, Spec,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use silo_types::{Error, Result};

/// A `config.json`, and what of it was left out.
///
/// Errors: Invalid with the place where the document is none.
pub fn read_spec(document: &[u8]) -> Result<(Spec, Vec<String>)> {
    let mut value = parse(document)?;
    let warnings = match value.get_mut("process") {
        Some(process) => settle(process),
        None => Vec::new(),
    };
    Ok((into(value)?, warnings))
}

/// The `process` of a specification alone, as `exec` takes it.
pub fn read_process(document: &[u8]) -> Result<(Process, Vec<String>)> {
    let mut value = parse(document)?;
    let warnings = settle(&mut value);
    Ok((into(value)?, warnings))
}

fn parse(document: &[u8]) -> Result<Value> {
    match serde_json::from_slice(document) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Error::invalid("the specification is no JSON object")),
        Err(e) => Err(Error::invalid(format!("the specification is no JSON: {e}"))),
    }
}

fn into<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|e| Error::invalid(format!("the specification: {e}")))
}

/// Respells and drops in a process's document what the types do not know; what was dropped.
pub(crate) fn settle(process: &mut Value) -> Vec<String> {
    if let Some(flags) = process.pointer_mut("/scheduler/flags") {
        spell_flags(flags);
    }
    process
        .get_mut("capabilities")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
        .flat_map(|(set, names)| drop_unknown(set, names))
        .collect()
}

/// Says what of a memory policy is none, in runc's words: the types would name a variant of theirs.
pub(crate) fn check_memory_policy(spec: &Value) -> Result<()> {
    let Some(policy) = spec
        .pointer("/linux/memoryPolicy")
        .filter(|p| p.is_object())
    else {
        return Ok(());
    };
    let mode = &policy["mode"];
    if serde_json::from_value::<MemoryPolicyModeType>(mode.clone()).is_err() {
        return Err(Error::invalid(format!(
            "invalid memory policy mode {mode}: one such as MPOL_BIND is needed"
        )));
    }
    let flags = policy["flags"].as_array().into_iter().flatten();
    let is_known =
        |flag: &&Value| serde_json::from_value::<MemoryPolicyFlagType>((*flag).clone()).is_ok();
    match flags.into_iter().find(|flag| !is_known(flag)) {
        Some(flag) => Err(Error::invalid(format!("invalid memory policy flag {flag}"))),
        None => Ok(()),
    }
}

/// The specification's words for flags of sched_setattr(2), into those of the types.
fn spell_flags(flags: &mut Value) {
    use LinuxSchedulerFlag as F;
    let words = [
        ("SCHED_FLAG_RESET_ON_FORK", F::SchedResetOnFork),
        ("SCHED_FLAG_DL_OVERRUN", F::SchedFlagDLOverrun),
    ];
    for flag in flags.as_array_mut().into_iter().flatten() {
        let known = words.iter().find(|(word, _)| flag == word);
        if let Some(Ok(spelled)) = known.map(|(_, flag)| serde_json::to_value(flag)) {
            *flag = spelled;
        }
    }
}

/// Capabilities that are not of Linux are left out with a warning (config.md, "Linux Process", `capabilities`).
fn drop_unknown(set: &str, names: &mut Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(names) = names.as_array_mut() {
        names.retain(|name| {
            let is_known = serde_json::from_value::<Capability>(name.clone()).is_ok();
            if !is_known && name.is_string() {
                warnings.push(format!("unknown capability {name} in the {set} set"));
            }
            is_known || !name.is_string()
        });
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_specification_are_understood() {
        let document = br#"{"ociVersion": "1.3.0", "process": {"cwd": "/", "user": {"uid": 0, "gid": 0},
            "scheduler": {"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]},
            "capabilities": {"bounding": ["CAP_KILL", "CAP_NOT_YET"], "effective": []}}}"#;
        let (spec, warnings) = read_spec(document).unwrap();
        let process = spec.process().clone().unwrap();
        let flags = process.scheduler().clone().unwrap().flags().clone();
        assert_eq!(
            flags.unwrap(),
            [
                LinuxSchedulerFlag::SchedResetOnFork,
                LinuxSchedulerFlag::SchedFlagDLOverrun,
                LinuxSchedulerFlag::SchedFlagReclaim
            ]
        );
        assert_eq!(
            warnings,
            [r#"unknown capability "CAP_NOT_YET" in the bounding set"#]
        );
        let bounding = process.capabilities().clone().unwrap().bounding().clone();
        assert_eq!(bounding.unwrap().len(), 1);
    }

    #[test]
    fn a_memory_policy_that_is_none_is_told() {
        for (policy, told) in [
            (r#"{}"#, "invalid memory policy mode"),
            (r#"{"mode": "BIND"}"#, "invalid memory policy mode"),
            (
                r#"{"mode": "MPOL_BIND", "flags": ["MPOL_F_STATIC_NODES", "x"]}"#,
                "invalid memory policy flag \"x\"",
            ),
        ] {
            let document = format!(r#"{{"linux": {{"memoryPolicy": {policy}}}}}"#);
            let value = serde_json::from_str(&document).unwrap();
            let error = check_memory_policy(&value).unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
        let good = serde_json::json!({"linux": {"memoryPolicy": {"mode": "MPOL_BIND"}}});
        assert!(check_memory_policy(&good).is_ok());
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_place() {
        for bad in ["", "[]", r#"{"ociVersion": 1}"#, r#"{"process": 3}"#] {
            assert!(read_spec(bad.as_bytes()).is_err(), "{bad}");
        }
        let flags = br#"{"cwd": "/", "user": {"uid": 0, "gid": 0}, "scheduler": {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_X"]}}"#;
        let error = read_process(flags).unwrap_err().to_string();
        assert!(error.contains("SCHED_FLAG_X"), "{error}");
    }
}
