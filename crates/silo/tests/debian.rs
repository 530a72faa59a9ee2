//! Real input: a Debian root made by debootstrap, imported, and its programs run.
//!
//! It is made once and kept below the target folder. Where debootstrap cannot fetch packages, the test says that it was skipped.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::{Host, kernel};

/// The archive, made when it is missing; `None` when that cannot be.
fn archive() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).unwrap();
    let done = folder.join("debian-12.tar");
    if done.exists() {
        return Some(done);
    }
    let root = folder.join(format!("debian-{}", std::process::id()));
    let fresh = folder.join(format!("debian-{}.tar", std::process::id()));
    let made = make(&root, &fresh);
    let _ = fs::remove_dir_all(&root);
    match made {
        Ok(()) => fs::rename(&fresh, &done).unwrap(),
        Err(why) => {
            let _ = fs::remove_file(&fresh);
            println!("skipped: no Debian root: {why}");
            return None;
        }
    }
    Some(done)
}

fn make(root: &Path, archive: &Path) -> Result<(), String> {
    let include = "--include=python3-minimal";
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .args(["--variant=minbase", include, "bookworm"])
        .arg(root);
    debootstrap.args(mirror());
    succeed(&mut debootstrap)?;
    let mut tar = Command::new("tar");
    succeed(tar.arg("-C").arg(root).arg("-cf").arg(archive).arg("."))
}

/// Where this host gets its own packages from; none: debootstrap's usual place.
fn mirror() -> Option<String> {
    let words = [
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ];
    let out = Command::new("apt-get").args(words).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut places: Vec<&str> = text.lines().filter(|l| !l.contains("security")).collect();
    places.sort_by_key(|place| place.len());
    places
        .first()
        .map(|place| place.trim_end_matches('/').to_owned())
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{name}: {e}"))?;
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    match out.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{name}: {}",
            text.lines().last().unwrap_or("it failed")
        )),
    }
}

#[test]
fn debian_runs() {
    let Some(archive) = archive() else { return };
    let host = Host::new();
    let id = host.ok(&[
        "import",
        "-c",
        "CMD [\"bash\"]",
        &archive.display().to_string(),
        "debian:12",
    ]);
    assert!(id.starts_with("sha256:"), "{id}");
    as_root(&host);
    as_a_user(&host);
    with_a_terminal(&host);
    held_back(&host);
    files(&host);
}

fn run(host: &Host, flags: &[&str], script: &str) -> String {
    let words = [
        &["run", "--rm"],
        flags,
        &["debian:12", "bash", "-ec", script],
    ]
    .concat();
    host.ok(&words)
}

fn as_root(host: &Host) {
    assert_eq!(
        run(host, &[], ". /etc/os-release; echo $ID $VERSION_ID"),
        "debian 12"
    );
    let text = run(
        host,
        &[],
        "apt-get --version; dpkg -l | wc -l; id; python3 -c 'print(6 * 7)'; perl -e 'print \"perl\\n\"'",
    );
    assert!(
        text.starts_with("apt 2.") && text.contains("\n42\n") && text.contains("perl"),
        "{text}"
    );
    // Threads, processes, signals, pipes: what big programs use.
    let python = "import os, threading, signal, subprocess\n\
        t = [threading.Thread(target=lambda: sum(range(10**5))) for _ in range(8)]\n\
        [x.start() for x in t]; [x.join() for x in t]\n\
        print(subprocess.check_output('seq 1000 | wc -l', shell=True).decode().strip())\n\
        print(len(os.sched_getaffinity(0)) > 0, os.getpid() > 0)";
    let words = [
        "run",
        "--rm",
        "--network",
        "none",
        "debian:12",
        "python3",
        "-c",
        python,
    ];
    assert_eq!(host.ok(&words), "1000\nTrue True");
    // Packages are unpacked with owners, modes and links of all kinds.
    assert_eq!(
        run(host, &[], "dpkg --verify bash coreutils tar && echo whole"),
        "whole"
    );
    assert_eq!(
        run(host, &[], "useradd -m bob && su - bob -c 'id -un; pwd'"),
        "bob\n/home/bob"
    );
}

fn as_a_user(host: &Host) {
    let text = run(
        host,
        &["-u", "1000"],
        "id -u; id -g; bash -c 'echo nested'; apt-get --version | head -n 1; python3 -c 'import os; print(os.getuid())'",
    );
    assert!(
        text.starts_with("1000\n0\nnested\napt 2.") && text.ends_with("\n1000"),
        "{text}"
    );
    assert_eq!(
        run(
            host,
            &["-u", "1000:1000"],
            "touch /etc/x 2>/dev/null || echo refused; touch /tmp/x && echo allowed"
        ),
        "refused\nallowed"
    );
    // setuid works, unless no-new-privileges says that it must not.
    let setuid = "cp /usr/bin/id /usr/local/bin/own-id && chmod 4755 /usr/local/bin/own-id && setpriv --reuid 1000 own-id -u -r; setpriv --reuid 1000 own-id -u";
    assert_eq!(run(host, &[], setuid), "1000\n0");
    assert_eq!(
        run(host, &["--security-opt", "no-new-privileges"], setuid),
        "1000\n1000"
    );
}

fn with_a_terminal(host: &Host) {
    let mut session = host.terminal(&["run", "--rm", "-it", "debian:12"]);
    session.prompt();
    session.line("sleep 600");
    session.watch(std::time::Duration::from_millis(300));
    session.keys("\u{1a}");
    session.expect("Stopped");
    // `wait` returns at once for a job that is still stopped.
    session.line("jobs; kill -9 %1; while [ -n \"$(jobs -s)\" ]; do sleep 0.1; done; wait %1; echo $((40 + 2))");
    session.expect("42");
    session.line("exit 5");
    assert_eq!(session.wait(), 5);
}

/// What the filter of system calls and the missing capabilities keep away from programs that try.
fn held_back(host: &Host) {
    let python = "import socket\n\
        for family, kind in ((38, 5), (40, 1), (1, 1), (2, 1), (16, 3)):\n\
        \x20   try:\n\
        \x20       socket.socket(family, kind); print(family, 'yes')\n\
        \x20   except OSError as e:\n\
        \x20       print(family, 'no')";
    let words = ["run", "--rm", "debian:12", "python3", "-c", python];
    assert_eq!(host.ok(&words), "38 no\n40 no\n1 yes\n2 yes\n16 yes");
    let tries = "for t in 'unshare -U true' 'unshare -m true' 'mount -t tmpfs x /mnt' 'dmesg' 'hwclock -w' 'chroot / true' 'mknod /tmp/d b 8 0'; do \
        if $t >/dev/null 2>&1; then echo \"$t: done\"; fi; done";
    let done = run(host, &[], tries);
    let done: Vec<&str> = done.lines().collect();
    assert_eq!(done, ["chroot / true: done", "mknod /tmp/d b 8 0: done"]);
    assert_eq!(
        run(
            host,
            &["--cap-add", "SYS_ADMIN"],
            "unshare -m mount -t tmpfs x /mnt && echo done"
        ),
        "done"
    );
}

fn files(host: &Host) {
    host.ok(&[
        "run",
        "--name",
        "changed",
        "--network",
        "none",
        "debian:12",
        "bash",
        "-c",
        "rm -r /usr/share/doc/bash && echo x > /etc/new && dpkg --verify bash | head -n 1",
    ]);
    let diff = host.ok(&["diff", "changed"]);
    assert!(
        diff.lines().any(|l| l == "D /usr/share/doc/bash")
            && diff.lines().any(|l| l == "A /etc/new"),
        "{diff}"
    );
    let etc = host.silo(&["cp", "changed:/etc", "-"]);
    let path = host.files.join("etc.tar");
    fs::write(&path, &etc.raw).unwrap();
    assert!(kernel::run("tar", &["tf", &path.display().to_string()]).contains("etc/new"));
    host.ok(&["rm", "changed"]);
}
