//! `sort [-bfhnruV] [-k FIELD[,FIELD]] [-t C] [-o FILE] [FILE...]`, by bytes, in memory.

use std::cmp::Ordering;
use std::io::Read;

use crate::{cli, size, text};

pub fn main(args: &[String]) -> i32 {
    match sorted(args) {
        Ok((text, None)) => cli::print(&text),
        Ok((content, Some(file))) => {
            match std::fs::write(text::to_os(&file), text::to_bytes(&content)) {
                Ok(()) => 0,
                Err(e) => cli::fail("sort", &format!("{file}: {}", cli::reason(&e))),
            }
        }
        Err(message) => {
            cli::fail("sort", &message);
            2
        }
    }
}

/// How two lines are compared, and on which fields.
#[derive(Clone, Debug, Default)]
struct Key {
    /// First and last field, from 1; no last field: to the end.
    fields: Option<(usize, Option<usize>)>,
    blanks: bool,
    fold: bool,
    human: bool,
    numeric: bool,
    reverse: bool,
}

impl Key {
    fn set(&mut self, letter: char) -> bool {
        match letter {
            'b' => self.blanks = true,
            'f' => self.fold = true,
            'h' => self.human = true,
            'n' | 'g' => self.numeric = true,
            'r' => self.reverse = true,
            _ => return false,
        }
        true
    }

    /// `2`, `2,3`, `2nr`, `2.1,2.3` (character positions are not looked at).
    fn parse(text: &str, global: &Key) -> Result<Self, String> {
        let bad = || format!("bad key: {text}");
        let mut key = Self::default();
        let mut field = |part: &str| {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            let known = part[digits..]
                .chars()
                .filter(|c| c.is_alphabetic())
                .all(|c| key.set(c));
            part[..digits]
                .parse::<usize>()
                .ok()
                .filter(|n| *n > 0 && known)
        };
        let (first, last) = text
            .split_once(',')
            .map_or((text, None), |(f, l)| (f, Some(l)));
        let first = field(first).ok_or_else(bad)?;
        let last = last.map(|l| field(l).ok_or_else(bad)).transpose()?;
        if !(key.blanks || key.fold || key.human || key.numeric || key.reverse) {
            key = global.clone();
        }
        key.fields = Some((first, last));
        Ok(key)
    }

    fn part<'a>(&self, line: &'a str, separator: Option<char>) -> &'a str {
        let Some((first, last)) = self.fields else {
            return line;
        };
        let starts = field_starts(line, separator);
        let start = starts.get(first - 1).copied().unwrap_or(line.len());
        let end = last
            .and_then(|l| starts.get(l).copied())
            .unwrap_or(line.len());
        &line[start..end.max(start)]
    }

    fn compare(&self, a: &str, b: &str, separator: Option<char>) -> Ordering {
        let (mut a, mut b) = (self.part(a, separator), self.part(b, separator));
        if self.blanks || self.numeric || self.human {
            (a, b) = (a.trim_start(), b.trim_start());
        }
        let order = if self.human || self.numeric {
            let value = |text: &str| leading_number(text, self.human);
            value(a).total_cmp(&value(b))
        } else if self.fold {
            a.to_uppercase().cmp(&b.to_uppercase())
        } else {
            a.cmp(b)
        };
        if self.reverse { order.reverse() } else { order }
    }
}

/// Where each field begins; without a separator a field begins with its blanks.
fn field_starts(line: &str, separator: Option<char>) -> Vec<usize> {
    let mut starts = vec![0];
    let mut blank_before = true;
    for (at, c) in line.char_indices() {
        match separator {
            Some(separator) if c == separator => starts.push(at + c.len_utf8()),
            Some(_) => {}
            None => {
                let blank = c.is_whitespace();
                if blank && !blank_before {
                    starts.push(at);
                }
                blank_before = blank;
            }
        }
    }
    starts
}

fn leading_number(text: &str, human: bool) -> f64 {
    let end = text
        .char_indices()
        .find(|&(i, c)| !(c.is_ascii_digit() || c == '.' || (i == 0 && c == '-')))
        .map_or(text.len(), |f| f.0);
    let value: f64 = text[..end].parse().unwrap_or(0.0);
    let unit = text[end..]
        .chars()
        .next()
        .filter(|c| human && "kKMGTP".contains(*c));
    unit.and_then(|c| size::parse(&format!("1{}", if c == 'P' { 'T' } else { c })).ok())
        .map_or(value, |u| value * u as f64)
}

fn sorted(args: &[String]) -> Result<(String, Option<String>), String> {
    let longs = [
        ("reverse", 'r'),
        ("numeric-sort", 'n'),
        ("unique", 'u'),
        ("key", 'k'),
        ("field-separator", 't'),
        ("human-numeric-sort", 'h'),
    ];
    let options = cli::options(args, "bfghnrusk:t:o:", &longs)?;
    let mut global = Key::default();
    "bfghnr".chars().filter(|&c| options.has(c)).for_each(|c| {
        global.set(c);
    });
    let mut keys = options
        .values('k')
        .map(|k| Key::parse(k, &global))
        .collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        keys.push(global.clone());
    }
    let separator = options.value('t').and_then(|t| t.chars().next());
    let content = read_all(&options.operands)?;
    let mut lines: Vec<&str> = content.lines().collect();
    let by_keys = |a: &str, b: &str| {
        keys.iter()
            .map(|k| k.compare(a, b, separator))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    lines.sort_by(|a, b| match by_keys(a, b) {
        Ordering::Equal if options.has('s') || options.has('u') => Ordering::Equal,
        Ordering::Equal if global.reverse => b.cmp(a),
        Ordering::Equal => a.cmp(b),
        order => order,
    });
    if options.has('u') {
        lines.dedup_by(|a, b| by_keys(a, b).is_eq());
    }
    let output = lines.iter().map(|line| format!("{line}\n")).collect();
    Ok((output, options.value('o').map(str::to_string)))
}

fn read_all(files: &[String]) -> Result<String, String> {
    let mut content = Vec::new();
    if files.is_empty() {
        std::io::stdin()
            .read_to_end(&mut content)
            .map_err(|e| cli::reason(&e))?;
    }
    for name in files {
        if name == "-" {
            std::io::stdin()
                .read_to_end(&mut content)
                .map_err(|e| cli::reason(&e))?;
        } else {
            content.extend(
                std::fs::read(text::to_os(name))
                    .map_err(|e| format!("{name}: {}", cli::reason(&e)))?,
            );
        }
        if content.last().is_some_and(|b| *b != b'\n') {
            content.push(b'\n');
        }
    }
    Ok(text::from_bytes(&content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(lines: &[&str], key: &Key, separator: Option<char>) -> Vec<String> {
        let mut lines: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
        lines.sort_by(|a, b| key.compare(a, b, separator));
        lines
    }

    #[test]
    fn keys() {
        let global = Key::default();
        let second = Key::parse("2n", &global).unwrap();
        assert_eq!(order(&["a 10", "b 9"], &second, None), ["b 9", "a 10"]);
        assert_eq!(
            order(
                &["x:2", "y:1"],
                &Key::parse("2,2", &global).unwrap(),
                Some(':')
            ),
            ["y:1", "x:2"]
        );
        let human = Key {
            human: true,
            reverse: true,
            ..Key::default()
        };
        assert_eq!(order(&["2K", "1M", "3"], &human, None), ["1M", "2K", "3"]);
        assert!(Key::parse("x", &global).is_err() && Key::parse("1q", &global).is_err());
    }
}
