//! What Silo knows and cannot honour is an error that says why; what it does not know is an error, too; nothing is half-made.

use crate::common::Host;

#[test]
fn flags_that_cannot_be_honoured() {
    let host = Host::new();
    for (flags, text) in [
        (&["-p", "80:80"][..], "not available yet"),
        (&["-P"], "not available yet"),
        (&["--health-cmd", "true"], "health checks"),
        (&["--gpus", "all"], "--device"),
        (&["--platform", "linux/arm64"], "platform"),
        (&["--storage-opt", "size=1g"], "storage-opt"),
        (&["--kernel-memory", "1g"], "--memory"),
        (&["--volumes-from", "x"], "--volume"),
        (&["--link", "x"], "not available yet"),
    ] {
        host.fails(
            &[&["run", "--rm"], flags, &["lab", "true"]].concat(),
            125,
            text,
        );
        host.fails(&[&["create"], flags, &["lab", "true"]].concat(), 125, text);
    }
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn flags_that_nobody_knows() {
    let host = Host::new();
    for (words, text) in [
        (&["run", "--nosuch", "lab"][..], "unknown flag: --nosuch"),
        (&["run", "--naem", "x", "lab"], "--name"),
        (&["run", "-Z", "lab"], "-Z"),
        (&["run", "--name"], "--name"),
        (&["create", "--memory=", "lab"], "memory"),
        (&["exec", "--nosuch", "x", "true"], "--nosuch"),
        (&["--nosuch", "ps"], "--nosuch"),
    ] {
        let said = host.fails(words, 125, text);
        assert!(
            said.lines().count() <= 3 && said.starts_with("silo: "),
            "{said}"
        );
    }
    host.fails(&["container", "nosuch"], 1, "nosuch");
    host.fails(&["ps", "extra"], 1, "extra");
}
