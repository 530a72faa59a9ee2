//! Real callers. Where they are not installed, the tests say that they were skipped.

mod containerd;
mod docker;
mod podman;
mod swarm;

use std::process::Command;

/// Whether a test of these programs can be.
fn have(programs: &[&str]) -> bool {
    let find = |name: &&&str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {name}")])
            .output();
        !found.is_ok_and(|found| found.status.success())
    };
    match programs.iter().find(find) {
        Some(missing) => {
            println!("skipped: {missing} is not installed");
            false
        }
        None => true,
    }
}
