//! NOTIFY_SOCKET: who starts the runtime hears that a program is ready, and from nobody but the runtime.

use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::{
    common::{patient, until},
    fixture::{Oci, is_silo},
};

/// A service manager's socket.
fn manager(oci: &Oci) -> (UnixDatagram, PathBuf) {
    let path = oci.host.files.join("manager");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(patient(Duration::from_secs(20))))
        .unwrap();
    (socket, path)
}

fn heard(socket: &UnixDatagram) -> String {
    let mut packet = [0u8; 4096];
    let got = socket.recv(&mut packet).expect("nothing was told");
    String::from_utf8_lossy(&packet[..got]).into_owned()
}

fn start(oci: &Oci, folder: &Path, manager: &Path, words: &[&str]) -> Child {
    let mut command = oci.command(folder, words);
    command
        .env("NOTIFY_SOCKET", manager)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What the program would say: the file is the one that it sees below /run/notify.
fn say(oci: &Oci, id: &str, text: &str) {
    let path = oci.state.join(id).join("notify/notify.sock");
    until("the socket to be there", || path.exists());
    let speaks = UnixDatagram::unbound().unwrap();
    speaks.send_to(text.as_bytes(), path).unwrap();
}

#[test]
fn a_program_that_is_ready_is_told_of() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let (socket, path) = manager(&oci);
    let script = "test -S \"$NOTIFY_SOCKET\" && sleep 600";
    let bundle = oci.bundle("a", &["sh", "-c", script], |spec| {
        // A read-only root has no such place.
        spec["mounts"].as_array_mut().unwrap().push(
            json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}),
        );
    });
    let mut command = oci.command(&bundle, &["create", "a"]);
    command.env("NOTIFY_SOCKET", &path);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let mut starts = start(&oci, &bundle, &path, &["start", "a"]);
    say(&oci, "a", "STATUS=nearly\nMAINPID=1");
    oci.becomes("a", "running");
    // It waits with its caller.
    assert!(starts.try_wait().unwrap().is_none());
    say(&oci, "a", "STATUS=there\nREADY=1\nMAINPID=1");
    assert_eq!(heard(&socket), "READY=1\n");
    assert_eq!(heard(&socket), format!("MAINPID={}\n", oci.pid("a")));
    // A message with a descriptor, which is closed as nobody takes it.
    assert_eq!(heard(&socket), "BARRIER=1");
    assert!(starts.wait().unwrap().success());
    assert_eq!(oci.status("a"), "running");
    oci.ok(&["delete", "--force", "a"]);
}

#[test]
fn in_the_foreground_the_runtime_is_watched_and_an_end_is_no_readiness() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let (socket, path) = manager(&oci);
    let with_run = |args: &[&str], id: &str| {
        oci.bundle(id, args, |spec| {
            spec["mounts"].as_array_mut().unwrap().push(
                json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}),
            );
        })
    };
    let bundle = with_run(&["sleep", "600"], "a");
    let mut runs = start(&oci, &bundle, &path, &["run", "a"]);
    say(&oci, "a", "READY=1");
    assert_eq!(heard(&socket), "READY=1\n");
    assert_eq!(heard(&socket), format!("MAINPID={}\n", runs.id()));
    assert_eq!(heard(&socket), "BARRIER=1");
    oci.ok(&["kill", "a", "KILL"]);
    assert_eq!(runs.wait().unwrap().code(), Some(137));
    // One that ends says nothing, and nobody waits for ever.
    let bundle = with_run(&["sh", "-c", "exit 3"], "b");
    let mut runs = start(&oci, &bundle, &path, &["run", "-d", "b"]);
    assert!(runs.wait().unwrap().success());
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0u8; 16]).is_err());
}
