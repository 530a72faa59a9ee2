//! Every view on a terminal of 80 and of 200 columns, with colours and without: nothing is beyond the edge.

use crate::common::{Host, until};

/// Without the escapes that make letters bold.
fn strip(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => while letters.next().is_some_and(|c| !c.is_ascii_alphabetic()) {},
            '\r' => {}
            other => out.push(other),
        }
    }
    out
}

#[test]
fn nothing_is_beyond_the_edge() {
    let host = Host::new();
    let name = "a-container-with-a-long-name";
    let flags = [
        "run",
        "-d",
        "--name",
        name,
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--network",
        "none",
    ];
    host.ok(&[&flags[..], &["lab", "httpd", "-p", "8080"]].concat());
    host.ok(&["exec", "-d", name, "saturate-mem", "--size", "20m"]);
    host.silo(&[
        "run",
        "--name",
        "leak",
        "--network",
        "none",
        "-m",
        "32m",
        "lab",
        "saturate-mem",
        "--rate",
        "20m",
    ]);
    until("a record", || host.silo(&["plot", name]).code == 0);
    let pid = host.pid(name).to_string();
    for (size, plain) in [((24, 80), false), ((24, 80), true), ((50, 200), false)] {
        for words in [
            &["top", name][..],
            &["why", "leak"],
            &["why", name],
            &["explain", name],
            &["throttle", name],
            &["limit", name],
            &["limit", name, "-m", "48m", "--preview"],
            &["stats", "--no-stream"],
            &["whois", &pid],
            &["whois", ":8080"],
            &["plot", "leak"],
            &["what-if", "leak", "-m", "16m"],
            &["lab"],
        ] {
            let mut session = match plain {
                true => host.terminal_plain(words),
                false => host.terminal_of(size, words),
            };
            session.wait();
            let screen = session.screen.clone();
            assert!(!plain || !screen.contains("\u{1b}["), "{words:?}: {screen}");
            let text = strip(&screen);
            assert!(text.lines().count() > 1, "{words:?}: {text}");
            for line in text.lines() {
                // The path of a control group is one word.
                let fits =
                    line.chars().count() <= usize::from(size.1) || line.starts_with("group ");
                assert!(fits, "{words:?} at {size:?}: {line}");
            }
        }
    }
    let mut wide = host.terminal_of((50, 200), &["stats", "--no-stream"]);
    wide.wait();
    assert!(
        wide.screen.contains("PRESSURE") && wide.screen.contains("BLOCK I/O"),
        "{}",
        wide.screen
    );
}

/// What --help and the manual pages show works as it stands.
#[test]
fn examples_work() {
    let host = Host::new();
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "-m",
        "128m",
        "--network",
        "none",
        "lab",
        "httpd",
        "-p",
        "8080",
    ]);
    until("a record", || host.silo(&["plot", "web"]).code == 0);
    let folder = host.folder("man");
    host.ok(&["man", "--dir", &folder]);
    let verbs = [
        "top", "why", "whois", "explain", "throttle", "limit", "plot", "what-if", "stats", "dash",
        "lab",
    ];
    for verb in verbs {
        let help = host.ok(&[verb, "--help"]);
        let (_, examples) = help.split_once("Examples:\n").expect(verb);
        let lines = examples
            .lines()
            .take_while(|line| line.starts_with("  silo "));
        let page = std::fs::read_to_string(format!("{folder}/silo-{verb}.1")).unwrap();
        let page = page.replace("\\-", "-");
        assert!(page.contains(".SH EXAMPLES\n  silo "), "{page}");
        let mut count = 0;
        for line in lines {
            count += 1;
            let command = line.trim().split("   ").next().unwrap();
            assert!(
                page.lines().any(|line| line.contains(command)),
                "{command} is not in {page}"
            );
            let words: Vec<&str> = command.split(' ').skip(1).collect();
            let of_terminal = ["dash", "lab process-isolation"].contains(&words.join(" ").as_str());
            let ran = host.silo(&words);
            assert_eq!(ran.code, i32::from(of_terminal), "{ran}");
            assert!(!of_terminal || ran.err.contains("terminal"), "{ran}");
        }
        assert!(count > 0, "{verb}: {help}");
    }
}
