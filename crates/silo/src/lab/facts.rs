//! What a `check` line says, to a fact, and back to words. Pure.

use std::time::Duration;

use silo_types::Signal;

use super::{
    parse::seconds,
    script::{Ends, Fact, ProcessIs},
    words::Template,
};

/// Every form of a check, as shown when one is not understood.
pub const FORMS: [(&str, &str); 22] = [
    (
        "output contains TEXT",
        "the last command's output in its terminal",
    ),
    ("output lacks TEXT", "it does not"),
    ("output matches REGEX", "^ and $ are the ends of lines"),
    ("exit CODE", "how the last command of that terminal ended"),
    ("listed NAME", "it runs: silo ls shows it"),
    ("unlisted NAME", "silo ls does not show it"),
    ("gone NAME", "no such container any more"),
    (
        "status NAME running|paused|exited|created",
        "what inspect says",
    ),
    ("code NAME CODE", "the container's exit code"),
    (
        "oom-killed NAME yes|no",
        "whether its first process was killed for want of memory",
    ),
    (
        "victim NAME COMMAND",
        "whom the kernel killed last for want of memory",
    ),
    ("group-gone NAME", "none of its control groups is left"),
    (
        "file NAME FILE VALUE [| FILE VALUE]",
        "a control group's file, by its name on v1 or on v2",
    ),
    (
        "memory NAME at least|at most SIZE",
        "charged to it now; also: between SIZE and SIZE",
    ),
    ("peak NAME at least|at most SIZE", "the highest so far"),
    (
        "resident NAME at least|at most SIZE",
        "of its largest process, as the host sees it",
    ),
    (
        "cpu NAME at least|at most NUMBER over TIME",
        "processors used",
    ),
    (
        "throttled NAME at least|at most PERCENT over TIME",
        "share of periods in which its limit stopped it",
    ),
    ("process PID alive|gone", "a process of the host"),
    ("process PID state LETTER", "as ps shows it: R, S, D, Z, T"),
    (
        "process PID ignores|catches|blocks SIGNAL",
        "what it does about a signal",
    ),
    (
        "namespace NAME KIND own|host",
        "pid, net, mnt, uts, ipc, user, cgroup, time",
    ),
];

/// The name of a container of the lab, with or without braces.
pub fn container(word: &str, known: &[String]) -> Result<String, String> {
    let name = word.trim_start_matches('{').trim_end_matches('}');
    match known.iter().any(|k| k == name) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "'{name:.40}' is no container of this lab: name it in a 'container' line at the top"
        )),
    }
}

/// Reads what stands behind `check`, without the words after `--`.
pub fn parse(text: &str, known: &[String]) -> Result<Fact, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let template = |text: &str| Template::parse(text, known);
    let named = |word: &str| container(word, known);
    // Texts are taken as they stand, with their blanks.
    for (head, make) in [
        (
            "output contains ",
            Fact::OutputContains as fn(Template) -> Fact,
        ),
        ("output lacks ", Fact::OutputLacks),
        ("output matches ", Fact::OutputMatches),
    ] {
        if let Some(rest) = text.strip_prefix(head) {
            let text = template(rest.trim())?;
            if head == "output matches " {
                let plain = text
                    .fill_pattern(&|_| Ok("x".to_owned()))
                    .unwrap_or_default();
                regex_lite::Regex::new(&plain)
                    .map_err(|e| format!("no regular expression: {e}"))?;
            }
            return Ok(make(text));
        }
    }
    match words.as_slice() {
        ["exit", code] => Ok(Fact::Exit(number(code)?)),
        ["listed", name] => Ok(Fact::Listed(named(name)?, true)),
        ["unlisted", name] => Ok(Fact::Listed(named(name)?, false)),
        ["gone", name] => Ok(Fact::Gone(named(name)?)),
        [
            "status",
            name,
            status @ ("running" | "paused" | "exited" | "created"),
        ] => Ok(Fact::Status(named(name)?, (*status).to_owned())),
        ["code", name, code] => Ok(Fact::Code(named(name)?, number(code)?)),
        ["oom-killed", name, answer @ ("yes" | "no")] => {
            Ok(Fact::OomKilled(named(name)?, *answer == "yes"))
        }
        ["victim", name, command] => Ok(Fact::Victim(named(name)?, template(command)?)),
        ["group-gone", name] => Ok(Fact::GroupGone(named(name)?)),
        ["file", name, ..] => Ok(Fact::GroupFile(named(name)?, files(text, known)?)),
        ["memory", name, rest @ ..] => Ok(Fact::Memory(named(name)?, size(rest, known)?)),
        ["peak", name, rest @ ..] => Ok(Fact::Peak(named(name)?, size(rest, known)?)),
        ["resident", name, rest @ ..] => Ok(Fact::Resident(named(name)?, size(rest, known)?)),
        ["cpu", name, rest @ ..] => {
            let (ends, over) = rate(rest, known)?;
            Ok(Fact::Cpu(named(name)?, ends, over))
        }
        ["throttled", name, rest @ ..] => {
            let (ends, over) = rate(rest, known)?;
            Ok(Fact::Throttled(named(name)?, ends, over))
        }
        ["process", pid, rest @ ..] => Ok(Fact::Process(template(pid)?, process(rest)?)),
        ["namespace", name, kind, whose @ ("own" | "host")] => {
            let kinds = ["pid", "net", "mnt", "uts", "ipc", "user", "cgroup", "time"];
            match kinds.contains(kind) {
                true => Ok(Fact::Namespace(
                    named(name)?,
                    (*kind).to_owned(),
                    *whose == "own",
                )),
                false => Err(format!(
                    "'{kind:.40}' is no namespace: there are {}",
                    kinds.join(", ")
                )),
            }
        }
        _ => Err(unknown(&words)),
    }
}

fn unknown(words: &[&str]) -> String {
    let first = words.first().copied().unwrap_or_default();
    let same: Vec<&str> = FORMS
        .iter()
        .map(|(form, _)| *form)
        .filter(|form| form.split(' ').next() == Some(first))
        .collect();
    if !same.is_empty() {
        return format!(
            "this check is not understood: write 'check {}'",
            same.join("', 'check ")
        );
    }
    let mut all: Vec<&str> = FORMS
        .iter()
        .filter_map(|(form, _)| form.split(' ').next())
        .collect();
    all.dedup();
    format!(
        "'{first:.40}' is nothing that can be checked: there are {}; 'silo lab new FILE' shows each",
        all.join(", ")
    )
}

fn number(text: &str) -> Result<i32, String> {
    text.parse()
        .map_err(|_| format!("'{text:.40}' is no whole number"))
}

/// `FILE VALUE | FILE VALUE`, behind the name.
fn files(text: &str, known: &[String]) -> Result<Vec<(String, Template)>, String> {
    let usage = "write 'check file NAME memory.limit_in_bytes 1048576 | memory.max 1048576'";
    let behind = text
        .split_whitespace()
        .nth(1)
        .and_then(|name| text.split_once(name));
    let rest = behind.map(|(_, rest)| rest.trim()).ok_or(usage)?;
    let mut found = Vec::new();
    for part in rest.split('|') {
        let (file, value) = part.trim().split_once(' ').ok_or(usage)?;
        if file.contains('/') || !file.contains('.') {
            return Err(format!(
                "'{file:.40}' is no file of a control group: {usage}"
            ));
        }
        found.push((file.to_owned(), Template::parse(value.trim(), known)?));
    }
    Ok(found)
}

fn size(words: &[&str], known: &[String]) -> Result<Ends, String> {
    let is_size = |text: &str| text.parse::<silo_types::ByteSize>().is_ok();
    ends(words, known, &is_size, "SIZE, such as 64m or 1g")
}

/// From where to where, and over which time.
fn rate(words: &[&str], known: &[String]) -> Result<(Ends, Duration), String> {
    let is_number = |text: &str| text.trim_end_matches('%').parse::<f64>().is_ok();
    match words {
        [rest @ .., "over", time] => Ok((ends(rest, known, &is_number, "NUMBER")?, seconds(time)?)),
        _ => Err("say over which time, as in 'at most 1.1 over 5s'".to_owned()),
    }
}

/// Two ends, each a figure of its kind or a place.
fn ends(
    words: &[&str],
    known: &[String],
    is_good: &dyn Fn(&str) -> bool,
    kind: &str,
) -> Result<Ends, String> {
    let usage = format!("write 'at least', 'at most' or 'between … and …' and a {kind}");
    let end = |text: &str| match text.starts_with('{') || is_good(text) {
        true => Template::parse(text, known).map(Some),
        false => Err(format!("'{text:.40}' is not understood: {usage}")),
    };
    let (least, most) = match words {
        ["at", "least", least] => (end(least)?, None),
        ["at", "most", most] => (None, end(most)?),
        ["between", least, "and", most] => (end(least)?, end(most)?),
        _ => return Err(usage),
    };
    Ok(Ends { least, most })
}

fn process(words: &[&str]) -> Result<ProcessIs, String> {
    match words {
        ["alive"] => Ok(ProcessIs::Alive),
        ["gone"] => Ok(ProcessIs::Gone),
        ["state", letter] if letter.len() == 1 => {
            Ok(ProcessIs::State(letter.chars().next().unwrap_or('?')))
        }
        [what @ ("ignores" | "catches" | "blocks"), name] => {
            let field = match *what {
                "ignores" => "SigIgn:",
                "catches" => "SigCgt:",
                _ => "SigBlk:",
            };
            let signal = name
                .parse::<Signal>()
                .map_err(|_| format!("'{name:.40}' is no signal"))?;
            Ok(ProcessIs::Signal(field, signal))
        }
        _ => Err(unknown(&["process"])),
    }
}
