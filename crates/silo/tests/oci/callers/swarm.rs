//! Docker Swarm: two daemons, each a node in a network namespace of its own; a cable between them, and nothing that leads out.
//!
//! ```text
//! namespace of the test         namespace of the second daemon
//!   manager    10.99.0.1 ═══ 10.99.0.2    worker: is killed with all that runs there, and comes back
//! ```
//! The service's names lead to its tasks (`dnsrr`): the usual virtual address needs IPVS, which a kernel may lack. Where there
//! is VXLAN the tasks share a network over both nodes.

use std::{fs, process::Command, time::Instant};

use super::{
    docker::{Docker, PROGRAMS},
    have, kill_and_wait,
};
use crate::{
    common::{kernel, until},
    fixture::Oci,
};

const MANAGER: &str = "10.99.0.1";
const WORKER: &str = "10.99.0.2";

/// What makes a node of a daemon.
const APART: [&str; 1] = ["--net"];

fn ip(words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    kernel::run("ip", &words);
}

/// A cable from here to a daemon that has just been launched in a namespace of its own.
fn plug_in(worker: &Docker) {
    let pid = worker.daemon.id();
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/net")).ok();
    // The test's namespace is its thread's.
    let here = namespace("thread-self");
    until("the worker's namespace", || {
        let there = namespace(&pid.to_string());
        there.is_some() && there != here
    });
    ip(&format!(
        "link add cable type veth peer name cable netns {pid}"
    ));
    ip(&format!("address add {MANAGER}/24 dev cable"));
    ip("link set cable up");
    let inside = format!(
        "ip link set lo up && ip address add {WORKER}/24 dev cable && ip link set cable up"
    );
    kernel::run(
        "nsenter",
        &["--target", &pid.to_string(), "--net", "sh", "-c", &inside],
    );
    worker.becomes_ready();
}

/// SIGKILL to a daemon and all that it has started, at once.
fn kill_all_of(worker: &mut Docker) {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let own = namespace(&worker.daemon.id().to_string());
    let processes = worker.oci.host.processes();
    // The daemon, its containerd and the shims; tasks have namespaces of their own.
    let mut victims: Vec<i32> = processes
        .iter()
        .filter_map(|line| line.split(' ').next())
        .filter(|pid| namespace(pid) == own)
        .map(|pid| pid.parse().unwrap())
        .filter(|pid| *pid != worker.daemon.id() as i32)
        .collect();
    let tasks = worker.ok(&["ps", "-q"]);
    victims.extend(tasks.lines().map(|id| worker.pid(id)));
    worker.daemon.kill().unwrap();
    worker.daemon.wait().unwrap();
    kill_and_wait(&victims);
}

/// How many tasks of the service run on a node.
fn tasks(node: &Docker) -> usize {
    node.run(&["ps", "-q", "--filter", "name=web."])
        .out
        .lines()
        .count()
}

fn has_vxlan() -> bool {
    let words = "link add probe type vxlan id 77 dstport 4789 dev cable";
    let made = Command::new("ip").args(words.split(' ')).output();
    let made = made.is_ok_and(|made| made.status.success());
    if made {
        ip("link delete probe");
    } else {
        println!("skipped: a network over both nodes: the kernel has no VXLAN");
    }
    made
}

#[test]
fn a_service_outlives_a_node() {
    if !have(&PROGRAMS) || !have(&["ip", "nsenter"]) {
        return;
    }
    let oci = Oci::new();
    let manager = Docker::start(&oci);
    let mut worker = Docker::launch(&oci, "worker", &APART);
    plug_in(&worker);
    manager.ok(&[
        "swarm",
        "init",
        "--advertise-addr",
        MANAGER,
        "--dispatcher-heartbeat",
        "1s",
    ]);
    let token = manager.ok(&["swarm", "join-token", "-q", "worker"]);
    let address = format!("{MANAGER}:2377");
    worker.ok(&[
        "swarm",
        "join",
        "--token",
        &token,
        "--advertise-addr",
        WORKER,
        &address,
    ]);

    let mut service = vec![
        "service",
        "create",
        "--no-resolve-image",
        "--detach",
        "--name",
        "web",
    ];
    service.extend([
        "--replicas",
        "4",
        "--endpoint-mode",
        "dnsrr",
        "--limit-memory",
        "64m",
    ]);
    let shared = has_vxlan();
    if shared {
        manager.ok(&["network", "create", "--driver", "overlay", "over"]);
        service.extend(["--network", "over"]);
    }
    service.extend(["lab", "sleep", "600"]);
    manager.ok(&service);
    until("two tasks on each node", || {
        tasks(&manager) == 2 && tasks(&worker) == 2
    });
    let first = worker.ok(&["ps", "-q"]);
    let first = first.lines().next().unwrap();
    assert_eq!(kernel::number(worker.pid(first), kernel::MEMORY), 64 << 20);
    if shared {
        let there = worker.inspect(first);
        let address = there["NetworkSettings"]["Networks"]["over"]["IPAddress"].clone();
        let here = manager.ok(&["ps", "-q"]);
        let here = here.lines().next().unwrap();
        let ping = [
            "exec",
            here,
            "ping",
            "-c",
            "1",
            "-W",
            "5",
            address.as_str().unwrap(),
        ];
        manager.ok(&ping);
    }

    kill_all_of(&mut worker);
    let killed = Instant::now();
    until("the worker to be missed", || {
        let shown = manager.ok(&["node", "ls", "--format", "{{.Status}}"]);
        shown.contains("Down")
    });
    until("four tasks on the one that is left", || {
        tasks(&manager) == 4
    });
    println!(
        "four tasks again after {:.1} s",
        killed.elapsed().as_secs_f32()
    );
    assert!(
        !worker.held().is_empty(),
        "the killed daemon cannot have tidied up"
    );

    // The daemon that comes back has the runtime free what its dead containers had.
    until("the end of the cable", || {
        !kernel::links().contains(&"cable".to_owned())
    });
    worker.launch_again(&APART);
    plug_in(&worker);
    until("the worker's return", || {
        manager.ok(&["node", "ls", "--format", "{{.Status}}"]) == "Ready\nReady"
    });
    until("the tidying", || worker.held().is_empty());
    manager.ok(&["service", "rm", "web"]);
    until("the end of the tasks", || tasks(&manager) == 0);
    for node in [&worker, &manager] {
        node.ok(&["swarm", "leave", "--force"]);
    }
    until("their groups' end", || oci.groups().is_empty());
}
