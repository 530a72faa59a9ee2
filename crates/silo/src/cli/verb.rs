//! A verb: its words, its flags, what it does.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use silo_types::Result;

use super::{Context, error::Failure, examples, help};

/// Where a verb belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Container,
    Image,
    Volume,
    System,
    /// At the top only.
    None,
}

impl Group {
    pub const ALL: [Group; 4] = [Group::Container, Group::Image, Group::Volume, Group::System];

    /// The word typed for it.
    pub fn word(self) -> &'static str {
        match self {
            Group::Container => "container",
            Group::Image => "image",
            Group::Volume => "volume",
            Group::System => "system",
            Group::None => "",
        }
    }

    pub fn about(self) -> &'static str {
        match self {
            Group::Container => "Everything about containers",
            Group::Image => "Everything about images",
            Group::Volume => "Everything about volumes",
            Group::System => "The engine and its host",
            Group::None => "",
        }
    }
}

/// Flags of a verb, and what it does with them.
pub trait Run: Args {
    /// The exit code.
    fn run(self, context: &Context) -> Result<i32>;
}

/// One line of the table of verbs.
pub struct Verb {
    pub group: Group,
    /// Inside the group; the first is shown.
    pub names: &'static [&'static str],
    /// Without a group; empty: only inside.
    pub top: &'static [&'static str],
    pub about: &'static str,
    /// Behind the name.
    pub usage: &'static str,
    /// It starts programs: exit codes 125, 126, 127 say why it could not.
    pub runs: bool,
    /// It makes processes of containers: the program must be sealed against them before anything else happens.
    starts: bool,
    /// For machines: shown nowhere.
    pub hidden: bool,
    arguments: fn(Command) -> Command,
    run: fn(&Context, &ArgMatches) -> Result<Result<i32>, clap::Error>,
}

fn call<A: Run>(context: &Context, matches: &ArgMatches) -> Result<Result<i32>, clap::Error> {
    Ok(A::from_arg_matches(matches)?.run(context))
}

impl Verb {
    pub const fn new<A: Run>(
        group: Group,
        names: &'static [&'static str],
        top: &'static [&'static str],
        usage: &'static str,
        about: &'static str,
    ) -> Verb {
        Verb {
            group,
            names,
            top,
            about,
            usage,
            runs: false,
            starts: false,
            hidden: false,
            arguments: A::augment_args,
            run: call::<A>,
        }
    }

    pub const fn runs(mut self) -> Verb {
        self.runs = true;
        self
    }

    pub const fn starts(mut self) -> Verb {
        self.starts = true;
        self
    }

    pub const fn hidden(mut self) -> Verb {
        self.hidden = true;
        self
    }

    /// For help, man pages and completion. `name` is the full one: `silo container run`.
    pub fn documented(&self, name: &str) -> Command {
        let mut command = (self.arguments)(self.bare(name)).about(self.about);
        if let Some(text) = examples::of(self.names[0]) {
            command = command.after_help(text);
        }
        // Docker's `run` has -h for the host name.
        let short = command
            .get_arguments()
            .all(|arg| arg.get_short() != Some('h'));
        let help = Arg::new("help")
            .long("help")
            .action(ArgAction::Help)
            .help("Print this help");
        command.arg(match short {
            true => help.short('h'),
            false => help,
        })
    }

    fn bare(&self, name: &str) -> Command {
        let last = name.rsplit(' ').next().unwrap_or(name);
        let mut words = self.names.iter().chain(self.top);
        Command::new(*words.find(|word| **word == last).unwrap_or(&self.names[0]))
            .bin_name(name.to_owned())
            .display_name(name.replace(' ', "-"))
            .override_usage(format!("{name} {}", self.usage))
            .disable_help_flag(true)
            .args_override_self(true)
    }

    /// Parses the words behind the verb and does it.
    pub fn execute(
        &self,
        context: &Context,
        name: &str,
        words: &[OsString],
    ) -> Result<i32, Failure> {
        // Before anything is parsed: it begins anew from here.
        let sealed = match self.starts && !asks_for_help(words) {
            true => silo_engine::ensure_sealed(),
            false => Ok(()),
        };
        let command = pflag((self.arguments)(self.bare(name)).no_binary_name(true));
        let matches = match command.try_get_matches_from(words) {
            Ok(matches) => matches,
            Err(_) if asks_for_help(words) => {
                crate::output::print(&help::of_verb(self, name))?;
                return Ok(0);
            }
            Err(error) => return Err(Failure::of_clap(&error, name)),
        };
        let failed = |e| Failure::of_verb(&e, name, self.runs, context.debug);
        sealed.map_err(failed)?;
        let result = (self.run)(context, &matches).map_err(|e| Failure::of_clap(&e, name))?;
        result.map_err(failed)
    }
}

/// `--help` is no flag of the parser's, so words with it do not parse, unless it belongs to the container's command. `-h` may be
/// a flag of the verb's own.
fn asks_for_help(words: &[OsString]) -> bool {
    words.iter().any(|word| word == "--help") || words.first().is_some_and(|word| word == "-h")
}

/// Docker's way with flags: a switch may be given a truth value (`--rm=false`), and a flag that takes a value takes whatever comes
/// next (`--memory-swap -1`).
pub(crate) fn pflag(command: Command) -> Command {
    command.mut_args(|arg| {
        if arg.is_positional() {
            return arg;
        }
        match arg.get_action() {
            ArgAction::SetTrue => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("false")
                .value_parser(truth),
            ArgAction::Set | ArgAction::Append => arg.allow_hyphen_values(true),
            _ => arg,
        }
    })
}

fn truth(text: &str) -> std::result::Result<bool, silo_types::Error> {
    silo_types::parse::truth("a switch", text)
}
