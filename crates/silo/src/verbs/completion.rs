//! `completion`: scripts for shells, and the hidden verb that answers them.
//!
//! The scripts are a few lines: they ask `silo __complete WORDS…`, so flags are never out of date and names are those of the
//! moment.

use clap::{Args, Command};
use silo_types::{Error, Result};

use crate::{
    cli::{self, Context, Run},
    output::print,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Completion {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL")]
    shell: String,
}

impl Run for Completion {
    fn run(self, _: &Context) -> Result<i32> {
        let script = match self.shell.as_str() {
            "bash" => include_str!("completion/silo.bash"),
            "zsh" => include_str!("completion/silo.zsh"),
            "fish" => include_str!("completion/silo.fish"),
            other => {
                return Err(Error::invalid(format!(
                    "unknown shell '{other:.40}': use bash, zsh or fish"
                )));
            }
        };
        print(script)?;
        Ok(0)
    }
}

/// The hidden verb: one candidate a line for the last of its words.
#[derive(Args, Debug)]
pub struct Complete {
    /// Words of the command line behind `silo`, the last as far as it was typed
    #[arg(num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Run for Complete {
    fn run(self, context: &Context) -> Result<i32> {
        let candidates = candidates(&cli::tree(), &self.words, &|what| names(context, what));
        let lines: String = candidates.iter().map(|c| format!("{c}\n")).collect();
        print(&lines)?;
        Ok(0)
    }
}

/// What a word of a command stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Container,
    Image,
    Volume,
}

fn candidates(
    tree: &Command,
    words: &[String],
    names: &dyn Fn(What) -> Vec<String>,
) -> Vec<String> {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let mut command = tree;
    let mut path = Vec::new();
    for word in before {
        if let Some(below) = command.find_subcommand(word) {
            command = below;
            path.push(below.get_name());
        }
    }
    let mut found: Vec<String> = Vec::new();
    if last.starts_with('-') {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            found.extend(
                arg.get_long_and_visible_aliases()
                    .into_iter()
                    .flatten()
                    .map(|l| format!("--{l}")),
            );
        }
    } else if command.has_subcommands() {
        found.extend(
            command
                .get_subcommands()
                .map(|below| below.get_name().to_owned()),
        );
    } else if let Some(what) = wanted(&path) {
        found = names(what);
    }
    found.retain(|candidate| candidate.starts_with(last));
    found.sort();
    found.dedup();
    found
}

/// What the words behind a verb name.
fn wanted(path: &[&str]) -> Option<What> {
    match path {
        ["image", ..] => Some(What::Image),
        ["volume", ..] => Some(What::Volume),
        [.., "run" | "create" | "rmi" | "save" | "tag" | "history"] => Some(What::Image),
        [
            "images" | "import" | "load" | "info" | "version" | "events" | "doctor" | "completion"
            | "man" | "lab" | "dash" | "web",
            ..,
        ] => None,
        [_, ..] => Some(What::Container),
        [] => None,
    }
}

fn names(context: &Context, what: What) -> Vec<String> {
    let Ok(engine) = context.engine() else {
        return Vec::new();
    };
    match what {
        What::Container => {
            let all = engine.list().unwrap_or_default();
            all.iter().map(|c| c.name().to_owned()).collect()
        }
        What::Image => {
            let all = engine.images().list().unwrap_or_default();
            let mut names: Vec<String> =
                all.into_iter().flat_map(|image| image.references).collect();
            names.push("lab".to_owned());
            names
        }
        What::Volume => {
            let all = engine.volumes().unwrap_or_default();
            all.into_iter().map(|volume| volume.name).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        candidates(&cli::tree(), &words, &|what| {
            vec![format!("{what:?}").to_lowercase()]
        })
    }

    #[test]
    fn verbs_flags_and_names() {
        assert!(complete(&["ru"]).contains(&"run".to_owned()));
        assert!(complete(&["container", "in"]).contains(&"inspect".to_owned()));
        assert!(complete(&["run", "--mem"]).contains(&"--memory-swap".to_owned()));
        assert_eq!(complete(&["run", ""]), ["image"]);
        assert_eq!(complete(&["rm", "c"]), ["container"]);
        assert_eq!(complete(&["volume", "rm", ""]), ["volume"]);
        assert!(complete(&["version", ""]).is_empty());
        assert!(!complete(&[]).iter().any(|c| c.starts_with("__")));
    }
}
