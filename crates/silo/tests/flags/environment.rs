//! -e --env-file -w --entrypoint --hostname --domainname, and what a program finds without them.

use crate::common::Host;

#[test]
fn variables_from_flags_files_and_the_caller() {
    let host = Host::new();
    let file = host.file(
        "env",
        "# a comment\nA=file\nB=file\nFROM_CALLER\nABSENT\nSPACED=a b  c\n\n",
    );
    let words = [
        "run",
        "--rm",
        "--network",
        "none",
        "--env-file",
        &file,
        "-e",
        "A=flag",
        "-e",
        "OTHER",
        "-e",
        "EMPTY=",
        "-e",
        "EQUALS=a=b=c",
        "lab",
        "env",
    ];
    let mut command = host.command(&words);
    command
        .env("FROM_CALLER", "yes")
        .env("OTHER", "too")
        .env_remove("ABSENT");
    let text = host.finish(command, &words, b"").ok();
    let lines: Vec<&str> = text.lines().collect();
    for line in [
        "A=flag",
        "B=file",
        "FROM_CALLER=yes",
        "OTHER=too",
        "EMPTY=",
        "EQUALS=a=b=c",
        "SPACED=a b  c",
        "HOME=/root",
    ] {
        assert!(lines.contains(&line), "{line}: {text}");
    }
    assert!(
        lines.iter().any(|l| l.starts_with("PATH=/usr/local/sbin:")),
        "{text}"
    );
    assert!(
        !text.contains("ABSENT") && !text.contains("SILO_"),
        "{text}"
    );
    assert_eq!(
        lines.iter().filter(|l| l.starts_with("A=")).count(),
        1,
        "{text}"
    );
    host.fails(
        &["run", "--rm", "--env-file", "/nosuch", "lab", "true"],
        125,
        "/nosuch",
    );
    host.fails(&["run", "--rm", "-e", "=x", "lab", "true"], 125, "=x");
    let file = host.file("bad", "has space=x\n");
    host.fails(
        &["run", "--rm", "--env-file", &file, "lab", "true"],
        125,
        "has space",
    );
}

#[test]
fn the_working_folder_is_made_and_entered() {
    let host = Host::new();
    assert_eq!(host.offline(&["-w", "/tmp"], "pwd"), "/tmp");
    assert_eq!(
        host.offline(&["--workdir", "/made/for/it"], "pwd; ls -d ."),
        "/made/for/it\n."
    );
    assert_eq!(host.offline(&[], "pwd"), "/");
    host.fails(
        &["run", "--rm", "-w", "relative", "lab", "pwd"],
        125,
        "absolute path",
    );
    host.fails(
        &["run", "--rm", "-w", "/etc/passwd", "lab", "pwd"],
        125,
        "/etc/passwd",
    );
    // CVE-2024-21626: a descriptor of the host as the working folder.
    for fd in 3..12 {
        let folder = format!("/proc/self/fd/{fd}");
        let ran = host.silo(&[
            "run",
            "--rm",
            "--network",
            "none",
            "-w",
            &folder,
            "lab",
            "ls",
            ".",
        ]);
        assert!(ran.code != 0 || !ran.out.contains("containers"), "{ran}");
    }
}

#[test]
fn the_entrypoint_comes_before_the_command() {
    let host = Host::new();
    let run = |flags: &[&str], words: &[&str]| {
        host.ok(&[
            &["run", "--rm", "--network", "none"],
            flags,
            &["lab"],
            words,
        ]
        .concat())
    };
    assert_eq!(run(&["--entrypoint", "echo"], &["a", "b"]), "a b");
    assert_eq!(run(&["--entrypoint", "/bin/echo"], &[]), "");
    // Cleared: the command is the program.
    assert_eq!(run(&["--entrypoint", ""], &["echo", "x"]), "x");
    // The image's command is dropped with it: `sh` is not echoed above.
    let archive = host.files.join("own.tar");
    host.ok(&["create", "--name", "made", "lab"]);
    let change = |text: &'static str| ["--change", text];
    std::fs::write(&archive, export(&host)).unwrap();
    let path = archive.display().to_string();
    let words = [
        &["import"][..],
        &change("ENTRYPOINT [\"/bin/echo\", \"entry\"]"),
        &change("CMD [\"default\"]"),
        &[&path, "own"],
    ];
    host.ok(&words.concat());
    let own = |words: &[&str]| host.ok(&[&["run", "--rm", "--network", "none"], words].concat());
    assert_eq!(own(&["own"]), "entry default");
    assert_eq!(own(&["own", "given"]), "entry given");
    assert_eq!(own(&["--entrypoint", "/bin/echo", "own"]), "");
    host.fails(
        &["run", "--rm", "--entrypoint", "", "own"],
        125,
        "no command",
    );
}

/// The files of the built-in image as a tar archive.
fn export(host: &Host) -> Vec<u8> {
    let ran = host.silo(&["cp", "made:/", "-"]);
    assert_eq!(ran.code, 0, "{ran}");
    ran.raw
}

#[test]
fn words_after_the_image_belong_to_the_command() {
    let host = Host::new();
    let words = [
        "run",
        "--rm",
        "--network",
        "none",
        "lab",
        "echo",
        "--rm",
        "-d",
        "--name",
        "x",
        "--",
        "y",
    ];
    assert_eq!(host.ok(&words), "--rm -d --name x -- y");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn host_and_domain_names() {
    let host = Host::new();
    assert_eq!(
        host.script(
            &["-h", "short"],
            "hostname; cat /etc/hostname; echo $HOSTNAME"
        ),
        "short\nshort\nshort"
    );
    let text = host.script(
        &["--hostname", "web.example", "--domainname", "nis"],
        "hostname; cat /proc/sys/kernel/domainname; cat /etc/hosts",
    );
    assert!(text.starts_with("web.example\nnis\n"), "{text}");
    assert!(
        text.lines()
            .any(|l| l.split_whitespace().any(|w| w == "web.example")),
        "{text}"
    );
    let id = host.ok(&["run", "--network", "none", "lab", "hostname"]);
    assert_eq!(id, host.ok(&["ps", "-lq"]));
    let long = "a".repeat(65536);
    for wrong in ["-bad", "a_b c", "a..b", long.as_str()] {
        host.fails(
            &["run", "--rm", &format!("--hostname={wrong}"), "lab", "true"],
            125,
            "hostname",
        );
    }
}
