//! Terminals: handed over through a socket, or relayed in the foreground.

use std::{
    fs::File,
    io::{IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

use crate::fixture::{Oci, is_silo};

/// What is sent to a console socket while `send` runs.
fn received(socket: &Path, send: impl FnOnce()) -> File {
    let listener = UnixListener::bind(socket).unwrap();
    send();
    listener.set_nonblocking(true).unwrap();
    let (stream, _) = listener.accept().expect("nobody connected");
    let mut name = [0u8; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut name)];
    recvmsg(&stream, &mut parts, &mut control, RecvFlags::empty()).unwrap();
    let mut fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<OwnedFd>>(),
        _ => Vec::new(),
    });
    File::from(fds.next().expect("no descriptor came"))
}

/// Reads until `text` has appeared.
fn expect(master: &mut File, text: &str) -> String {
    let mut seen = String::new();
    let mut buffer = [0u8; 1024];
    while !seen.contains(text) {
        let got = master.read(&mut buffer).unwrap();
        seen += &String::from_utf8_lossy(&buffer[..got]);
    }
    seen
}

#[test]
fn the_first_process_has_one_that_a_caller_holds() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sh"], |spec| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["consoleSize"] = json!({"height": 33, "width": 99});
    });
    let socket = oci.host.files.join("console");
    let mut master = received(&socket, || {
        let words = ["create", "--console-socket", socket.to_str().unwrap(), "a"];
        let ran = oci.leave(&bundle, &words);
        assert_eq!(ran.code, 0, "{ran}");
    });
    oci.ok(&["start", "a"]);
    master.write_all(b"tty; stty size; echo do'ne'\n").unwrap();
    let seen = expect(&mut master, "done");
    assert!(
        seen.contains("/dev/console") || seen.contains("/dev/pts/0"),
        "{seen}"
    );
    assert!(seen.contains("33 99"), "{seen}");
    master.write_all(b"exit\n").unwrap();
    oci.becomes("a", "stopped");
}

#[test]
fn a_further_process_has_one_of_the_containers() {
    let oci = Oci::new();
    oci.idle("a", |_| {});
    let socket = oci.host.files.join("console");
    let mut master = received(&socket, || {
        let console = socket.to_str().unwrap();
        let words = ["exec", "-t", "-d", "--console-socket", console, "a", "sh"];
        let ran = oci.leave(&oci.host.files, &words);
        assert_eq!(ran.code, 0, "{ran}");
    });
    master.write_all(b"tty; echo do'ne'\n").unwrap();
    let seen = expect(&mut master, "done");
    assert!(seen.contains("/dev/pts/"), "{seen}");
}

#[test]
fn in_the_foreground_it_is_relayed() {
    // runc wants a terminal of its own for it.
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sh", "-c", "tty; exit 3"], |spec| {
        spec["process"]["terminal"] = json!(true);
    });
    let ran = oci.run_in(&bundle, &["run", "a"]);
    assert_eq!(ran.code, 3, "{ran}");
    assert!(ran.out.starts_with("/dev/"), "{ran}");
    // Into a pipe it is plain text.
    assert!(!ran.out.contains('\r'), "{ran}");
}

#[test]
fn one_that_nobody_would_hold_is_refused() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sh"], |spec| {
        spec["process"]["terminal"] = json!(true)
    });
    let without = "cannot allocate tty if runc will detach without setting console socket";
    for words in [&["create", "a"][..], &["run", "-d", "a"]] {
        let ran = oci.leave(&bundle, words);
        assert_ne!(ran.code, 0);
        assert!(ran.err.contains(without), "{ran}");
    }
    let nowhere = oci.host.files.join("nowhere").display().to_string();
    let ran = oci.leave(&bundle, &["create", "--console-socket", &nowhere, "a"]);
    assert_ne!(ran.code, 0, "{ran}");
    oci.fails(&["state", "a"], "does not exist");
    let bundle = oci.bundle("b", &["sh"], |_| {});
    let ran = oci.leave(&bundle, &["create", "--console-socket", &nowhere, "b"]);
    assert!(ran.code != 0 && ran.err.contains("console socket"), "{ran}");
}
