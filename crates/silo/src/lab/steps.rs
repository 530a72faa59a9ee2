//! The ten steps of the lesson, each with its checks.

use std::time::{Duration, Instant};

use silo_engine::{Container, Sample};
use silo_types::{ByteSize, Resources, Result, Status};

use super::{Lab, terminal::Session};

/// Containers that the lesson makes.
pub(super) const NAMES: [&str; 5] = ["pinger", "quiet", "hungry", "limited", "busy"];

const PROMPT: &str = "# ";
const SOON: Duration = Duration::from_secs(10);

pub(super) fn all(lab: &mut Lab<'_>) -> Result<()> {
    let host_pid = start_pinger(lab)?;
    seen_from_inside(lab)?;
    seen_with_top(lab, host_pid)?;
    seen_from_the_host(lab, host_pid)?;
    listed(lab)?;
    killed_from_the_host(lab, host_pid)?;
    memory_without_limit(lab)?;
    memory_with_limit(lab)?;
    processor_with_limit(lab)?;
    freed(lab)
}

fn container(lab: &Lab<'_>, name: &str) -> Result<Container> {
    lab.engine.find(&lab.name(name))
}

fn start_pinger(lab: &mut Lab<'_>) -> Result<i32> {
    lab.title("start a container in the background")?;
    let gateway = lab.engine.bridge()?.ensure()?.network.gateway.to_string();
    let name = lab.name("pinger");
    let id = lab.run(&[
        "container",
        "run",
        "-d",
        "--name",
        &name,
        "lab",
        "ping",
        &gateway,
    ])?;
    let id = id.trim();
    let digits = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    lab.check("it prints the container's id of 64 digits", digits)?;
    let answered = lab.until(SOON, || {
        lab.quiet(&["logs", &name])
            .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("bytes from"))
    });
    lab.run(&["logs", "--tail", "2", &name])?;
    lab.check("it runs on the default bridge and gets replies", answered)?;
    nobody_answers(lab)?;
    Ok(container(lab, "pinger")?.main_process()?.pid)
}

fn nobody_answers(lab: &Lab<'_>) -> Result<()> {
    let subnet = lab.engine.bridge()?.ensure()?.network.subnet;
    // The last address of the subnet: nobody has it, and the question stays on the bridge.
    let last = u32::from(subnet.broadcast()) - 1;
    let address = std::net::Ipv4Addr::from(last).to_string();
    let name = lab.name("quiet");
    lab.run(&["run", "-d", "--name", &name, "lab", "ping", &address])?;
    let says_so = lab.until(SOON, || {
        lab.quiet(&["logs", &name]).is_ok_and(|out| {
            let text = String::from_utf8_lossy(&out.stdout).to_lowercase();
            text.contains("no answer") || text.contains("unreachable")
        })
    });
    lab.run(&["logs", "--tail", "1", &name])?;
    let runs = container(lab, "quiet")?.state.status == Status::Running;
    lab.check(
        "with an address that nobody answers, ping says so and keeps running",
        says_so && runs,
    )?;
    lab.quiet(&["rm", "-f", &name]).map(drop)
}

fn seen_from_inside(lab: &mut Lab<'_>) -> Result<()> {
    lab.title("its processes, seen from inside")?;
    let name = lab.name("pinger");
    let text = lab.run(&["container", "exec", &name, "ps", "aux"])?;
    let rows: Vec<&str> = text.lines().skip(1).collect();
    let first = rows.first().copied().unwrap_or_default();
    let pid = first.split_whitespace().nth(1);
    lab.check(
        "process 1 is ping",
        pid == Some("1") && first.contains("ping"),
    )?;
    lab.check(
        "ps sees itself and nothing of the host",
        rows.len() == 2 && rows[1].contains("ps"),
    )
}

fn seen_with_top(lab: &mut Lab<'_>, host_pid: i32) -> Result<()> {
    lab.title("its processes, with both pids")?;
    let name = lab.name("pinger");
    let pid = host_pid.to_string();
    let mut view = lab.on_terminal(&["container", "top", &name])?;
    view.wait(SOON)?;
    let shown = view.screen.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.starts_with(&[pid.as_str(), "1"]) && line.contains("ping")
    });
    lab.check("on a terminal, top shows both worlds in one row", shown)?;
    let both = lab.run(&["top", &name, "-o", "pid,hpid,rss,cmd"])?;
    let pids: Vec<&str> = both
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .take(2)
        .collect();
    lab.check(
        "one process, two numbers: 1 inside, another on the host",
        pids == ["1", pid.as_str()],
    )
}

fn seen_from_the_host(lab: &mut Lab<'_>, host_pid: i32) -> Result<()> {
    lab.title("the same process, seen from the host")?;
    println!("   $ grep -E 'Name|NSpid' /proc/{host_pid}/status");
    let status = std::fs::read_to_string(format!("/proc/{host_pid}/status")).unwrap_or_default();
    let facts: Vec<&str> = status
        .lines()
        .filter(|line| line.starts_with("Name:") || line.starts_with("NSpid:"))
        .collect();
    for fact in &facts {
        println!("   {fact}");
    }
    let inner = facts
        .iter()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .and_then(|pids| pids.split_whitespace().last());
    lab.check(
        "the kernel says that it is the same: its innermost pid is 1",
        inner == Some("1"),
    )
}

fn listed(lab: &mut Lab<'_>) -> Result<()> {
    lab.title("the list of containers")?;
    let text = lab.run(&["container", "ls"])?;
    let header = text.lines().next().unwrap_or_default();
    let columns = [
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ];
    lab.check(
        "it has Docker's columns",
        columns.iter().all(|column| header.contains(column)),
    )?;
    lab.check("pinger is up", text.contains(&lab.name("pinger")))
}

fn killed_from_the_host(lab: &mut Lab<'_>, host_pid: i32) -> Result<()> {
    lab.title("killed by its pid on the host")?;
    println!("   $ kill -9 {host_pid}");
    let killed = Instant::now();
    let pid = rustix::process::Pid::from_raw(host_pid);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let gone = lab.until(SOON, || {
        container(lab, "pinger").is_ok_and(|c| c.state.status == Status::Exited)
    });
    let time = killed.elapsed();
    let name = lab.name("pinger");
    let listed = lab.run(&["container", "ls"])?;
    lab.check(
        &format!(
            "it is gone from the list, {:.1} ms after the kill",
            time.as_secs_f64() * 1e3
        ),
        gone && !listed.contains(&name),
    )?;
    let all = lab.run(&["container", "ls", "-a"])?;
    lab.check("ls -a says Exited (137)", all.contains("Exited (137)"))?;
    let cgroup = lab.engine.cgroup(&container(lab, "pinger")?.config)?;
    lab.check("its control groups are gone", !cgroup.exists())
}

/// Types a command at the shell's prompt.
fn type_line(session: &mut Session, line: &str) -> Result<()> {
    session.send(&format!("{line}\r"))
}

fn memory_of(lab: &Lab<'_>, name: &str) -> u64 {
    let sample = container(lab, name).and_then(|c| lab.engine.sampler(&c)?.sample());
    sample
        .ok()
        .and_then(|sample| sample.stats.memory)
        .map_or(0, |memory| memory.used)
}

/// Half of what is free, at most 2 GiB: what the lesson may take without a limit of its own.
fn ceiling() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(1 << 20);
    (available * 1024 / 2).min(2 << 30)
}

fn memory_without_limit(lab: &mut Lab<'_>) -> Result<()> {
    lab.title("a program that eats memory, without a limit of its own")?;
    let ceiling = ceiling();
    let parent = format!("silo-lab-{}", std::process::id());
    println!(
        "   (the lab holds it below a group with a ceiling of {}, so that this machine is safe)",
        ByteSize(ceiling)
    );
    let _guard = lab.engine.make_cgroup_parent(
        &parent,
        &Resources {
            memory: Some(ceiling as i64),
            ..Resources::default()
        },
    )?;
    let name = lab.name("hungry");
    let mut session = lab.on_terminal(&[
        "container",
        "run",
        "-it",
        "--name",
        &name,
        "--cgroup-parent",
        &parent,
        "lab",
    ])?;
    session.expect(PROMPT, SOON)?;
    let size = ceiling / 4;
    type_line(&mut session, &format!("saturate-mem --size {size}"))?;
    let grew = lab.until(SOON, || {
        let _ = session.watch(Duration::from_millis(100));
        memory_of(lab, "hungry") >= size
    });
    println!();
    lab.run(&["stats", "--no-stream", &name])?;
    lab.check(
        &format!(
            "it grows to {} in stats: nothing holds it back",
            ByteSize(size)
        ),
        grew,
    )?;
    let resident = resident_on_host(lab, "hungry")?;
    lab.check(
        "the host sees the same memory in its process",
        resident >= size,
    )?;
    session.send("\u{3}")?;
    session.expect(PROMPT, SOON)?;
    type_line(&mut session, "exit 7")?;
    let status = session.wait(SOON)?;
    println!();
    lab.check(
        "Ctrl-C reached the program, and the shell's exit code came back",
        status.code() == Some(7),
    )?;
    lab.quiet(&["rm", "-f", &name]).map(drop)
}

/// Resident memory of the largest process of a container, from the host's /proc.
fn resident_on_host(lab: &Lab<'_>, name: &str) -> Result<u64> {
    let pids = lab.engine.processes(&container(lab, name)?)?;
    let resident = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    Ok(pids.iter().filter_map(resident).max().unwrap_or(0) * 1024)
}

fn memory_with_limit(lab: &mut Lab<'_>) -> Result<()> {
    lab.title("the same with a limit")?;
    // 4096mb as in the lecture where the machine has it to spare.
    let (word, limit) = match ceiling() >= 2 << 30 && available_for_lecture() {
        true => ("4096mb", 4u64 << 30),
        false => ("256mb", 256 << 20),
    };
    let name = lab.name("limited");
    let mut session = lab.on_terminal(&[
        "container",
        "run",
        "-it",
        "--name",
        &name,
        "-m",
        word,
        "lab",
    ])?;
    session.expect(PROMPT, SOON)?;
    type_line(&mut session, "saturate-mem")?;
    session.expect("was killed", Duration::from_secs(120))?;
    session.watch(Duration::from_millis(300))?;
    type_line(&mut session, "echo still $((40 + 2))")?;
    session.expect("still 42", SOON)?;
    let now = container(lab, "limited")?;
    let peak = lab.engine.sampler(&now)?.sample()?;
    let peak = peak
        .stats
        .memory
        .and_then(|memory| memory.peak)
        .unwrap_or(0);
    println!();
    lab.check(
        &format!("growth stopped at the limit: peak {}", ByteSize(peak)),
        peak <= limit && peak > limit / 10 * 9,
    )?;
    let victim = now.state.victims.last().cloned().unwrap_or_default();
    lab.check(
        &format!(
            "the kernel chose {} (host pid {})",
            victim.command, victim.host_pid
        ),
        victim.command.starts_with("saturate-mem") || victim.command == "silo-lab",
    )?;
    type_line(&mut session, "exit")?;
    session.wait(SOON)?;
    println!();
    let ended = container(lab, "limited")?;
    lab.check(
        "the shell lived: inspect does not say OOMKilled, and records the victim",
        !ended.state.oom_killed && !ended.state.victims.is_empty(),
    )?;
    lab.quiet(&["rm", "-f", &name]).map(drop)
}

fn available_for_lecture() -> bool {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .is_some_and(|kib| kib > 8 << 20)
}

fn processor_with_limit(lab: &mut Lab<'_>) -> Result<()> {
    lab.title("a program that burns every processor, held to one")?;
    let name = lab.name("busy");
    let mut session = lab.on_terminal(&[
        "container",
        "run",
        "-it",
        "--name",
        &name,
        "--cpus=1",
        "lab",
    ])?;
    session.expect(PROMPT, SOON)?;
    type_line(&mut session, "saturate-cpu")?;
    session.watch(Duration::from_millis(500))?;
    let mut sampler = lab.engine.sampler(&container(lab, "busy")?)?;
    let mut window = || -> Result<(Sample, Sample, f64)> {
        let (before, spent) = (sampler.sample()?, machine_spent());
        session.watch(Duration::from_secs(10))?;
        let after = sampler.sample()?;
        let time = (after.time - before.time).max(1) as f64 / 1e9;
        let others = (machine_spent() - spent) / time - processors(&before, &after);
        Ok((before, after, others))
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    // Other work on the machine disturbs both ways (a quota is handed out in slices): then it is measured again.
    let (mut before, mut after, mut others) = window()?;
    for _ in 0..3 {
        if (0.97..=1.03).contains(&processors(&before, &after)) {
            break;
        }
        (before, after, others) = window()?;
    }
    println!();
    lab.run(&["stats", "--no-stream", &name])?;
    let used = processors(&before, &after);
    let least = match others < cpus as f64 - 1.1 {
        true => 0.97,
        false => 0.0,
    };
    let aside = match least > 0.0 {
        true => "",
        false => " (this machine is busy with other work)",
    };
    lab.check(
        &format!("it gets {used:.2} processors, though it wants all{aside}"),
        (least..=1.03).contains(&used),
    )?;
    let throttled = throttled_share(&before, &after);
    lab.check(
        &format!("{throttled:.0} % of its periods were throttled"),
        cpus < 2 || least == 0.0 || throttled > 20.0,
    )?;
    drop(session);
    Ok(())
}

fn processors(before: &Sample, after: &Sample) -> f64 {
    let total = |sample: &Sample| sample.stats.cpu.map_or(0, |cpu| cpu.total_ns);
    let spent = total(after).saturating_sub(total(before)) as f64;
    spent / (after.time - before.time).max(1) as f64
}

/// Seconds of processors that the whole machine has spent since it was started: the first line of /proc/stat.
fn machine_spent() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    // All but idle and waiting for disks, in hundredths of a second.
    ticks.iter().sum::<f64>() / 100.0
        - ticks.get(3).copied().unwrap_or(0.0) / 100.0
        - ticks.get(4).copied().unwrap_or(0.0) / 100.0
}

fn throttled_share(before: &Sample, after: &Sample) -> f64 {
    let throttle = |s: &Sample| s.stats.cpu.and_then(|cpu| cpu.throttle).unwrap_or_default();
    let (before, after) = (throttle(before), throttle(after));
    let periods = after.periods.saturating_sub(before.periods).max(1);
    100.0 * after.throttled.saturating_sub(before.throttled) as f64 / periods as f64
}

fn freed(lab: &mut Lab<'_>) -> Result<()> {
    lab.title("removed, and everything is free at once")?;
    let name = lab.name("busy");
    let busy = container(lab, "busy")?;
    if !busy.state.status.is_up() {
        lab.engine.start(&busy, None)?;
    }
    let busy = container(lab, "busy")?;
    let pids = lab.engine.processes(&busy)?;
    let cgroup = lab.engine.cgroup(&busy.config)?;
    lab.run(&["container", "rm", "-f", &name])?;
    let left = pids
        .iter()
        .any(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists());
    lab.check(
        "its processes and control groups were gone before it returned",
        !left && !cgroup.exists() && container(lab, "busy").is_err(),
    )?;
    let name = lab.name("pinger");
    lab.run(&["container", "rm", "-f", &name])?;
    Ok(())
}
