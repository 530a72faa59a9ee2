//! container prune, image prune.

use crate::common::Host;

#[test]
fn all_that_is_stopped() {
    let host = Host::new();
    host.idle("runs", &[]);
    host.ok(&["create", "--name", "made", "lab"]);
    host.ok(&[
        "run",
        "--name",
        "ended",
        "--network",
        "none",
        "-l",
        "keep",
        "lab",
        "sh",
        "-c",
        "head -c 200000 /dev/zero > /file",
    ]);
    let made = host.inspect("made")["Id"].as_str().unwrap().to_owned();
    let text = host.ok(&["container", "prune", "--force", "--filter", "label!=keep"]);
    assert!(text.contains(&made), "{text}");
    assert_eq!(names(&host), "ended runs");
    let text = host.ok(&["container", "prune", "-f"]);
    assert!(text.contains("reclaimed") && text.contains("200"), "{text}");
    assert_eq!(names(&host), "runs");
    assert!(host.ok(&["container", "prune", "-f"]).contains("0B"));
    // It asks first; no is no.
    host.ok(&["create", "--name", "made", "lab"]);
    host.silo_with(&["container", "prune"], b"n\n");
    assert_eq!(names(&host), "made runs");
    host.silo_with(&["container", "prune"], b"y\n");
    assert_eq!(names(&host), "runs");
}

fn names(host: &Host) -> String {
    host.ok(&["ps", "-a", "--format", "{{.Names}}"])
        .replace('\n', " ")
}

#[test]
fn images_that_nothing_uses() {
    let host = Host::new();
    host.ok(&["create", "--name", "made", "lab"]);
    let tar = host.silo(&["cp", "made:/etc", "-"]).raw;
    for _ in 0..2 {
        assert_eq!(host.silo_with(&["import", "-"], &tar).code, 0);
    }
    assert_eq!(host.silo_with(&["import", "-", "named"], &tar).code, 0);
    let count = |host: &Host| host.ok(&["images", "-q"]).lines().count();
    let before = count(&host);
    host.ok(&["image", "prune", "-f"]);
    assert!(count(&host) < before);
    let left = host.ok(&["images", "--format", "{{.Repository}}"]);
    assert!(left.contains("named") && left.contains("lab"), "{left}");
    host.ok(&["image", "prune", "-a", "-f"]);
    let left = host.ok(&["images", "--format", "{{.Repository}}"]);
    assert!(!left.contains("named") && left.contains("lab"), "{left}");
}
