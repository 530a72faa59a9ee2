//! diff, events.

use std::process::Stdio;

use crate::common::{Host, until};

#[test]
fn what_a_container_changed() {
    let host = Host::new();
    let script = "echo x > /etc/new; rm /etc/motd; echo more >> /etc/profile; mkdir /made; rm -r /home/lab; chmod 700 /var";
    host.ok(&[
        "run",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    let text = host.ok(&["container", "diff", "box"]);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "A /etc/new",
            "A /made",
            "C /etc",
            "C /etc/profile",
            "C /home",
            "C /var",
            "D /etc/motd",
            "D /home/lab"
        ]
    );
    host.ok(&["create", "--name", "fresh", "lab"]);
    assert_eq!(host.ok(&["diff", "fresh"]), "");
    host.fails(&["diff", "nosuch"], 1, "nosuch");
}

#[test]
fn what_happened() {
    let host = Host::new();
    host.idle("box", &["-l", "colour=red"]);
    host.ok(&["pause", "box"]);
    host.ok(&["unpause", "box"]);
    host.ok(&["rename", "box", "renamed"]);
    host.ok(&["kill", "renamed"]);
    host.ended("renamed");
    host.ok(&["rm", "renamed"]);
    let events = |flags: &[&str]| {
        let words = [&["events", "--since", "1h", "--until", "0s"], flags].concat();
        host.ok(&words)
    };
    let actions = events(&[
        "--format",
        "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}",
    ]);
    let expected = [
        "create box",
        "start box",
        "pause box",
        "unpause box",
        "rename renamed",
        "kill renamed",
        "die renamed",
        "destroy renamed",
    ];
    let lines: Vec<String> = expected.iter().map(|e| format!("container {e}")).collect();
    assert_eq!(actions.lines().collect::<Vec<_>>(), lines);
    assert_eq!(events(&["--filter", "event=die"]).lines().count(), 1);
    assert!(events(&["--filter", "event=die"]).contains("exitCode=137"));
    assert_eq!(events(&["--filter", "container=nosuch"]), "");
    assert_eq!(events(&["--filter", "label=colour=red"]).lines().count(), 8);
    let json = events(&["--filter", "event=start", "--format", "json"]);
    let fact: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(fact["Action"], "start");
    assert_eq!(host.ok(&["events", "--since", "0s", "--until", "0s"]), "");
}

#[test]
fn events_as_they_happen() {
    let host = Host::new();
    host.ok(&["create", "--name", "before", "lab"]);
    let path = host.files.join("seen");
    let file = std::fs::File::create(&path).unwrap();
    let mut command = host.command(&["events", "--format", "{{.Action}}"]);
    let mut child = command.stdout(Stdio::from(file)).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    host.offline(&["--name", "box"], "true");
    let seen = || std::fs::read_to_string(&path).unwrap();
    until("the events", || {
        seen().lines().eq(["create", "start", "die", "destroy"])
    });
    child.kill().unwrap();
    child.wait().unwrap();
}
