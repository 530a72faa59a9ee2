//! Rows 7 and 8, memory: it grows where one can see it, and a limit stops it.

use serde_json::Value;

use crate::common::{Host, kernel, until};

const MIB: u64 = 1 << 20;

/// Row 7.
#[test]
fn memory_grows_in_stats_and_on_the_host() {
    let mut host = Host::new();
    let parent = host.ceiling(512 * MIB);
    let words = [
        "run",
        "-it",
        "--name",
        "hungry",
        "--cgroup-parent",
        &parent,
        "lab",
    ];
    let mut session = host.terminal(&words);
    session.prompt();
    let before = stats_memory(&host, "hungry");
    session.line("saturate-mem --size 200m");
    let main = host.pid("hungry");
    until("200 MiB on the host", || {
        session.watch(std::time::Duration::from_millis(100));
        kernel::children(main)
            .iter()
            .any(|pid| resident(*pid) >= 200 * MIB)
    });
    let after = stats_memory(&host, "hungry");
    assert!(
        before < 50 * MIB && after >= 200 * MIB,
        "{before} → {after}"
    );
    session.keys("\u{3}");
    session.prompt();
    until("the memory given back", || {
        kernel::number(main, kernel::MEMORY_USED) < 100 * MIB
    });
    session.line("exit 5");
    assert_eq!(session.wait(), 5);
}

/// Row 7: what has no limit of its own is held by the group above.
#[test]
fn the_ceiling_above_holds() {
    let mut host = Host::new();
    let parent = host.ceiling(96 * MIB);
    let words = [
        "run",
        "--name",
        "hungry",
        "--cgroup-parent",
        &parent,
        "lab",
        "saturate-mem",
    ];
    let ran = host.silo(&words);
    assert_eq!(ran.code, 137, "{ran}");
    assert_eq!(host.inspect("hungry")["State"]["OOMKilled"], true);
}

fn resident(pid: i32) -> u64 {
    let text = kernel::status(pid, "VmRSS");
    text.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

fn stats_memory(host: &Host, name: &str) -> u64 {
    let used = host.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}}", name]);
    bytes(used.split('/').next().unwrap().trim())
}

/// `1.5MiB` as a number.
fn bytes(text: &str) -> u64 {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let number: f64 = text[..at].parse().unwrap();
    let unit = match &text[at..] {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => panic!("{other}"),
    };
    (number * f64::from(unit)) as u64
}

/// Row 8.
#[test]
fn all_spellings_of_a_size_mean_the_same() {
    let host = Host::new();
    for (index, word) in [
        "4096mb",
        "4g",
        "4GiB",
        "4096M",
        "4294967296",
        "4gb",
        "4194304k",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("limited{index}");
        host.idle(&name, &["-m", word]);
        assert_eq!(
            kernel::number(host.pid(&name), kernel::MEMORY),
            4 << 30,
            "{word}"
        );
        assert_eq!(host.inspect(&name)["HostConfig"]["Memory"], 4u64 << 30);
    }
    for wrong in ["4q", "-1", "", "1m", "4 4", "99999999999999999999"] {
        host.fails(&["run", "--rm", "-m", wrong, "lab", "true"], 125, "");
    }
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 7);
}

/// Row 8.
#[test]
fn the_hog_is_killed_and_the_shell_lives() {
    let host = Host::new();
    let mut session = host.terminal_of(
        (24, 200),
        &["run", "-it", "--name", "limited", "-m", "256mb", "lab"],
    );
    session.prompt();
    let main = host.pid("limited");
    session.line("saturate-mem");
    let notice = session.expect("silo why limited");
    let notice = notice
        .lines()
        .find(|l| l.contains("silo: pid"))
        .unwrap_or_default()
        .to_owned();
    let right = notice.contains("(saturate-mem) was killed: memory limit 256")
        && notice.contains("silo why limited");
    assert!(right, "{notice:?} in {:?}", session.screen);
    session.line("echo still $((40 + 2))");
    session.expect("still 42");
    let peak = kernel::number(main, kernel::MEMORY_PEAK);
    assert!(peak <= 256 * MIB && peak > 230 * MIB, "{peak}");
    assert_eq!(host.status("limited"), "running");
    session.line("exit");
    session.wait();
    let facts = host.inspect("limited");
    assert_eq!(facts["State"]["OOMKilled"], false);
    let victims = victims(&facts);
    assert_eq!(victims.len(), 1, "{facts}");
    let text = victims[0].to_string();
    assert!(
        text.contains("saturate-mem") && text.contains(&(256 * MIB).to_string()),
        "{text}"
    );
}

fn victims(facts: &Value) -> Vec<Value> {
    let list = facts["Silo"]["Victims"].as_array();
    list.unwrap_or_else(|| panic!("no victims: {facts}"))
        .clone()
}

/// Row 8: the word is for the main process alone.
#[test]
fn oom_killed_is_said_only_of_the_main_process() {
    let host = Host::new();
    let ran = host.silo(&["run", "--name", "main", "-m", "32m", "lab", "saturate-mem"]);
    assert_eq!(ran.code, 137, "{ran}");
    let facts = host.inspect("main");
    assert_eq!(facts["State"]["OOMKilled"], true, "{facts}");
    assert_eq!(facts["State"]["ExitCode"], 137);

    let script = "saturate-mem; saturate-mem; exit 4";
    let ran = host.silo(&[
        "run", "--name", "child", "-m", "32m", "lab", "sh", "-c", script,
    ]);
    assert_eq!(ran.code, 4, "{ran}");
    let facts = host.inspect("child");
    assert_eq!(facts["State"]["OOMKilled"], false, "{facts}");
    assert_eq!(victims(&facts).len(), 2, "{facts}");
    // A kill without any shortage is none.
    let ran = host.silo(&[
        "run",
        "--name",
        "killed",
        "-m",
        "32m",
        "lab",
        "sh",
        "-c",
        "kill -9 $$; sleep 1",
    ]);
    let facts = host.inspect("killed");
    assert_eq!(facts["State"]["OOMKilled"], false, "{ran}");
    let events = host.ok(&[
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--filter",
        "event=oom",
    ]);
    assert_eq!(events.lines().count(), 3, "{events}");
}

/// The notice is for people at a terminal: it never gets into a stream that something reads.
#[test]
fn the_notice_stays_out_of_the_streams() {
    let host = Host::new();
    let script = "saturate-mem 2>/dev/null; echo lived";
    let ran = host.silo(&["run", "--rm", "-m", "32m", "lab", "sh", "-c", script]);
    assert!(!ran.out.contains("silo:"), "{ran}");
    assert!(ran.out.contains("lived"), "{ran}");
}
