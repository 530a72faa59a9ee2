//! --name -l --label-file --annotation --cidfile --pull --runtime --timing -a -i -d, made-up names, prefixes of ids.

use crate::common::{Host, kernel};

#[test]
fn names_are_given_or_made_up() {
    let host = Host::new();
    host.ok(&["create", "--name", "web.1-a_b", "lab"]);
    host.ok(&["create", "lab"]);
    let names = host.ok(&["ps", "-a", "--format", "{{.Names}}"]);
    let made = names.lines().next().unwrap();
    assert!(
        made.split_once('_')
            .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
        "{names}"
    );
    let id = host.inspect("web.1-a_b")["Id"].as_str().unwrap().to_owned();
    for reference in [&id, &id[..12], &id[..5], "web.1-a_b", "/web.1-a_b"] {
        assert_eq!(host.inspect(reference)["Id"], id.as_str(), "{reference}");
    }
    let text = host.fails(
        &["create", "--name", "web.1-a_b", "lab"],
        125,
        "already in use",
    );
    assert!(text.contains(&id[..12]), "{text}");
    for wrong in ["a", "-x", "a/b", "../x", "é1", "a b"] {
        host.fails(&["create", &format!("--name={wrong}"), "lab"], 125, "name");
    }
    host.fails(&["inspect", "nosuch"], 1, "nosuch");
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 2);
}

#[test]
fn a_prefix_of_two_ids_is_of_neither() {
    let host = Host::new();
    let mut ids: Vec<String> = (0..17).map(|_| host.ok(&["create", "lab"])).collect();
    ids.sort();
    // Of 17 ids at least two begin with the same digit.
    let pair = ids.windows(2).find(|p| p[0][..1] == p[1][..1]).unwrap();
    host.fails(&["rm", &pair[0][..1]], 1, &pair[0][..1]);
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 17);
}

#[test]
fn labels_from_flags_and_files() {
    let host = Host::new();
    let file = host.file("labels", "# no label\nfrom=file\nboth=file\nalone\n");
    let flags = [
        "--label-file",
        &file,
        "-l",
        "both=flag",
        "--label",
        "empty=",
        "--annotation",
        "note=kept",
    ];
    host.idle("labelled", &flags);
    let labels = &host.inspect("labelled")["Config"]["Labels"];
    for (key, value) in [
        ("from", "file"),
        ("both", "flag"),
        ("alone", ""),
        ("empty", ""),
    ] {
        assert_eq!(labels[key], value, "{labels}");
    }
    assert_eq!(labels["note"], serde_json::Value::Null);
    assert_eq!(
        host.inspect("labelled")["HostConfig"]["Annotations"]["note"],
        "kept"
    );
    assert_eq!(host.ok(&["ps", "--format", "{{.Label \"from\"}}"]), "file");
}

#[test]
fn the_id_is_written_to_a_file() {
    let host = Host::new();
    let path = host.files.join("cid").display().to_string();
    let id = host.ok(&[
        "run",
        "-d",
        "--network",
        "none",
        "--cidfile",
        &path,
        "lab",
        "true",
    ]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), id);
    host.fails(
        &["run", "--rm", "--cidfile", &path, "lab", "true"],
        125,
        "cid",
    );
    host.fails(
        &["run", "--rm", "--cidfile", "/nosuch/cid", "lab", "true"],
        125,
        "/nosuch/cid",
    );
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 1);
}

#[test]
fn exit_codes_are_dockers() {
    let host = Host::new();
    let run = |words: &[&str]| {
        host.silo(&[&["run", "--rm", "--network", "none", "lab"], words].concat())
            .code
    };
    assert_eq!(run(&["true"]), 0);
    assert_eq!(run(&["sh", "-c", "exit 42"]), 42);
    assert_eq!(run(&["false"]), 1);
    assert_eq!(run(&["nosuch"]), 127);
    assert_eq!(run(&["/nosuch/at/all"]), 127);
    assert_eq!(run(&["/etc/passwd"]), 126);
    assert_eq!(run(&["/etc"]), 126);
    assert_eq!(run(&["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]), 137);
    // Process 1 of a pid namespace is immune to its own KILL, pid_namespaces(7); below an init it is not process 1.
    let below_init = |script: &str| {
        let words = ["run", "--rm", "--init", "--network", "none", "lab"];
        host.silo(&[&words[..], &["sh", "-c", script]].concat())
            .code
    };
    assert_eq!(below_init("kill -9 $$"), 137);
    assert_eq!(below_init("kill -TERM $$"), 143);
    assert_eq!(host.silo(&["run", "--nosuch", "lab"]).code, 125);
    assert_eq!(host.silo(&["run"]).code, 1);
    assert_eq!(host.silo(&["nosuch"]).code, 1);
    host.fails(&["run", "--rm", "lab", "nosuch"], 127, "nosuch");
    host.fails(&["run", "--rm", "lab", "/etc/passwd"], 126, "/etc/passwd");
    host.fails(&["run", "--nosuch", "lab"], 125, "unknown flag: --nosuch");

    host.idle("other", &[]);
    let exec = |words: &[&str]| host.silo(&[&["exec", "other"], words].concat()).code;
    assert_eq!(exec(&["sh", "-c", "exit 9"]), 9);
    assert_eq!(exec(&["nosuch"]), 127);
    assert_eq!(exec(&["/etc/passwd"]), 126);
    assert_eq!(exec(&["sh", "-c", "kill -9 $$"]), 137);
    host.fails(&["exec", "nosuch", "true"], 1, "no such container");
}

#[test]
fn streams_are_kept_apart_and_whole() {
    let host = Host::new();
    let ran = host.silo(&[
        "run",
        "--rm",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        "echo out; echo err >&2",
    ]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("out\n", "err\n"));
    // A MiB each way, with every byte.
    let bytes: Vec<u8> = (0..1 << 20)
        .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let ran = host.silo_with(
        &["run", "--rm", "-i", "--network", "none", "lab", "cat"],
        &bytes,
    );
    assert!(
        ran.raw == bytes,
        "{} bytes of {}",
        ran.raw.len(),
        bytes.len()
    );
    host.idle("other", &[]);
    let ran = host.silo_with(&["exec", "-i", "other", "cat"], &bytes);
    assert!(ran.raw == bytes);
    // Without -i nothing arrives.
    let ran = host.silo_with(
        &["run", "--rm", "--network", "none", "lab", "cat"],
        b"unread",
    );
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    // -a chooses.
    let words = [
        "run",
        "--rm",
        "--network",
        "none",
        "-a",
        "stderr",
        "lab",
        "sh",
        "-c",
        "echo out; echo err >&2",
    ];
    let ran = host.silo(&words);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "err\n"));
    host.fails(
        &["run", "-d", "-a", "stdout", "lab", "true"],
        125,
        "--detach",
    );
}

#[test]
fn removed_when_it_ends() {
    let host = Host::new();
    host.offline(&["--name", "short", "-v", "/data"], "echo x > /data/y");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    assert_eq!(host.ok(&["volume", "ls", "-q"]), "");
    host.ok(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "later",
        "--network",
        "none",
        "lab",
        "sleep",
        "600",
    ]);
    host.ok(&["stop", "-t", "0", "later"]);
    crate::common::until("its removal", || host.ok(&["ps", "-aq"]).is_empty());
    // One that cannot start is removed, too.
    host.silo(&["run", "--rm", "--name", "never", "lab", "nosuch"]);
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    host.fails(
        &["run", "--rm", "--restart", "always", "lab", "true"],
        125,
        "--rm",
    );
}

#[test]
fn timing_tells_the_steps() {
    let host = Host::new();
    let ran = host.silo(&[
        "run",
        "--rm",
        "--timing",
        "--network",
        "none",
        "lab",
        "true",
    ]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(ran.out, "");
    for word in [" ms", "rootfs", "clone", "exec"] {
        assert!(ran.err.contains(word), "{ran}");
    }
}

#[test]
fn images_are_not_fetched() {
    let host = Host::new();
    host.fails(
        &["run", "--rm", "--pull", "never", "nosuch", "true"],
        125,
        "nosuch",
    );
    host.fails(
        &["run", "--rm", "--pull", "always", "lab", "true"],
        125,
        "registries",
    );
    host.fails(
        &["run", "--rm", "--pull", "often", "lab", "true"],
        125,
        "often",
    );
    host.fails(
        &["run", "--rm", "--runtime", "runc", "lab", "true"],
        125,
        "runc",
    );
    assert_eq!(
        host.ok(&[
            "run",
            "--rm",
            "--runtime",
            "silo",
            "--pull",
            "missing",
            "--network",
            "none",
            "lab",
            "echo",
            "x"
        ]),
        "x"
    );
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn detached_containers_outlive_the_command() {
    let host = Host::new();
    host.idle("alone", &[]);
    let pid = host.pid("alone");
    assert!(kernel::alive(pid));
    // Its terminal and session are not the caller's.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let tty = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .nth(4)
        .unwrap()
        .to_owned();
    assert_eq!(tty, "0");
}
