//! Options before the verb.

use std::{ffi::OsString, path::PathBuf};

use silo_engine::{DEFAULT_ROOT, DEFAULT_RUN};

use super::error::Failure;

/// As typed, with defaults.
#[derive(Debug)]
pub struct Global {
    pub root: PathBuf,
    pub run: PathBuf,
    pub debug: bool,
}

/// What comes behind them.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    Verb,
    Help,
    Version,
}

impl Global {
    /// Takes the options; the rest begins with the verb.
    pub fn parse(words: Vec<OsString>) -> Result<(Global, What, Vec<OsString>), Failure> {
        let mut global = Global {
            root: PathBuf::from(DEFAULT_ROOT),
            run: PathBuf::from(DEFAULT_RUN),
            debug: false,
        };
        let mut rest = words.into_iter();
        while let Some(word) = rest.next() {
            let text = word.to_string_lossy().into_owned();
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (text.as_str(), None),
            };
            match name {
                "--root" | "--run" => {
                    let folder = value.or_else(|| rest.next()).map(PathBuf::from);
                    let folder = folder.filter(|f| !f.as_os_str().is_empty());
                    let folder = folder.ok_or_else(|| {
                        Failure::usage(format!("flag needs an argument: {name}"), "silo")
                    })?;
                    match name {
                        "--root" => global.root = folder,
                        _ => global.run = folder,
                    }
                }
                "-D" | "--debug" => global.debug = true,
                "-h" | "--help" => return Ok((global, What::Help, Vec::new())),
                "-v" | "--version" => return Ok((global, What::Version, Vec::new())),
                option if option.starts_with('-') => {
                    return Err(Failure::usage(
                        format!("unknown flag: {option:.80}"),
                        "silo",
                    ));
                }
                _ => {
                    let rest = [word].into_iter().chain(rest).collect();
                    return Ok((global, What::Verb, rest));
                }
            }
        }
        Ok((global, What::Verb, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> (Global, What, Vec<OsString>) {
        Global::parse(words.iter().map(OsString::from).collect()).unwrap()
    }

    #[test]
    fn options_end_at_the_verb() {
        let (global, what, rest) = parse(&["--root=/r", "--run", "/n", "-D", "run", "--root", "x"]);
        assert_eq!((global.root, global.run), ("/r".into(), "/n".into()));
        assert!(global.debug);
        assert_eq!((what, rest.len()), (What::Verb, 3));
        assert_eq!(parse(&["--version"]).1, What::Version);
        assert_eq!(parse(&["-h"]).1, What::Help);
        assert_eq!(parse(&[]).2.len(), 0);
    }

    #[test]
    fn mistakes() {
        for words in [&["--root"][..], &["--root="], &["--nope", "run"]] {
            assert!(Global::parse(words.iter().map(OsString::from).collect()).is_err());
        }
    }
}
