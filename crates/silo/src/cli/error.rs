//! The one place where errors are printed.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use silo_types::{Error, Kind};

/// Docker's exit code for a command line that is not understood.
const USAGE: i32 = 125;

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    pub(super) text: String,
    code: i32,
    /// The command whose `--help` is pointed at.
    see: Option<String>,
}

impl Failure {
    /// The command line is not understood.
    pub fn usage(text: String, command: &str) -> Failure {
        Failure {
            text,
            code: USAGE,
            see: Some(command.to_owned()),
        }
    }

    /// A wrong number of words: Docker exits with 1.
    pub fn words(text: String, command: &str) -> Failure {
        Failure {
            code: 1,
            ..Failure::usage(text, command)
        }
    }

    /// An error of a verb. `runs` verbs have Docker's exit codes for what went wrong; the others end with 1.
    pub fn of_verb(error: &Error, command: &str, runs: bool, debug: bool) -> Failure {
        let mut text = error.to_string();
        if debug {
            text += &causes(error);
        }
        Failure {
            text,
            code: match (runs, error.kind()) {
                // Docker's `exec` keeps 125 to 127 for what the program itself is about.
                (true, Kind::NotFound | Kind::Conflict) if command.ends_with(" exec") => 1,
                (true, Kind::Invalid | Kind::System) if command.ends_with(" exec") => 126,
                (true, kind) => i32::from(kind.exit_code()),
                (false, _) => 1,
            },
            see: (runs && error.kind() == Kind::Invalid).then(|| command.to_owned()),
        }
    }

    /// What clap did not understand, in Docker's words.
    pub fn of_clap(error: &clap::Error, command: &str) -> Failure {
        let found = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
            _ => None,
        };
        let flag = found(ContextKind::InvalidArg).unwrap_or_default();
        // `--name <NAME>` to `--name`
        let name = flag.split([' ', '=', '[']).next().unwrap_or_default();
        let value = found(ContextKind::InvalidValue).unwrap_or_default();
        let shown: String = value.chars().take(80).collect();
        let text = match error.kind() {
            ErrorKind::UnknownArgument if flag.starts_with("--") => {
                match found(ContextKind::SuggestedArg) {
                    Some(near) => format!("unknown flag: {name}: did you mean {near}?"),
                    None => format!("unknown flag: {name}"),
                }
            }
            ErrorKind::UnknownArgument if flag.starts_with('-') => {
                format!("unknown shorthand flag: {name}")
            }
            ErrorKind::UnknownArgument => {
                return Failure::words(format!("unexpected argument: {flag:.80}"), command);
            }
            ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues
                if !flag.starts_with('-') =>
            {
                let missing = flag.trim_end_matches("...").replace(['<', '>'], "");
                let text = format!("\"{command}\" requires more arguments: {missing}");
                return Failure::words(text, command);
            }
            ErrorKind::InvalidValue if value.is_empty() => {
                format!("flag needs an argument: {name}")
            }
            ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
                format!("flag needs an argument: {name}")
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                let cause = std::error::Error::source(error).map(|e| e.to_string());
                let cause = cause.unwrap_or_else(|| "not one of the known values".to_owned());
                format!("invalid argument {shown:?} for \"{name}\" flag: {cause}")
            }
            ErrorKind::ArgumentConflict => {
                format!("conflicting options: {name} is given twice or with its opposite")
            }
            ErrorKind::InvalidUtf8 => "the command line is not UTF-8".to_owned(),
            _ => first_line(&error.to_string()),
        };
        Failure::usage(text, command)
    }

    /// Prints it; the exit code.
    pub fn report(&self) -> i32 {
        eprintln!("silo: {}", shortened(&self.text));
        if let Some(command) = &self.see {
            eprintln!("See '{command} --help'.");
        }
        self.code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::of_verb(&error, "silo", false, false)
    }
}

/// Longest word of an error that is shown whole, characters: a word of 64 KiB would hide what is wrong with it.
const LONGEST_WORD: usize = 300;

/// Cuts the middle out of words that are too long to be read.
fn shortened(text: &str) -> String {
    let cut = |word: &str| {
        let length = word.chars().count();
        if length <= LONGEST_WORD {
            return word.to_owned();
        }
        let start: String = word.chars().take(LONGEST_WORD / 3).collect();
        let end: String = word.chars().skip(length - LONGEST_WORD / 6).collect();
        format!("{start}…{end}")
    };
    text.split(' ').map(cut).collect::<Vec<_>>().join(" ")
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The chain below an error, one a line.
fn causes(error: &Error) -> String {
    let mut text = format!("\n  class: {:?}", error.kind());
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        text += &format!("\n  cause: {cause}");
        below = cause.source();
    }
    text
}
