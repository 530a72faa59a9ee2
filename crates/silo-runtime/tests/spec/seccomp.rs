//! The seccomp agent: gets the listener with the container's state, and answers what the container's processes ask.

use std::{
    io::{IoSliceMut, Read},
    mem::MaybeUninit,
    os::unix::net::UnixListener,
    thread,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::support::Bundle;

/// Accepts one connection and returns the state that came, and whether a descriptor did. It is closed at once: the kernel then
/// answers ENOSYS in the agent's place.
fn accept(listener: &UnixListener) -> (Value, bool) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut text = vec![0u8; 65536];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut text)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .unwrap();
    text.truncate(got.bytes);
    let came = control.drain().any(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next().is_some(),
        _ => false,
    });
    stream.read_to_end(&mut text).unwrap();
    (serde_json::from_slice(&text).unwrap(), came)
}

fn notifying(call: &str) -> Bundle {
    let mut bundle = Bundle::new();
    let path = bundle.folder.join("agent");
    bundle.set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "listenerPath": path,
            "listenerMetadata": "mine",
            "syscalls": [{"names": [call], "action": "SCMP_ACT_NOTIFY"}],
        }),
    );
    bundle
}

/// Once as the last step and once before capabilities go: without privileges to gain the filter is loaded later.
#[test]
fn the_agent_gets_the_listener_and_the_state() {
    for no_new_privileges in [false, true] {
        let mut bundle = notifying("mkdir");
        bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
        let listener = UnixListener::bind(bundle.folder.join("agent")).unwrap();
        let agent = thread::spawn(move || accept(&listener));
        let said = bundle.ask(&["mkdir:/x", "status:Seccomp"]);
        let (state, came) = agent.join().unwrap();
        assert!(came);
        assert_eq!(state["ociVersion"], "1.3.0");
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["metadata"], "mine");
        assert_eq!(state["state"]["id"], "bundle");
        assert!(state["pid"].as_i64().unwrap() > 1, "{state}");
        assert_eq!(state["state"]["pid"], state["pid"]);
        assert_eq!(said["status:Seccomp"], "2");
        assert!(
            matches!(said["mkdir:/x"]["error"].as_i64(), Some(38)),
            "{said}"
        );
    }
}

#[test]
fn in_a_user_namespace_and_for_who_enters() {
    let mut bundle = notifying("mkdir");
    bundle.user_namespace(200_000, 1000);
    let listener = UnixListener::bind(bundle.folder.join("agent")).unwrap();
    let agent = thread::spawn(move || [accept(&listener), accept(&listener)]);
    let said = bundle.ask_beside(&["mkdir:/x"], |_| {});
    let [(first, one), (second, other)] = agent.join().unwrap();
    assert!(one && other);
    assert_ne!(first["pid"], second["pid"]);
    assert_eq!(said["mkdir:/x"]["error"], 38);
}

#[test]
fn an_agent_that_is_not_there_is_an_error() {
    let error = notifying("mkdir").refused();
    assert!(error.contains("seccomp agent at"), "{error}");
    let mut bundle = notifying("mkdir");
    bundle.set("/linux/seccomp/listenerPath", Value::Null);
    let error = bundle.refused();
    assert!(error.contains("needs a listenerPath"), "{error}");
    for call in ["write", "sendmsg"] {
        let error = notifying(call).refused();
        assert!(error.contains("cannot be used for"), "{error}");
    }
}
