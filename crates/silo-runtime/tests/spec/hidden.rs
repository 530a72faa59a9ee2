//! Who is inside must not look at a process that joins before that has become its program (CVE-2016-9962).

use serde_json::{Value, json};

use crate::support::Bundle;

/// The spy has every capability of its user namespace, as a container's root may have, and the joining process no more than that.
#[test]
fn a_joining_process_cannot_be_looked_at() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(200_000, 1000);
    saw_nothing(bundle.spied_on(40));
}

/// Without a user namespace, where no change of user hides it by the way, from one that has the very same rights.
#[test]
fn a_joining_process_of_root_cannot_be_looked_at() {
    let mut bundle = Bundle::new();
    let rights = json!(["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL"]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), rights.clone());
    }
    saw_nothing(bundle.spied_on(40));
}

#[track_caller]
fn saw_nothing(said: Value) {
    let seen: Vec<&Value> = said["exe"].as_array().unwrap().iter().collect();
    assert_eq!(seen, [&json!("/probe")], "{said}");
    assert_eq!(said["descriptors"], json!([]), "{said}");
    assert!(said["processes"].as_u64().unwrap() > 10, "{said}");
}
