//! Word expansion (XCU 2.6): tilde, parameters, command substitution, arithmetic, field splitting, pathnames, quote
//! removal, in that order.

use super::arith;
use super::ast::{Command, Compound, List, ParamOp, Part, ValueOp, Word};
use super::pattern::{self, Glyph, Pattern};
use super::state::{Flow, Run, Shell};

#[derive(Clone, Copy, PartialEq)]
enum Origin {
    /// Typed without quotes: may glob, is never split.
    Literal,
    /// Result of an unquoted expansion: may glob, is split.
    Expanded,
    Quoted,
}

enum Token {
    Char(char, Origin),
    /// Between the positional parameters of `$@`.
    Break,
    /// Here were quotes: the field exists even when it is empty.
    Present,
}

#[derive(Clone, Copy, Default)]
struct Context {
    quoted: bool,
    /// No fields will be made: `$@` is joined like `$*`.
    single: bool,
    /// In an assignment, a tilde counts also after a colon.
    assignment: bool,
}

impl Shell {
    /// The fields that a list of words becomes.
    ///
    /// # Errors
    /// [`Flow::Error`] for `${x?}`, unset variables under `set -u`, arithmetic.
    pub fn expand_words(&mut self, words: &[Word]) -> Run<Vec<String>> {
        let mut fields = Vec::new();
        for word in words {
            let tokens = self.tokens(&word.0, Context::default())?;
            for field in self.split(tokens) {
                let names = if self.options.noglob || !pattern::is_active(&field) {
                    Vec::new()
                } else {
                    pattern::glob(&field)
                };
                if names.is_empty() {
                    fields.push(field.iter().map(|g| g.c).collect());
                } else {
                    fields.extend(names);
                }
            }
        }
        Ok(fields)
    }

    /// One string: redirection targets, `case` words.
    ///
    /// # Errors
    /// As [`Self::expand_words`].
    pub fn expand_single(&mut self, word: &Word) -> Run<String> {
        Ok(self.expand_glyphs(word)?.iter().map(|g| g.c).collect())
    }

    /// The value of an assignment.
    ///
    /// # Errors
    /// As [`Self::expand_words`].
    pub fn expand_assignment(&mut self, word: &Word) -> Run<String> {
        let context = Context {
            single: true,
            assignment: true,
            quoted: false,
        };
        Ok(glyphs(self.tokens(&word.0, context)?)
            .iter()
            .map(|g| g.c)
            .collect())
    }

    /// One string that remembers what was quoted: patterns.
    ///
    /// # Errors
    /// As [`Self::expand_words`].
    pub fn expand_glyphs(&mut self, word: &Word) -> Run<Vec<Glyph>> {
        let context = Context {
            single: true,
            ..Context::default()
        };
        Ok(glyphs(self.tokens(&word.0, context)?))
    }

    fn tokens(&mut self, parts: &[Part], context: Context) -> Run<Vec<Token>> {
        let mut out = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            self.part(part, context, index == 0, last, &mut out)?;
        }
        Ok(out)
    }

    fn part(
        &mut self,
        part: &Part,
        context: Context,
        first: bool,
        last: bool,
        out: &mut Vec<Token>,
    ) -> Run {
        match part {
            Part::Literal(text) if context.quoted => push(out, text, Origin::Quoted),
            Part::Literal(text) => self.literal(text, context, first, last, out),
            Part::Quoted(text) => {
                out.push(Token::Present);
                push(out, text, Origin::Quoted);
            }
            Part::Double(inner) => {
                let empty_at = self.positional.is_empty()
                    && matches!(inner.as_slice(), [Part::Param { name, op: ParamOp::Plain }] if name == "@");
                if !empty_at {
                    out.push(Token::Present);
                }
                out.extend(self.tokens(
                    inner,
                    Context {
                        quoted: true,
                        ..context
                    },
                )?);
            }
            Part::Param { name, op } => self.param(name, op, context, out)?,
            Part::Command(list) => {
                let text = self.substitute(list)?;
                push(out, &text, expanded(context));
            }
            Part::Arith(parts) => {
                let text = self.tokens(
                    parts,
                    Context {
                        quoted: true,
                        single: true,
                        assignment: false,
                    },
                )?;
                let text: String = glyphs(text).iter().map(|g| g.c).collect();
                let value = arith::evaluate(&text, self).map_err(Flow::Error)?;
                push(out, &value.to_string(), expanded(context));
            }
        }
        Ok(())
    }

    fn literal(&self, text: &str, context: Context, first: bool, last: bool, out: &mut Vec<Token>) {
        let mut rest = text;
        let mut tilde = first;
        loop {
            if tilde && rest.starts_with('~') {
                let end = rest.find(|c| c == '/' || (context.assignment && c == ':'));
                let user = &rest[1..end.unwrap_or(rest.len())];
                let home = if end.is_some() || last {
                    self.home_of(user)
                } else {
                    None
                };
                if let Some(home) = home {
                    push(out, &home, Origin::Quoted);
                    rest = &rest[1 + user.len()..];
                }
            }
            match rest.find(':').filter(|_| context.assignment) {
                Some(colon) => {
                    push(out, &rest[..=colon], Origin::Literal);
                    rest = &rest[colon + 1..];
                    tilde = true;
                }
                None => return push(out, rest, Origin::Literal),
            }
        }
    }

    fn home_of(&self, user: &str) -> Option<String> {
        if user.is_empty() {
            return self.get("HOME").map(str::to_string);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        let line = passwd.lines().find(|l| l.split(':').next() == Some(user))?;
        line.split(':').nth(5).map(str::to_string)
    }

    fn param(&mut self, name: &str, op: &ParamOp, context: Context, out: &mut Vec<Token>) -> Run {
        let many = name == "@" || name == "*";
        let value = if many {
            (!self.positional.is_empty()).then(|| self.joined(name, context))
        } else {
            self.parameter(name)
        };
        match op {
            ParamOp::Plain if many => {
                self.positional_tokens(name, context, out);
                return Ok(());
            }
            ParamOp::Plain => {
                let value = self.required(name, value)?;
                push(out, &value, expanded(context));
            }
            ParamOp::Length if many => {
                push(out, &self.positional.len().to_string(), expanded(context))
            }
            ParamOp::Length => {
                let value = self.required(name, value)?;
                push(out, &value.chars().count().to_string(), expanded(context));
            }
            ParamOp::Value { kind, colon, word } => {
                let value = value.filter(|v| !(*colon && v.is_empty()));
                return self.param_value(name, *kind, value, word, context, out);
            }
            ParamOp::Trim {
                suffix,
                longest,
                pattern,
            } => {
                let value = self.required(name, value)?;
                let pattern = Pattern::new(&self.expand_glyphs(pattern)?);
                push(
                    out,
                    &trim(&value, &pattern, *suffix, *longest),
                    expanded(context),
                );
            }
        }
        Ok(())
    }

    fn required(&self, name: &str, value: Option<String>) -> Run<String> {
        match value {
            Some(value) => Ok(value),
            None if self.options.nounset && name != "@" && name != "*" => {
                Err(Flow::Error(format!("{name}: parameter not set")))
            }
            None => Ok(String::new()),
        }
    }

    fn param_value(
        &mut self,
        name: &str,
        kind: ValueOp,
        value: Option<String>,
        word: &Word,
        context: Context,
        out: &mut Vec<Token>,
    ) -> Run {
        let many = name == "@" || name == "*";
        match (kind, value) {
            (ValueOp::Alternative, None) => {}
            (ValueOp::Alternative, Some(_)) | (ValueOp::Default, None) => {
                // Unquoted text of the default is split like the value that it stands for.
                for token in self.tokens(&word.0, context)? {
                    out.push(match token {
                        Token::Char(c, Origin::Literal) => Token::Char(c, Origin::Expanded),
                        other => other,
                    });
                }
            }
            (_, Some(_)) if many => self.positional_tokens(name, context, out),
            (_, Some(value)) => push(out, &value, expanded(context)),
            (ValueOp::Assign, None) => {
                let value = self.expand_single(word)?;
                self.assign(name, &value)?;
                push(out, &value, expanded(context));
            }
            (ValueOp::Error, None) => {
                let text = self.expand_single(word)?;
                let text = if text.is_empty() {
                    "parameter not set".into()
                } else {
                    text
                };
                return Err(Flow::Error(format!("{name}: {text}")));
            }
        }
        Ok(())
    }

    fn joined(&self, name: &str, context: Context) -> String {
        let separator = match self.get("IFS") {
            _ if name == "@" || !context.quoted => " ".to_string(),
            None => " ".to_string(),
            Some(ifs) => ifs.chars().next().map(String::from).unwrap_or_default(),
        };
        self.positional.join(&separator)
    }

    fn positional_tokens(&self, name: &str, context: Context, out: &mut Vec<Token>) {
        if context.single || (context.quoted && name == "*") {
            return push(out, &self.joined(name, context), expanded(context));
        }
        for (index, value) in self.positional.iter().enumerate() {
            if index > 0 {
                out.push(Token::Break);
            }
            if context.quoted {
                out.push(Token::Present);
            }
            push(out, value, expanded(context));
        }
    }

    fn substitute(&mut self, list: &List) -> Run<String> {
        let body = match list.0.as_slice() {
            [] => return Ok(String::new()),
            [item]
                if !item.background
                    && item.rest.is_empty()
                    && !item.first.negate
                    && item.first.stages.len() == 1 =>
            {
                item.first.stages[0].clone()
            }
            _ => Command::Compound(Box::new(Compound::Subshell(list.clone())), Vec::new()),
        };
        self.capture(&body)
    }

    /// Field splitting (XCU 2.6.5).
    fn split(&self, tokens: Vec<Token>) -> Vec<Vec<Glyph>> {
        let ifs = self.get("IFS").unwrap_or(" \t\n");
        let (mut fields, mut field, mut present) = (Vec::new(), Vec::new(), false);
        let mut after_blank = false;
        for token in tokens {
            match token {
                Token::Present => present = true,
                Token::Break => {
                    end_field(&mut fields, &mut field, &mut present);
                    after_blank = false;
                    continue;
                }
                Token::Char(c, Origin::Expanded) if ifs.contains(c) => {
                    let blank = matches!(c, ' ' | '\t' | '\n');
                    // A blank next to `:` or the like is part of the same separator.
                    let joined = !blank && after_blank && field.is_empty() && !present;
                    if !blank && !joined {
                        present = true;
                    }
                    let ended = present || !field.is_empty();
                    end_field(&mut fields, &mut field, &mut present);
                    after_blank = blank && (ended || after_blank);
                    continue;
                }
                Token::Char(c, origin) => field.push(Glyph {
                    c,
                    active: origin != Origin::Quoted,
                }),
            }
            after_blank = false;
        }
        end_field(&mut fields, &mut field, &mut present);
        fields
    }
}

fn end_field(fields: &mut Vec<Vec<Glyph>>, field: &mut Vec<Glyph>, present: &mut bool) {
    if *present || !field.is_empty() {
        fields.push(std::mem::take(field));
        *present = false;
    }
}

fn expanded(context: Context) -> Origin {
    if context.quoted {
        Origin::Quoted
    } else {
        Origin::Expanded
    }
}

fn push(out: &mut Vec<Token>, text: &str, origin: Origin) {
    out.extend(text.chars().map(|c| Token::Char(c, origin)));
}

fn glyphs(tokens: Vec<Token>) -> Vec<Glyph> {
    let glyph = |token| match token {
        Token::Char(c, origin) => Some(Glyph {
            c,
            active: origin != Origin::Quoted,
        }),
        Token::Break => Some(Glyph {
            c: ' ',
            active: false,
        }),
        Token::Present => None,
    };
    tokens.into_iter().filter_map(glyph).collect()
}

fn trim(value: &str, pattern: &Pattern, suffix: bool, longest: bool) -> String {
    let chars: Vec<char> = value.chars().collect();
    let length = chars.len();
    let mut cuts: Vec<usize> = (0..=length).collect();
    if longest {
        cuts.reverse();
    }
    for cut in cuts {
        let (removed, kept) = if suffix {
            (&chars[length - cut..], &chars[..length - cut])
        } else {
            (&chars[..cut], &chars[cut..])
        };
        if pattern.matches(removed) {
            return kept.iter().collect();
        }
    }
    value.to_string()
}

impl arith::Variables for Shell {
    fn value(&mut self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_string()
    }

    fn assign(&mut self, name: &str, value: i64) -> Result<(), String> {
        Shell::assign(self, name, &value.to_string()).map_err(|_| format!("{name}: is read only"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::{Aliases, Parser};
    use super::*;

    /// The fields that the words after a command's name become.
    fn fields(shell: &mut Shell, text: &str) -> Result<Vec<String>, String> {
        let list = Parser::new(&format!("x {text}"), &Aliases::new())
            .whole()
            .map_err(|e| format!("{e:?}"))?;
        let Command::Simple(simple) = &list.0[0].first.stages[0] else {
            return Err("not simple".into());
        };
        shell
            .expand_words(&simple.words[1..])
            .map_err(|flow| format!("{flow:?}"))
    }

    #[test]
    fn fields_are_split_and_joined() {
        let mut shell = Shell::new("sh".into());
        shell.positional = vec!["a b".into(), String::new(), "c".into()];
        shell.put("v", " x  y ");
        shell.put("colons", ":a::b:");
        for (text, wanted) in [
            ("$v", &["x", "y"][..]),
            ("\"$v\"", &[" x  y "]),
            ("p$v'q'", &["p", "x", "y", "q"]),
            ("\"$@\"", &["a b", "", "c"]),
            ("$@", &["a", "b", "c"]),
            ("\"-$@-\"", &["-a b", "", "c-"]),
            ("\"$*\"", &["a b  c"]),
            ("''$none", &[""]),
            ("$none", &[]),
            ("${none:-d e} \"${none:-d e}\"", &["d", "e", "d e"]),
            ("${v:+'k l'}", &["k l"]),
            ("${#v} $# $((${#v}*2))", &["6", "3", "12"]),
        ] {
            assert_eq!(fields(&mut shell, text).unwrap(), wanted, "{text}");
        }
        shell.put("IFS", ":");
        assert_eq!(fields(&mut shell, "$colons").unwrap(), ["", "a", "", "b"]);
    }

    #[test]
    fn unset_variables_are_errors_on_request() {
        let mut shell = Shell::new("sh".into());
        shell.options.nounset = true;
        assert!(
            fields(&mut shell, "$none").is_err() && fields(&mut shell, "${none?gone}").is_err()
        );
        assert_eq!(fields(&mut shell, "${none-} $@").unwrap().len(), 0);
    }
}
