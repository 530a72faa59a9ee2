//! SIGKILL for the command, its monitor or both at random moments of a start: `doctor` is the first to look, names what was left,
//! `--fix` removes it, and the kernel, which is asked besides, has nothing of it then.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::kills::{Random, clear, kill, monitors, rounds};
use crate::common::{Host, Ran, kernel, patient, until};

const WORDS: [&str; 10] = [
    "run",
    "-d",
    "--name",
    "box",
    "-v",
    "data:/data",
    "-v",
    "/anonymous",
    "lab",
    "sleep",
];

fn orphans(ran: &Ran) -> Vec<String> {
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran}"));
    let list = report["orphans"].as_array().unwrap();
    list.iter().map(Value::to_string).collect()
}

/// What the kernel and the disk have of a host without containers.
fn left(host: &Host) -> Vec<String> {
    let entries = |folder: &str| {
        let read = fs::read_dir(host.root.join(folder));
        let names = read.into_iter().flatten().flatten();
        names
            .map(|e| e.path().display().to_string())
            .collect::<Vec<_>>()
    };
    let mut left = entries("containers");
    left.extend(entries("names"));
    left.extend(entries("network/leases"));
    left.extend(
        fs::read_dir(&host.run)
            .unwrap()
            .flatten()
            .map(|e| e.path().display().to_string()),
    );
    let groups = kernel::groups_below(&host.group());
    left.extend(groups.iter().map(|group| group.display().to_string()));
    left.extend(
        kernel::links()
            .into_iter()
            .filter(|link| link.starts_with("veth")),
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = host.root.display().to_string();
    left.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&root))
            .map(str::to_owned),
    );
    left.extend(host.processes());
    let volumes = entries("volumes").into_iter();
    left.extend(volumes.filter(|path| !fs::exists(format!("{path}/volume.json")).unwrap()));
    left
}

/// Kills the command, the monitor, or the one and then the other.
fn strike(host: &Host, round: u64, after: Duration) {
    let began = Instant::now();
    let mut command = host.spawn(&[&WORDS[..], &["600"]].concat());
    while began.elapsed() < after {
        std::hint::spin_loop();
    }
    let young = kernel::children(command.pid());
    let [command_too, monitor_too] =
        [[true, false], [false, true], [true, true]][(round % 3) as usize];
    if command_too {
        command.kill();
    }
    if monitor_too {
        young.into_iter().chain(monitors(host)).for_each(kill);
        until("the command's end", || !command.runs());
    }
}

#[test]
fn what_a_killed_start_leaves_is_named_and_removed() {
    let host = Host::new();
    host.offline(&[], "true");
    let began = Instant::now();
    host.ok(&[&WORDS[..], &["600"]].concat());
    let length = began.elapsed().min(Duration::from_millis(300)).as_micros() as u64 * 6 / 5;
    clear(&host);
    let mut random = Random::new("doctor");
    let mut named = 0;
    for round in 0..rounds() {
        let after = Duration::from_micros(random.below(length + 1));
        let case = format!("round {round}, killed after {after:?}");
        strike(&host, round, after);
        let found = host.silo(&["doctor", "--format", "json"]);
        assert!(found.code <= 1, "{case}: {found}");
        assert_eq!(
            found.code == 1,
            !orphans(&found).is_empty(),
            "{case}: {found}"
        );
        named += orphans(&found).len();
        let fixed = host.silo(&["doctor", "--fix", "--format", "json"]);
        assert_eq!(fixed.code, 0, "{case}: {fixed}");
        let again = host.silo(&["doctor", "--format", "json"]);
        assert_eq!(
            (again.code, orphans(&again).len()),
            (0, 0),
            "{case}: {again}"
        );
        // What is a container still is whole: it can be removed as any other.
        clear(&host);
        let end = Instant::now() + patient(Duration::from_secs(10));
        while !left(&host).is_empty() {
            assert!(Instant::now() < end, "{case}: {:?}", left(&host));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    println!("{named} things were named");
}
