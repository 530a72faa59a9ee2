//! What a group costs on this host, step by step, against bare mkdir and rmdir: medians in microseconds.
//!
//! `cost [ROUNDS [IDLE-MS]]`: the pause before each round shows what the kernel makes an idle machine wait for.

use oci_spec::runtime::LinuxResources;
use silo_cgroup::{Cgroup, CgroupPath, Existing, Figures, Layout, StatsReader};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RESOURCES: &str = r#"{"memory": {"limit": 268435456}, "cpu": {"quota": 100000, "period": 100000},
  "pids": {"limit": 100}, "devices": [{"allow": false, "access": "rwm"},
  {"allow": true, "type": "c", "access": "m"}, {"allow": true, "type": "b", "access": "m"},
  {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
  {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
  {"allow": true, "type": "c", "major": 1, "minor": 7, "access": "rwm"},
  {"allow": true, "type": "c", "major": 1, "minor": 8, "access": "rwm"},
  {"allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm"},
  {"allow": true, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
  {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
  {"allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
  {"allow": true, "type": "c", "major": 136, "access": "rwm"}]}"#;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("enter") {
        return enter(&arguments.next().unwrap());
    }
    let rounds = first.map_or(40, |n| n.parse().unwrap());
    let idle = arguments.next().map_or(50, |n| n.parse().unwrap());
    let layout = Layout::detect().unwrap();
    let parent = CgroupPath::new(&format!("/silo-test-cost-{}", std::process::id())).unwrap();
    println!("{layout}");
    let mut table = Table::default();
    for _ in 0..rounds {
        std::thread::sleep(Duration::from_millis(idle));
        round(&mut table, &layout, &parent);
    }
    assert!(Cgroup::at(&layout, &parent).destroy().is_empty());
    for (name, times) in &mut table.0 {
        times.sort();
        let at = |n: usize| times[n].as_nanos() as f64 / 1000.0;
        let (median, high) = (at(times.len() / 2), at(times.len() * 9 / 10));
        println!("{name:46} {median:9.1}   9 of 10 below {high:9.1}");
    }
}

#[derive(Default)]
struct Table(Vec<(&'static str, Vec<Duration>)>);

impl Table {
    fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(name, start.elapsed());
        result
    }

    fn add(&mut self, name: &'static str, time: Duration) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => times.push(time),
            None => self.0.push((name, vec![time])),
        }
    }
}

fn round(table: &mut Table, layout: &Layout, parent: &CgroupPath) {
    let resources: LinuxResources = serde_json::from_str(RESOURCES).unwrap();
    let none = LinuxResources::default();
    table.time("Layout::detect", || Layout::detect().unwrap());
    table.time("Layout::from_mounts", || Layout::from_mounts().unwrap());
    let text = layout.to_text();
    table.time("Layout::from_text", || Layout::from_text(&text).unwrap());
    let bare = Cgroup::at(layout, &parent.join("bare").unwrap());
    let dirs: Vec<_> = (0..layout.hierarchies().len())
        .map(|n| bare.dir(n).to_owned())
        .collect();
    // The parents, so that no round measures them
    Cgroup::create(layout, bare.path(), &none, Existing::Refuse).unwrap();
    assert!(bare.destroy().is_empty());
    table.time("bare mkdir, all hierarchies", || {
        dirs.iter()
            .for_each(|dir| std::fs::create_dir(dir).unwrap());
    });
    table.time("bare rmdir, all hierarchies", || {
        dirs.iter()
            .for_each(|dir| std::fs::remove_dir(dir).unwrap());
    });
    let path = parent.join("full").unwrap();
    let plain = table.time("create without limits", || {
        Cgroup::create(layout, &path, &none, Existing::Refuse).unwrap()
    });
    table.time("destroy without limits", || {
        assert!(plain.destroy().is_empty())
    });
    let group = table.time("create with memory, cpu, pids, 11 devices", || {
        Cgroup::create(layout, &path, &resources, Existing::Refuse).unwrap()
    });
    let (child, opened, entered) = Shell::start(&path);
    table.add("child: open the entry", opened);
    table.add("child: enter", entered);
    sample(table, &group);
    child.stop();
    table.time("destroy", || assert!(group.destroy().is_empty()));
    let group = Cgroup::create(layout, &path, &none, Existing::Refuse).unwrap();
    let child = Command::new("sleep")
        .arg("100")
        .spawn()
        .map(Reaped)
        .unwrap();
    table.time("attach another process (for comparison)", || {
        group.attach(child.0.id() as i32).unwrap();
    });
    drop(child);
    assert!(group.destroy().is_empty());
}

struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sample(table: &mut Table, group: &Cgroup) {
    let mut all = table.time("StatsReader::open, all", || {
        StatsReader::open(group, Figures::ALL).unwrap()
    });
    table.time("StatsReader::sample, all", || all.sample().unwrap());
    let mut little = StatsReader::open(group, Figures::LITTLE).unwrap();
    little.sample().unwrap();
    table.time("StatsReader::sample, cpu time and memory usage", || {
        little.sample().unwrap()
    });
}

/// A child with one thread that enters the group and tells how long it took.
struct Shell(Child);

impl Shell {
    fn start(path: &CgroupPath) -> (Shell, Duration, Duration) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["enter", path.as_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let mut times = line
            .split_whitespace()
            .map(|n| Duration::from_nanos(n.parse().unwrap()));
        let (opened, entered) = (times.next().unwrap(), times.next().unwrap());
        (Shell(child), opened, entered)
    }

    fn stop(mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        self.0.wait().unwrap();
    }
}

fn enter(path: &str) {
    let layout = Layout::detect().unwrap();
    let group = Cgroup::at(&layout, &CgroupPath::new(path).unwrap());
    // The v2 group is what a real child is cloned into
    let start = Instant::now();
    let entry = group.entry(false).unwrap();
    let opened = start.elapsed();
    let start = Instant::now();
    entry.enter().unwrap();
    println!("{} {}", opened.as_nanos(), start.elapsed().as_nanos());
    std::io::stdin().read_line(&mut String::new()).unwrap();
}
