//! Help texts and the whole tree of commands.

use clap::Command;

use super::{
    Group, VERBS, Verb,
    table::{FoundVerb, full_name},
};
use crate::output::{Style, wrap};

/// Verbs that newcomers need, in the order in which they need them.
const COMMON: [&str; 8] = ["run", "exec", "ps", "top", "logs", "stats", "images", "rm"];

/// Help is for terminals of this width, wherever it goes.
const WIDTH: usize = 80;

/// `silo` alone.
pub fn overview() -> String {
    let style = Style::of_stdout();
    let mut text =
        String::from("Usage:  silo [OPTIONS] COMMAND\n\nContainers that you can see through\n");
    let mut section = |title: &str, lines: Vec<(&str, &str)>| {
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        text += &format!("\n{}\n", style.bold(title));
        for (name, about) in lines {
            text += &described(name, width, about);
        }
    };
    let top = |verb: &'static Verb| verb.top.iter().map(move |name| (*name, verb.about));
    let shown = || VERBS.iter().filter(|verb| !verb.hidden);
    let common = COMMON
        .iter()
        .filter_map(|name| shown().flat_map(top).find(|(found, _)| found == name));
    section("Common commands:", common.collect());
    section(
        "Groups of commands:",
        Group::ALL.iter().map(|g| (g.word(), g.about())).collect(),
    );
    let mut others: Vec<_> = shown()
        .filter_map(|verb| verb.top.first().map(|name| (*name, verb.about)))
        .filter(|(name, _)| !COMMON.contains(name))
        .collect();
    others.sort_unstable();
    section("Commands:", others);
    section(
        "Options:",
        vec![
            ("    --root FOLDER", "Where data lies (/var/lib/silo)"),
            ("    --run FOLDER", "Where sockets lie (/run/silo)"),
            ("-D, --debug", "Tell the causes of errors"),
            ("-v, --version", "Print the version"),
            ("-h, --help", "Print this help"),
        ],
    );
    text + "\nRun 'silo COMMAND --help' for more about a command.\n"
}

/// A name and what it is, the text below itself where it is longer than the line.
fn described(name: &str, width: usize, about: &str) -> String {
    let lines = wrap(about, WIDTH - 2 - width);
    let gap = format!("\n  {:width$}", "");
    format!("  {name:width$}{}\n", lines.join(&gap))
}

/// `silo container`
pub fn group(group: Group) -> String {
    let word = group.word();
    let mut text = format!(
        "Usage:  silo {word} COMMAND\n\n{}\n\nCommands:\n",
        group.about()
    );
    let verbs: Vec<&Verb> = VERBS
        .iter()
        .filter(|v| v.group == group && !v.hidden)
        .collect();
    let width = verbs.iter().map(|v| v.names[0].len()).max().unwrap_or(0) + 2;
    for verb in verbs {
        text += &described(verb.names[0], width, verb.about);
    }
    text + &format!("\nRun 'silo {word} COMMAND --help' for more about a command.\n")
}

pub fn of(found: FoundVerb) -> String {
    of_verb(found.verb, &found.name)
}

pub fn of_verb(verb: &Verb, name: &str) -> String {
    let mut command = verb.documented(name).term_width(WIDTH);
    let mut text = command.render_help().to_string();
    let mut names: Vec<String> = verb
        .names
        .iter()
        .map(|n| full_name(verb.group, n))
        .collect();
    names.extend(verb.top.iter().map(|n| full_name(Group::None, n)));
    names.dedup();
    if names.len() > 1 {
        let names = names
            .join(", ")
            .replace(' ', "\u{a0}")
            .replace(",\u{a0}", ", ");
        let lines = wrap(&names, WIDTH - 2);
        text += &format!("\nAlso:\n  {}\n", lines.join("\n  ").replace('\u{a0}', " "));
    }
    text
}

pub fn version_line() -> String {
    format!("Silo version {}\n", env!("CARGO_PKG_VERSION"))
}

/// Every command, as man pages and completion need it.
pub fn tree() -> Command {
    let mut root = Command::new("silo")
        .about("Containers that you can see through")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .arg(clap::arg!(--root <FOLDER> "Where data lies").required(false))
        .arg(clap::arg!(--run <FOLDER> "Where sockets lie").required(false))
        .arg(clap::arg!(-D --debug "Tell the causes of errors"));
    for group in Group::ALL {
        let mut command = Command::new(group.word())
            .about(group.about())
            .disable_help_subcommand(true);
        for verb in VERBS.iter().filter(|v| v.group == group && !v.hidden) {
            command = command.subcommand(verb.documented(&full_name(group, verb.names[0])));
        }
        root = root.subcommand(command);
    }
    for verb in VERBS.iter().filter(|v| !v.hidden) {
        for name in verb.top {
            root = root.subcommand(verb.documented(&full_name(Group::None, name)));
        }
    }
    root
}
