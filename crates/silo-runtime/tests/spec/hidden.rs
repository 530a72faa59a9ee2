//! Who is inside must not look at a process that joins before that has become its program (CVE-2016-9962).

use serde_json::{Value, json};

use crate::support::Bundle;

/// The spy has every capability of its user namespace, as a container's root may have, and the joining process no more than that.
#[test]
fn a_joining_process_cannot_be_looked_at() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(200_000, 1000);
    let said = bundle.spied_on(40);
    let seen: Vec<&Value> = said["exe"].as_array().unwrap().iter().collect();
    assert_eq!(seen, [&json!("/probe")], "{said}");
    assert_eq!(said["descriptors"], json!([]), "{said}");
    assert!(said["processes"].as_u64().unwrap() > 10, "{said}");
}
