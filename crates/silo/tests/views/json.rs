//! `--format json`: docs/json.md against real answers, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::common::{Host, until};

const PAPER: &str = include_str!("../../../../docs/json.md");

/// A row: the field's path, the part that it consists of, and whether it may be missing on this host.
struct Field {
    path: String,
    part: Option<String>,
    elsewhere: bool,
}

/// Every section of the page with its rows.
fn sections() -> BTreeMap<&'static str, Vec<Field>> {
    let mut found: BTreeMap<&str, Vec<Field>> = BTreeMap::new();
    let mut section = "";
    for line in PAPER.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            section = name;
        }
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let (path, rest) = row.split_once('`').unwrap();
        let mut cells = rest.split(" | ");
        let mark = cells.next().unwrap();
        let unit = cells.next().unwrap();
        let part = unit.strip_prefix('[').and_then(|unit| unit.split_once(']'));
        assert!(!unit.trim().is_empty(), "{path} of {section} has no unit");
        found.entry(section).or_default().push(Field {
            path: path.to_owned(),
            part: part.map(|(part, _)| part.to_owned()),
            elsewhere: mark.contains('\u{2020}'),
        });
    }
    found
}

/// Paths of a section with its parts put in; those that must be there, and all.
fn documented(section: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let sections = sections();
    let (mut needed, mut all) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![(section.to_owned(), String::new(), false)];
    while let Some((section, before, elsewhere)) = open.pop() {
        let fields = sections
            .get(section.as_str())
            .unwrap_or_else(|| panic!("no section {section}"));
        for field in fields {
            let path = match before.as_str() {
                "" => field.path.clone(),
                before => format!("{before}.{}", field.path),
            };
            let elsewhere = elsewhere || field.elsewhere;
            if let Some(part) = &field.part {
                open.push((part.clone(), path, elsewhere));
                continue;
            }
            if !elsewhere {
                needed.insert(path.clone());
            }
            all.insert(path);
        }
    }
    (needed, all)
}

/// Paths of a document; what is null or empty ends a path.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if at.is_empty() {
                    name.clone()
                } else {
                    format!("{at}.{name}")
                };
                paths(value, &path, found);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            list.iter()
                .for_each(|value| paths(value, &format!("{at}[]"), found));
        }
        _ => drop(found.insert(at.to_owned())),
    }
}

#[track_caller]
fn holds(section: &str, answers: &[String]) {
    let (needed, all) = documented(section);
    let mut seen = BTreeSet::new();
    for line in answers.iter().flat_map(|answer| answer.lines()) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        paths(&value, "", &mut seen);
    }
    let missing: Vec<&String> = needed.difference(&seen).collect();
    assert!(
        missing.is_empty(),
        "{section}: documented, and not to be seen: {missing:?} in {answers:?}"
    );
    // A list or an object with nothing in it stands for all that might be.
    let is_known = |path: &&String| {
        let begins = |known: &String| {
            known.starts_with(&format!("{path}.")) || known.starts_with(&format!("{path}[]"))
        };
        all.contains(*path) || all.iter().any(begins)
    };
    let unknown: Vec<&String> = seen.iter().filter(|path| !is_known(path)).collect();
    assert!(
        unknown.is_empty(),
        "{section}: seen, and not documented: {unknown:?}"
    );
}

#[test]
fn every_field_is_documented_and_every_documented_one_is_there() {
    let host = Host::new();
    let shared = host.folder("shared");
    std::fs::write(format!("{shared}/a"), "a").unwrap();
    let volume = format!("{shared}:/shared");
    let flags = [
        "run",
        "-d",
        "--name",
        "web",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--network",
        "none",
        "-v",
        &volume,
    ];
    host.ok(&[&flags[..], &["lab", "httpd", "-p", "8080"]].concat());
    host.ok(&[
        "exec",
        "-d",
        "web",
        "sh",
        "-c",
        "exec sleep 600 < /shared/a",
    ]);
    until("the second process", || {
        host.ok(&["top", "web"]).contains("sleep")
    });
    let json = |words: &[&str]| host.ok(&[words, &["--format", "json"]].concat());
    let top = host.ok(&["top", "--format", "json", "web"]);
    let view: Value = serde_json::from_str(&top).unwrap();
    let executed = view["processes"][1]["hostPid"].to_string();
    holds("top", &[top]);
    holds(
        "whois-pid",
        &[
            json(&["whois", &host.pid("web").to_string()]),
            json(&["whois", &executed]),
        ],
    );
    holds("whois-path", &[json(&["whois", &format!("{shared}/a")])]);
    // Only the first process has the socket open, and none that came by exec.
    let port = json(&["whois", ":8080"]);
    let socket: Value = serde_json::from_str(port.lines().next().unwrap()).unwrap();
    assert_eq!(socket["processes"][0]["role"], "main");
    let sections = sections();
    for field in &sections["whois-port"] {
        let name = field.path.trim_end_matches("[]");
        assert!(socket.get(name).is_some(), "{name}: {socket}");
    }
    assert_eq!(
        socket.as_object().unwrap().len(),
        sections["whois-port"].len(),
        "{socket}"
    );
    holds("ps-host", &[json(&["ps", "--host"])]);
    holds("explain", &[json(&["explain", "web"])]);
    holds("throttle", &[json(&["throttle", "web"])]);
    let change = [
        "limit",
        "web",
        "-m",
        "80m",
        "--memory-swap",
        "80m",
        "--cpus",
        "1",
        "--pids-limit",
        "50",
    ];
    holds("limit", &[json(&[&change[..], &["--preview"]].concat())]);
    host.ok(&change);
    holds("limit-undo", &[json(&["limit", "web", "--undo"])]);
    holds(
        "what-if",
        &[
            json(&["what-if", "web", "-m", "8m", "--cpus", "0.1"]),
            what_if_killed(&host),
        ],
    );
    until("its recording", || host.silo(&["plot", "web"]).code == 0);
    holds("plot", &[json(&["plot", "web"])]);
    holds("dash", &[json(&["dash"])]);
    holds("stats", &[json(&["stats", "--no-stream"])]);
    let doctor = host.silo(&["doctor", "--format", "json"]);
    holds("doctor", &[doctor.out]);
}

/// Of one that would have been killed.
fn what_if_killed(host: &Host) -> String {
    let words = [
        "run",
        "-d",
        "--name",
        "large",
        "--network",
        "none",
        "lab",
        "saturate-mem",
        "--size",
        "40m",
    ];
    host.ok(&words);
    // It ends with 1 when something would have been killed.
    let answer = || {
        host.silo(&["what-if", "large", "-m", "16m", "--format", "json"])
            .out
    };
    until("its record", || answer().contains("\"kills\":[\""));
    answer()
}

#[test]
fn why_is_documented() {
    let host = Host::new();
    let script = "sleep 600 & saturate-mem --rate 40m; sleep 2; exit 3";
    host.silo(&[
        "run",
        "--name",
        "leak",
        "--network",
        "none",
        "-m",
        "32m",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    let first = host.ok(&["why", "leak", "--format", "json"]);
    host.ok(&["start", "leak"]);
    host.ended("leak");
    holds(
        "why",
        &[first, host.ok(&["why", "leak", "--format", "json"])],
    );
}
