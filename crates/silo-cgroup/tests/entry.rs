//! A process with one thread enters a group by itself ([`Cgroup::join_self`]); no test harness, as that has threads.

mod common;

use common::{Scratch, resources};
use silo_cgroup::{Cgroup, CgroupPath, Existing, Layout};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("enter"), Some(path)) => return enter(&path),
        (Some("create"), Some(path)) => return create(&path),
        _ => {}
    }
    a_process_enters();
    a_user_without_permission_is_told();
}

fn a_process_enters() {
    let scratch = Scratch::new();
    let group = scratch.create("{}").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["enter", group.path().as_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "in\n");
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    group.confirm(&text).unwrap();
    assert_eq!(group.procs(true).unwrap(), [child.id() as i32]);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(group.destroy().is_empty());
    println!("a process with one thread enters a group by itself ... ok");
}

/// Without root: the error says what is missing. The program is copied, as the user may not reach it where it is.
fn a_user_without_permission_is_told() {
    let scratch = Scratch::new();
    let name = format!("/tmp/silo-test-entry-{}", std::process::id());
    std::fs::copy(std::env::current_exe().unwrap(), &name).unwrap();
    let output = Command::new(&name)
        .args(["create", scratch.path().as_str()])
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .output();
    std::fs::remove_file(&name).unwrap();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(
        text.starts_with("Unsupported: cgroup /silo-test-"),
        "{text}"
    );
    assert!(text.contains("no write permission"), "{text}");
    println!("a user without permission is told ... ok");
}

fn create(path: &str) {
    let layout = Layout::detect().unwrap();
    let path = CgroupPath::new(path).unwrap();
    let error = Cgroup::create(&layout, &path, &resources("{}"), Existing::Refuse).unwrap_err();
    println!("{:?}: {error}", error.kind());
}

fn enter(path: &str) {
    let layout = Layout::detect().unwrap();
    let group = Cgroup::at(&layout, &CgroupPath::new(path).unwrap());
    group.join_self().unwrap();
    println!("in");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}
