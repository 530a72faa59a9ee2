//! SIGKILL for the command or the monitor at random moments: afterwards one ordinary command brings the truth back, and `doctor`
//! finds nothing.
//!
//! `SILO_TEST_KILLS` says how often (200 in all unless given), `SILO_TEST_SEED` repeats a run.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Host, Running, kernel, patient, until};

/// xorshift64*
pub struct Random(u64);

impl Random {
    pub fn new(what: &str) -> Random {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let given = std::env::var("SILO_TEST_SEED")
            .ok()
            .and_then(|s| s.parse().ok());
        let seed = given.unwrap_or(now.as_nanos() as u64);
        println!("{what}: SILO_TEST_SEED={seed}");
        Random(seed | 1)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }
}

/// How many kills for each of the four verbs.
pub fn rounds() -> u64 {
    let all = std::env::var("SILO_TEST_KILLS")
        .ok()
        .and_then(|s| s.parse().ok());
    all.unwrap_or(200u64).div_ceil(4)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Command,
    Monitor,
}

/// Kills, and waits until it has taken effect.
pub fn kill(pid: i32) {
    if let Some(raw) = Pid::from_raw(pid) {
        let _ = kill_process(raw, Signal::KILL);
        until("the end of what was killed", || !kernel::alive(pid));
    }
}

/// Monitors of this host, by the name that they give themselves.
pub fn monitors(host: &Host) -> Vec<i32> {
    let mark = format!("SILO_TEST_HOST={}\0", host.mark()).into_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let environment = || fs::read(entry.path().join("environ")).unwrap_or_default();
        if comm.trim() == "silo-monitor" && environment().windows(mark.len()).any(|w| w == mark) {
            found.push(pid);
        }
    }
    found
}

/// Lets the command run for a random while and kills.
fn strike(host: &Host, command: &mut Running, victim: Victim, after: Duration) {
    let began = Instant::now();
    while began.elapsed() < after {
        std::hint::spin_loop();
    }
    match victim {
        Victim::Command => command.kill(),
        Victim::Monitor => {
            // One that is just being born has no name of its own yet.
            let young = kernel::children(command.pid());
            let young = young.into_iter().filter(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "silo")
            });
            for pid in monitors(host).into_iter().chain(young) {
                kill(pid);
            }
        }
    }
}

/// One ordinary command, then nothing may be wrong. A monitor that lives may still be at work for a moment.
fn truth_is_back(host: &Host, case: &str) {
    let end = Instant::now() + patient(Duration::from_secs(10));
    loop {
        let list = host.silo(&["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}"]);
        assert_eq!(list.code, 0, "{case}: {list}");
        let Some(found) = trouble(host, &list.out) else {
            return;
        };
        assert!(Instant::now() < end, "{case}: {found}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What is wrong with the host, beside its list of containers.
fn trouble(host: &Host, list: &str) -> Option<String> {
    // It ends with 1 when it finds something.
    let report = host.silo(&["doctor", "--format", "json"]).out;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let orphans = report.get("Orphans").or_else(|| report.get("orphans"));
    let orphans = orphans.and_then(|o| o.as_array()).unwrap();
    if !orphans.is_empty() {
        return Some(format!("doctor: {orphans:?}"));
    }
    let running: Vec<&str> = list
        .lines()
        .filter_map(|l| l.strip_suffix(" running"))
        .collect();
    for group in kernel::groups_below(&host.group()) {
        let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        let id = group.file_name().unwrap().to_string_lossy().into_owned();
        if !running.contains(&id.as_str()) {
            return Some(format!(
                "{} of no running container, with {procs:?}",
                group.display()
            ));
        }
    }
    match monitors(host).len() == running.len() {
        true => None,
        false => Some(format!("{} monitors: {list}", monitors(host).len())),
    }
}

/// After a monitor's death its container is reported, and its processes are gone.
fn monitor_death_is_told(host: &Host, name: &str, pid: i32, case: &str) {
    let facts = host.silo(&["inspect", name]);
    if facts.code != 0 {
        return;
    }
    let facts: serde_json::Value = serde_json::from_str(&facts.out).unwrap();
    assert_eq!(facts[0]["State"]["Running"], false, "{case}");
    assert!(!kernel::alive(pid), "{case}: its main process lives on");
}

pub fn clear(host: &Host) {
    let ids = host.ok(&["ps", "-aq"]);
    let ids: Vec<&str> = ids.lines().collect();
    if !ids.is_empty() {
        host.ok(&[&["rm", "-f", "-v"], ids.as_slice()].concat());
    }
}

/// How long a verb takes here, so that the moments cover all of it.
fn duration(host: &Host, before: impl Fn(&Host), words: &[&str]) -> Duration {
    before(host);
    let began = Instant::now();
    host.silo(words);
    let took = began.elapsed();
    clear(host);
    took.min(Duration::from_millis(300))
}

/// The trial: prepare, start the verb, strike, look.
fn trials(what: &str, words: &[&str], prepare: impl Fn(&Host)) {
    let host = Host::new();
    host.offline(&[], "true");
    let mut random = Random::new(what);
    let length = duration(&host, &prepare, words).as_micros() as u64 * 6 / 5;
    for round in 0..rounds() {
        let victim = [Victim::Command, Victim::Monitor][(round % 2) as usize];
        let after = Duration::from_micros(random.below(length + 1));
        let case = format!("{what}, round {round}: {victim:?} killed after {after:?}");
        prepare(&host);
        let pid = match host.silo(&["inspect", "-f", "{{.State.Pid}}", "box"]) {
            ran if ran.code == 0 => ran.out.trim().parse().unwrap_or(0),
            _ => 0,
        };
        let mut command = host.spawn(words);
        strike(&host, &mut command, victim, after);
        if victim == Victim::Monitor {
            until(&format!("{case}: the command's end"), || !command.runs());
        }
        truth_is_back(&host, &case);
        if victim == Victim::Monitor && pid > 0 && !monitors(&host).iter().any(|_| true) {
            monitor_death_is_told(&host, "box", pid, &case);
        }
        clear(&host);
    }
}

fn idle_box(host: &Host) {
    host.ok(&["run", "-d", "--name", "box", "lab", "sleep", "600"]);
}

#[test]
fn while_it_runs_a_container() {
    trials(
        "run",
        &[
            "run", "-d", "--name", "box", "-v", "/data", "lab", "sleep", "600",
        ],
        |_| (),
    );
}

#[test]
fn while_it_executes() {
    trials("exec", &["exec", "box", "sh", "-c", "true; true"], idle_box);
}

#[test]
fn while_it_stops() {
    trials("stop", &["stop", "-t", "1", "box"], idle_box);
}

#[test]
fn while_it_removes() {
    trials("rm", &["rm", "-f", "-v", "box"], idle_box);
}

/// The plainest case, spelled out.
#[test]
fn a_dead_monitor_is_reported() {
    let host = Host::new();
    host.idle("box", &[]);
    let pid = host.pid("box");
    for monitor in monitors(&host) {
        kill(monitor);
    }
    let list = host.ok(&["ps", "-a"]);
    assert!(list.contains("Exited (137)"), "{list}");
    assert!(!kernel::alive(pid));
    let facts = host.inspect("box");
    let error = facts["State"]["Error"].as_str().unwrap();
    assert!(error.contains("monitor was killed"), "{error}");
    host.ok(&["start", "box"]);
    assert_eq!(host.status("box"), "running");
}
