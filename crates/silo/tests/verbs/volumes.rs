//! volume create ls inspect rm prune.

use crate::common::Host;

#[test]
fn from_create_to_remove() {
    let host = Host::new();
    assert_eq!(host.ok(&["volume", "create", "data"]), "data");
    assert_eq!(
        host.ok(&["volume", "create", "data"]),
        "data",
        "as Docker: it is there already"
    );
    assert_eq!(
        host.ok(&["volume", "create", "--label", "colour=red", "other"]),
        "other"
    );
    let made = host.ok(&["volume", "create"]);
    assert_eq!(made.len(), 64);
    let list = host.ok(&["volume", "ls"]);
    assert!(
        list.starts_with("DRIVER") && list.contains("local"),
        "{list}"
    );
    assert_eq!(host.ok(&["volume", "ls", "-q"]).lines().count(), 3);
    assert_eq!(
        host.ok(&[
            "volume",
            "ls",
            "--filter",
            "label=colour",
            "--format",
            "{{.Name}}"
        ]),
        "other"
    );
    assert_eq!(
        host.ok(&["volume", "ls", "-q", "--filter", "name=dat"]),
        "data"
    );
    let facts: serde_json::Value =
        serde_json::from_str(&host.ok(&["volume", "inspect", "other"])).unwrap();
    assert_eq!(facts[0]["Labels"]["colour"], "red");
    assert_eq!(facts[0]["Driver"], "local");
    assert!(std::path::Path::new(facts[0]["Mountpoint"].as_str().unwrap()).is_dir());

    host.idle("user", &["-v", "data:/data"]);
    let said = host.fails(&["volume", "rm", "data"], 1, "in use");
    assert!(
        said.contains("user") || said.contains(&host.ok(&["ps", "-q"])),
        "{said}"
    );
    assert_eq!(
        host.ok(&["volume", "ls", "-q", "--filter", "dangling=true"])
            .lines()
            .count(),
        2
    );
    assert_eq!(host.ok(&["volume", "rm", "other"]), "other");
    host.fails(&["volume", "rm", "nosuch"], 1, "nosuch");
    host.fails(&["volume", "inspect", "nosuch"], 1, "nosuch");
    for wrong in ["../x", "a/b", "-x", "é1"] {
        assert_ne!(
            host.silo(&["volume", "create", "--", wrong]).code,
            0,
            "{wrong}"
        );
    }
    // Named ones are kept unless all are meant.
    host.ok(&["volume", "create", "named"]);
    let text = host.ok(&["volume", "prune", "-f"]);
    assert!(text.contains(&made), "{text}");
    assert_eq!(host.ok(&["volume", "ls", "-q"]), "data\nnamed");
    host.ok(&["volume", "prune", "-a", "-f"]);
    assert_eq!(host.ok(&["volume", "ls", "-q"]), "data");
}
