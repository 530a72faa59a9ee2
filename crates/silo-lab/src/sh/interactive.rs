//! Commands from standard input: line editing on a terminal, else plain lines, read byte by byte so that a program in
//! the script finds the rest of the input.

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::builtins;
use super::parser::{ParseError, Parser};
use super::state::{Flow, Run, Shell};
use crate::text;

/// Reads commands to the end of the input and runs them.
///
/// # Errors
/// As [`Shell::run_list`].
pub fn read_and_run(shell: &mut Shell) -> Run {
    let mut editor = if shell.options.interactive && shell.fds.is_terminal(0) {
        editor(shell)
    } else {
        None
    };
    if shell.get("PS1").is_none() {
        shell.put("PS1", "\\u@\\h:\\w\\$ ");
    }
    let mut pending = String::new();
    loop {
        if shell.options.interactive {
            shell.notify_jobs();
        }
        let line = match next_line(shell, editor.as_mut(), !pending.is_empty()) {
            Line::Text(line) => line,
            Line::Interrupted => {
                pending.clear();
                shell.status = 130;
                continue;
            }
            Line::End if pending.is_empty() => return Ok(()),
            Line::End => return Err(Flow::Error("syntax error: unexpected end of file".into())),
        };
        pending.push_str(&line);
        pending.push('\n');
        let aliases = shell.aliases.clone();
        let parsed = Parser::new(&pending, &aliases).whole();
        if parsed == Err(ParseError::Incomplete) || is_continued(&line) {
            continue;
        }
        if let Some(editor) = editor.as_mut() {
            remember(editor, &pending);
        }
        pending.clear();
        let result = match parsed {
            Ok(list) => shell.run_list(&list),
            Err(error) => Err(super::syntax_error(error)),
        };
        settle(shell, result)?;
    }
}

/// Does the line end in a backslash that is not itself escaped?
fn is_continued(line: &str) -> bool {
    line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

/// After a line of commands: an interactive shell goes on past errors.
fn settle(shell: &mut Shell, result: Run) -> Run {
    match result {
        Err(Flow::Error(message)) if shell.options.interactive => {
            shell.complain(&message);
            shell.status = 2;
            Ok(())
        }
        Err(Flow::Interrupted | Flow::Break(_) | Flow::Continue(_) | Flow::Return) => Ok(()),
        Err(Flow::Exit) if shell.options.interactive && shell.options.errexit => Err(Flow::Exit),
        other => other,
    }
}

enum Line {
    Text(String),
    Interrupted,
    End,
}

type LineEditor = Editor<ShellHelper, MemHistory>;

fn editor(shell: &Shell) -> Option<LineEditor> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .build();
    let mut editor: LineEditor = Editor::with_history(config, MemHistory::new()).ok()?;
    editor.set_helper(Some(ShellHelper {
        files: FilenameCompleter::new(),
        words: command_words(shell),
    }));
    Some(editor)
}

fn remember(editor: &mut LineEditor, text: &str) {
    // A full history forgets its oldest line; that is no error worth a word.
    let _ = editor.add_history_entry(text.trim_end());
}

fn next_line(shell: &mut Shell, editor: Option<&mut LineEditor>, more: bool) -> Line {
    let prompt = if shell.options.interactive {
        prompt(shell, if more { "PS2" } else { "PS1" })
    } else {
        String::new()
    };
    let Some(editor) = editor else {
        shell.complain_raw(&prompt);
        return plain_line(shell);
    };
    if let Some(helper) = editor.helper_mut() {
        helper.words = command_words(shell);
    }
    match editor.readline(&prompt) {
        Ok(line) => Line::Text(line),
        Err(ReadlineError::Interrupted) => Line::Interrupted,
        Err(_) => Line::End,
    }
}

fn plain_line(shell: &Shell) -> Line {
    let mut bytes = Vec::new();
    loop {
        match shell.fds.read_byte(0) {
            Ok(Some(b'\n')) => break,
            Ok(Some(byte)) => bytes.push(byte),
            Ok(None) | Err(_) if bytes.is_empty() => return Line::End,
            Ok(None) | Err(_) => break,
        }
    }
    Line::Text(text::from_bytes(&bytes))
}

/// `PS1` with `\u`, `\h`, `\w`, `\$` and the expansions of double quotes.
fn prompt(shell: &mut Shell, name: &str) -> String {
    let mut out = String::new();
    let text = shell.get(name).unwrap_or_default().to_string();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c == '\\').then(|| chars.next()).flatten() {
            None => out.push(c),
            Some('u') => out.push_str(&crate::own::id::user_name(
                rustix::process::geteuid().as_raw(),
            )),
            Some('h') => {
                let host = rustix::system::uname()
                    .nodename()
                    .to_string_lossy()
                    .into_owned();
                out.push_str(host.split('.').next().unwrap_or_default());
            }
            Some('w') => out.push_str(&short_folder(shell)),
            Some('$') => out.push(if rustix::process::geteuid().is_root() {
                '#'
            } else {
                '$'
            }),
            Some('n') => out.push('\n'),
            Some('e') => out.push('\x1b'),
            Some('[' | ']') => {}
            Some(other) => out.extend(['\\', other]),
        }
    }
    let word = Parser::double_quoted_text(&out);
    word.ok()
        .and_then(|word| shell.expand_single(&word).ok())
        .unwrap_or(out)
}

fn short_folder(shell: &Shell) -> String {
    let here = shell.get("PWD").unwrap_or("/");
    match shell
        .get("HOME")
        .filter(|h| h.len() > 1)
        .and_then(|home| here.strip_prefix(home))
    {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => here.to_string(),
    }
}

/// Everything that may stand where a command begins.
fn command_words(shell: &Shell) -> Vec<String> {
    let mut words: Vec<String> = builtins::names().map(str::to_string).collect();
    words.extend(shell.functions.keys().chain(shell.aliases.keys()).cloned());
    for folder in shell.get("PATH").unwrap_or_default().split(':') {
        let entries = std::fs::read_dir(text::to_os(folder))
            .into_iter()
            .flatten()
            .flatten();
        words.extend(entries.map(|e| text::from_os(&e.file_name())));
    }
    words.sort();
    words.dedup();
    words
}

struct ShellHelper {
    files: FilenameCompleter,
    words: Vec<String>,
}

impl Completer for ShellHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..position];
        let start = before
            .rfind([' ', '\t', ';', '|', '&', '('])
            .map_or(0, |i| i + 1);
        let head = before[..start].trim_end();
        let is_command = head.is_empty() || head.ends_with([';', '|', '&', '(']);
        if is_command && !before[start..].contains('/') {
            let matching = self
                .words
                .iter()
                .filter(|w| w.starts_with(&before[start..]));
            let pair = |word: &String| Pair {
                display: word.clone(),
                replacement: format!("{word} "),
            };
            return Ok((start, matching.map(pair).collect()));
        }
        self.files.complete(line, position, context)
    }
}

impl Hinter for ShellHelper {
    type Hint = String;
}
impl Highlighter for ShellHelper {}
impl Validator for ShellHelper {}
impl Helper for ShellHelper {}
