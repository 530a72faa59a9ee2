//! Leases when several processes want them at once.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::common::{Host, id};
use silo_net::{Bridge, Request};

const WORK: &str = "SILO_NET_TEST_LEASES";
const PROCESSES: u8 = 6;
const EACH: u8 = 20;

/// Not a test of its own: what each process of the test below runs, in the host namespace that it was started in.
#[test]
fn worker() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let mut words = work.split(':');
    let (dir, name) = (words.next().unwrap(), words.next().unwrap());
    let number: u8 = words.next().unwrap().parse().unwrap();
    let bridge = Bridge::new(dir, name).unwrap();
    for i in 0..EACH {
        let owner = id(number * EACH + i);
        let request = Request {
            id: &owner,
            ip: None,
            mac: None,
        };
        let pending = bridge.prepare(&request).unwrap();
        // Every third is given back at once, so that addresses change hands.
        match i % 3 {
            0 => bridge.detach(pending.attachment()).unwrap(),
            _ => println!("leased {}", pending.attachment().ip),
        }
    }
}

#[test]
fn no_address_is_given_twice() {
    let host = Host::new();
    let bridge = host.bridge();
    let dir = host.dir.path().join("network");
    let start = |number: u8| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "leases::worker", "--nocapture"])
            .env(
                WORK,
                format!("{}:{}:{number}", dir.display(), bridge.name()),
            )
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let workers: Vec<_> = (0..PROCESSES).map(start).collect();
    let mut leased = Vec::new();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        leased.extend(
            text.lines()
                .filter_map(|l| l.split("leased ").nth(1))
                .map(str::to_owned),
        );
    }
    let different: BTreeSet<&String> = leased.iter().collect();
    assert_eq!(leased.len(), usize::from(PROCESSES) * 13);
    assert_eq!(different.len(), leased.len());
    assert_eq!(bridge.remove_all().unwrap().leases, leased.len());
}
