//! The parser's lower half: quoting, `$…` and here-documents; characters in, [`Word`]s out.

use super::ast::{List, ParamOp, Part, ValueOp, Word};
use super::parser::{ParseError, Parsed, Parser};

/// Where a run of parts ends, and which quoting rules hold inside.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// An unquoted blank, line end or operator.
    Blank,
    /// `"`
    Quote,
    /// `}`, inside (`true`) or outside double quotes.
    Brace(bool),
    /// The end of the text: here-documents and arithmetic, with the rules of double quotes.
    End,
}

/// Is this character one that ends an unquoted word?
pub fn is_meta(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')'
    )
}

/// May `c` be in a variable's name (`first`: as its first character)?
pub fn is_name_char(c: char, first: bool) -> bool {
    c == '_' || c.is_ascii_alphabetic() || (!first && c.is_ascii_digit())
}

/// Is `text` a valid variable name?
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .enumerate()
            .all(|(i, c)| is_name_char(c, i == 0))
}

impl Parser<'_> {
    /// The next word, or `None` when an operator or the end comes first. Blanks must have been skipped.
    pub(super) fn word(&mut self) -> Parsed<Option<Word>> {
        match self.peek() {
            None => return Ok(None),
            Some(c) if is_meta(c) => return Ok(None),
            Some(_) => {}
        }
        Ok(Some(Word(self.parts(Until::Blank)?)))
    }

    fn parts(&mut self, until: Until) -> Parsed<Vec<Part>> {
        let quoted = matches!(until, Until::Quote | Until::End | Until::Brace(true));
        let mut parts = Vec::new();
        let mut literal = String::new();
        loop {
            let Some(c) = self.peek() else {
                if matches!(until, Until::Blank | Until::End) {
                    break;
                }
                return Err(ParseError::Incomplete);
            };
            if until == Until::Blank && is_meta(c) {
                break;
            }
            if (until == Until::Quote && c == '"') || (matches!(until, Until::Brace(_)) && c == '}')
            {
                self.bump();
                break;
            }
            let part = match c {
                '\\' => self.backslash(quoted, until, &mut literal)?,
                '\'' if !quoted => Some(self.single_quotes()?),
                '"' if until != Until::End => {
                    self.bump();
                    Some(Part::Double(self.parts(Until::Quote)?))
                }
                '$' => self.dollar(quoted, &mut literal)?,
                '`' => Some(self.backticks(quoted)?),
                _ => {
                    self.bump();
                    literal.push(c);
                    None
                }
            };
            if let Some(part) = part {
                flush(&mut literal, &mut parts);
                parts.push(part);
            }
        }
        flush(&mut literal, &mut parts);
        Ok(parts)
    }

    fn backslash(
        &mut self,
        quoted: bool,
        until: Until,
        literal: &mut String,
    ) -> Parsed<Option<Part>> {
        self.bump();
        let Some(c) = self.bump() else {
            literal.push('\\');
            return Ok(None);
        };
        if c == '\n' {
            return if self.peek().is_none() && until != Until::End {
                Err(ParseError::Incomplete)
            } else {
                Ok(None)
            };
        }
        let special = match until {
            Until::End => matches!(c, '$' | '`' | '\\'),
            Until::Brace(true) => matches!(c, '$' | '`' | '\\' | '"' | '}'),
            _ => matches!(c, '$' | '`' | '\\' | '"'),
        };
        if quoted && !special {
            literal.push('\\');
            literal.push(c);
            return Ok(None);
        }
        Ok(Some(Part::Quoted(c.to_string())))
    }

    fn single_quotes(&mut self) -> Parsed<Part> {
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                None => return Err(ParseError::Incomplete),
                Some('\'') => return Ok(Part::Quoted(text)),
                Some(c) => text.push(c),
            }
        }
    }

    fn dollar(&mut self, quoted: bool, literal: &mut String) -> Parsed<Option<Part>> {
        self.bump();
        let part = match self.peek() {
            Some('(') if self.peek_at(1) == Some('(') => match self.arithmetic()? {
                Some(part) => part,
                None => self.command_substitution()?,
            },
            Some('(') => self.command_substitution()?,
            Some('{') => self.braced_parameter(quoted)?,
            Some(c) if is_name_char(c, true) => {
                let mut name = String::new();
                while let Some(c) = self.peek().filter(|&c| is_name_char(c, false)) {
                    name.push(c);
                    self.bump();
                }
                Part::Param {
                    name,
                    op: ParamOp::Plain,
                }
            }
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                self.bump();
                Part::Param {
                    name: c.to_string(),
                    op: ParamOp::Plain,
                }
            }
            _ => {
                literal.push('$');
                return Ok(None);
            }
        };
        Ok(Some(part))
    }

    fn command_substitution(&mut self) -> Parsed<Part> {
        self.bump();
        let list = self.list(&[])?;
        self.expect_char(')')?;
        Ok(Part::Command(list))
    }

    fn backticks(&mut self, quoted: bool) -> Parsed<Part> {
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                None => return Err(ParseError::Incomplete),
                Some('`') => break,
                Some('\\') => match self.bump() {
                    None => return Err(ParseError::Incomplete),
                    Some(c) if matches!(c, '`' | '\\' | '$') || (quoted && c == '"') => {
                        text.push(c)
                    }
                    Some(c) => text.extend(['\\', c]),
                },
                Some(c) => text.push(c),
            }
        }
        Ok(Part::Command(self.nested(&text)?))
    }

    fn nested(&self, text: &str) -> Parsed<List> {
        Parser::new(text, self.aliases())
            .whole()
            .map_err(|e| match e {
                ParseError::Incomplete => {
                    ParseError::Syntax("unterminated text in backquotes".into())
                }
                other => other,
            })
    }

    /// `$((…))` at `((`; `None` (nothing consumed) when it is a command substitution that starts with a subshell.
    fn arithmetic(&mut self) -> Parsed<Option<Part>> {
        let mut depth = 0_u32;
        let mut at = 2;
        loop {
            match self.peek_at(at) {
                None => return Err(ParseError::Incomplete),
                Some('(') => depth += 1,
                Some(')') if depth > 0 => depth -= 1,
                Some(')') if self.peek_at(at + 1) == Some(')') => break,
                Some(')') => return Ok(None),
                Some(_) => {}
            }
            at += 1;
        }
        let text: String = (2..at).filter_map(|i| self.peek_at(i)).collect();
        for _ in 0..at + 2 {
            self.bump();
        }
        Ok(Some(Part::Arith(
            Parser::new(&text, self.aliases()).parts(Until::End)?,
        )))
    }

    fn braced_parameter(&mut self, quoted: bool) -> Parsed<Part> {
        self.bump();
        let length = self.peek() == Some('#')
            && !matches!(
                self.peek_at(1),
                Some('}' | '-' | '=' | '?' | '+' | '%' | '#' | ':')
            );
        if length {
            self.bump();
        }
        let name = self.parameter_name()?;
        if length {
            self.expect_char('}')?;
            return Ok(Part::Param {
                name,
                op: ParamOp::Length,
            });
        }
        let colon = self.peek() == Some(':');
        if colon {
            self.bump();
        }
        let c = self.bump().ok_or(ParseError::Incomplete)?;
        let kind = match c {
            '}' if !colon => {
                return Ok(Part::Param {
                    name,
                    op: ParamOp::Plain,
                });
            }
            '-' => ValueOp::Default,
            '=' => ValueOp::Assign,
            '?' => ValueOp::Error,
            '+' => ValueOp::Alternative,
            '#' | '%' if !colon => {
                let longest = self.peek() == Some(c);
                if longest {
                    self.bump();
                }
                let pattern = Word(self.parts(Until::Brace(false))?);
                return Ok(Part::Param {
                    name,
                    op: ParamOp::Trim {
                        suffix: c == '%',
                        longest,
                        pattern,
                    },
                });
            }
            _ => return Err(ParseError::Syntax(format!("bad substitution: ${{{name}"))),
        };
        let word = Word(self.parts(Until::Brace(quoted))?);
        Ok(Part::Param {
            name,
            op: ParamOp::Value { kind, colon, word },
        })
    }

    fn parameter_name(&mut self) -> Parsed<String> {
        let mut name = String::new();
        let first = self.peek().ok_or(ParseError::Incomplete)?;
        if is_name_char(first, true) || first.is_ascii_digit() {
            let digits = first.is_ascii_digit();
            while let Some(c) = self.peek().filter(|&c| {
                if digits {
                    c.is_ascii_digit()
                } else {
                    is_name_char(c, false)
                }
            }) {
                name.push(c);
                self.bump();
            }
        } else if "@*#?-$!".contains(first) {
            self.bump();
            name.push(first);
        } else {
            return Err(ParseError::Syntax("bad substitution".into()));
        }
        Ok(name)
    }

    /// Text with the rules of double quotes, to its end: here-documents, `PS1`.
    pub(super) fn double_quoted_text(text: &str) -> Parsed<Word> {
        let none = std::collections::BTreeMap::new();
        Ok(Word(vec![Part::Double(
            Parser::new(text, &none).parts(Until::End)?,
        )]))
    }

    /// The word after `<<` is read; takes the text out of the lines that follow this one.
    pub(super) fn here_document(&mut self, delimiter: &Word, strip_tabs: bool) -> Parsed<Word> {
        let mut quoted = false;
        let mut end = String::new();
        delimiter_text(&delimiter.0, &mut end, &mut quoted);
        let body = self.take_following_lines(&end, strip_tabs)?;
        if quoted {
            return Ok(Word(vec![Part::Quoted(body)]));
        }
        Parser::double_quoted_text(&body)
    }
}

fn delimiter_text(parts: &[Part], text: &mut String, quoted: &mut bool) {
    for part in parts {
        match part {
            Part::Literal(t) => text.push_str(t),
            Part::Quoted(t) => {
                *quoted = true;
                text.push_str(t);
            }
            Part::Double(inner) => {
                *quoted = true;
                delimiter_text(inner, text, quoted);
            }
            Part::Param { name, .. } => {
                text.push('$');
                text.push_str(name);
            }
            Part::Command(_) | Part::Arith(_) => {}
        }
    }
}

fn flush(literal: &mut String, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal)));
    }
}
