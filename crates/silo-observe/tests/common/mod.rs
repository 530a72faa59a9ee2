//! Real processes for the tests: started here, found by what they print, and killed when the test ends in any way.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use silo_observe::{Proc, Process, Want};

/// A child that is killed and waited for on drop. `unshare --kill-child` takes what is below it along.
pub struct Guard(pub Child);

impl Guard {
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command without input and output.
pub fn spawn(program: &str, arguments: &[&str]) -> Guard {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Guard(command.spawn().unwrap())
}

/// Starts `sh -c script` as pid 1 of its own pid and mount namespace, and waits until it prints a line.
pub fn contain(options: &[&str], script: &str) -> Guard {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child=KILL"]);
    command.args(options).args(["sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut guard = Guard(command.spawn().unwrap());
    let mut line = String::new();
    let output = guard.0.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    guard
}

/// The processes below `pid` (without it), once there are `count` of them and `good` is true of them.
pub fn below(
    proc: &Proc,
    pid: i32,
    want: Want,
    count: usize,
    good: impl Fn(&[Process]) -> bool,
) -> Vec<Process> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let main = child_of(proc, pid);
        let pids = main.map(|main| proc.descend_pid_namespace(main).unwrap_or_default());
        let list = proc.collect(&pids.unwrap_or_default(), want);
        if list.len() == count && good(&list) {
            return list;
        }
        assert!(
            Instant::now() < end,
            "the processes did not come: {list:#?}"
        );
        sleep(Duration::from_millis(10));
    }
}

/// The first child of a process.
pub fn child_of(proc: &Proc, pid: i32) -> Option<i32> {
    let all = proc.collect_all(Want::default()).unwrap();
    all.iter().find(|p| p.host_ppid == pid).map(|p| p.host_pid)
}
