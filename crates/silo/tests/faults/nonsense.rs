//! Words that make no sense: a short clear error each, and nothing is left.

use crate::common::Host;

#[test]
fn names_of_64_kib() {
    let host = Host::new();
    let long = "a".repeat(65536);
    let path = format!("/{long}");
    // A single word of a command line is at most 128 KiB, execve(2).
    let (from, onto) = (format!("{path}:/data"), format!("/tmp:{path}"));
    for flags in [
        ["--name", &long],
        ["--hostname", &long],
        ["--user", &long],
        ["--workdir", &path],
        ["--network", &long],
        ["--volume", &from],
        ["--volume", &onto],
        ["--volume", &format!("{long}:/data")],
        ["--mount", &long],
        ["--tmpfs", &path],
        ["--memory", &long],
        ["--cpus", &long],
        ["--cpuset-cpus", &long],
        ["--device", &path],
        ["--cap-add", &long],
        ["--security-opt", &long],
        ["--sysctl", &format!("net.{long}=1")],
        ["--ulimit", &long],
        ["--cgroup-parent", &long],
        ["--restart", &long],
        ["--stop-signal", &long],
        ["--add-host", &long],
        ["--log-opt", &long],
        ["--env-file", &path],
        ["--cidfile", &path],
        ["--pid", &format!("container:{long}")],
        [&format!("--{long}"), "x"],
    ] {
        let words = [
            &["run", "--rm", "--network", "none"],
            &flags[..],
            &["lab", "true"],
        ]
        .concat();
        let said = host.fails(&words, 125, "silo: ");
        assert!(
            said.len() < 1000,
            "{}: {} bytes",
            &flags[0][..20.min(flags[0].len())],
            said.len()
        );
    }
    let said = host.fails(&["run", "--rm", &long, "true"], 125, "");
    assert!(said.len() < 1000);
    let said = host.fails(&["run", "--rm", "--network", "none", "lab", &long], 127, "");
    assert!(said.len() < 1000, "{}", said.len());
    for verb in [
        "inspect", "start", "stop", "rm", "logs", "top", "wait", "pause", "rmi", "history",
    ] {
        let said = host.fails(&[verb, &long], 1, "silo: ");
        assert!(said.len() < 1000, "{verb}: {} bytes", said.len());
    }
    host.fails(&[&long], 1, "silo: ");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn programs_that_cannot_run() {
    let host = Host::new();
    let run = |words: &[&str], code: i32, text: &str| {
        let said = host.fails(
            &[&["run", "--name", "box", "--network", "none", "lab"], words].concat(),
            code,
            text,
        );
        // Docker keeps such a container as created: it can be looked at.
        let facts = host.inspect("box");
        assert_eq!(facts["State"]["Status"], "created", "{said}");
        assert_eq!(facts["State"]["ExitCode"], code);
        assert!(!facts["State"]["Error"].as_str().unwrap().is_empty());
        host.ok(&["rm", "box"]);
    };
    run(&["nosuch"], 127, "nosuch");
    run(&["/bin/nosuch"], 127, "/bin/nosuch");
    run(&["/etc/passwd"], 126, "/etc/passwd");
    run(&["/tmp"], 126, "/tmp");
    run(&[""], 127, "");
    host.fails(&["create", "nosuch:1.0"], 125, "nosuch:1.0");
    host.fails(&["run", "lower/CASE", "true"], 125, "reference");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

/// A start that fails late has undone what came before.
#[test]
fn a_failed_start_leaves_nothing() {
    let host = Host::new();
    host.script(&[], "true");
    for flags in [
        &["-w", "/etc/passwd"][..],
        &["--mount", "type=bind,source=/nosuch,target=/x"],
        &["-v", "/tmp:/etc/passwd/x"],
        &["--sysctl", "net.ipv4.nosuch=1"],
        &["-u", "nosuch"],
        &["--device", "/dev/nosuch"],
        &["--pid", "container:nosuch"],
        &["--ulimit", "nofile=99999999:99999999"],
    ] {
        host.fails(
            &[&["run", "--rm", "-v", "/data"], flags, &["lab", "true"]].concat(),
            125,
            "",
        );
        assert_eq!(host.ok(&["ps", "-aq"]), "", "{flags:?}");
        assert_eq!(host.ok(&["volume", "ls", "-q"]), "", "{flags:?}");
        assert_eq!(
            crate::common::kernel::groups_below(&host.group()).len(),
            0,
            "{flags:?}"
        );
    }
}
