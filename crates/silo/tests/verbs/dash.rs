//! The dashboard, on a real terminal of 80 by 24.

use std::time::{Duration, Instant};

use crate::common::{Host, Session, grid::Grid, kernel, signal, soon, until};

const SIZE: (usize, usize) = (24, 80);

/// What the terminal shows now.
fn shown(session: &Session, size: (usize, usize)) -> Grid {
    let from = session
        .screen
        .rfind("\x1b[?1049h")
        .expect("the second screen");
    Grid::of(&session.screen[from..], size)
}

/// Waits until the picture has all of these words.
#[track_caller]
fn see(session: &mut Session, words: &[&str]) -> String {
    see_in(session, SIZE, words)
}

#[track_caller]
fn see_in(session: &mut Session, size: (usize, usize), words: &[&str]) -> String {
    let end = Instant::now() + soon();
    loop {
        session.watch(Duration::from_millis(100));
        if session.screen.contains("\x1b[?1049h") {
            let grid = shown(session, size);
            let text = grid.text();
            // Other processes of the host are called as they like, with letters of any width.
            let known = !text.contains("all of the host");
            assert!(!(known && grid.overflowed), "beyond the edge:\n{text}");
            if words.iter().all(|word| text.contains(word)) {
                return text;
            }
            assert!(Instant::now() < end, "{words:?} are not in:\n{text}");
        }
        assert!(Instant::now() < end, "no picture: {:?}", session.screen);
    }
}

fn offline<'a>(flags: &[&'a str], words: &[&'a str]) -> Vec<&'a str> {
    [&["run", "-d"], flags, &["lab"], words].concat()
}

#[test]
fn the_picture_has_host_containers_and_both_pids() {
    let host = Host::new();
    let words = ["saturate-mem", "--size", "50m"];
    host.ok(&offline(
        &["--name", "hungry", "--network", "none", "-m", "64m"],
        &words,
    ));
    host.idle("idle", &[]);
    let mut session = host.terminal(&["dash"]);
    session.keys("sss");
    let pid = host.pid("hungry").to_string();
    session.keys("/hungry\r");
    let text = see(
        &mut session,
        &[
            "cpu ",
            "mem ",
            "swap ",
            "hungry",
            "HOST-PID",
            &pid,
            "saturate-mem",
            "filter 'hungry'",
            " 50.",
        ],
    );
    assert!(!text.contains("idle"), "{text}");
    // Its share of its limit, and its letter in the bar of the host's memory; recorded, so a moment behind its processes.
    let end = Instant::now() + soon();
    let has_share = |text: &str| {
        let line = text.lines().find(|line| line.contains(" a hungry"));
        line.is_some_and(|line| ["78%", "79%", "80%"].iter().any(|s| line.contains(s)))
    };
    while !has_share(&see(&mut session, &[" a hungry"])) {
        assert!(Instant::now() < end, "{text}");
    }
    assert!(shown(&session, SIZE).coloured);
    session.keys("\x1b");
    see(&mut session, &["idle", "hungry"]);
    session.keys("?");
    see(
        &mut session,
        &["help: any key closes it", "what cannot be dropped"],
    );
    session.keys("x4");
    see(&mut session, &["memory  last", "cpu  last", "▼"]);
    session.keys("5");
    see(&mut session, &["times are UTC"]);
    session.keys("q");
    assert_eq!(session.wait(), 0);
}

#[test]
fn namespaces_that_are_the_hosts_are_named() {
    let host = Host::new();
    host.idle("private", &[]);
    host.ok(&offline(
        &["--name", "open", "--pid", "host", "--network", "host"],
        &["sleep", "600"],
    ));
    let mut session = host.terminal(&["dash"]);
    session.keys("s\x1b[H2/e\x1b");
    session.keys("ssss");
    let text = see(
        &mut session,
        &["NAME                pid", "private", "open"],
    );
    let grid: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.contains("   pid "))
        .collect();
    let of = |name: &str| {
        *grid
            .iter()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap()
    };
    // Every kind is whole at the edge of a terminal of 80 columns.
    assert!(grid[0].trim_end().ends_with("user   time"), "{text}");
    assert_eq!(
        of("open").matches("SHARED").count(),
        of("private").matches("SHARED").count() + 2,
        "{text}"
    );
    session.keys("q");
    assert_eq!(session.wait(), 0);
}

#[test]
fn signals_are_sent_to_containers_and_processes() {
    let host = Host::new();
    let script = "sleep 601 & sleep 602 & wait; sleep 600";
    host.ok(&offline(
        &["--name", "box", "--network", "none"],
        &["sh", "-c", script],
    ));
    until("its processes", || {
        host.ok(&["top", "box"]).lines().count() == 4
    });
    let mut session = host.terminal(&["dash"]);
    see(&mut session, &["sleep 601", "sleep 602"]);
    // The second process, by the mouse: third row of the list below.
    session.keys("\t\x1b[B");
    session.keys("k");
    see(&mut session, &["signal to a process", "KILL"]);
    session.keys("\x1b[B\r");
    see(&mut session, &["sent SIGKILL to process"]);
    until("the end of one", || {
        host.ok(&["top", "box"]).lines().count() == 3
    });
    assert_eq!(host.status("box"), "running");
    session.keys("\tk");
    see(&mut session, &["signal to box"]);
    session.keys("\x1b[B\r");
    see(&mut session, &["sent SIGKILL to box"]);
    host.ended("box");
    see(&mut session, &["exit 137"]);
    session.keys("q");
    assert_eq!(session.wait(), 0);
}

#[test]
fn a_limit_is_changed_and_taken_back() {
    let host = Host::new();
    host.idle("box", &["-m", "100m"]);
    let mut session = host.terminal(&["dash"]);
    let memory = || {
        host.inspect("box")["HostConfig"]["Memory"]
            .as_u64()
            .unwrap()
            >> 20
    };
    let quota = || kernel::cpu_quota(host.pid("box"));
    session.keys("3");
    see(
        &mut session,
        &["LIMIT", "memory", "100M", "processors", "none"],
    );
    session.keys("+");
    see(&mut session, &["memory limit of box: 110MiB", "110M"]);
    assert_eq!(memory(), 110);
    session.keys("--");
    see(&mut session, &["memory limit of box: 90MiB"]);
    assert_eq!(memory(), 90);
    session.keys("uuu");
    see(&mut session, &["taken back", "100M"]);
    assert_eq!(memory(), 100);
    session.keys("\t\x1b[B-");
    let text = see(
        &mut session,
        &["limit of box: 0.", "processors; u takes it back"],
    );
    let said = text.lines().last().unwrap().split(' ').nth(4).unwrap();
    let said: f64 = said.parse().unwrap();
    assert_eq!(quota(), ((said * 1e5).round() as i64, 100_000), "{text}");
    session.keys("u");
    see(&mut session, &["taken back", "none"]);
    assert_eq!(quota().0, -1);
    session.keys("q");
    assert_eq!(session.wait(), 0);
}

#[test]
fn the_terminal_comes_back_whatever_ends_it() {
    let host = Host::new();
    host.idle("idle", &[]);
    for number in [0, 1, 2, 3, 15] {
        let mut session = host.terminal(&["dash"]);
        let before = session.first_mode.clone();
        see(&mut session, &["idle", "HOST-PID"]);
        assert_ne!(session.mode(), before, "it is not raw");
        match number {
            0 => session.keys("\x03"),
            number => signal(session.pid(), number),
        }
        let code = session.wait();
        assert_eq!(code, if number == 0 { 0 } else { 128 + number });
        assert_eq!(session.mode(), before, "after signal {number}");
        let end = &session.screen[session.screen.rfind("\x1b[?1049h").unwrap()..];
        for escape in ["\x1b[?1049l", "\x1b[?25h", "\x1b[?1000l"] {
            assert!(end.contains(escape), "{escape:?} after signal {number}");
        }
    }
}

#[test]
fn it_needs_a_terminal_and_says_what_does_not() {
    let host = Host::new();
    host.idle("idle", &["-m", "64m"]);
    host.fails(&["dash"], 1, "silo stats --no-stream");
    let json = host.ok(&["dash", "--format", "json"]);
    let facts: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        facts["host"]["cpus"].as_array().unwrap().len(),
        kernel::cpus()
    );
    assert_eq!(facts["containers"][0]["name"], "idle");
    assert_eq!(facts["containers"][0]["memoryLimitBytes"], 64 << 20);
    assert_eq!(facts["containers"][0]["pids"], 1);
    // Without colours it is the same picture.
    let mut session = host.terminal_plain(&["dash"]);
    see(&mut session, &["idle", "HOST-PID"]);
    assert!(!shown(&session, SIZE).coloured);
    session.resize(12, 60);
    session.watch(Duration::from_millis(300));
    session.keys("q");
    assert_eq!(session.wait(), 0);
}

#[test]
fn all_of_the_host_zombies_events_and_a_day() {
    let host = Host::new();
    host.ok(&offline(
        &["--name", "undead", "--network", "none"],
        &["hold", "--zombies", "2"],
    ));
    host.logged("undead", "ready");
    for size in [(24, 80), (30, 100), (50, 200)] {
        let mut session = host.terminal_of(size, &["dash"]);
        let size = (usize::from(size.0), usize::from(size.1));
        if size.1 >= 100 {
            let text = see_in(&mut session, size, &["ZOM", "LAST EVENT", "2  started"]);
            assert!(text.contains("undead"), "{text}");
            // Where there is room, the line has a cell for each second.
            let seconds = format!("LAST 60 S{} THR%", " ".repeat(51));
            assert_eq!(text.contains(&seconds), size.1 >= 180, "{text}");
        } else {
            see_in(&mut session, size, &["OF LIM"]);
            session.keys("e");
            see_in(&mut session, size, &["ZOM  LAST EVENT", "2  started"]);
            session.keys("e");
            see_in(&mut session, size, &["OF LIM"]);
        }
        session.keys("a");
        // By the container, and of the host itself.
        see_in(
            &mut session,
            size,
            &["all of the host", "CONTAINER", "undead"],
        );
        session.keys("a4");
        see_in(&mut session, size, &["10 min (z)"]);
        session.keys("zz");
        see_in(&mut session, size, &["1 day (z)"]);
        session.keys("q");
        assert_eq!(session.wait(), 0);
    }
}
