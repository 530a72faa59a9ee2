//! --log-driver --log-opt.

use crate::common::Host;

#[test]
fn logs_are_rotated() {
    let host = Host::new();
    let flags = [
        "--name",
        "chatty",
        "--log-opt",
        "max-size=20k",
        "--log-opt",
        "max-file=3",
    ];
    let script = "n=0; while [ $n -lt 2000 ]; do echo line $n; n=$((n + 1)); done";
    let words = [
        &["run", "--network", "none"],
        &flags[..],
        &["lab", "sh", "-c", script],
    ];
    let ran = host.silo(&words.concat());
    assert_eq!(ran.out.lines().count(), 2000);
    let folder = host
        .root
        .join("containers")
        .join(host.inspect("chatty")["Id"].as_str().unwrap());
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().contains("log.json") {
            sizes.push(entry.metadata().unwrap().len());
        }
    }
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 20 * 1024), "{sizes:?}");
    // What is kept is the end, in order and without a gap.
    let kept = host.ok(&["logs", "chatty"]);
    let first: usize = kept
        .lines()
        .next()
        .unwrap()
        .strip_prefix("line ")
        .unwrap()
        .parse()
        .unwrap();
    let expected: Vec<String> = (first..2000).map(|n| format!("line {n}")).collect();
    assert!(
        first > 0 && kept.lines().eq(expected.iter().map(String::as_str)),
        "{first}"
    );
}

#[test]
fn no_log_and_wrong_options() {
    let host = Host::new();
    let ran = host.silo(&[
        "run",
        "--name",
        "silent",
        "--network",
        "none",
        "--log-driver",
        "none",
        "lab",
        "echo",
        "x",
    ]);
    assert_eq!(ran.out, "x\n");
    host.fails(&["logs", "silent"], 1, "--log-driver none");
    for wrong in [
        &["--log-driver", "syslog"][..],
        &["--log-opt", "nosuch=1"],
        &["--log-opt", "max-size=x"],
        &["--log-opt", "max-size=1m", "--log-opt", "max-file=0"],
        &["--log-opt", "max-file=3"],
    ] {
        host.fails(&[&["run"], wrong, &["lab", "true"]].concat(), 125, "");
    }
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 1);
}
