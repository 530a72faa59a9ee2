//! Shell patterns (XCU 2.13): matching for `case` and `${x#…}`, and pathname expansion.

use std::path::Path;

use crate::text;

/// One character of an expanded word; `active` is false for what was quoted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glyph {
    pub c: char,
    pub active: bool,
}

#[derive(Debug, PartialEq)]
enum Element {
    Any,
    One,
    Char(char),
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
        classes: Vec<String>,
    },
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern(Vec<Element>);

impl Pattern {
    pub fn new(glyphs: &[Glyph]) -> Self {
        let mut elements = Vec::new();
        let mut at = 0;
        while let Some(&Glyph { c, active }) = glyphs.get(at) {
            let (element, used) = match c {
                '*' if active => (Element::Any, 1),
                '?' if active => (Element::One, 1),
                '[' if active => set(&glyphs[at..]).unwrap_or((Element::Char('['), 1)),
                _ => (Element::Char(c), 1),
            };
            elements.push(element);
            at += used;
        }
        Self(elements)
    }

    /// Does the whole of `text` match?
    pub fn matches(&self, text: &[char]) -> bool {
        matches(&self.0, text)
    }
}

/// `[…]` at the start of `glyphs`, with the number of glyphs it takes; `None` when the bracket is never closed.
fn set(glyphs: &[Glyph]) -> Option<(Element, usize)> {
    let mut at = 1;
    let negated = matches!(glyphs.get(at)?.c, '!' | '^');
    at += usize::from(negated);
    let (mut ranges, mut classes) = (Vec::new(), Vec::new());
    let first = at;
    loop {
        let c = glyphs.get(at)?.c;
        if c == ']' && glyphs[at].active && at > first {
            return Some((
                Element::Set {
                    negated,
                    ranges,
                    classes,
                },
                at + 1,
            ));
        }
        if c == '[' && glyphs.get(at + 1)?.c == ':' {
            let name: String = glyphs[at + 2..]
                .iter()
                .map(|g| g.c)
                .take_while(|&c| c != ':')
                .collect();
            at += name.chars().count() + 4;
            classes.push(name);
            continue;
        }
        if glyphs.get(at + 1)?.c == '-' && glyphs.get(at + 2)?.c != ']' {
            ranges.push((c, glyphs[at + 2].c));
            at += 3;
        } else {
            ranges.push((c, c));
            at += 1;
        }
    }
}

fn in_class(c: char, name: &str) -> bool {
    match name {
        "alpha" => c.is_alphabetic(),
        "digit" => c.is_ascii_digit(),
        "alnum" => c.is_alphanumeric(),
        "upper" => c.is_uppercase(),
        "lower" => c.is_lowercase(),
        "space" => c.is_whitespace(),
        "blank" => c == ' ' || c == '\t',
        "punct" => c.is_ascii_punctuation(),
        "xdigit" => c.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Linear-time matching: only the last `*` is ever reconsidered.
fn matches(pattern: &[Element], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(Element::Any), _) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            (Some(element), Some(&c)) => one(element, c),
            _ => false,
        };
        if step {
            p += 1;
            t += 1;
            continue;
        }
        let Some((star_p, star_t)) = star else {
            return false;
        };
        if star_t >= text.len() {
            return false;
        }
        star = Some((star_p, star_t + 1));
        (p, t) = (star_p + 1, star_t + 1);
    }
}

fn one(element: &Element, c: char) -> bool {
    match element {
        Element::Any => false,
        Element::One => true,
        Element::Char(wanted) => *wanted == c,
        Element::Set {
            negated,
            ranges,
            classes,
        } => {
            let inside = ranges.iter().any(|&(low, high)| (low..=high).contains(&c))
                || classes.iter().any(|n| in_class(c, n));
            inside != *negated
        }
    }
}

/// Has the word a character that asks for pathname expansion?
pub fn is_active(glyphs: &[Glyph]) -> bool {
    glyphs
        .iter()
        .any(|g| g.active && matches!(g.c, '*' | '?' | '['))
}

/// The names that match, sorted; empty when there is none. Hidden names need a literal leading dot.
pub fn glob(glyphs: &[Glyph]) -> Vec<String> {
    let mut found = vec![String::new()];
    for (index, part) in glyphs.split(|g| g.c == '/').enumerate() {
        let literal: String = part.iter().map(|g| g.c).collect();
        let mut next = Vec::new();
        for base in found {
            let prefix = if index == 0 { base } else { format!("{base}/") };
            if is_active(part) {
                names_in(&prefix, part, &mut next);
            } else {
                let name = format!("{prefix}{literal}");
                if name.is_empty()
                    || name.ends_with('/')
                    || Path::new(&text::to_os(&name)).symlink_metadata().is_ok()
                {
                    next.push(name);
                }
            }
        }
        found = next;
    }
    found.sort();
    found
}

fn names_in(prefix: &str, part: &[Glyph], out: &mut Vec<String>) {
    let pattern = Pattern::new(part);
    let dot = part.first().is_some_and(|g| g.c == '.');
    let folder = if prefix.is_empty() { "." } else { prefix };
    let Ok(entries) = std::fs::read_dir(text::to_os(folder)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = text::from_os(&entry.file_name());
        if name.starts_with('.') && !dot {
            continue;
        }
        if pattern.matches(&name.chars().collect::<Vec<_>>()) {
            out.push(format!("{prefix}{name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(pattern: &str, text: &str) -> bool {
        let glyphs: Vec<Glyph> = pattern.chars().map(|c| Glyph { c, active: true }).collect();
        Pattern::new(&glyphs).matches(&text.chars().collect::<Vec<_>>())
    }

    #[test]
    fn stars_sets_and_classes() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abbc"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a]*", "bcd"),
            ("*.tar.*", "a.tar.gz"),
        ] {
            assert!(ok(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a*c", "ab"),
            ("[!a]", "a"),
            ("?", ""),
            ("[[:digit:]]", "x"),
        ] {
            assert!(!ok(pattern, text), "{pattern} {text}");
        }
        assert!(ok("[[:digit:]]*", "7up"));
        assert!(ok("[", "["));
        assert!(ok("[]a]", "]"));
    }

    #[test]
    fn a_quoted_star_is_a_star() {
        let pattern = Pattern::new(&[Glyph {
            c: '*',
            active: false,
        }]);
        assert!(pattern.matches(&['*']));
        assert!(!pattern.matches(&['a']));
    }

    #[test]
    fn many_stars_end_quickly() {
        assert!(!ok(&"*a".repeat(40), &"a".repeat(39)));
    }
}
