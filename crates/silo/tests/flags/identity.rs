//! -u --group-add --ulimit --oom-score-adj --init.

use crate::common::{Host, kernel, until};

#[test]
fn users_by_name_and_by_number() {
    let host = Host::new();
    let id = |flags: &[&str]| {
        host.offline(flags, "id -u; id -g; id -G; echo $HOME")
            .replace('\n', " ")
    };
    assert_eq!(id(&[]), "0 0 0 /root");
    assert_eq!(id(&["-u", "lab"]), "1000 1000 1000 /home/lab");
    assert_eq!(id(&["-u", "1000"]), "1000 1000 1000 /home/lab");
    assert_eq!(id(&["-u", "lab:tty"]), "1000 5 5 /home/lab");
    assert_eq!(id(&["-u", "4242:4343"]), "4242 4343 4343 /");
    assert_eq!(id(&["-u", "4242"]), "4242 0 0 /");
    assert_eq!(
        id(&["-u", "lab", "--group-add", "tty", "--group-add", "77"]),
        "1000 1000 1000 5 77 /home/lab"
    );
    host.fails(&["run", "--rm", "-u", "nosuch", "lab", "id"], 125, "nosuch");
    host.fails(
        &["run", "--rm", "-u", "lab:nosuch", "lab", "id"],
        125,
        "nosuch",
    );
    host.fails(
        &["run", "--rm", "--group-add", "nosuch", "lab", "id"],
        125,
        "nosuch",
    );
    // Digits are a number, never a name, and never wrap round to root.
    for wrong in [
        "4294967296",
        "2147483648",
        "-1",
        "18446744073709551616",
        "1000:4294967296",
    ] {
        host.fails(
            &["run", "--rm", &format!("--user={wrong}"), "lab", "id"],
            125,
            "",
        );
    }
    assert_eq!(host.ok(&["ps", "-aq"]), "");

    host.idle("other", &["-u", "lab"]);
    assert_eq!(host.ok(&["exec", "other", "id", "-u"]), "1000");
    assert_eq!(host.ok(&["exec", "-u", "root", "other", "id", "-u"]), "0");
    assert_eq!(
        host.ok(&["exec", "-u", "5:6", "other", "sh", "-c", "id -u; id -g"]),
        "5\n6"
    );
    host.fails(&["exec", "-u", "4294967296", "other", "id"], 126, "");
}

#[test]
fn resource_limits_of_the_process() {
    let host = Host::new();
    let flags = [
        "--ulimit",
        "nofile=64:128",
        "--ulimit",
        "core=0",
        "--ulimit",
        "stack=4194304",
    ];
    host.idle("limited", &flags);
    let text = std::fs::read_to_string(format!("/proc/{}/limits", host.pid("limited"))).unwrap();
    let line = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("Max open files"), "64 128");
    assert_eq!(line("Max core file size"), "0 0");
    assert_eq!(line("Max stack size"), "4194304 4194304");
    assert_eq!(host.ok(&["exec", "limited", "sh", "-c", "ulimit -n"]), "64");
    for wrong in ["nosuch=1", "nofile", "nofile=x", "nofile=2:1"] {
        host.fails(
            &["run", "--rm", "--ulimit", wrong, "lab", "true"],
            125,
            wrong.split('=').next().unwrap(),
        );
    }
}

#[test]
fn the_oom_killers_preference() {
    let host = Host::new();
    host.idle("liked", &["--oom-score-adj", "500"]);
    let path = format!("/proc/{}/oom_score_adj", host.pid("liked"));
    assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "500");
    host.fails(
        &["run", "--rm", "--oom-score-adj", "1001", "lab", "true"],
        125,
        "1000",
    );
}

#[test]
fn a_small_init_reaps_and_forwards() {
    let host = Host::new();
    let script = "trap 'echo ended; exit 3' TERM; (sleep 0.1 &) ; while true; do sleep 0.05; done";
    host.ok(&[
        "run",
        "-d",
        "--init",
        "--name",
        "inited",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    let main = host.pid("inited");
    let inside = host.ok(&["exec", "inited", "ps", "-ef"]);
    let first = inside.lines().nth(1).unwrap();
    assert!(!first.contains("sh -c"), "{inside}");
    // The program, beside it for a moment the orphaned sleep, which is then reaped.
    until("one child", || kernel::children(main).len() == 1);
    until("no zombies", || {
        !host.ok(&["exec", "inited", "ps", "aux"]).contains(" Z ")
    });
    host.ok(&["stop", "inited"]);
    assert_eq!(host.inspect("inited")["State"]["ExitCode"], 3);
    host.logged("inited", "ended");
    assert_eq!(
        host.silo(&[
            "run",
            "--rm",
            "--init",
            "--network",
            "none",
            "lab",
            "sh",
            "-c",
            "exit 8"
        ])
        .code,
        8
    );
    assert_eq!(
        host.silo(&[
            "run",
            "--rm",
            "--init",
            "--network",
            "none",
            "lab",
            "nosuch"
        ])
        .code,
        127
    );
}
