//! Whole engines beside Silo: run, exec, list and top of Docker and podman, and a bare `runc run`.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use silo_types::{Doing, Error, Result};

use super::title;
use crate::{
    Options, Row,
    measure::{Candidate, Settle, Timed, interleave, output, reap_ended},
    report::Section,
    summary::Millis,
    tools::Tools,
};

const SOCKET: &str = "unix:///run/docker-bench.sock";

/// The slow ones take most of the time of a round.
const ROUNDS: usize = 20;

const IMAGE: &str = "localhost/lab:bench";

/// The container that `exec` and `top` look into.
const IDLE: &str = "bench-idle";

/// dockerd, ended when dropped.
struct Daemon {
    child: Child,
    /// Control groups that it and podman make and leave.
    groups: Vec<PathBuf>,
}

impl Daemon {
    fn start(tools: &Tools) -> Result<Daemon> {
        let log = tools.work.join("dockerd.log");
        let log = File::create(&log).doing_with(|| format!("make {}", log.display()))?;
        let groups = left_groups()
            .into_iter()
            .filter(|group| !group.exists())
            .collect();
        let child = Command::new("dockerd")
            .args(["-H", SOCKET, "--exec-opt", "native.cgroupdriver=cgroupfs"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .doing("start dockerd")?;
        let daemon = Daemon { child, groups };
        let patience = Instant::now() + Duration::from_secs(60);
        while output(&mut docker(&["version"])).is_err() {
            if Instant::now() > patience {
                return Err(Error::conflict(
                    "dockerd does not answer: see dockerd.log in the work folder",
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        remove_idle();
        if let Some(pid) = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        // Only folders that were not there before; one that is in use stays.
        for group in &self.groups {
            let _ = fs::remove_dir(group);
        }
    }
}

/// The folders above their containers, in every hierarchy.
fn left_groups() -> Vec<PathBuf> {
    let top = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(&top)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let tops: Vec<PathBuf> = hierarchies.chain([top.clone()]).collect();
    let names = ["docker", "libpod_parent/conmon", "libpod_parent"];
    names
        .iter()
        .flat_map(|name| tops.iter().map(move |top| top.join(name)))
        .collect()
}

/// There may be none: then nothing is wrong.
fn remove_idle() {
    let _ = output(&mut docker(&["rm", "-f", IDLE]));
    let _ = output(&mut podman(&["rm", "-f", "-t", "0", IDLE]));
}

fn docker(words: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["-H", SOCKET]).args(words);
    command
}

fn podman(words: &[&str]) -> Command {
    let mut command = Command::new("podman");
    command.args(words);
    command
}

pub fn measure(options: &Options, tools: &Tools) -> Result<Section> {
    let archive = tools.work.join("lab.tar").display().to_string();
    output(
        Command::new("tar")
            .arg("-C")
            .arg(&tools.rootfs)
            .args(["-cf", &archive, "."]),
    )?;
    let _daemon = Daemon::start(tools)?;
    // A run that was stopped may have left them.
    remove_idle();
    output(&mut docker(&["import", &archive, IMAGE]))?;
    output(&mut podman(&["import", "-q", &archive, IMAGE]))?;
    let idle = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        IDLE,
        IMAGE,
        "sleep",
        "1000000",
    ];
    output(&mut docker(&idle))?;
    output(&mut podman(&idle))?;
    tools
        .silo
        .start_idle(&["--network", "none", "--name", IDLE])?;
    let timed = interleave(&candidates(tools)?, ROUNDS.min(options.rounds), Settle::No)?;
    reap_ended();
    let mut section = Section::new(title(Row::Engines));
    section.head = vec![
        "action",
        "Silo ms",
        "Docker ms",
        "Podman ms",
        "Docker / Silo",
        "Podman / Silo",
    ];
    section.lines = timed.chunks_exact(3).map(line).collect();
    if let Some(runc) = timed.last() {
        section = section.note(format!(
            "{}: {} ms",
            runc.name,
            Millis(runc.returned.median)
        ));
    }
    Ok(section.note("medians of interleaved runs; `ps` and `top` beside one running container"))
}

/// The three engines' times for one action.
fn line(timed: &[Timed]) -> Vec<String> {
    let silo = &timed[0].returned;
    let times = timed
        .iter()
        .map(|one| Millis(one.returned.median).to_string());
    let ratios = timed[1..]
        .iter()
        .map(|one| format!("{:.1}", one.returned.ratio(silo)));
    [timed[0].name.clone()]
        .into_iter()
        .chain(times)
        .chain(ratios)
        .collect()
}

/// Silo, Docker and Podman for each action; then the bare runtime that Docker and containerd use.
fn candidates(tools: &Tools) -> Result<Vec<Candidate>> {
    let actions: [(&str, &[&str]); 5] = [
        ("run --rm, bridge", &["run", "--rm", IMAGE, "true"]),
        (
            "run --rm --network none",
            &["run", "--rm", "--network", "none", IMAGE, "true"],
        ),
        ("exec", &["exec", IDLE, "true"]),
        ("top", &["top", IDLE]),
        ("ps", &["ps"]),
    ];
    let mut candidates = Vec::new();
    for (name, words) in actions {
        let own: Vec<&str> = words
            .iter()
            .map(|w| if *w == IMAGE { "lab" } else { w })
            .collect();
        candidates.push(tools.silo.candidate(name, &own));
        let docker = ["docker", "-H", SOCKET]
            .into_iter()
            .chain(words.iter().copied());
        candidates.push(Candidate::new(format!("docker {name}"), docker));
        let podman = ["podman"].into_iter().chain(words.iter().copied());
        candidates.push(Candidate::new(format!("podman {name}"), podman));
    }
    let bundle = tools.bundle("bundle-runc", &["true"], true)?;
    candidates.push(tools.runtime(
        "runc run, Docker's seccomp filter",
        "runc",
        &bundle,
        "bench-runc",
    ));
    Ok(candidates)
}
