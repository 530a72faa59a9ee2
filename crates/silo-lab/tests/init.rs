//! As PID 1 of a pid namespace, and on a terminal.

mod common;
use common::BIN;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts an applet as PID 1 below `unshare`; the pid is the one that the test sees.
#[expect(
    clippy::zombie_processes,
    reason = "the caller waits; a panic ends the test program and with it the child"
)]
fn as_init(words: &[&str]) -> (Child, u32) {
    let child = Command::new("/usr/bin/unshare")
        .args(["-p", "-f", "-m", "--mount-proc", "--kill-child"])
        .arg(BIN.join(words[0]))
        .args(&words[1..])
        .env("PATH", &*BIN)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let init = std::fs::read_to_string(&children).unwrap_or_default();
        let init: Option<u32> = init.split_whitespace().next().and_then(|p| p.parse().ok());
        let name =
            |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if let Some(init) = init.filter(|&pid| words[0].starts_with(name(pid).trim())) {
            // Its handlers are set up within the first moments.
            std::thread::sleep(Duration::from_millis(200));
            return (child, init);
        }
        assert!(Instant::now() < deadline, "{words:?} did not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(pid: u32, signal: &str) {
    assert!(
        Command::new("kill")
            .args(["-s", signal, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

fn ends_within(mut child: Child, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

#[test]
fn applets_as_pid_1_end_on_signals() {
    for words in [
        &["sleep", "60"][..],
        &["ping", "127.0.0.1"],
        &["saturate-cpu", "--threads", "1"],
        &["sh", "-c", "sleep 60; true"],
        &["cat", "/dev/zero"],
    ] {
        for signal in ["TERM", "INT"] {
            let (mut child, init) = as_init(words);
            // Nobody reads what it says, so take it away.
            let mut out = child.stdout.take().unwrap();
            std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
            kill(init, signal);
            let ended = ends_within(child, Duration::from_secs(2));
            if !ended {
                kill(init, "KILL");
            }
            assert!(ended, "{words:?} ignores {signal}");
        }
    }
}

#[test]
fn a_shell_as_pid_1_reaps_orphans() {
    // The inner shell leaves a child behind, which then belongs to PID 1 and ends while that waits for something else.
    let script = "sh -c 'sleep 0.1 & exit'; sleep 0.5; ps -e -o stat= | grep -c Z";
    let (child, _) = as_init(&["sh", "-c", script]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{output:?}");
}

/// An interactive shell on a terminal that script(1) makes.
struct Terminal {
    child: Child,
    seen: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Terminal {
    fn open(command: &str) -> Self {
        let mut child = Command::new("script")
            .args(["-qec", command, "/dev/null"])
            .env("PATH", format!("{}:/usr/bin:/bin", BIN.display()))
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let mut out = child.stdout.take().unwrap();
        let copy = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                copy.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        });
        let terminal = Self { child, seen };
        terminal.wait_for("ready> ");
        terminal
    }

    /// Waits for a text and forgets everything up to it.
    fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let mut seen = self.seen.lock().unwrap();
            if let Some(at) = seen.find(text) {
                seen.drain(..at + text.len());
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{text:?} does not come; seen: {seen:?}"
            );
            drop(seen);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn send(&mut self, keys: &str) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(keys.as_bytes())
            .unwrap();
    }

    /// Types a command whose answer must contain `answer`.
    fn ask(&mut self, command: &str, answer: &str) {
        self.send(&format!("{command}\r"));
        // The echo of the line itself comes first.
        self.wait_for("\n");
        self.wait_for(answer);
        self.wait_for("ready> ");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ctrl-C for what may run, then the end of the input; the terminal's end kills the rest.
        let _ = self.child.stdin.as_mut().map(|i| i.write_all(b"\x03\x04"));
        self.child.stdin.take();
        std::thread::sleep(Duration::from_millis(100));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_interactive_shell_survives_what_its_children_do() {
    let mut terminal = Terminal::open("PS1='ready> ' sh");
    terminal.ask("echo $((40+2))", "42");
    terminal.ask("sh -c 'kill -9 $$'", "Killed");
    terminal.ask("echo code $?", "code 137");
    terminal.send("sleep 60\r");
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("\x03");
    terminal.wait_for("ready> ");
    terminal.ask("echo code $?", "code 130");
    terminal.send("echo lost\x03");
    terminal.wait_for("ready> ");
    terminal.ask("echo li'v'es", "lives");
}

#[test]
fn job_control_stops_and_continues() {
    let mut terminal = Terminal::open("PS1='ready> ' sh");
    terminal.send("cat\r");
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("\x1a");
    terminal.wait_for("Stopped");
    terminal.wait_for("ready> ");
    terminal.ask("jobs", "Stopped");
    terminal.send("fg\r");
    terminal.wait_for("cat");
    std::thread::sleep(Duration::from_millis(200));
    terminal.send("typed\r");
    terminal.wait_for("typed\r\ntyped");
    terminal.send("\x04");
    terminal.wait_for("ready> ");
    terminal.ask("grep SigBlk /proc/self/status", "0000000000000000");
    terminal.ask("sleep 60 & kill %1; wait; echo d'o'ne", "done");
}

#[test]
fn an_interactive_pid_1_reaps_orphans_at_its_prompt() {
    let command = format!(
        "PS1='ready> ' unshare -p -f -m --mount-proc --kill-child {}/sh -i",
        BIN.display()
    );
    let mut terminal = Terminal::open(&command);
    terminal.ask("sh -c 'sleep 0.2 & exit'", "");
    std::thread::sleep(Duration::from_millis(600));
    terminal.ask("ps -e -o stat= | grep -c Z", "0\r\n");
}
