//! Template text to tokens; trim markers and comments are gone afterwards.

use serde_json::Value;

use super::ast::Position;

/// Longest template taken; also bounds what the parser recurses over.
const LONGEST: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Text(String),
    /// `{{`
    Open(Position),
    /// `}}`
    Close,
    Dot,
    /// `.A.B`; `joined` when it follows a closing bracket without a space.
    Field {
        path: Vec<String>,
        joined: bool,
    },
    /// `$name.A.B`
    Variable(String, Vec<String>),
    /// A function or keyword.
    Word(String),
    Literal(Value),
    Pipe,
    OpenGroup,
    CloseGroup,
    Comma,
    Declare,
    Assign,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

/// Errors are texts as Go's: `:LINE: what`.
pub fn lex(text: &str) -> Result<Vec<Token>, String> {
    if text.len() > LONGEST {
        return Err(format!(":1: longer than {LONGEST} bytes"));
    }
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fail<T>(&self, what: impl std::fmt::Display) -> Result<T, String> {
        Err(format!(":{}: {what}", self.position().line))
    }

    fn position(&self) -> Position {
        let before = &self.text[..self.at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        let mut trim_front = false;
        loop {
            let start = self.rest().find("{{");
            let end = start.map_or(self.text.len(), |start| self.at + start);
            let mut plain = &self.text[self.at..end];
            if trim_front {
                plain = plain.trim_start();
            }
            let trims_back = |text: &str| {
                text.strip_prefix("{{-")
                    .is_some_and(|t| t.starts_with(char::is_whitespace))
            };
            if trims_back(&self.text[end..]) {
                plain = plain.trim_end();
            }
            if !plain.is_empty() {
                self.tokens.push(Token::Text(plain.to_owned()));
            }
            if start.is_none() {
                return Ok(());
            }
            self.at = end;
            trim_front = self.action()?;
        }
    }

    /// From `{{` to behind `}}`; true when that trims the text behind it.
    fn action(&mut self) -> Result<bool, String> {
        let position = self.position();
        self.at += 2;
        if self.rest().starts_with('-') && self.rest()[1..].starts_with(char::is_whitespace) {
            self.at += 1;
        }
        if let Some(trims) = self.comment()? {
            return Ok(trims);
        }
        self.tokens.push(Token::Open(position));
        loop {
            let before = self.rest().len();
            self.skip_space();
            let spaced = self.rest().len() < before;
            if let Some(trims) = self.closing(spaced) {
                self.tokens.push(Token::Close);
                return Ok(trims);
            }
            self.token(spaced)?;
        }
    }

    /// `{{/* … */}}`
    fn comment(&mut self) -> Result<Option<bool>, String> {
        let inner = self.rest().trim_start();
        if !inner.starts_with("/*") {
            return Ok(None);
        }
        self.at = self.text.len() - inner.len();
        let Some(length) = inner.find("*/") else {
            return self.fail("unclosed comment");
        };
        self.at += length + 2;
        let before = self.rest().len();
        self.skip_space();
        let spaced = self.rest().len() < before;
        match self.closing(spaced) {
            Some(trims) => Ok(Some(trims)),
            None => self.fail("comment ends before closing delimiter"),
        }
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes `}}` or, behind a space, `-}}`.
    fn closing(&mut self, spaced: bool) -> Option<bool> {
        if self.rest().starts_with("}}") {
            self.at += 2;
            Some(false)
        } else if spaced && self.rest().starts_with("-}}") {
            self.at += 3;
            Some(true)
        } else {
            None
        }
    }

    fn token(&mut self, spaced: bool) -> Result<(), String> {
        let Some(first) = self.rest().chars().next() else {
            return self.fail("unclosed action");
        };
        let token = match first {
            '|' => self.one(Token::Pipe),
            '(' => self.one(Token::OpenGroup),
            ')' => self.one(Token::CloseGroup),
            ',' => self.one(Token::Comma),
            '=' => self.one(Token::Assign),
            ':' if self.rest().starts_with(":=") => {
                self.at += 2;
                Token::Declare
            }
            '"' => self.quoted()?,
            '`' => self.raw()?,
            '\'' => self.character()?,
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let path = self.path()?;
                let joined = !spaced && self.tokens.last() == Some(&Token::CloseGroup);
                match path.is_empty() {
                    true => self.one(Token::Dot),
                    false => Token::Field { path, joined },
                }
            }
            '$' => {
                self.at += 1;
                let name = self.name();
                Token::Variable(name, self.path()?)
            }
            '+' | '-' | '.' | '0'..='9' => self.number()?,
            c if c == '_' || c.is_alphabetic() => Token::Word(self.name()),
            c => return self.fail(format_args!("unexpected {c:?} in command")),
        };
        self.tokens.push(token);
        Ok(())
    }

    fn one(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn name(&mut self) -> String {
        let rest = self.rest();
        let end = rest
            .find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        self.at += end;
        name
    }

    /// `.A.B`; empty, with nothing taken, when no name follows the first dot.
    fn path(&mut self) -> Result<Vec<String>, String> {
        let mut path = Vec::new();
        while self.rest().starts_with('.') {
            self.at += 1;
            let name = self.name();
            if name.is_empty() {
                if path.is_empty() {
                    self.at -= 1;
                    break;
                }
                return self.fail("unexpected bad character after '.' in command");
            }
            path.push(name);
        }
        Ok(path)
    }

    fn raw(&mut self) -> Result<Token, String> {
        let rest = &self.rest()[1..];
        let Some(end) = rest.find('`') else {
            return self.fail("unterminated raw quoted string");
        };
        let text = rest[..end].to_owned();
        self.at += end + 2;
        Ok(Token::Literal(Value::String(text)))
    }

    fn quoted(&mut self) -> Result<Token, String> {
        let (text, length) = match unquote(&self.rest()[1..], '"') {
            Ok(found) => found,
            Err(why) => return self.fail(why),
        };
        self.at += length + 1;
        Ok(Token::Literal(Value::String(text)))
    }

    fn character(&mut self) -> Result<Token, String> {
        let (text, length) = match unquote(&self.rest()[1..], '\'') {
            Ok(found) => found,
            Err(why) => return self.fail(why),
        };
        let mut letters = text.chars();
        let (Some(letter), None) = (letters.next(), letters.next()) else {
            return self.fail("malformed character constant");
        };
        self.at += length + 1;
        Ok(Token::Literal(Value::from(u32::from(letter))))
    }

    fn number(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        let mut previous = ' ';
        let end = rest
            .find(|c: char| {
                let sign = matches!(c, '+' | '-') && matches!(previous, ' ' | 'e' | 'E');
                previous = c;
                !(sign || c == '.' || c == '_' || c.is_ascii_alphanumeric())
            })
            .unwrap_or(rest.len());
        let typed = &rest[..end];
        match number(typed) {
            Some(value) => {
                self.at += end;
                Ok(Token::Literal(value))
            }
            None => self.fail(format_args!("bad number syntax: {typed:?}")),
        }
    }
}

/// Go's integer and floating-point literals.
fn number(typed: &str) -> Option<Value> {
    let plain = typed.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, &plain[..]),
    };
    let radix = |prefix: &str, radix| {
        digits
            .to_ascii_lowercase()
            .strip_prefix(prefix)
            .and_then(|d| i64::from_str_radix(d, radix).ok())
    };
    let whole = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| {
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())?
        });
    if let Some(whole) = whole {
        return Some(Value::from(if negative {
            whole.wrapping_neg()
        } else {
            whole
        }));
    }
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let float: f64 = digits.parse().ok().filter(|_| begins)?;
    serde_json::Number::from_f64(if negative { -float } else { float }).map(Value::Number)
}

/// Text up to `quote` with Go's escapes, and the bytes taken including the quote.
fn unquote(text: &str, quote: char) -> Result<(String, usize), &'static str> {
    const OPEN: &str = "unterminated quoted string";
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            c if c == quote => return Ok((out, at + 1)),
            '\n' => return Err(OPEN),
            '\\' => {
                let (_, escape) = letters.next().ok_or(OPEN)?;
                out.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'a' => '\x07',
                    'b' => '\x08',
                    'f' => '\x0c',
                    'v' => '\x0b',
                    '\\' | '"' | '\'' => escape,
                    'x' => code(&mut letters, 2)?,
                    'u' => code(&mut letters, 4)?,
                    'U' => code(&mut letters, 8)?,
                    _ => return Err("unknown escape in quoted string"),
                });
            }
            c => out.push(c),
        }
    }
    Err(OPEN)
}

fn code(letters: &mut std::str::CharIndices, digits: usize) -> Result<char, &'static str> {
    let hex: String = letters.take(digits).map(|(_, c)| c).collect();
    u32::from_str_radix(&hex, 16)
        .ok()
        .filter(|_| hex.len() == digits)
        .and_then(char::from_u32)
        .ok_or("malformed escape in quoted string")
}
