//! The parser's upper half: commands, pipelines, lists and the control structures of POSIX (XCU 2.10).
//!
//! [`Parser::next_line`] gives one complete command at a time, so that aliases and functions hold from the next line on.
//! [`ParseError::Incomplete`] tells an interactive shell to ask for more.

use std::collections::BTreeMap;

use super::ast::{
    AndOr, Command, Compound, Item, List, Pipeline, Redirect, RedirectKind, Simple, Word,
};
use super::words::{is_meta, is_name, is_name_char};

/// Alias name → text.
pub type Aliases = BTreeMap<String, String>;
pub type Parsed<T> = Result<T, ParseError>;

#[derive(Clone, Debug, PartialEq)]
pub enum ParseError {
    /// The text ends inside a construct.
    Incomplete,
    Syntax(String),
}

pub struct Parser<'a> {
    text: Vec<char>,
    at: usize,
    aliases: &'a Aliases,
    /// Alias under expansion and where its text ends, so that `alias ls='ls -F'` ends.
    expanding: Vec<(String, usize)>,
}

const CLOSERS: &[&str] = &["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl<'a> Parser<'a> {
    pub fn new(text: &str, aliases: &'a Aliases) -> Self {
        Self {
            text: text.chars().collect(),
            at: 0,
            aliases,
            expanding: Vec::new(),
        }
    }

    /// The next complete line of commands; `None` at the end of the text.
    pub fn next_line(&mut self) -> Parsed<Option<List>> {
        self.skip_lines();
        if self.peek().is_none() {
            return Ok(None);
        }
        let mut items = Vec::new();
        loop {
            items.push(self.item()?);
            self.skip_blanks();
            match self.peek() {
                None => break,
                Some('\n') => {
                    self.bump();
                    break;
                }
                Some(')') => return Err(self.unexpected()),
                Some(_) => {
                    if let Some(word) = CLOSERS.iter().find(|w| self.at_keyword(w)) {
                        return Err(ParseError::Syntax(format!(
                            "syntax error: unexpected \"{word}\""
                        )));
                    }
                }
            }
        }
        Ok(Some(List(items)))
    }

    /// The whole text as one list.
    pub fn whole(&mut self) -> Parsed<List> {
        let mut all = Vec::new();
        while let Some(mut list) = self.next_line()? {
            all.append(&mut list.0);
        }
        Ok(List(all))
    }

    /// Is nothing left but blanks, comments and empty lines?
    pub fn at_end(&mut self) -> bool {
        self.skip_lines();
        self.peek().is_none()
    }

    /// What has not been parsed yet.
    pub fn rest(&self) -> String {
        self.text[self.at..].iter().collect()
    }

    pub(super) fn aliases(&self) -> &'a Aliases {
        self.aliases
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    pub(super) fn expect_char(&mut self, wanted: char) -> Parsed<()> {
        self.skip_blanks();
        if self.peek() == Some(wanted) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected())
    }

    fn unexpected(&self) -> ParseError {
        match self.peek() {
            None => ParseError::Incomplete,
            Some('\n') => ParseError::Syntax("syntax error: unexpected newline".into()),
            Some(c) if is_meta(c) => {
                ParseError::Syntax(format!("syntax error: unexpected \"{c}\""))
            }
            Some(_) => {
                let word: String = self.text[self.at..]
                    .iter()
                    .take_while(|c| !is_meta(**c))
                    .collect();
                ParseError::Syntax(format!("syntax error: unexpected \"{word}\""))
            }
        }
    }

    /// Skips blanks, `\`-newline and a comment; not line ends.
    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.peek_at(1) == Some('\n') => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn skip_lines(&mut self) {
        self.skip_blanks();
        while self.peek() == Some('\n') {
            self.at += 1;
            self.skip_blanks();
        }
    }

    fn at_text(&self, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(i, c)| self.peek_at(i) == Some(c))
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.at_text(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn at_keyword(&self, word: &str) -> bool {
        self.at_text(word) && self.peek_at(word.len()).is_none_or(is_meta)
    }

    fn eat_keyword(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let found = self.at_keyword(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect_keyword(&mut self, word: &str) -> Parsed<()> {
        self.skip_lines();
        if self.eat_keyword(word) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Commands up to (not including) `)`, one of `closers`, or the end of the text.
    pub(super) fn list(&mut self, closers: &[&str]) -> Parsed<List> {
        let mut items = Vec::new();
        loop {
            self.skip_lines();
            match self.peek() {
                None => return Err(ParseError::Incomplete),
                Some(')') => return Ok(List(items)),
                Some(';') if self.at_text(";;") => return Ok(List(items)),
                _ if closers.iter().any(|w| self.at_keyword(w)) => return Ok(List(items)),
                _ => items.push(self.item()?),
            }
        }
    }

    /// As [`Self::list`] but at least one command.
    fn body(&mut self, closers: &[&str]) -> Parsed<List> {
        let list = self.list(closers)?;
        if list.0.is_empty() {
            Err(self.unexpected())
        } else {
            Ok(list)
        }
    }

    fn item(&mut self) -> Parsed<Item> {
        self.skip_blanks();
        let start = self.at;
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.skip_blanks();
            let op = if self.eat("&&") {
                AndOr::And
            } else if self.eat("||") {
                AndOr::Or
            } else {
                break;
            };
            self.skip_lines();
            rest.push((op, self.pipeline()?));
        }
        let text: String = self
            .text
            .get(start..self.at)
            .unwrap_or_default()
            .iter()
            .collect();
        let background = self.peek() == Some('&');
        if background || (self.peek() == Some(';') && !self.at_text(";;")) {
            self.at += 1;
        } else if self.peek().is_some_and(|c| !matches!(c, '\n' | ')' | ';')) {
            return Err(self.unexpected());
        }
        Ok(Item {
            first,
            rest,
            background,
            text: text.trim_end().to_string(),
        })
    }

    fn pipeline(&mut self) -> Parsed<Pipeline> {
        let negate = self.eat_keyword("!");
        let mut stages = vec![self.command()?];
        loop {
            self.skip_blanks();
            if self.at_text("||") || !self.eat("|") {
                return Ok(Pipeline { negate, stages });
            }
            self.skip_lines();
            stages.push(self.command()?);
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        self.skip_blanks();
        self.expand_alias();
        if self.peek().is_none() {
            return Err(ParseError::Incomplete);
        }
        if let Some(compound) = self.compound()? {
            let mut redirects = Vec::new();
            while let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
            }
            return Ok(Command::Compound(Box::new(compound), redirects));
        }
        if CLOSERS.iter().any(|w| self.at_keyword(w)) {
            return Err(self.unexpected());
        }
        self.simple()
    }

    fn compound(&mut self) -> Parsed<Option<Compound>> {
        Ok(Some(if self.peek() == Some('(') {
            self.at += 1;
            self.skip_lines();
            let list = self.body(&[])?;
            self.expect_char(')')?;
            Compound::Subshell(list)
        } else if self.eat_keyword("{") {
            let list = self.body(&["}"])?;
            self.expect_keyword("}")?;
            Compound::Brace(list)
        } else if self.eat_keyword("if") {
            self.if_rest()?
        } else if self.eat_keyword("while") {
            self.loop_rest(false)?
        } else if self.eat_keyword("until") {
            self.loop_rest(true)?
        } else if self.eat_keyword("for") {
            self.for_rest()?
        } else if self.eat_keyword("case") {
            self.case_rest()?
        } else {
            return Ok(None);
        }))
    }

    fn if_rest(&mut self) -> Parsed<Compound> {
        let mut arms = Vec::new();
        let mut otherwise = None;
        loop {
            let condition = self.body(&["then"])?;
            self.expect_keyword("then")?;
            let body = self.body(&["elif", "else", "fi"])?;
            arms.push((condition, body));
            self.skip_lines();
            if self.eat_keyword("elif") {
                continue;
            }
            if self.eat_keyword("else") {
                otherwise = Some(self.body(&["fi"])?);
            }
            self.expect_keyword("fi")?;
            return Ok(Compound::If { arms, otherwise });
        }
    }

    fn loop_rest(&mut self, until: bool) -> Parsed<Compound> {
        let condition = self.body(&["do"])?;
        let body = self.do_group()?;
        Ok(Compound::Loop {
            until,
            condition,
            body,
        })
    }

    fn do_group(&mut self) -> Parsed<List> {
        self.expect_keyword("do")?;
        let body = self.body(&["done"])?;
        self.expect_keyword("done")?;
        Ok(body)
    }

    fn for_rest(&mut self) -> Parsed<Compound> {
        self.skip_blanks();
        let name = self
            .word()?
            .and_then(|w| w.literal().map(str::to_string))
            .filter(|n| is_name(n));
        let name =
            name.ok_or_else(|| ParseError::Syntax("syntax error: bad for loop variable".into()))?;
        self.skip_lines();
        let mut words = None;
        if self.eat_keyword("in") {
            let list = words.insert(Vec::new());
            self.skip_blanks();
            while let Some(word) = self.word()? {
                list.push(word);
                self.skip_blanks();
            }
        }
        self.skip_blanks();
        if self.peek() == Some(';') {
            self.at += 1;
        }
        let body = self.do_group()?;
        Ok(Compound::For { name, words, body })
    }

    fn case_rest(&mut self) -> Parsed<Compound> {
        self.skip_blanks();
        let word = self.word()?.ok_or_else(|| self.unexpected())?;
        self.expect_keyword("in")?;
        let mut arms = Vec::new();
        loop {
            self.skip_lines();
            if self.eat_keyword("esac") {
                return Ok(Compound::Case { word, arms });
            }
            self.eat("(");
            let mut patterns = Vec::new();
            loop {
                self.skip_blanks();
                patterns.push(self.word()?.ok_or_else(|| self.unexpected())?);
                self.skip_blanks();
                if !self.eat("|") {
                    break;
                }
            }
            self.expect_char(')')?;
            arms.push((patterns, self.list(&["esac"])?));
            self.skip_lines();
            if !self.eat(";;") && !self.at_keyword("esac") {
                return Err(self.unexpected());
            }
        }
    }

    fn simple(&mut self) -> Parsed<Command> {
        let mut simple = Simple::default();
        loop {
            self.skip_blanks();
            if let Some(redirect) = self.redirect()? {
                simple.redirects.push(redirect);
                continue;
            }
            let Some(mut word) = self.word()? else { break };
            if simple.words.is_empty() {
                if let Some(assign) = assignment(&mut word) {
                    simple.assigns.push(assign);
                    self.skip_blanks();
                    self.expand_alias();
                    continue;
                }
                self.skip_blanks();
                if let (Some(name), Some('(')) = (word.literal(), self.peek()) {
                    return self.function(name.to_string());
                }
            }
            simple.words.push(word);
        }
        if simple.assigns.is_empty() && simple.words.is_empty() && simple.redirects.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Command::Simple(simple))
    }

    fn function(&mut self, name: String) -> Parsed<Command> {
        self.expect_char('(')?;
        self.expect_char(')')?;
        if !is_name(&name.replace(['-', '.'], "_")) {
            return Err(ParseError::Syntax(format!(
                "syntax error: bad function name \"{name}\""
            )));
        }
        self.skip_lines();
        match self.command()? {
            body @ Command::Compound(..) => Ok(Command::Function {
                name,
                body: Box::new(body),
            }),
            _ => Err(ParseError::Syntax(format!(
                "syntax error: the body of function {name} must be {{ … }} or the like"
            ))),
        }
    }

    fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        self.skip_blanks();
        let mut digits = 0;
        while self.peek_at(digits).is_some_and(|c| c.is_ascii_digit()) {
            digits += 1;
        }
        if digits > 2 || !matches!(self.peek_at(digits), Some('<' | '>')) {
            return Ok(None);
        }
        let number: String = self.text[self.at..self.at + digits].iter().collect();
        self.at += digits;
        let (kind, default_fd, strip) = self.redirect_operator();
        let fd = number.parse().unwrap_or(default_fd);
        self.skip_blanks();
        let target = self.word()?.ok_or_else(|| self.unexpected())?;
        let target = if kind == RedirectKind::HereDoc {
            self.here_document(&target, strip)?
        } else {
            target
        };
        Ok(Some(Redirect { fd, kind, target }))
    }

    fn redirect_operator(&mut self) -> (RedirectKind, i32, bool) {
        const OPERATORS: &[(&str, RedirectKind, i32, bool)] = &[
            ("<<-", RedirectKind::HereDoc, 0, true),
            ("<<", RedirectKind::HereDoc, 0, false),
            ("<&", RedirectKind::Duplicate, 0, false),
            ("<>", RedirectKind::ReadWrite, 0, false),
            ("<", RedirectKind::Read, 0, false),
            (">>", RedirectKind::Append, 1, false),
            (">&", RedirectKind::Duplicate, 1, false),
            (">|", RedirectKind::Write, 1, false),
        ];
        for (text, kind, fd, strip) in OPERATORS {
            if self.eat(text) {
                return (*kind, *fd, *strip);
            }
        }
        self.at += 1;
        (RedirectKind::Write, 1, false)
    }

    /// Cuts the lines after the current one, up to the line `end`, out of the text.
    pub(super) fn take_following_lines(&mut self, end: &str, strip_tabs: bool) -> Parsed<String> {
        let mut line_start = self.line_end()? + 1;
        let from = line_start;
        let mut body = String::new();
        loop {
            if line_start > self.text.len() {
                return Err(ParseError::Incomplete);
            }
            let length = self.text[line_start..].iter().position(|&c| c == '\n');
            let line_end = length.map_or(self.text.len(), |n| line_start + n);
            let line: String = self.text[line_start..line_end].iter().collect();
            let line = if strip_tabs {
                line.trim_start_matches('\t')
            } else {
                &line
            };
            if line == end {
                self.text
                    .drain(from..line_end.saturating_add(1).min(self.text.len()));
                return Ok(body);
            }
            body.push_str(line);
            body.push('\n');
            line_start = line_end + 1;
        }
    }

    /// Where the current line ends, not counting line ends inside quotes.
    fn line_end(&self) -> Parsed<usize> {
        let mut quote = None;
        let mut at = self.at;
        while let Some(&c) = self.text.get(at) {
            match (quote, c) {
                (None, '\n') => return Ok(at),
                (None, '\'' | '"') => quote = Some(c),
                (Some(q), c) if q == c => quote = None,
                (None | Some('"'), '\\') => at += 1,
                _ => {}
            }
            at += 1;
        }
        Err(ParseError::Incomplete)
    }

    /// Replaces an alias at the cursor by its text.
    fn expand_alias(&mut self) {
        if self.aliases.is_empty() {
            return;
        }
        loop {
            self.expanding.retain(|(_, end)| self.at < *end);
            let word: String = self.text[self.at..]
                .iter()
                .take_while(|c| !is_meta(**c))
                .collect();
            let Some(text) = self.aliases.get(&word) else {
                return;
            };
            if self.expanding.iter().any(|(name, _)| *name == word) {
                return;
            }
            let old = word.chars().count();
            let new: Vec<char> = text.chars().collect();
            let end = self.at + new.len();
            for (_, e) in &mut self.expanding {
                *e = (*e + new.len()).saturating_sub(old);
            }
            self.expanding.push((word, end.max(self.at + 1)));
            self.text.splice(self.at..self.at + old, new);
            self.skip_blanks();
        }
    }
}

/// Splits `NAME=value` off a word, if it is one.
fn assignment(word: &mut Word) -> Option<(String, Word)> {
    let super::ast::Part::Literal(text) = word.0.first()? else {
        return None;
    };
    let (name, value) = text.split_once('=')?;
    if !is_name(name) || !name.starts_with(|c| is_name_char(c, true)) {
        return None;
    }
    let (name, value) = (name.to_string(), value.to_string());
    let mut parts = std::mem::take(&mut word.0);
    if value.is_empty() {
        parts.remove(0);
    } else {
        parts[0] = super::ast::Part::Literal(value);
    }
    Some((name, Word(parts)))
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
