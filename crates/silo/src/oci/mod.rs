//! `silo oci`: runc's command line on Silo's runtime, for callers such as containerd, Docker, Podman and CRI-O.
//!
//! ```text
//! silo oci [GLOBAL OPTIONS] VERB [OPTIONS] [CONTAINER] [WORDS]       also: silo-runtime …, a link to silo
//! ```
//! Words, outputs, exit codes and the texts of errors that callers look for are runc's; what a verb does is in `silo-runtime`.
//! Knows nothing of the engine's containers, and the engine nothing of these.

mod checkpoint;
mod console;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod globals;
mod kill;
mod log;
mod notify;
mod options;
mod pause;
mod ps;
mod spec;
mod start;
mod state;
mod update;

use std::ffi::OsString;

use silo_runtime::Seal;
use silo_types::{Error, Result};

use crate::cli::{Context, Run};
use globals::Globals;
use options::{HELP, Opt, Order, Words};

/// The names under which the program is this command line alone: its own, and that of which callers know no other.
pub const NAMES: [&str; 2] = ["silo-runtime", "runc"];

/// A verb of this command line.
struct Verb {
    name: &'static str,
    about: &'static str,
    usage: &'static str,
    options: &'static [Opt],
    order: Order,
    /// How many words besides options: least, most.
    words: (usize, usize),
    /// It makes processes of containers: the program must be sealed first.
    starts: bool,
    run: fn(&Globals, &Words) -> Result<i32>,
}

static VERBS: [&Verb; 17] = [
    &checkpoint::CHECKPOINT,
    &create::CREATE,
    &delete::VERB,
    &events::VERB,
    &exec::VERB,
    &features::VERB,
    &kill::VERB,
    &state::LIST,
    &pause::PAUSE,
    &ps::VERB,
    &checkpoint::RESTORE,
    &pause::RESUME,
    &create::RUN,
    &spec::VERB,
    &start::VERB,
    &state::STATE,
    &update::VERB,
];

/// All words behind `oci`.
#[derive(Debug, clap::Args)]
pub struct Oci {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

impl Run for Oci {
    fn run(self, _context: &Context) -> Result<i32> {
        Ok(main(&self.words))
    }
}

/// Runs the command line; the exit code.
pub fn main(words: &[OsString]) -> i32 {
    let (globals, rest) = match Globals::parse(words) {
        Ok(parsed) => parsed,
        Err(error) => {
            log::Log::default().failure("", &error);
            return 1;
        }
    };
    match run(&globals, rest) {
        Ok(code) => code,
        Err(failure) if failure.is_plain(&globals.log) => failure.code,
        Err(failure) => {
            globals.log.failure(failure.doing, &failure.error);
            failure.code
        }
    }
}

/// Why a verb failed, in runc's form.
struct Failure {
    doing: &'static str,
    code: i32,
    error: Error,
}

impl Failure {
    /// A program that the kernel did not take when all was made is told to people as the kernel has it, on a line of its own: so do
    /// runc and shells. True when that is all to be said.
    fn is_plain(&self, log: &log::Log) -> bool {
        let text = self.error.to_string();
        let refused = text.starts_with("exec /").then(|| text.split_once(": "));
        match (refused.flatten(), &log.file, self.doing) {
            (Some((program, why)), None, "run failed") => {
                let why = why.split(':').next().unwrap_or(why);
                eprintln!("{program}: {why}");
                true
            }
            _ => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure {
            doing: "",
            code: 1,
            error,
        }
    }
}

fn run(globals: &Globals, words: &[OsString]) -> Result<i32, Failure> {
    if globals.version {
        crate::output::print(&version())?;
        return Ok(0);
    }
    let first = words.first().map(|word| word.to_string_lossy());
    let name = match first.as_deref() {
        Some("help" | "h") => match words
            .get(1)
            .and_then(|word| verb_named(&word.to_string_lossy()))
        {
            Some(verb) => {
                crate::output::print(&help(verb))?;
                return Ok(0);
            }
            None => "",
        },
        None => "",
        Some(_) if globals.help => "",
        Some(name) => name,
    };
    if name.is_empty() {
        crate::output::print(&overview())?;
        return Ok(0);
    }
    let Some(verb) = verb_named(name) else {
        let shown: String = name.chars().take(40).collect();
        return Err(
            Error::invalid(format!("No help topic for '{shown}': see 'silo oci help'")).into(),
        );
    };
    let words = options::parse(verb.options, &words[1..], verb.order)?;
    if words.has(HELP) {
        crate::output::print(&help(verb))?;
        return Ok(0);
    }
    globals.check()?;
    check_count(verb, &words)?;
    if verb.starts {
        silo_runtime::ensure_sealed()?;
        if globals.log.debug {
            globals.log.debug(&seal_told(silo_runtime::seal()?));
        }
    }
    globals
        .log
        .debug(&format!("{name} {}", words.rest.join(" ")));
    (verb.run)(globals, &words).map_err(|error| failed(verb.name, error))
}

fn verb_named(name: &str) -> Option<&'static Verb> {
    VERBS.into_iter().find(|verb| verb.name == name)
}

/// runc says what it was doing for the verbs that make processes, and `exec` keeps small codes for its program.
fn failed(verb: &str, error: Error) -> Failure {
    let (doing, code) = match verb {
        "create" => ("create failed", 1),
        "run" => ("run failed", 1),
        "restore" => ("restore failed", 1),
        "exec" => ("exec failed", 255),
        _ => ("", 1),
    };
    Failure { doing, code, error }
}

fn check_count(verb: &Verb, words: &Words) -> Result<()> {
    let (least, most) = verb.words;
    match words.rest.len() {
        count if count < least => Err(Error::invalid(format!(
            "{}: requires a minimum of {least} argument(s): {}",
            verb.name, verb.usage
        ))),
        count if count > most => Err(Error::invalid(format!(
            "{}: takes at most {most} argument(s): {}",
            verb.name, verb.usage
        ))),
        _ => Ok(()),
    }
}

/// How this program is kept from being written to, in the words that readers of runc's log look for.
fn seal_told(seal: Seal) -> String {
    let name = called().unwrap_or(NAMES[0]);
    let how = match seal {
        Seal::Clone => {
            "using /proc/self/exe clone: a read-only one of the mount on which the file lies"
        }
        Seal::ReadOnly => "the program lies on a read-only mount",
        Seal::Copy => "using a sealed copy of /proc/self/exe in memory",
        Seal::Others => "the program belongs to another user",
    };
    format!("{name} exeseal: {how}")
}

/// As callers read it: name and version, and the specification that is implemented.
fn version() -> String {
    let (name, version) = (called().unwrap_or(NAMES[0]), env!("CARGO_PKG_VERSION"));
    format!(
        "{name} version {version} (Silo)\ncommit: v{version}\nspec: {}\n",
        spec::VERSION
    )
}

/// By which of its names it was called.
fn called() -> Option<&'static str> {
    let word = std::env::args_os().next()?;
    let file = std::path::Path::new(&word).file_name()?;
    NAMES.into_iter().find(|name| file == *name)
}

fn overview() -> String {
    let (name, typed) = (called().unwrap_or(NAMES[0]), called().unwrap_or("silo oci"));
    let mut text = format!(
        "NAME:\n   {name} - Open Container Initiative runtime, of Silo\n\nUSAGE:\n   {typed} [global options] command [command options] [arguments...]\n\nCOMMANDS:\n"
    );
    for verb in VERBS {
        text += &format!("   {:10} {}\n", verb.name, verb.about);
    }
    text + "\nGLOBAL OPTIONS:\n" + &options::describe(&globals::OPTIONS)
}

fn help(verb: &Verb) -> String {
    let typed = called().unwrap_or("silo oci");
    format!(
        "NAME:\n   {typed} {} - {}\n\nUSAGE:\n   {typed} {} [command options] {}\n\nOPTIONS:\n{}",
        verb.name,
        verb.about,
        verb.name,
        verb.usage,
        options::describe(verb.options)
    )
}
