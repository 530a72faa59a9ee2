//! Time namespaces: offsets are there before anybody is, for the first process and for one that enters.

use serde_json::json;

use crate::support::Bundle;

const DAY: i64 = 86_400;

fn far_ahead() -> Bundle {
    let mut bundle = Bundle::new();
    bundle.namespace(json!({"type": "time"})).set(
        "/linux/timeOffsets",
        json!({"monotonic": {"secs": 100 * DAY}, "boottime": {"secs": 200 * DAY, "nanosecs": 5}}),
    );
    bundle
}

fn own(clock: rustix::time::ClockId) -> i64 {
    rustix::time::clock_gettime(clock).tv_sec
}

#[test]
fn clocks_have_their_offsets() {
    let mut bundle = far_ahead();
    let said = bundle.ask(&["pid", "monotonic", "boottime", "link:/proc/self/ns/time"]);
    assert_eq!(said["pid"], 1);
    let inside = |name: &str| said[name].as_i64().unwrap();
    let monotonic = inside("monotonic") - own(rustix::time::ClockId::Monotonic);
    let boottime = inside("boottime") - own(rustix::time::ClockId::Boottime);
    // The host's clock was read up to some seconds later.
    assert!(
        (100 * DAY - 20..=100 * DAY).contains(&monotonic),
        "{monotonic}"
    );
    assert!(
        (200 * DAY - 20..=200 * DAY + 1).contains(&boottime),
        "{boottime}"
    );

    let said = bundle.ask_beside(&["monotonic"], |_| {});
    assert!(said["monotonic"].as_i64().unwrap() > 99 * DAY);
}

#[test]
fn in_a_user_namespace_too() {
    let mut bundle = far_ahead();
    bundle.user_namespace(200_000, 1000);
    let said = bundle.ask(&["ids", "pid", "monotonic"]);
    assert_eq!(said["ids"], json!([0, 0]));
    assert_eq!(said["pid"], 1);
    assert!(said["monotonic"].as_i64().unwrap() > 99 * DAY);
    let said = bundle.ask_beside(&["monotonic"], |_| {});
    assert!(said["monotonic"].as_i64().unwrap() > 99 * DAY);
}

#[test]
fn without_privileges_too() {
    const NOBODY: u32 = 65_500;
    let mut bundle = far_ahead().called_by(NOBODY);
    bundle.user_namespace(NOBODY, 1);
    let said = bundle.ask(&["ids", "monotonic"]);
    assert_eq!(said["ids"], json!([0, 0]));
    assert!(said["monotonic"].as_i64().unwrap() > 99 * DAY);
}

#[test]
fn without_offsets_it_is_still_another_one() {
    let mut bundle = Bundle::new();
    bundle.namespace(json!({"type": "time"}));
    let said = bundle.ask(&["link:/proc/self/ns/time"]);
    let own = std::fs::read_link("/proc/self/ns/time").unwrap();
    assert_ne!(said["link:/proc/self/ns/time"], own.to_str().unwrap());
}
