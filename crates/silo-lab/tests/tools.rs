//! The tools, one look at each, and how quickly the smallest start.

mod common;
use common::{LAB, applet, check, feed, sh};
use std::process::Command;

#[test]
fn every_listed_applet_can_be_started_both_ways() {
    let list = Command::new(LAB).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for name in ["sh", "ls", "ps", "ping", "saturate-mem", "["] {
        assert!(list.lines().any(|l| l == name), "{name} is missing");
    }
    assert!(Command::new(LAB).arg("true").status().unwrap().success());
    assert!(applet("true").status().unwrap().success());
    assert_eq!(
        Command::new(LAB).arg("no-such").status().unwrap().code(),
        Some(127)
    );
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let cd = format!("cd {}; ", folder.path().display());
    let with = |script: &str| format!("{cd}{script}");
    check(&[
        (
            &with("mkdir -p a/b; touch a/b/f; ls a/b; rmdir a/b 2>/dev/null; echo $?"),
            "f\n1\n",
        ),
        (
            &with("echo text > f; cp f g; mv g h; cat h; ln -s h l; readlink l; cat l"),
            "text\nh\ntext\n",
        ),
        (
            &with("chmod 640 f; stat -c %a f; realpath f | grep -c /f$"),
            "640\n1\n",
        ),
        (&with("rm -r a f h l; ls | wc -l"), "0\n"),
        (&with("t=$(mktemp); [ -f $t ] && rm $t && echo ok"), "ok\n"),
        (
            &with(
                "dd if=/dev/zero of=z bs=1k count=4 2>/dev/null; stat -c %s z; du -k z >/dev/null && echo ok",
            ),
            "4096\nok\n",
        ),
        ("basename /a/b.c .c; dirname /a/b /c x", "b\n/a\n/\n.\n"),
        ("df / | head -n 1 | cut -c 1-10", "Filesystem\n"),
    ]);
}

#[test]
fn text() {
    assert_eq!(feed("sort", &["-rn"], "1\n10\n9\n").out, "10\n9\n1\n");
    assert_eq!(
        feed("sort", &["-k2", "-u"], "b 1\na 1\nc 0\n").out,
        "c 0\nb 1\n"
    );
    assert_eq!(
        feed("uniq", &["-c"], "a\na\nb\n")
            .out
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["2", "a", "1", "b"]
    );
    assert_eq!(feed("tr", &["a-z", "A-Z"], "abc").out, "ABC");
    assert_eq!(feed("cut", &["-d:", "-f2"], "a:b:c\n").out, "b\n");
    assert_eq!(feed("head", &["-n", "1"], "a\nb\n").out, "a\n");
    assert_eq!(feed("tail", &["-n", "1"], "a\nb\n").out, "b\n");
    assert_eq!(feed("wc", &["-l"], "a\nb\n").out.trim(), "2");
    assert_eq!(feed("tee", &["/dev/null"], "x").out, "x");
    assert_eq!(feed("cat", &["-n"], "a\nb\n").out, "     1\ta\n     2\tb\n");
    assert_eq!(feed("grep", &["-vn", "a"], "a\nb\n").out, "2:b\n");
    assert_eq!(feed("grep", &["-ic", "A\\|b"], "a\nb\nc\n").out, "2\n");
    assert_eq!(feed("grep", &["-Eo", "[0-9]+"], "a12b3\n").out, "12\n3\n");
    assert_eq!(feed("grep", &["-q", "x"], "a\n").code, Some(1));
    assert_eq!(
        feed("sha256sum", &[], "").out,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -\n"
    );
    check(&[
        ("seq -s ' ' 3", "1 2 3\n"),
        ("expr 6 '*' 7", "42\n"),
        ("yes | head -n 2", "y\ny\n"),
        ("date -u -d @0 +%F", "1970-01-01\n"),
    ]);
}

#[test]
fn system() {
    check(&[
        ("id -u", "0\n"),
        ("whoami", "root\n"),
        ("uname", "Linux\n"),
        (
            "hostname > /dev/null && nproc > /dev/null && sync && echo ok",
            "ok\n",
        ),
        ("env -i A=1 env", "A=1\n"),
        ("timeout 0.1 sleep 5; echo $?", "124\n"),
        ("free | grep -c Mem:", "1\n"),
        ("mount | grep -c ' on /proc type proc '", "1\n"),
        ("tty; echo $?", "not a tty\n1\n"),
        ("kill -l 9; kill -0 $$ && echo here", "KILL\nhere\n"),
    ]);
}

#[test]
fn ps_shows_procps_columns() {
    let out = sh("ps aux").out;
    let head: Vec<&str> = out.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        [
            "USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"
        ]
    );
    assert!(out.lines().any(|l| l.ends_with("ps aux")), "{out}");
    assert!(sh("ps -ef").out.starts_with("UID"));
    assert_eq!(
        sh("sleep 30 & ps -o pid=,comm= -p $! | { read p c; echo $c; }; kill $!").out,
        "sleep\n"
    );
    assert!(sh("top -b -n1").out.contains("%CPU"));
}

#[test]
fn mount_and_umount_in_a_private_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let script = format!(
        "mount -t tmpfs -o size=64k,noexec tmpfs {at} && mount | grep ' {at} ' && umount {at} && mount | grep -c ' {at} '"
    );
    let output = Command::new("/usr/bin/unshare")
        .arg("-m")
        .arg(applet("sh").get_program())
        .args(["-c", &script])
        .env("PATH", &*common::BIN)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(
        out.contains("type tmpfs (rw,noexec") && out.contains("size=64k") && out.ends_with("0\n"),
        "{output:?}"
    );
}

#[test]
fn the_smallest_applets_do_hardly_anything() {
    let folder = tempfile::tempdir().unwrap();
    let calls = |applet: &str| {
        let file = folder.path().join(applet);
        let run = Command::new("strace")
            .arg("-o")
            .arg(&file)
            .args([LAB, applet, "0"])
            .stdin(std::process::Stdio::null())
            .output();
        // Where there is no strace there is nothing to count.
        run.ok()
            .map(|_| std::fs::read_to_string(file).unwrap().lines().count())
    };
    for name in ["true", "sleep", "echo"] {
        if let Some(count) = calls(name) {
            assert!(count < 50, "{name} makes {count} system calls");
        }
    }
}
