//! Commands of the shell itself: the table, and those that steer its flow. Variables, processes and input have their own
//! files.

mod input;
mod process;
mod variables;

use super::state::{Flow, Run, Shell};
use crate::own;
use crate::text;

pub struct Builtin {
    pub name: &'static str,
    /// POSIX "special": assignments in front of it stay.
    pub special: bool,
    /// Gets all words, the name first; gives `$?`.
    pub run: fn(&mut Shell, &[String]) -> Run<i32>,
}

const fn plain(name: &'static str, run: fn(&mut Shell, &[String]) -> Run<i32>) -> Builtin {
    Builtin {
        name,
        special: false,
        run,
    }
}

const fn special(name: &'static str, run: fn(&mut Shell, &[String]) -> Run<i32>) -> Builtin {
    Builtin {
        name,
        special: true,
        run,
    }
}

/// Sorted by name.
static TABLE: &[Builtin] = &[
    special(".", source),
    special(":", |_, _| Ok(0)),
    plain("[", test),
    plain("alias", variables::alias),
    plain("bg", process::bg),
    special("break", leave_loop),
    plain("cd", variables::cd),
    plain("command", command),
    special("continue", leave_loop),
    plain("echo", |shell, argv| {
        Ok(shell.say(&own::echo::line(&argv[1..])))
    }),
    special("eval", |shell, argv| {
        shell.run_text(&argv[1..].join(" ")).map(|()| shell.status)
    }),
    special("exec", process::exec),
    special("exit", exit),
    special("export", variables::export),
    plain("false", |_, _| Ok(1)),
    plain("fg", process::fg),
    plain("getopts", input::getopts),
    plain("hash", |_, _| Ok(0)),
    plain("jobs", |shell, _| Ok(shell.say(&shell.job_lines()))),
    plain("kill", process::kill),
    plain("local", variables::local),
    plain("printf", printf),
    plain("pwd", variables::pwd),
    plain("read", input::read),
    special("readonly", variables::readonly),
    special("return", return_),
    special("set", variables::set),
    special("shift", shift),
    special("source", source),
    plain("test", test),
    special("trap", process::trap),
    plain("true", |_, _| Ok(0)),
    plain("type", type_),
    plain("ulimit", process::ulimit),
    plain("umask", process::umask),
    plain("unalias", variables::unalias),
    special("unset", variables::unset),
    plain("wait", process::wait),
];

/// The builtin of that name.
pub fn find(name: &str) -> Option<&'static Builtin> {
    TABLE
        .binary_search_by(|b| b.name.cmp(name))
        .ok()
        .map(|index| &TABLE[index])
}

/// All names, for completion.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|b| b.name)
}

/// `text` so that the shell reads it back as one word.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-+=./:,%@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_string();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Shell {
    /// Says what is wrong with a builtin's use; gives 2.
    fn misuse(&self, argv: &[String], what: &str) -> i32 {
        self.complain(&format!("{}: {what}", argv[0]));
        2
    }

    /// As [`Self::misuse`], for what failed: 1.
    fn failed(&self, argv: &[String], what: &str) -> i32 {
        self.complain(&format!("{}: {what}", argv[0]));
        1
    }
}

fn number(shell: &Shell, argv: &[String], default: i64) -> Result<i64, i32> {
    match argv.get(1) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| shell.misuse(argv, &format!("not a number: {text}"))),
    }
}

fn leave_loop(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let depth = match number(shell, argv, 1) {
        Ok(n) if n >= 1 => u32::try_from(n).unwrap_or(u32::MAX).min(shell.loops),
        Ok(_) => return Ok(shell.misuse(argv, "the number of loops must be 1 or more")),
        Err(status) => return Ok(status),
    };
    shell.status = 0;
    match (depth, argv[0].as_str()) {
        (0, _) => Ok(0),
        (n, "break") => Err(Flow::Break(n)),
        (n, _) => Err(Flow::Continue(n)),
    }
}

fn exit(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let status = number(shell, argv, i64::from(shell.status));
    shell.status = status.map_or_else(|s| s, |n| (n & 0xff) as i32);
    Err(Flow::Exit)
}

fn return_(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let status = number(shell, argv, i64::from(shell.status));
    shell.status = status.map_or_else(|s| s, |n| (n & 0xff) as i32);
    Err(Flow::Return)
}

fn shift(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    match number(shell, argv, 1).map(usize::try_from) {
        Ok(Ok(n)) if n <= shell.positional.len() => {
            shell.positional.drain(..n);
            Ok(0)
        }
        Ok(_) => Ok(shell.failed(argv, "there are not that many parameters")),
        Err(status) => Ok(status),
    }
}

fn test(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    Ok(match own::test::run(argv) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(message) => shell.misuse(argv, &message),
    })
}

fn printf(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let made = own::printf::format(&argv[1..]);
    let status = shell.say(&made.output);
    made.complaints
        .iter()
        .for_each(|c| shell.complain(&format!("printf: {c}")));
    Ok(if made.complaints.is_empty() {
        status
    } else {
        1
    })
}

fn source(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let Some(name) = argv.get(1) else {
        return Ok(shell.misuse(argv, "which file?"));
    };
    let path = match (name.contains('/'), shell.find_program(name)) {
        (false, Ok(path)) => path,
        _ => text::to_os(name).into(),
    };
    let script = match std::fs::read(&path) {
        Ok(bytes) => text::from_bytes(&bytes),
        Err(e) => return Ok(shell.failed(argv, &format!("{name}: {}", super::state::reason(&e)))),
    };
    shell.status = 0;
    match shell.run_text(&script) {
        Ok(()) | Err(Flow::Return) => Ok(shell.status),
        Err(flow) => Err(flow),
    }
}

/// What a name means, for `type` and `command -v`: (short, long).
fn meaning(shell: &Shell, name: &str) -> Option<(String, String)> {
    const KEYWORDS: &[&str] = &[
        "!", "{", "}", "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in",
        "then", "until", "while",
    ];
    if let Some(text) = shell.aliases.get(name) {
        return Some((
            format!("alias {name}={}", quoted(text)),
            format!("{name} is an alias for {text}"),
        ));
    }
    if KEYWORDS.contains(&name) {
        return Some((name.into(), format!("{name} is a shell keyword")));
    }
    if shell.functions.contains_key(name) {
        return Some((name.into(), format!("{name} is a shell function")));
    }
    if find(name).is_some() {
        return Some((name.into(), format!("{name} is a shell builtin")));
    }
    let path = text::from_os(shell.find_program(name).ok()?.as_os_str());
    Some((path.clone(), format!("{name} is {path}")))
}

fn type_(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let mut status = 0;
    for name in &argv[1..] {
        match meaning(shell, name) {
            Some((_, long)) => status |= shell.say(&format!("{long}\n")),
            None => status = shell.failed(argv, &format!("{name}: not found")).max(127),
        }
    }
    Ok(status)
}

fn command(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    match argv.get(1).map(String::as_str) {
        None => Ok(0),
        Some(option @ ("-v" | "-V")) => {
            let found = argv.get(2).and_then(|name| meaning(shell, name));
            Ok(found.map_or(127, |(short, long)| {
                shell.say(&format!("{}\n", if option == "-v" { short } else { long }))
            }))
        }
        Some("--" | "-p") => command(shell, &argv[1..]),
        Some(name) => match find(name) {
            Some(builtin) => (builtin.run)(shell, &argv[1..]),
            None => shell
                .run_program(&argv[1..], &[], &argv[1..].join(" "))
                .map(|()| shell.status),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_is_found() {
        for name in names() {
            assert!(
                find(name).is_some_and(|b| b.name == name),
                "{name}: the table is not sorted"
            );
        }
    }

    #[test]
    fn quoting() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("x=1"), "x=1");
    }
}
