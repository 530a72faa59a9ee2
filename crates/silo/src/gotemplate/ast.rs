//! Nodes of a parsed template.

use serde_json::Value;

/// Line and column, both from 1, of the action in the template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug)]
pub enum Node {
    Text(String),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// `{{if|with|range PIPELINE}} BODY {{else}} OTHERWISE {{end}}`
#[derive(Debug)]
pub struct Branch {
    pub pipeline: Pipeline,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// `[$x, $y :=] COMMAND | COMMAND …`
#[derive(Debug)]
pub struct Pipeline {
    pub position: Position,
    /// Variables that take the result; two only in `range`.
    pub variables: Vec<String>,
    /// `:=` makes them, `=` changes those that are there.
    pub declares: bool,
    pub commands: Vec<Command>,
}

/// An operand and its arguments.
#[derive(Debug)]
pub struct Command {
    pub operands: Vec<Operand>,
}

#[derive(Debug)]
pub enum Operand {
    Dot,
    Nil,
    Literal(Value),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`; `$` has the empty name.
    Variable(String, Vec<String>),
    /// `(PIPELINE).A.B`
    Group(Box<Pipeline>, Vec<String>),
    Function(String),
}

impl Operand {
    /// As written, for errors.
    pub fn source(&self) -> String {
        let dotted = |fields: &[String]| fields.iter().map(|f| format!(".{f}")).collect::<String>();
        match self {
            Operand::Dot => ".".to_owned(),
            Operand::Nil => "nil".to_owned(),
            Operand::Literal(value) => value.to_string(),
            Operand::Field(fields) => dotted(fields),
            Operand::Variable(name, fields) => format!("${name}{}", dotted(fields)),
            Operand::Group(_, fields) => format!("(…){}", dotted(fields)),
            Operand::Function(name) => name.clone(),
        }
    }
}
