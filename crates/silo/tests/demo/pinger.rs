//! Rows 1 to 4 and 10: a container in the background, seen from inside, from outside and from the host, and its removal.

use std::net::Ipv4Addr;

use crate::common::{Host, kernel, rows, until};

/// Row 1.
#[test]
fn a_container_in_the_background_gets_replies() {
    let host = Host::new();
    let gateway = host.gateway();
    let id = host.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "pinger",
        "lab",
        "ping",
        &gateway,
    ]);
    assert!(
        id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{id}"
    );
    host.logged("pinger", &format!("bytes from {gateway}"));
    let facts = host.inspect("pinger");
    assert_eq!(facts["Id"], id.as_str());
    assert_eq!(facts["State"]["Running"], true);
    let network = &facts["NetworkSettings"]["Networks"]["bridge"];
    assert_eq!(network["Gateway"], gateway.as_str());
    let address: Ipv4Addr = network["IPAddress"].as_str().unwrap().parse().unwrap();
    let gateway: Ipv4Addr = gateway.parse().unwrap();
    assert_eq!(address.octets()[..2], gateway.octets()[..2]);
    let bridge = host.group();
    // That of the question about the gateway goes with its namespace, which the kernel takes apart in its own time.
    until("one cable on the bridge", || {
        let on_bridge = kernel::run("ip", &["-o", "link", "show", "master", &bridge]);
        on_bridge.lines().count() == 1
    });
}

/// Row 1, last part.
#[test]
fn nobody_answers_and_ping_says_so() {
    let host = Host::new();
    let gateway: Ipv4Addr = host.gateway().parse().unwrap();
    // Of the bridge's own subnet, so that the question stays on it; 254 is given to nobody that early.
    let [a, b, c, _] = gateway.octets();
    let nobody = Ipv4Addr::new(a, b, c, 254).to_string();
    host.ok(&["run", "-d", "--name", "quiet", "lab", "ping", &nobody]);
    until("a word that nobody answers", || {
        let log = host.silo(&["logs", "quiet"]);
        let text = (log.out + &log.err).to_lowercase();
        text.contains("no answer") || text.contains("unreachable")
    });
    assert_eq!(host.status("quiet"), "running");
}

/// Row 2.
#[test]
fn inside_there_is_only_the_container() {
    let host = Host::new();
    let gateway = host.gateway();
    host.ok(&["run", "-d", "--name", "pinger", "lab", "ping", &gateway]);
    let text = host.ok(&["container", "exec", "pinger", "ps", "aux"]);
    let rows = rows(&text);
    assert_eq!(rows.len(), 2, "{text}");
    assert_eq!(rows[0][1], "1");
    assert!(rows[0].contains(&"ping"), "{text}");
    assert!(rows[1].contains(&"ps"), "{text}");
}

/// Row 3, for scripts.
#[test]
fn top_has_the_columns_of_docker_and_of_ps() {
    let host = Host::new();
    host.idle("pinger", &[]);
    let pid = host.pid("pinger").to_string();
    let text = host.ok(&["container", "top", "pinger"]);
    let head: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    );
    let row = &rows(&text)[0];
    assert_eq!(row[1], pid);
    assert_eq!(row[7..], ["sleep", "600"]);

    let text = host.ok(&["top", "pinger", "-o", "pid,hpid,cmd"]);
    let row = &rows(&text)[0];
    assert_eq!(row[..2], ["1", pid.as_str()], "{text}");
    let text = host.ok(&["top", "pinger", "aux"]);
    let head = text.lines().next().unwrap();
    assert!(head.starts_with("USER") && head.contains("%MEM"), "{text}");
    host.fails(&["top", "pinger", "-o", "nosuch"], 1, "nosuch");
}

/// Row 3, for people.
#[test]
fn top_on_a_terminal_shows_both_worlds() {
    let host = Host::new();
    host.idle("pinger", &[]);
    let pid = host.pid("pinger");
    let mut session = host.terminal_of((30, 140), &["top", "pinger"]);
    session.watch(std::time::Duration::from_millis(500));
    session.keys("q");
    session.wait();
    let text = strip_escapes(&session.screen);
    for column in [
        "HOST-PID", "PID", "USER", "%CPU", "TIME", "PRIVATE", "RSS", "COMMAND",
    ] {
        assert!(text.contains(column), "{column}: {text}");
    }
    let row = text.lines().find(|l| l.contains("sleep 600")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        words[..3],
        [pid.to_string().as_str(), "1", "root"],
        "{text}"
    );
}

/// Without colours and other sequences `ESC [ … letter`.
fn strip_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => {
                letters.find(|c| c.is_ascii_alphabetic());
            }
            letter => plain.push(letter),
        }
    }
    plain
}

/// Row 4.
#[test]
fn the_host_sees_the_same_process() {
    let host = Host::new();
    host.idle("pinger", &[]);
    let pid = host.pid("pinger");
    let all = kernel::run("ps", &["-ef"]);
    let row = all
        .lines()
        .find(|l| l.split_whitespace().nth(1) == Some(&pid.to_string()));
    assert!(row.is_some_and(|r| r.contains("sleep 600")), "{row:?}");
    let inside: Vec<String> = kernel::status(pid, "NSpid")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(inside, [pid.to_string().as_str(), "1"]);
}

/// Row 10.
#[test]
fn removal_frees_everything_before_it_returns() {
    let host = Host::new();
    let script = "sleep 600 & sleep 600 & sleep 600 & wait";
    host.ok(&["run", "-d", "--name", "busy", "lab", "sh", "-c", script]);
    let main = host.pid("busy");
    until("three children", || kernel::children(main).len() == 3);
    let mut pids = kernel::children(main);
    pids.push(main);
    let id = host.ok(&["ps", "-q", "--no-trunc"]);
    let printed = host.ok(&["container", "rm", "-f", "busy"]);
    assert_eq!(printed, "busy");
    assert!(pids.iter().all(|pid| !kernel::alive(*pid)));
    assert_eq!(
        kernel::groups_below(&host.group()),
        Vec::<std::path::PathBuf>::new()
    );
    let links: Vec<String> = kernel::links().into_iter().filter(|l| *l != "lo").collect();
    assert_eq!(links, [host.group()]);
    assert!(!host.root.join("containers").join(&id).exists());
    assert_eq!(host.ok(&["ps", "-aq"]), "");

    host.idle("again", &[]);
    let mut session = host.terminal(&["rm", "-f", "again"]);
    session.expect("again");
    session.expect("freed");
    assert_eq!(session.wait(), 0);
    host.idle("quiet", &[]);
    let mut session = host.terminal(&["rm", "-f", "-q", "quiet"]);
    session.wait();
    assert_eq!(session.screen.trim(), "quiet");
}
