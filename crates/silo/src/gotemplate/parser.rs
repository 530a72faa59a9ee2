//! Tokens to nodes.

use serde_json::Value;

use super::{
    ast::{Branch, Command, Node, Operand, Pipeline, Position},
    functions,
    lexer::Token,
};

/// Deepest nesting of blocks and brackets.
const DEEPEST: usize = 100;

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    position: Position,
    depth: usize,
    /// Names in scope, the innermost last.
    variables: Vec<String>,
    loops: usize,
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Stop {
    /// At the end of the text.
    Text,
    /// `{{end}}`
    Keyword,
    /// `{{else}}`, `{{else if …}}`: the word behind `else` is still to be read.
    Else,
}

/// Errors are texts as Go's: `:LINE: what`.
pub fn parse(tokens: Vec<Token>) -> Result<Vec<Node>, String> {
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        position: Position { line: 1, column: 1 },
        depth: 0,
        // `$` is the document.
        variables: vec![String::new()],
        loops: 0,
    };
    let (nodes, end) = parser.list()?;
    match end {
        Stop::Text => Ok(nodes),
        Stop::Keyword => parser.fail("unexpected {{end}}"),
        Stop::Else => parser.fail("unexpected {{else}}"),
    }
}

impl Parser {
    fn fail<T>(&self, what: impl std::fmt::Display) -> Result<T, String> {
        Err(format!(":{}: {what}", self.position.line))
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        match self.depth > DEEPEST {
            true => self.fail("nested too deeply"),
            false => Ok(()),
        }
    }

    fn list(&mut self) -> Result<(Vec<Node>, Stop), String> {
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Text(text) => nodes.push(Node::Text(text)),
                Token::Open(position) => {
                    self.position = position;
                    match self.action()? {
                        Ok(node) => nodes.push(node),
                        Err(end) => return Ok((nodes, end)),
                    }
                }
                _ => return self.fail("unexpected token outside of an action"),
            }
        }
        Ok((nodes, Stop::Text))
    }

    /// A node, or the end of the list that it stands in.
    fn action(&mut self) -> Result<Result<Node, Stop>, String> {
        let keyword = match self.tokens.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => String::new(),
        };
        let node = match keyword.as_str() {
            "end" => {
                self.tokens.next();
                self.close()?;
                return Ok(Err(Stop::Keyword));
            }
            "else" => {
                self.tokens.next();
                return Ok(Err(Stop::Else));
            }
            "if" | "with" | "range" => {
                self.tokens.next();
                self.branch(&keyword)?
            }
            "break" | "continue" => {
                self.tokens.next();
                if self.loops == 0 {
                    return self.fail(format_args!("{{{{{keyword}}}}} outside {{{{range}}}}"));
                }
                self.close()?;
                match keyword.as_str() {
                    "break" => Node::Break,
                    _ => Node::Continue,
                }
            }
            "define" | "template" | "block" => {
                return self.fail(format_args!(
                    "{{{{{keyword}}}}} is not available in --format"
                ));
            }
            _ => {
                let pipeline = self.pipeline("command", false)?;
                self.close()?;
                Node::Action(pipeline)
            }
        };
        Ok(Ok(node))
    }

    fn close(&mut self) -> Result<(), String> {
        match self.tokens.next() {
            Some(Token::Close) => Ok(()),
            Some(token) => self.fail(format_args!("unexpected {} in command", named(&token))),
            None => self.fail("unclosed action"),
        }
    }

    fn branch(&mut self, keyword: &str) -> Result<Node, String> {
        self.deeper()?;
        let scope = self.variables.len();
        let is_range = keyword == "range";
        let pipeline = self.pipeline(keyword, is_range)?;
        self.close()?;
        self.loops += usize::from(is_range);
        let (body, end) = self.list()?;
        self.loops -= usize::from(is_range);
        let otherwise = match end {
            Stop::Keyword => Vec::new(),
            Stop::Else => self.otherwise(keyword)?,
            Stop::Text => {
                return self.fail(format_args!(
                    "unexpected EOF: {{{{{keyword}}}}} has no {{{{end}}}}"
                ));
            }
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        let branch = Branch {
            pipeline,
            body,
            otherwise,
        };
        Ok(match keyword {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// Behind `{{else`: `}}` and a list, or `if …`/`with …`, which shares the outer `{{end}}`.
    fn otherwise(&mut self, keyword: &str) -> Result<Vec<Node>, String> {
        if let Some(Token::Word(word)) = self.tokens.peek()
            && word == keyword
            && keyword != "range"
        {
            self.tokens.next();
            return Ok(vec![self.branch(keyword)?]);
        }
        self.close()?;
        match self.list()? {
            (nodes, Stop::Keyword) => Ok(nodes),
            (_, Stop::Else) => self.fail("expected end; found {{else}}"),
            (_, Stop::Text) => self.fail("unexpected EOF"),
        }
    }

    fn pipeline(&mut self, context: &str, is_range: bool) -> Result<Pipeline, String> {
        self.deeper()?;
        let position = self.position;
        let mut pipeline = Pipeline {
            position,
            variables: Vec::new(),
            declares: false,
            commands: Vec::new(),
        };
        let leading = self.declarations(&mut pipeline, is_range)?;
        let mut operands: Vec<Operand> = leading.into_iter().collect();
        loop {
            self.operands(&mut operands)?;
            if operands.is_empty() {
                return match pipeline.commands.is_empty() {
                    true => self.fail(format_args!("missing value for {context}")),
                    false => self.fail("missing value for command"),
                };
            }
            let piped = !pipeline.commands.is_empty();
            if piped && !can_take_argument(&operands[0]) {
                return self.fail(format_args!(
                    "non executable command in pipeline stage {}",
                    pipeline.commands.len() + 1
                ));
            }
            pipeline.commands.push(Command {
                operands: std::mem::take(&mut operands),
            });
            match self.tokens.peek() {
                Some(Token::Pipe) => self.tokens.next(),
                _ => break,
            };
        }
        // In scope behind their own pipeline, as in Go.
        if pipeline.declares {
            self.variables.extend(pipeline.variables.iter().cloned());
        }
        self.depth -= 1;
        Ok(pipeline)
    }

    /// `$x :=`, `$x =`, `$i, $x :=`. A variable that turns out to be an operand is given back.
    fn declarations(
        &mut self,
        pipeline: &mut Pipeline,
        is_range: bool,
    ) -> Result<Option<Operand>, String> {
        let Some(Token::Variable(..)) = self.tokens.peek() else {
            return Ok(None);
        };
        let Some(Token::Variable(name, path)) = self.tokens.next() else {
            return Ok(None);
        };
        let mut names = vec![name.clone()];
        if is_range && self.tokens.peek() == Some(&Token::Comma) {
            self.tokens.next();
            match self.tokens.next() {
                Some(Token::Variable(second, path)) if path.is_empty() => names.push(second),
                _ => return self.fail("range can only initialize variables"),
            }
        }
        let declares = match self.tokens.peek() {
            Some(Token::Declare) => true,
            Some(Token::Assign) => false,
            _ if names.len() == 2 => return self.fail("range can only initialize variables"),
            _ => return self.variable(name, path).map(Some),
        };
        if !path.is_empty() || names.iter().any(String::is_empty) {
            return self.fail("only a plain variable can be set");
        }
        if let Some(unknown) = names
            .iter()
            .find(|n| !declares && !self.variables.contains(n))
        {
            return self.fail(format_args!("undefined variable \"${unknown}\""));
        }
        self.tokens.next();
        pipeline.variables = names;
        pipeline.declares = declares;
        Ok(None)
    }

    fn variable(&self, name: String, path: Vec<String>) -> Result<Operand, String> {
        match self.variables.contains(&name) {
            true => Ok(Operand::Variable(name, path)),
            false => self.fail(format_args!("undefined variable \"${name}\"")),
        }
    }

    fn operands(&mut self, operands: &mut Vec<Operand>) -> Result<(), String> {
        loop {
            let ends = matches!(
                self.tokens.peek(),
                None | Some(Token::Pipe | Token::Close | Token::CloseGroup)
            );
            if ends {
                return Ok(());
            }
            let Some(token) = self.tokens.next() else {
                return Ok(());
            };
            operands.push(self.operand(token)?);
        }
    }

    fn operand(&mut self, token: Token) -> Result<Operand, String> {
        Ok(match token {
            Token::Dot => Operand::Dot,
            Token::Literal(value) => Operand::Literal(value),
            Token::Field { path, .. } => Operand::Field(path),
            Token::Variable(name, path) => self.variable(name, path)?,
            Token::OpenGroup => self.group()?,
            Token::Word(word) => match word.as_str() {
                "true" => Operand::Literal(Value::Bool(true)),
                "false" => Operand::Literal(Value::Bool(false)),
                "nil" => Operand::Nil,
                _ if functions::exists(&word) => Operand::Function(word),
                _ => return self.fail(format_args!("function \"{word}\" not defined")),
            },
            token => {
                return self.fail(format_args!("unexpected {} in operand", named(&token)));
            }
        })
    }

    fn group(&mut self) -> Result<Operand, String> {
        let inner = self.pipeline("parenthesized pipeline", false)?;
        if self.tokens.next() != Some(Token::CloseGroup) {
            return self.fail("unclosed left paren");
        }
        let fields = match self.tokens.peek() {
            Some(Token::Field { joined: true, .. }) => match self.tokens.next() {
                Some(Token::Field { path, .. }) => path,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        Ok(Operand::Group(Box::new(inner), fields))
    }
}

/// What may stand behind `|`: functions and methods.
fn can_take_argument(operand: &Operand) -> bool {
    !matches!(
        operand,
        Operand::Dot | Operand::Nil | Operand::Literal(_) | Operand::Group(..)
    )
}

fn named(token: &Token) -> String {
    match token {
        Token::Text(_) => "text".to_owned(),
        Token::Open(_) => "\"{{\"".to_owned(),
        Token::Close => "\"}}\"".to_owned(),
        Token::Dot => "<.>".to_owned(),
        Token::Field { path, .. } => format!("<.{}>", path.join(".")),
        Token::Variable(name, _) => format!("<${name}>"),
        Token::Word(word) => format!("<{word}>"),
        Token::Literal(value) => value.to_string(),
        Token::Pipe => "\"|\"".to_owned(),
        Token::OpenGroup => "\"(\"".to_owned(),
        Token::CloseGroup => "right paren \")\"".to_owned(),
        Token::Comma => "\",\"".to_owned(),
        Token::Declare => "\":=\"".to_owned(),
        Token::Assign => "\"=\"".to_owned(),
    }
}
