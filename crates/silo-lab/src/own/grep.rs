//! `grep [-EFHciLlnoqrsvwx] [-m N] [-e] PATTERN [FILE...]`, line by line, in linear time.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use regex_lite::{Regex, RegexBuilder};

use crate::cli::{self, Options};
use crate::text;

pub fn main(args: &[String]) -> i32 {
    match prepare(args).and_then(|mut search| search.all()) {
        Ok(found) => i32::from(!found),
        Err(message) => {
            cli::fail("grep", &message);
            2
        }
    }
}

struct Search {
    regex: Regex,
    options: Options,
    files: Vec<String>,
    with_names: bool,
    most: u64,
    failed: bool,
}

fn prepare(args: &[String]) -> Result<Search, String> {
    let longs = [
        ("ignore-case", 'i'),
        ("invert-match", 'v'),
        ("count", 'c'),
        ("quiet", 'q'),
        ("recursive", 'r'),
        ("line-number", 'n'),
        ("extended-regexp", 'E'),
        ("fixed-strings", 'F'),
        ("only-matching", 'o'),
    ];
    let options = cli::options(args, "EFGHhiLlcnoqrRsvwxe:m:", &longs)?;
    let mut files = options.operands.clone();
    let mut patterns: Vec<String> = options.values('e').map(str::to_string).collect();
    if patterns.is_empty() {
        if files.is_empty() {
            return Err("usage: grep [-EFcinoqrvwx] PATTERN [FILE...]".into());
        }
        patterns.push(files.remove(0));
    }
    let regex = compile(&patterns, &options)?;
    let recursive = options.has('r') || options.has('R');
    if files.is_empty() {
        files.push(if recursive { "." } else { "-" }.into());
    }
    let with_names = !options.has('h') && (options.has('H') || recursive || files.len() > 1);
    let most = options.parsed('m')?.unwrap_or(u64::MAX);
    Ok(Search {
        regex,
        options,
        files,
        with_names,
        most,
        failed: false,
    })
}

fn compile(patterns: &[String], options: &Options) -> Result<Regex, String> {
    let lines = patterns.iter().flat_map(|p| p.split('\n'));
    let one = |line: &str| match () {
        () if options.has('F') => regex_lite::escape(line),
        () if options.has('E') => line.to_string(),
        () => from_basic(line),
    };
    let all: Vec<String> = lines.map(|line| format!("(?:{})", one(line))).collect();
    let mut pattern = all.join("|");
    if options.has('x') {
        pattern = format!("^(?:{pattern})$");
    } else if options.has('w') {
        pattern = format!(r"\b(?:{pattern})\b");
    }
    RegexBuilder::new(&pattern)
        .case_insensitive(options.has('i'))
        .build()
        .map_err(|e| format!("bad pattern: {e}"))
}

/// POSIX basic → extended syntax: the backslash changes sides for `( ) { } | + ?`.
pub fn from_basic(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    let mut start = true;
    while let Some(c) = chars.next() {
        let was_start = std::mem::replace(&mut start, false);
        match c {
            '\\' => match chars.next() {
                Some(c) if "(){}|+?".contains(c) => {
                    out.push(c);
                    start = c == '(' || c == '|';
                }
                Some('<' | '>') => out.push_str(r"\b"),
                Some(c) => out.extend(['\\', c]),
                None => out.push_str(r"\\"),
            },
            '(' | ')' | '{' | '}' | '|' | '+' | '?' => out.extend(['\\', c]),
            '*' if was_start => out.push_str(r"\*"),
            '^' => {
                out.push_str(if was_start { "^" } else { r"\^" });
                start = was_start;
            }
            '$' if chars.peek().is_some_and(|c| *c != '\\') => out.push_str(r"\$"),
            '[' => bracket(&mut chars, &mut out),
            c => out.push(c),
        }
    }
    out
}

/// Copies `[…]`, where a backslash is an ordinary character.
fn bracket(chars: &mut std::iter::Peekable<std::str::Chars>, out: &mut String) {
    out.push('[');
    if let Some(c) = chars.next_if_eq(&'^') {
        out.push(c);
    }
    if chars.next_if_eq(&']').is_some() {
        out.push_str(r"\]");
    }
    while let Some(c) = chars.next() {
        match c {
            ']' => return out.push(']'),
            '\\' => out.push_str(r"\\"),
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str(r"\["),
            c => out.push(c),
        }
    }
}

impl Search {
    fn all(&mut self) -> Result<bool, String> {
        let mut found = false;
        for name in self.files.clone() {
            found |= self.path(&name, true);
            if found && self.options.has('q') {
                return Ok(true);
            }
        }
        if self.failed && !found {
            return Err("some files could not be read".into());
        }
        Ok(found)
    }

    fn path(&mut self, name: &str, given: bool) -> bool {
        let path = text::to_os(name);
        let path = Path::new(&path);
        let recursive = self.options.has('r') || self.options.has('R');
        if name != "-" && recursive && path.is_dir() && (given || !path.is_symlink()) {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            let mut names: Vec<String> = entries
                .map(|e| text::from_os(e.path().as_os_str()))
                .collect();
            names.sort();
            return names
                .iter()
                .map(|n| self.path(n, false))
                .fold(false, |a, b| a | b);
        }
        // Pipes and devices met while walking would block.
        if !given && !path.is_file() {
            return false;
        }
        let result = if name == "-" {
            self.lines(std::io::stdin().lock(), name)
        } else {
            File::open(path).and_then(|f| self.lines(BufReader::new(f), name))
        };
        result.unwrap_or_else(|e| {
            self.failed = true;
            if !self.options.has('s') {
                cli::fail("grep", &format!("{name}: {}", cli::reason(&e)));
            }
            false
        })
    }

    fn lines(&self, mut input: impl BufRead, name: &str) -> std::io::Result<bool> {
        let prefix = if self.with_names {
            format!(
                "{}:",
                if name == "-" {
                    "(standard input)"
                } else {
                    name
                }
            )
        } else {
            String::new()
        };
        let silent = ['c', 'l', 'L', 'q'].iter().any(|c| self.options.has(*c));
        let (mut count, mut number) = (0_u64, 0_u64);
        let mut bytes = Vec::new();
        while count < self.most && input.read_until(b'\n', &mut bytes)? > 0 {
            number += 1;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            let line = text::from_bytes(&bytes);
            bytes.clear();
            if self.regex.is_match(&line) == self.options.has('v') {
                continue;
            }
            count += 1;
            if self.options.has('q') {
                return Ok(true);
            }
            if !silent {
                self.show(&prefix, number, &line);
            }
        }
        if self.options.has('c') {
            cli::print(&format!("{prefix}{count}\n"));
        }
        if (self.options.has('l') && count > 0) || (self.options.has('L') && count == 0) {
            cli::print(&format!("{name}\n"));
        }
        Ok(count > 0)
    }

    fn show(&self, prefix: &str, number: u64, line: &str) {
        let number = if self.options.has('n') {
            format!("{number}:")
        } else {
            String::new()
        };
        if self.options.has('o') {
            let parts: String = self
                .regex
                .find_iter(line)
                .map(|m| format!("{prefix}{number}{}\n", m.as_str()))
                .collect();
            cli::print(&parts);
        } else {
            cli::print(&format!("{prefix}{number}{line}\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::from_basic;

    #[test]
    fn basic_patterns() {
        for (basic, extended) in [
            (r"a\(b\)*", "a(b)*"),
            ("a+b?", r"a\+b\?"),
            ("*a", r"\*a"),
            ("^*a$", r"^\*a$"),
            (r"a\|b", "a|b"),
            (r"[]\]", r"[\]\\]"),
            ("[[:alpha:]]", "[[:alpha:]]"),
            ("a{2}", r"a\{2\}"),
        ] {
            assert_eq!(from_basic(basic), extended);
        }
    }
}
