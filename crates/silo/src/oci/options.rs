//! Options in runc's manner, by a table for each verb.
//!
//! Not clap: building a parser takes as long as this verb's whole work before the clone, and runc's way differs anyway (long
//! names with one dash, a value behind a space or `=`).

use std::ffi::OsString;

use silo_types::{Error, Result};

/// An option of a verb.
#[derive(Debug)]
pub struct Opt {
    pub long: &'static str,
    /// `-b`; NUL: none.
    pub short: char,
    /// What it takes, as help names it; empty: nothing.
    pub takes: &'static str,
    pub help: &'static str,
}

/// A switch.
pub const fn switch(long: &'static str, short: char, help: &'static str) -> Opt {
    Opt {
        long,
        short,
        takes: "",
        help,
    }
}

/// An option with a value.
pub const fn value(
    long: &'static str,
    short: char,
    takes: &'static str,
    help: &'static str,
) -> Opt {
    Opt {
        long,
        short,
        takes,
        help,
    }
}

/// Where options end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Before the first other word.
    First,
    /// Anywhere before `--`.
    Mixed,
}

/// What was typed.
#[derive(Debug, Default)]
pub struct Words {
    given: Vec<(&'static str, String)>,
    /// Words that are no options.
    pub rest: Vec<String>,
}

impl Words {
    pub fn has(&self, long: &str) -> bool {
        let last = self.given.iter().rev().find(|(name, _)| *name == long);
        last.is_some_and(|(_, value)| {
            !matches!(value.as_str(), "false" | "f" | "F" | "0" | "False")
        })
    }

    /// The last value given.
    pub fn get(&self, long: &str) -> Option<&str> {
        let mut found = self.given.iter().rev();
        found
            .find(|(name, _)| *name == long)
            .map(|(_, v)| v.as_str())
    }

    /// All values given, in order.
    pub fn all<'w>(&'w self, long: &'w str) -> impl Iterator<Item = &'w str> {
        let found = self.given.iter().filter(move |(name, _)| *name == long);
        found.map(|(_, value)| value.as_str())
    }

    pub fn number<T: std::str::FromStr>(&self, long: &str) -> Result<Option<T>> {
        self.get(long).map(|text| number(long, text)).transpose()
    }
}

/// A number as an option's value.
pub fn number<T: std::str::FromStr>(long: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| {
        Error::invalid(format!(
            "invalid value {text:?} for flag -{long}: no number in its range"
        ))
    })
}

/// Sorts words into options and others; `--help` is everybody's.
pub fn parse(table: &'static [Opt], words: &[OsString], order: Order) -> Result<Words> {
    let mut parsed = Words::default();
    let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.rest.extend(words);
            break;
        }
        if !word.starts_with('-') || word == "-" {
            parsed.rest.push(word);
            if order == Order::First {
                parsed.rest.extend(words);
                break;
            }
            continue;
        }
        take(table, &word, &mut words, &mut parsed)?;
    }
    Ok(parsed)
}

fn take(
    table: &'static [Opt],
    word: &str,
    words: &mut impl Iterator<Item = String>,
    parsed: &mut Words,
) -> Result<()> {
    let name = word.trim_start_matches('-');
    let (name, joined) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (name, None),
    };
    if matches!(name, "help" | "h") {
        parsed.given.push((HELP, "true".to_owned()));
        return Ok(());
    }
    let unknown = || Error::invalid(format!("flag provided but not defined: -{name}"));
    let mut put = |option: &'static Opt, joined: Option<String>| -> Result<()> {
        let value = match (option.takes, joined) {
            ("", joined) => joined.unwrap_or_else(|| "true".to_owned()),
            (_, Some(value)) => value,
            (_, None) => words.next().ok_or_else(|| {
                Error::invalid(format!("flag needs an argument: -{}", option.long))
            })?,
        };
        parsed.given.push((option.long, value));
        Ok(())
    };
    if let Some(option) = table.iter().find(|option| option.long == name) {
        return put(option, joined);
    }
    if word.starts_with("--") || name.is_empty() {
        return Err(unknown());
    }
    // `-it`: switches, and the last may take a value.
    let letters: Vec<char> = name.chars().collect();
    let found: Option<Vec<&Opt>> = letters
        .iter()
        .map(|letter| table.iter().find(|option| option.short == *letter))
        .collect();
    let found = found.ok_or_else(unknown)?;
    let (last, switches) = found.split_last().ok_or_else(unknown)?;
    for option in switches {
        if !option.takes.is_empty() {
            return Err(unknown());
        }
        put(option, None)?;
    }
    put(last, joined)
}

/// The option that every verb has.
pub const HELP: &str = "help";

/// Lines of a help text.
pub fn describe(table: &[Opt]) -> String {
    let mut text = String::new();
    for option in table {
        let short = match option.short {
            '\0' => String::new(),
            letter => format!(", -{letter}"),
        };
        let takes = match option.takes {
            "" => String::new(),
            name => format!(" {name}"),
        };
        let left = format!("--{}{short}{takes}", option.long);
        text += &format!("   {left:30} {}\n", option.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    static TABLE: [Opt; 4] = [
        value("bundle", 'b', "FOLDER", ""),
        value("env", 'e', "NAME=VALUE", ""),
        switch("detach", 'd', ""),
        switch("tty", 't', ""),
    ];

    fn words(text: &str, order: Order) -> Result<Words> {
        let words: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
        parse(&TABLE, &words, order)
    }

    #[test]
    fn all_spellings() {
        for text in [
            "--bundle /x -d id",
            "-b /x -d id",
            "-bundle=/x -td id",
            "id --detach --bundle /x",
        ] {
            let parsed = words(text, Order::Mixed).unwrap();
            assert_eq!(parsed.get("bundle"), Some("/x"), "{text}");
            assert!(parsed.has("detach"), "{text}");
            assert_eq!(parsed.rest, ["id"], "{text}");
        }
        let parsed = words("-e A=1 --env B=2 -tb=/y", Order::First).unwrap();
        assert_eq!(parsed.all("env").collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert_eq!(parsed.get("bundle"), Some("/y"));
        assert!(!words("--detach=false", Order::First).unwrap().has("detach"));
    }

    #[test]
    fn words_of_a_program_are_its_own() {
        let parsed = words("-t id ls -d --env", Order::First).unwrap();
        assert_eq!(parsed.rest, ["id", "ls", "-d", "--env"]);
        assert!(!parsed.has("detach"));
        let parsed = words("id -- -d", Order::Mixed).unwrap();
        assert_eq!(parsed.rest, ["id", "-d"]);
    }

    #[test]
    fn mistakes() {
        for text in ["--nope", "-x", "--bundle", "-bt /x", "--e x"] {
            assert!(words(text, Order::Mixed).is_err(), "{text}");
        }
        assert!(words("--help", Order::Mixed).unwrap().has(HELP));
    }
}
