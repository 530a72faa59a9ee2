//! Row 7, the terminal: right from the first byte on, and everything that is typed arrives.

use std::time::Duration;

use crate::common::{Host, until};

#[test]
fn the_size_is_right_before_the_first_byte() {
    let host = Host::new();
    let mut session = host.terminal_of((33, 101), &["run", "--rm", "-it", "lab", "stty", "size"]);
    assert_eq!(session.wait(), 0);
    assert_eq!(session.screen.trim(), "33 101");
    host.idle("other", &[]);
    let mut session = host.terminal_of((44, 99), &["exec", "-it", "other", "stty", "size"]);
    assert_eq!(session.wait(), 0);
    assert_eq!(session.screen.trim(), "44 99");
}

#[test]
fn a_resize_reaches_the_container() {
    let host = Host::new();
    let mut session = host.terminal(&["container", "run", "--rm", "-it", "lab"]);
    session.prompt();
    session.resize(50, 132);
    until("the new size", || {
        session.line("stty size");
        session.watch(Duration::from_millis(200));
        session.screen.contains("50 132")
    });
    host.idle("other", &[]);
    let mut inner = host.terminal(&["exec", "-it", "other", "sh"]);
    inner.prompt();
    inner.resize(51, 133);
    until("the new size", || {
        inner.line("stty size");
        inner.watch(Duration::from_millis(200));
        inner.screen.contains("51 133")
    });
    inner.line("exit");
    inner.wait();
    session.line("exit");
    session.wait();
}

#[test]
fn ctrl_c_reaches_the_program_and_the_exit_code_comes_back() {
    let host = Host::new();
    let mut session = host.terminal(&["run", "-it", "--name", "shell", "lab"]);
    session.prompt();
    session.line("sleep 600");
    session.watch(Duration::from_millis(300));
    session.keys("\u{3}");
    session.prompt();
    session.line("echo status $?");
    session.expect("status 130");
    session.prompt();
    session.line("exit 7");
    assert_eq!(session.wait(), 7);
    assert_eq!(host.inspect("shell")["State"]["ExitCode"], 7);
}

#[test]
fn it_is_a_real_terminal() {
    let host = Host::new();
    let script =
        "tty; test -t 0 && test -t 1 && test -t 2 && echo three; echo $TERM; ls -l /dev/console";
    let mut session = host.terminal(&["run", "--rm", "-it", "lab", "sh", "-c", script]);
    assert_eq!(session.wait(), 0);
    for text in ["/dev/pts/0", "three", "xterm", "/dev/console"] {
        assert!(session.screen.contains(text), "{text}: {}", session.screen);
    }
    // Without -t there is none, whatever the caller has.
    let mut session = host.terminal(&[
        "run",
        "--rm",
        "-i",
        "lab",
        "sh",
        "-c",
        "test -t 0 || echo none",
    ]);
    assert_eq!(session.wait(), 0);
    assert!(session.screen.contains("none"));
}

#[test]
fn a_terminal_is_refused_where_there_is_none() {
    let host = Host::new();
    host.fails(&["run", "--rm", "-it", "lab", "true"], 125, "TTY");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    // Without -i nothing is typed, so a pipe will do, as in Docker.
    assert_eq!(
        host.ok(&["run", "--rm", "-t", "lab", "echo", "shown"])
            .trim(),
        "shown"
    );
}

#[test]
fn the_detach_keys_leave_it_running() {
    let host = Host::new();
    let mut session = host.terminal(&["run", "-it", "--name", "shell", "lab"]);
    session.prompt();
    session.line("kept=yes");
    session.prompt();
    session.keys("\u{10}\u{11}");
    assert_eq!(session.wait(), 0);
    assert_eq!(host.status("shell"), "running");

    let mut session = host.terminal(&["attach", "--detach-keys", "ctrl-x,x", "shell"]);
    session.line("echo still $kept");
    session.expect("still yes");
    // The usual keys mean nothing now and are typed.
    session.keys("\u{10}");
    session.watch(Duration::from_millis(200));
    session.keys("\u{18}x");
    assert_eq!(session.wait(), 0);
    assert_eq!(host.status("shell"), "running");

    // A session of exec has no monitor that would keep it.
    let mut session = host.terminal(&["exec", "-it", "--detach-keys", "ctrl-a", "shell", "sh"]);
    session.expect("--detach-keys cannot be honoured");
    session.wait();
    host.fails(
        &["attach", "--detach-keys", "ctrl-nothing", "shell"],
        1,
        "ctrl-nothing",
    );
}

#[test]
fn the_terminal_is_given_back_as_it_was() {
    let host = Host::new();
    let silo = env!("CARGO_BIN_EXE_silo");
    let (root, run) = (host.root.display(), host.run.display());
    let script = format!(
        "before=$(stty -g); {silo} --root {root} --run {run} run --rm -it lab sh -c 'exit 3'; \
         echo code $?; test \"$before\" = \"$(stty -g)\" && echo same"
    );
    let mut command = std::process::Command::new("setsid");
    command.args(["-w", "-c", "sh", "-c", &script]);
    let mut session = crate::common::Session::start(command, (24, 80));
    session.expect("code 3");
    session.expect("same");
    session.wait();
}
