//! What each step of a container's network costs, in a namespace of its own: `cargo bench -p silo-net [-- ROUNDS]`.
//!
//! Needs root and unshare(1). Prints the least, middle and 90th percentile of each step in microseconds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use silo_net::{Bridge, Netns, Request, configure_from_outside};
use silo_types::ContainerId;

const INSIDE: &str = "SILO_NET_BENCH_INSIDE";

fn main() {
    let rounds = std::env::args().find_map(|word| word.parse().ok());
    let rounds: u8 = rounds.unwrap_or(50);
    if std::env::var_os(INSIDE).is_none() {
        let own = std::env::current_exe().expect("own path");
        let status = Command::new("unshare")
            .arg("-n")
            .arg(own)
            .arg(rounds.to_string())
            .env(INSIDE, "1")
            .status();
        std::process::exit(i32::from(!status.expect("unshare starts").success()));
    }
    let dir = tempfile::Builder::new()
        .prefix("silo-bench-net-")
        .tempdir_in("/var/tmp")
        .expect("temporary folder");
    let bridge = Bridge::new(dir.path().join("network"), "silobench").expect("bridge");
    let mut times = Times::default();
    times.take("0 ensure, first use", || bridge.ensure());
    for round in 1..=rounds {
        one_container(&bridge, round, &mut times);
    }
    times.take("9 remove_all", || bridge.remove_all());
    times.print();
}

fn one_container(bridge: &Bridge, round: u8, times: &mut Times) {
    let own = File::open("/proc/self/ns/net").expect("own namespace");
    let mut keeper = namespace();
    let netns = File::open(format!("/proc/{}/ns/net", keeper.id())).expect("namespace");
    let id = ContainerId::from_bytes([round; 32]);
    let request = Request {
        id: &id,
        ip: None,
        mac: None,
    };
    times.take("1 ensure, network is there", || bridge.ensure());
    let pending = times.take("2 prepare (ensure, lease)", || bridge.prepare(&request));
    let net = times.take("3 connect (veth pair)", || {
        pending.connect(Netns::Fd(netns.as_fd()))
    });
    times.take("4 configure from outside", || {
        configure_from_outside(netns.as_fd(), own.as_fd(), &net)
    });
    if round.is_multiple_of(2) {
        times.take("5 release", || bridge.release(&net));
    } else {
        times.take("6 detach", || bridge.detach(&net));
    }
    keeper.kill().expect("kill");
    keeper.wait().expect("wait");
}

/// A process that sleeps in a new network namespace.
fn namespace() -> Child {
    let mut keeper = Command::new("unshare")
        .args(["-n", "sh", "-c", "echo; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    let stdout = keeper.stdout.as_mut().expect("pipe");
    stdout.read_exact(&mut [0]).expect("namespace is made");
    keeper
}

#[derive(Default)]
struct Times(BTreeMap<&'static str, Vec<f64>>);

impl Times {
    fn take<T>(&mut self, step: &'static str, work: impl FnOnce() -> silo_types::Result<T>) -> T {
        let start = Instant::now();
        let result = work();
        let took = start.elapsed().as_secs_f64() * 1e6;
        self.0.entry(step).or_default().push(took);
        result.unwrap_or_else(|error| panic!("{step}: {error}"))
    }

    fn print(&mut self) {
        println!(
            "{:<30}{:>10}{:>10}{:>10}  µs",
            "step", "min", "median", "p90"
        );
        for (step, times) in &mut self.0 {
            times.sort_by(f64::total_cmp);
            let at = |part: usize| times[(times.len() - 1) * part / 10];
            println!("{step:<30}{:>10.1}{:>10.1}{:>10.1}", at(0), at(5), at(9));
        }
    }
}
