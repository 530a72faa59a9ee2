//! The other labs, labs from files, the hand-out, and a lab on a terminal; nothing of a lab is left, whatever ends it.

use std::time::{Duration, Instant};

use crate::common::{Host, Session, grid::Grid, kernel, patient, signal, soon, until};

/// Plays a lab; what it printed.
#[track_caller]
fn plays(host: &Host, words: &[&str]) -> String {
    let mut command = host.command(&[&["lab", "--auto"], words].concat());
    let path = host.files.join("played");
    let file = std::fs::File::create(&path).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let end = Instant::now() + patient(Duration::from_secs(180));
    let code = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if Instant::now() > end => drop(child.kill()),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("All checks passed") && !text.contains('\u{2717}'),
        "{text}"
    );
    nothing_is_left(host, child.id() as i32);
    text
}

#[track_caller]
fn nothing_is_left(host: &Host, lab: i32) {
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    for group in [host.group(), format!("silo-lab-{lab}")] {
        assert!(!kernel::group_stands(&group), "{group}");
    }
    let notes = std::fs::read_dir(host.run.join("lab")).map_or(0, Iterator::count);
    assert_eq!(notes, 0);
}

#[test]
fn namespaces_one_by_one() {
    let host = Host::alone();
    let text = plays(&host, &["namespaces"]);
    for kind in ["uts", "pid", "mnt", "net", "ipc", "cgroup", "user"] {
        assert!(text.contains(&format!("({kind})")), "{kind}: {text}");
    }
}

#[test]
fn limits_under_pressure() {
    // Cache is given back where its files lie on a disk: tests/vm has one, and says so.
    let host = Host::alone_below(&std::env::temp_dir());
    let text = plays(&host, &["limits"]);
    assert!(text.contains("the small one is still there"), "{text}");
    assert!(text.contains("all of the file was written"), "{text}");
}

/// Where files lie in memory there is no cache to give back: that step is left out and says so, the others are played.
#[test]
fn limits_where_files_lie_in_memory() {
    let host = Host::alone_below(std::path::Path::new("/dev/shm"));
    let text = plays(&host, &["limits"]);
    assert!(
        text.contains("Left out: Silo's data (--root) lies in memory"),
        "{text}"
    );
    assert!(text.contains("the small one is still there"), "{text}");
    assert!(!text.contains("all of the file was written"), "{text}");
}

#[test]
fn capabilities_and_calls() {
    let host = Host::alone();
    let text = plays(&host, &["capabilities"]);
    assert!(text.contains("a filter is on"), "{text}");
}

#[test]
fn labs_are_listed() {
    let host = Host::new();
    let list = host.ok(&["lab"]);
    for name in ["process-isolation", "namespaces", "limits", "capabilities"] {
        assert!(list.lines().any(|line| line.starts_with(name)), "{list}");
        let said = host.ok(&["lab", "check", name]);
        assert!(said.contains("is well formed"), "{said}");
    }
    host.fails(&["lab", "process-isolation"], 1, "--auto");
    host.fails(&["lab", "new"], 1, "silo lab new FILE");
}

/// A teacher begins with the template; a container that has a name of the lab is left alone.
#[test]
fn the_template_works_and_is_handed_out() {
    let host = Host::alone();
    let file = host.files.join("own.lab").display().to_string();
    let page = host.files.join("own.html");
    host.ok(&["lab", "new", &file]);
    host.fails(&["lab", "new", &file], 1, "own.lab");
    assert!(
        host.ok(&["lab", "check", &file])
            .starts_with("my-first-lab: 4 steps")
    );
    let text = plays(&host, &[&file, "--html", page.to_str().unwrap()]);
    let html = std::fs::read_to_string(&page).unwrap();
    let pid = text
        .split("kill -9 ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    for wanted in [
        "<!DOCTYPE html>",
        "prefers-color-scheme:dark",
        "<svg ",
        &format!("pid 1 inside is pid {pid} on the host"),
        "memory limit 64MiB",
        "silo run -d --name box -m 64m",
        "\u{2713}",
        "the kernel knows both numbers",
    ] {
        assert!(html.contains(wanted), "{wanted:?} is not in {html}");
    }
    for never in ["<script", "http-equiv", "src=", "href=", "\u{1b}"] {
        assert!(!html.contains(never), "{never:?} is in {html}");
    }
    host.idle("box", &[]);
    let ran = host.silo(&["lab", "--auto", &file]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.out.contains("-box"), "{ran}");
    assert_eq!(host.status("box"), "running");
}

#[test]
fn mistakes_and_failures_are_told() {
    let host = Host::new();
    let bad = host.file(
        "bad.lab",
        "lab bad\ntitle Bad\nstep one\n  outside true\n  chek exit 0\n",
    );
    host.fails(
        &["lab", "check", &bad],
        1,
        &format!("{bad}:5: unknown word 'chek'"),
    );
    host.fails(&["lab", "check", "/nosuch.lab"], 1, "/nosuch.lab");
    let false_one = host.file(
        "false.lab",
        "lab false\ntitle Wrong\ncontainer box\nstep one\n  outside silo run -d --name {box} --network none lab sleep 600\n    within 10s\n    check exit 3 -- it fails\n",
    );
    let page = host.files.join("false.html").display().to_string();
    let ran = host.silo(&["lab", "--auto", &false_one, "--html", &page]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        ran.err.contains("step 1") && ran.err.contains("it fails: exit 0 (line 7 of false)"),
        "{ran}"
    );
    assert!(ran.out.contains("\u{2717} it fails"), "{ran}");
    assert!(
        std::fs::read_to_string(&page)
            .unwrap()
            .contains("It ended early")
    );
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

/// A lab that plays by itself does not ask again and again unless it is told to, as a learner would do.
#[test]
fn what_takes_a_moment_is_looked_at_again() {
    let host = Host::new();
    let lab = |name: &str, again: &str| {
        let text = format!(
            "lab late\ntitle Late\ncontainer box\nstep one\n  outside silo run -d --name {{box}} --network none lab sh -c 'sleep 1; echo here; sleep 600'\n    check exit 0\n  outside silo logs {{box}}\n    {again}\n    within 10s\n    check output contains here\n"
        );
        host.silo(&["lab", "--auto", &host.file(name, &text)])
    };
    let again = lab("again.lab", "again 0.2s");
    assert_eq!(again.code, 0, "{again}");
    let once = lab("once.lab", "");
    assert_eq!(once.code, 1, "{once}");
    assert!(once.err.contains("the output has 'here'"), "{once}");
}

/// A lab that starts a container and waits.
const WAITS: &str = "lab waits\ntitle It waits\ncontainer box\nstep one\n  outside silo run -d --name {box} lab sleep 600\n    check listed {box}\n  outside sleep 600\n    within 600s\n";

#[test]
fn nothing_is_left_after_a_signal_or_a_kill() {
    let host = Host::new();
    let file = host.file("waits.lab", WAITS);
    for number in [2, 15, 9] {
        let lab = host.spawn(&["lab", "--auto", &file]);
        let pid = lab.pid();
        until("the container", || {
            host.ok(&["ps", "-q"]).lines().count() == 1
        });
        signal(pid, number);
        if number != 9 {
            assert_eq!(lab.wait(), 1);
            nothing_is_left(&host, pid);
            continue;
        }
        lab.wait();
        // Nobody could clean up; the next lab does, and leaves the container of another alone.
        assert!(kernel::group_stands(&format!("silo-lab-{pid}")));
        host.idle("other", &[]);
        let ran = host.silo(&[
            "lab",
            "--auto",
            &host.file(
                "short.lab",
                "lab short\ntitle Short\nstep one\n outside true\n check exit 0\n",
            ),
        ]);
        assert_eq!(ran.code, 0, "{ran}");
        assert!(!kernel::group_stands(&format!("silo-lab-{pid}")));
        assert_eq!(host.ok(&["ps", "-a", "--format", "{{.Names}}"]), "other");
        host.ok(&["rm", "-f", "other"]);
    }
}

/// A command that is just making a container when the lab ends must not leave it.
#[test]
fn nothing_is_left_of_what_was_being_made() {
    let host = Host::new();
    let text = "lab hurry\ntitle Hurry\nstep one\n outside for n in 1 2 3 4 5 6 7 8; do silo run -d --network none lab sleep 600; done\n  within 0.05s\n  check exit 3\n";
    let file = host.file("hurry.lab", text);
    for time in ["0.05s", "0.2s", "0.4s"] {
        std::fs::write(&file, text.replace("0.05s", time)).unwrap();
        let mut lab = host.command(&["lab", "--auto", &file]);
        let mut lab = lab
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(lab.wait().unwrap().code(), Some(1));
        nothing_is_left(&host, lab.id() as i32);
    }
}

/// Everything that the learner starts is held by the lab's group.
#[test]
fn the_parent_group_can_be_set_for_all_commands() {
    let mut host = Host::new();
    let parent = host.ceiling(64 << 20);
    let words = [
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "sleep",
        "600",
    ];
    let mut command = host.command(&words);
    command.env("SILO_CGROUP_PARENT", &parent);
    host.finish(command, &words, b"").ok();
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", host.pid("box"))).unwrap();
    assert!(groups.contains(&format!("/{parent}/")), "{groups}");
    let mut command = host.command(&["create", "lab"]);
    command.env("SILO_CGROUP_PARENT", "/../x");
    let ran = host.finish(command, &["create", "lab"], b"");
    assert!(
        ran.code != 0
            && ran
                .err
                .contains("SILO_CGROUP_PARENT: invalid cgroup parent"),
        "{ran}"
    );
    host.ok(&["rm", "-f", "box"]);
}

const SIZE: (usize, usize) = (24, 80);

/// Waits until the picture has all of these words.
#[track_caller]
fn see(session: &mut Session, size: (usize, usize), words: &[&str]) -> String {
    let end = Instant::now() + soon();
    loop {
        session.watch(Duration::from_millis(50));
        if let Some(from) = session.screen.rfind("\x1b[2J") {
            let grid = Grid::of(&session.screen[from..], size);
            let text = grid.text();
            if words.iter().all(|word| text.contains(word)) {
                assert!(!grid.overflowed, "beyond the edge:\n{text}");
                return text;
            }
            assert!(Instant::now() < end, "{words:?} are not in:\n{text}");
        }
        assert!(Instant::now() < end, "no picture: {:?}", session.screen);
    }
}

#[test]
fn on_a_terminal_what_is_typed_is_checked() {
    let host = Host::new();
    let file = host.files.join("own.lab").display().to_string();
    host.ok(&["lab", "new", &file]);
    let mut session = host.terminal(&["lab", &file]);
    let before = session.first_mode.clone();
    see(
        &mut session,
        SIZE,
        &[
            "step 1 of 4",
            "type outside: silo run -d",
            "inside: no container",
            "^T type it for me",
        ],
    );
    // Something else first: it runs, and is not what was asked for.
    session.line("echo $((40 + 2)) of my own");
    see(
        &mut session,
        SIZE,
        &["42 of my own", "… box is in the list"],
    );
    session.line("silo run -d --name box -m 64m lab sleep 3600");
    see(&mut session, SIZE, &["done · Enter goes on"]);
    session.keys("\r");
    see(&mut session, SIZE, &["step 2 of 4", "silo exec box ps"]);
    // The lab types; then the rest of the step.
    session.keys("\x14");
    let pid = host.pid("box").to_string();
    see(&mut session, SIZE, &["grep NSpid", &pid]);
    session.keys("\x0e");
    // A shell inside.
    see(
        &mut session,
        SIZE,
        &["step 3 of 4", "type inside: silo exec -it box sh"],
    );
    session.keys("\x07");
    see(&mut session, SIZE, &["hint: type the command"]);
    session.line("silo exec -it box sh");
    see(
        &mut session,
        SIZE,
        &["type inside: saturate-mem", "inside ─ silo exec"],
    );
    session.line("saturate-mem --size 40m");
    see(&mut session, SIZE, &["press inside: Ctrl-C"]);
    session.keys("\x03");
    see(&mut session, SIZE, &["type inside: exit 3"]);
    // A wider window has the panes side by side.
    session.resize(50, 200);
    see(
        &mut session,
        (50, 200),
        &[
            "Ctrl-T type it for me",
            "━ inside ─ silo exec",
            "outside: the host",
        ],
    );
    session.line("exit 3");
    see(
        &mut session,
        (50, 200),
        &["done · Enter goes on", "memory  last"],
    );
    // Back to the start of the step, whose container is kept.
    session.keys("\x02");
    see(
        &mut session,
        (50, 200),
        &["step 3 of 4", "type inside: silo exec -it"],
    );
    assert_eq!(host.status("box"), "running");
    session.keys("\x18");
    assert_eq!(session.wait(), 0);
    assert_eq!(session.mode(), before);
    assert!(session.screen.contains("\x1b[?1049l"));
    nothing_is_left(&host, session.pid());
}

#[test]
fn the_terminal_comes_back_after_a_signal() {
    let host = Host::new();
    for number in [1, 2, 15] {
        let mut session = host.terminal_plain(&["lab", "namespaces"]);
        let before = session.first_mode.clone();
        see(&mut session, SIZE, &["step 1 of 8"]);
        session.keys("\x14");
        see(&mut session, SIZE, &["silo exec box hostname"]);
        let shown = Grid::of(&session.screen, SIZE);
        assert!(!shown.coloured);
        signal(session.pid(), number);
        assert_eq!(session.wait(), 128 + number);
        assert_eq!(session.mode(), before, "after signal {number}");
        let end = &session.screen[session.screen.rfind("\x1b[?1049h").unwrap()..];
        assert!(
            end.contains("\x1b[?1049l") && end.contains("\x1b[?25h"),
            "after signal {number}"
        );
        nothing_is_left(&host, session.pid());
    }
}

/// All four from the first step to the last, each command typed by the lab: nothing is beyond the edge at 80 by 24.
#[test]
fn a_lab_is_played_to_its_end_by_one_key() {
    let host = Host::alone();
    let mut session = host.terminal(&["lab", "capabilities"]);
    for step in 1..=6 {
        see(&mut session, SIZE, &[&format!("step {step} of 6")]);
        session.keys("\x0e");
    }
    see(&mut session, (24, 80), &[]);
    session.expect_within("All checks passed", patient(Duration::from_secs(60)));
    assert_eq!(session.wait(), 0);
    nothing_is_left(&host, session.pid());
}
