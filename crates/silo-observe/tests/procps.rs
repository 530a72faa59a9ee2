//! The same columns as the real ps(1) of procps prints, for processes started here. Needs the Debian package procps.

mod common;

use std::{collections::HashMap, process::Command};

use common::{Guard, below, child_of, contain, spawn};
use silo_observe::{
    HostFacts, Names, Proc,
    ps::{PsContext, PsRequest, Table},
};

/// Rows of the real ps, split as Docker splits them: the last column takes the rest of the line.
fn procps(words: &[&str], pids: &[i32]) -> Vec<Vec<String>> {
    let list: Vec<String> = pids.iter().map(i32::to_string).collect();
    let output = Command::new("ps")
        .args(words)
        .args(["-ww", "-p", &list.join(",")])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("ps of the Debian package procps");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let columns = text.lines().next().unwrap().split_whitespace().count();
    text.lines().map(|line| split(line, columns)).collect()
}

fn split(line: &str, columns: usize) -> Vec<String> {
    let mut rest = line.trim_start();
    let mut cells = Vec::new();
    while cells.len() + 1 < columns {
        let (cell, more) = rest.split_once(' ').unwrap_or((rest, ""));
        cells.push(cell.to_owned());
        rest = more.trim_start();
    }
    cells.push(rest.to_owned());
    cells
}

fn utc_offset() -> i32 {
    let output = Command::new("date").arg("+%z").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let number: i32 = text.trim().parse().unwrap();
    (number / 100 * 60 + number % 100) * 60
}

fn ours(words: &[&str], pids: &[i32]) -> Table {
    let request = PsRequest::parse(words).unwrap();
    let proc = Proc::host().unwrap();
    let processes = proc.collect(pids, request.want());
    let none = HashMap::new();
    let context = PsContext {
        host: &HostFacts::now(),
        names: &Names::host().unwrap(),
        utc_offset_seconds: utc_offset(),
        execs: &none,
        containers: &none,
    };
    request.table(&processes, &context)
}

/// Columns that two readings a moment apart may show differently.
const MOVING: [&str; 10] = [
    "C", "%CPU", "TIME", "PSR", "ELAPSED", "RSS", "%MEM", "WCHAN", "STIME", "START",
];

fn compare(words: &[&str], asked: &[&str], pids: &[i32]) {
    let (theirs, table) = (procps(asked, pids), ours(words, pids));
    assert_eq!(theirs[0], table.header, "{words:?}");
    assert_eq!(theirs.len(), table.rows.len() + 1, "{words:?}");
    for (their, our) in theirs[1..].iter().zip(&table.rows) {
        for (title, (their, our)) in table.header.iter().zip(their.iter().zip(our)) {
            if MOVING.contains(&title.as_str()) {
                let shape = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "9").len();
                assert!(
                    shape(their).abs_diff(shape(our)) <= 1 || title == "WCHAN",
                    "{title}: {their} {our}"
                );
            } else {
                assert_eq!(their, our, "{title} of {words:?}");
            }
        }
    }
}

fn samples() -> Vec<Guard> {
    let mut guards = vec![
        spawn("sleep", &["100"]),
        spawn("nice", &["-n", "5", "sleep", "101"]),
        spawn("setsid", &["sleep", "102"]),
        spawn(
            "setpriv",
            &[
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "sleep",
                "103",
            ],
        ),
        spawn("sh", &["-c", "sleep 104 & exec sleep 105"]),
        spawn(
            "tail",
            &["-f", "/dev/null", "--", "/dev/zero\n\x1b[31m\té箱"],
        ),
    ];
    guards.push(spawn("script", &["-qc", "sleep 106", "/dev/null"]));
    guards.push(with_threads());
    std::thread::sleep(std::time::Duration::from_millis(600));
    guards
}

const HOLD: &str = "SILO_TEST_HOLD_THREADS";

/// This program once more, standing still in the test below with more than one thread.
fn with_threads() -> Guard {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "holds_threads"])
        .env(HOLD, "1")
        .stdout(std::process::Stdio::null());
    Guard(command.spawn().unwrap())
}

/// Does nothing unless started by [`with_threads`].
#[test]
fn holds_threads() {
    if std::env::var_os(HOLD).is_some() {
        std::thread::sleep(std::time::Duration::from_secs(100));
    }
}

#[test]
fn columns_are_those_of_procps() {
    let proc = Proc::host().unwrap();
    let guards = samples();
    let mut pids: Vec<i32> = guards.iter().map(Guard::pid).collect();
    // The process on the terminal that script(1) has made, and the orphan of the shell that became another program.
    let more: Vec<i32> = pids
        .iter()
        .filter_map(|pid| child_of(&proc, *pid))
        .collect();
    let orphans: Vec<Orphan> = more.iter().map(|pid| Orphan(*pid)).collect();
    pids.extend(more);
    pids.sort_unstable();
    assert_eq!(orphans.len(), 2);

    compare(&["-ef"], &["-f"], &pids);
    compare(&["aux"], &["u"], &pids);
    compare(&["ax"], &["w"], &pids);
    compare(&["-e"], &[], &pids);
    compare(&["-F"], &["-F"], &pids);
    compare(&["-l"], &["-l"], &pids);
    compare(&["-j"], &["-j"], &pids);
    compare(&["j"], &["j"], &pids);
    compare(&["l"], &["l"], &pids);
    for list in [
        "pid,ppid,pgid,sid,tpgid,args",
        "user,uid,ruser,ruid,group,gid,rgroup,rgid,pid",
        "tty,tname,stat,s,state,comm",
        "vsz,sz,nice,ni,pri,opri,nlwp,thcount,f,ucmd",
        "etime,etimes,stime,time,cputime,cputimes,bsdtime,c,pcpu,pmem,psr,pid",
    ] {
        compare(&["-eo", list], &["-o", list], &pids);
    }
    drop((guards, orphans));
}

/// A grandchild that this test cannot wait for: killed by its number while it surely sleeps (100 s and more).
struct Orphan(i32);

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[test]
fn start_times_agree() {
    let guard = spawn("sleep", &["100"]);
    let theirs = procps(&["-o", "lstart"], &[guard.pid()]);
    let our = ours(&["-o", "lstart"], &[guard.pid()]).rows[0][0].clone();
    // procps counts from another reading of the boot time: a second apart is equal.
    let seconds = |text: &str| {
        text.split(':').next_back().unwrap()[..2]
            .parse::<i32>()
            .unwrap()
    };
    let apart = (seconds(&theirs[1].join(" ")) - seconds(&our)).rem_euclid(60);
    assert!(apart <= 1 || apart == 59, "{} {our}", theirs[1].join(" "));
    assert_eq!(theirs[1].join(" ").len(), our.len());
}

#[test]
fn forests_and_zombies_are_drawn_as_by_procps() {
    let proc = Proc::host().unwrap();
    let script = "sh -c 'sh -c : & sh -c \"sleep 100 & exec sleep 101\" & exec sleep 102' & sleep 103 & echo ready; wait";
    let guard = contain(&[], script);
    let want = silo_observe::Want::PS;
    let settled = |list: &[silo_observe::Process]| {
        let sleeps = list
            .iter()
            .filter(|p| p.command_line.starts_with("sleep"))
            .count();
        list.iter().any(silo_observe::Process::is_zombie) && sleeps == 4
    };
    let pids: Vec<i32> = below(&proc, guard.pid(), want, 6, settled)
        .iter()
        .map(|p| p.host_pid)
        .collect();
    for (words, asked) in [
        (&["f", "-eo", "pid,args"][..], &["f", "-o", "pid,args"][..]),
        (&["-ef", "--forest"], &["-f", "--forest"]),
        (&["-H", "-eo", "pid,args"], &["-H", "-o", "pid,args"]),
        (&["auxf"], &["u", "f"]),
        (&["-eo", "pid,stat,comm"], &["-o", "pid,stat,comm"]),
    ] {
        let mut table = ours(words, &pids);
        // The last column of the real output was cut out of a line: blanks before it are lost.
        for row in &mut table.rows {
            let last = row.last_mut().unwrap();
            *last = last.trim_start().to_owned();
        }
        let theirs = procps(asked, &pids);
        let column = |rows: &[Vec<String>]| {
            rows.iter()
                .map(|r| r.last().unwrap().clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(column(&theirs[1..]), column(&table.rows), "{words:?}");
    }
}
