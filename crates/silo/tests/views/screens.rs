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

/// What a view is for, and may not be lost on a narrow terminal.
fn needed(words: &[&str]) -> &'static [&'static str] {
    match words[0] {
        "top" => &[
            "HOST-PID",
            "PRIVATE",
            "by root, ",
            "never waits",
            "file cache",
            "CPU limit hit in",
        ],
        "why" if words[1] == "leak" => &["(certain)", "limit of 32MiB", "to do", "victim"],
        "explain" => &["SHARED WITH HOST", "[--user]", "NET_RAW", "[--cpus]"],
        "throttle" => &["limit", "used", "wanted", "stopped", "pause"],
        "limit" => &["64MiB", "0.5 CPU"],
        "stats" => &["CPU %", "MEM USAGE / LIMIT", "MiB / 64MiB"],
        "plot" => &["█ used", "file cache", "╌ limit", "highest"],
        "what-if" => &["safe from", "killed"],
        "ls" => &[
            "CONTAINER ID",
            "STATUS",
            "Exited (137)",
            "NAMES",
            "a-container-with-a-long-name",
        ],
        "ps" => &[
            "HOST-PID",
            "PID",
            "CONTAINER",
            "a-container-wit…",
            "sleep 600",
        ],
        "doctor" => &["memory: enforced", "(nftables): yes", "nothing"],
        "run" => &[" ms: ", "clone ", "setup and exec "],
        _ => &[],
    }
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
    // A zombie and somebody's exec: notes that must not be cut.
    host.ok(&["exec", "-d", name, "sh", "-c", "sleep 0.1 & exec sleep 600"]);
    until("the zombie", || {
        host.ok(&["top", name, "-o", "state"]).contains('Z')
    });
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
            &["ls", "-a"],
            &["ps", "--host"],
            &["doctor"],
            &["info"],
            &[
                "run",
                "--rm",
                "--timing",
                "--network",
                "none",
                "lab",
                "true",
            ],
        ] {
            let mut session = match plain {
                true => host.terminal_plain(words),
                false => host.terminal_of(size, words),
            };
            session.wait();
            let screen = session.screen.clone();
            assert!(!plain || !screen.contains("\u{1b}["), "{words:?}: {screen}");
            let text = strip(&screen);
            assert!(!text.trim().is_empty(), "{words:?}: {text}");
            for line in text.lines() {
                // The path of a control group is one word.
                let fits =
                    line.chars().count() <= usize::from(size.1) || line.starts_with("group ");
                assert!(fits, "{words:?} at {size:?}: {line}");
            }
            for word in needed(words) {
                assert!(
                    text.contains(word),
                    "{words:?} at {size:?} lost {word:?}: {text}"
                );
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

/// Help is as wide as a terminal, on a pipe, too, and explains what a view's columns are called.
#[test]
fn help_is_eighty_columns_wide_and_explains_the_words() {
    let host = Host::new();
    let overview = host.ok(&["--help"]);
    let verbs = overview.lines().filter_map(|line| line.strip_prefix("  "));
    let verbs: Vec<&str> = verbs.filter_map(|line| line.split(' ').next()).collect();
    assert!(verbs.len() > 50, "{overview}");
    // That of `oci` is for programs, in runc's form.
    let for_people = |verb: &&&str| !verb.is_empty() && !verb.starts_with('-') && **verb != "oci";
    for verb in verbs.iter().filter(for_people) {
        let help = host.ok(&[verb, "--help"]);
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{verb}: {line}");
        }
    }
    for (verb, words) in [
        (
            "top",
            &[
                "HOST-PID", "PRIVATE", "RSS", "OOM", "ST", "THR", "zombie", "ns",
            ][..],
        ),
        ("stats", &["CPU %", "OF LIMIT", "THROTTLED", "PRESSURE"]),
        ("why", &["certain", "likely", "from"]),
        ("explain", &["HIGH", "medium", "low"]),
        ("throttle", &["period", "stopped", "burst"]),
        ("doctor", &["ok", "note", "MISSING", "left"]),
    ] {
        let help = host.ok(&[verb, "--help"]);
        let (_, explained) = help.split_once("\nWords:\n").expect(verb);
        for word in words {
            let line = explained.lines().find(|line| {
                line.starts_with(&format!("  {word}   ")) || line.starts_with(&format!("  {word} "))
            });
            assert!(line.is_some(), "{verb} does not explain {word}: {help}");
        }
    }
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
        "lab", "doctor", "ls", "inspect",
    ];
    for verb in verbs {
        let help = host.ok(&[verb, "--help"]);
        let (_, examples) = help.split_once("Examples:\n").expect(verb);
        let lines = examples
            .lines()
            .take_while(|line| line.starts_with("  silo "));
        let page = std::fs::read_to_string(format!("{folder}/silo-{verb}.1")).unwrap();
        let page = page.replace("\\-", "-").replace("\\*(Aq", "'");
        assert!(page.contains(".SH EXAMPLES\n.nf\n  silo "), "{page}");
        let mut count = 0;
        for line in lines {
            count += 1;
            let command = line.trim().split("   ").next().unwrap();
            assert!(
                page.lines().any(|line| line.contains(command)),
                "{command} is not in {page}"
            );
            let words: Vec<&str> = command
                .split(' ')
                .skip(1)
                .map(|w| w.trim_matches('\''))
                .collect();
            let of_terminal = ["dash", "lab process-isolation"].contains(&words.join(" ").as_str());
            let ran = host.silo(&words);
            assert_eq!(ran.code, i32::from(of_terminal), "{ran}");
            assert!(!of_terminal || ran.err.contains("terminal"), "{ran}");
        }
        assert!(count > 0, "{verb}: {help}");
    }
}
