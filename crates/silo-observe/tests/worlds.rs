//! Both pids, zombies, threads, users and the view made of them, with processes in real namespaces. Needs root.

mod common;

use std::collections::HashMap;

use common::{below, child_of, contain, spawn};
use silo_observe::{
    CpuSample, HostFacts, Names, Proc, Process, Style, TopFacts, TopInputs, TopView, Want,
};

/// pid 1 is sh, pid 2 a shell that becomes `sleep` and never waits for its own child, which becomes a zombie.
const WITH_ZOMBIE: &str = "sh -c 'sh -c : & exec sleep 100' & sleep 100 & echo ready; wait";

/// The zombie is there and both sleepers are what they are to be.
fn settled(list: &[Process]) -> bool {
    let sleeps = list.iter().filter(|p| p.command_line == "sleep 100");
    sleeps.count() == 2 && list.iter().any(Process::is_zombie)
}

#[test]
fn pids_inside_and_outside() {
    let proc = Proc::host().unwrap();
    let guard = contain(&[], WITH_ZOMBIE);
    let list = below(&proc, guard.pid(), Want::TOP, 4, settled);

    let main = list.iter().find(|p| p.pid == 1).unwrap();
    assert_eq!(main.ns_pids, [main.host_pid, 1]);
    assert_eq!((main.ppid, main.host_ppid), (0, guard.pid()));
    assert_eq!((main.innermost_pid(), main.comm.as_str()), (1, "sh"));
    let zombie = list.iter().find(|p| p.is_zombie()).unwrap();
    let parent = list.iter().find(|p| p.pid == zombie.ppid).unwrap();
    assert_eq!(parent.command_line, "sleep 100");
    assert_eq!((zombie.command().as_str(), zombie.memory), ("[sh]", None));
    for process in list.iter().filter(|p| !p.is_zombie()) {
        let memory = process.memory.unwrap();
        assert!(memory.rss >= memory.private && memory.private > 0 && memory.pss > 0);
        assert!(process.oom_score.is_some() && process.precise_cpu_ns.is_some());
        assert_eq!((process.uid, process.threads, process.tty), ([0; 4], 1, 0));
    }
    let facts = proc.whois(main.host_pid, "/silo").unwrap();
    assert_eq!((facts.pid, facts.container), (1, None));
    let shared = |kind| {
        facts
            .namespaces
            .iter()
            .find(|n| n.kind == kind)
            .unwrap()
            .shared_with_host
    };
    assert_eq!((shared("pid"), shared("mnt")), (false, false));
    assert_eq!((shared("net"), shared("user")), (true, true));
}

#[test]
fn the_view_of_both_worlds() {
    let proc = Proc::host().unwrap();
    let guard = contain(&[], WITH_ZOMBIE);
    let list = below(&proc, guard.pid(), Want::TOP, 4, settled);
    let main = child_of(&proc, guard.pid()).unwrap();
    let host = HostFacts::now();
    let earlier = CpuSample::of(&list, &host);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let later = CpuSample::take(&proc, &list.iter().map(|p| p.host_pid).collect::<Vec<_>>());
    let inputs = TopInputs {
        processes: &list,
        host: &host,
        names: &Names::of_container(&proc, main).unwrap(),
        cpu: Some((&earlier, &later)),
        execs: &HashMap::new(),
    };
    let facts = TopFacts {
        name: "pinger".to_owned(),
        namespaces: proc.namespaces(main).unwrap(),
        ..TopFacts::default()
    };
    let view = TopView::build(facts, &inputs);
    assert_eq!((view.totals.processes, view.totals.zombies), (3, 1));
    assert_eq!(
        (view.processes[0].pid, view.processes[0].user.as_str()),
        (1, "root")
    );
    let text = view.lines(120, Style::Plain).join("\n");
    let zombie = view
        .processes
        .iter()
        .find(|p| p.zombie_of.is_some())
        .unwrap();
    let parent = zombie.zombie_of.unwrap();
    assert!(
        text.contains(&format!("└─ [sh]  zombie: {parent} never waits")),
        "{text}"
    );
    assert!(
        text.contains("net ns shared with host") && text.contains("3 processes, 1 zombie"),
        "{text}"
    );
}

#[test]
fn a_process_that_joined_from_outside() {
    let proc = Proc::host().unwrap();
    let guard = contain(&[], "echo ready; exec sleep 100");
    let main = child_of(&proc, guard.pid()).unwrap();
    let target = format!("--target={main}");
    let joined = spawn("nsenter", &[&target, "--pid", "sleep", "101"]);
    let list = below(&proc, guard.pid(), Want::PS, 2, |_| true);
    let exec = list.iter().find(|p| p.command_line == "sleep 101").unwrap();
    assert_eq!((exec.host_ppid, exec.ppid), (joined.pid(), 0));
    assert!(exec.pid > 1);
    // nsenter goes on as the parent outside: kill the one inside first, then it ends by itself.
    drop(guard);
}

#[test]
fn users_through_a_user_namespace() {
    let proc = Proc::host().unwrap();
    let guard = contain(&["--user", "--map-root-user"], "echo ready; exec sleep 100");
    let main = child_of(&proc, guard.pid()).unwrap();
    let names = Names::of_container(&proc, main).unwrap();
    assert_eq!((names.user(0).as_str(), names.user_inside(0)), ("root", 0));
    assert_eq!(names.user_inside(1000), 65534);
    let list = below(&proc, guard.pid(), Want::PS, 1, |l| {
        l[0].command_line == "sleep 100"
    });
    assert!(list[0].cap_eff != 0);
}

#[test]
fn those_that_are_gone_and_those_of_the_kernel_are_left_out() {
    let proc = Proc::host().unwrap();
    let guard = spawn("sleep", &["100"]);
    let gone = {
        let short = spawn("true", &[]);
        short.pid()
    };
    let list = proc.collect(&[gone, guard.pid(), guard.pid(), 2, 0, -5], Want::TOP);
    let pids: Vec<i32> = list.iter().map(|p| p.host_pid).collect();
    assert_eq!(pids, [guard.pid()]);
    let error = proc.process_facts(gone, Want::PS).unwrap_err();
    assert_eq!(error.to_string(), format!("process {gone} does not exist"));
}

#[test]
fn threads_and_rights() {
    let proc = Proc::host().unwrap();
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let own = proc
        .process_facts(std::process::id() as i32, Want::PS)
        .unwrap();
    assert!(own.threads > 1);
    assert!(own.command().contains("worlds"));
    assert!(!own.no_new_privs);
    drop(stop);
    let _ = thread.join();
}

/// A guard against a quadratic slip or a file read per mapping, not a benchmark: that is done with a release build.
#[test]
fn two_hundred_processes_are_read_fast() {
    let proc = Proc::host().unwrap();
    let guards: Vec<_> = (0..200).map(|_| spawn("sleep", &["100"])).collect();
    let pids: Vec<i32> = guards.iter().map(common::Guard::pid).collect();
    let best = |run: &dyn Fn()| {
        let once = |_| {
            let start = std::time::Instant::now();
            run();
            start.elapsed()
        };
        (0..5).map(once).min().unwrap()
    };
    let ps = best(&|| assert_eq!(proc.collect(&pids, Want::PS).len(), 200));
    let top = best(&|| assert_eq!(proc.collect(&pids, Want::TOP).len(), 200));
    let ids: Vec<_> = pids
        .iter()
        .map(|pid| proc.identify(*pid).unwrap().unwrap())
        .collect();
    let alive = best(&|| assert!(ids.iter().all(|id| silo_observe::is_alive(*id))));
    println!("200 processes: ps {ps:?}, top {top:?}, alive {alive:?}");
    assert!(
        ps.as_millis() < 200 && alive.as_millis() < 100,
        "{ps:?} {alive:?}"
    );
}
