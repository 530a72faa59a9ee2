//! What the parser makes and the executor runs. Serializable, because a subshell is a new process that gets its part of
//! the tree through a memory file (see `subshell`).

use serde::{Deserialize, Serialize};

/// Commands one after another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct List(pub Vec<Item>);

/// One `a && b || c`, ended by `;`, `&` or a line end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub first: Pipeline,
    pub rest: Vec<(AndOr, Pipeline)>,
    pub background: bool,
    /// As typed, for `jobs` and for the notice of a finished job.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum AndOr {
    And,
    Or,
}

/// `! a | b | c`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    pub negate: bool,
    pub stages: Vec<Command>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    Simple(Simple),
    Compound(Box<Compound>, Vec<Redirect>),
    Function { name: String, body: Box<Command> },
}

/// `A=1 B=2 program word … >file`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Simple {
    pub assigns: Vec<(String, Word)>,
    pub words: Vec<Word>,
    pub redirects: Vec<Redirect>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Compound {
    Brace(List),
    Subshell(List),
    /// `if`/`elif` arms as (condition, body), then `else`.
    If {
        arms: Vec<(List, List)>,
        otherwise: Option<List>,
    },
    /// `while` or, with `until`, its opposite.
    Loop {
        until: bool,
        condition: List,
        body: List,
    },
    /// `words: None` means `in "$@"`.
    For {
        name: String,
        words: Option<Vec<Word>>,
        body: List,
    },
    Case {
        word: Word,
        arms: Vec<(Vec<Word>, List)>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Redirect {
    pub fd: i32,
    pub kind: RedirectKind,
    pub target: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum RedirectKind {
    /// `<`
    Read,
    /// `>` and `>|`
    Write,
    /// `>>`
    Append,
    /// `<>`
    ReadWrite,
    /// `<&` and `>&`: the target is a number or `-`.
    Duplicate,
    /// `<<`: the target is the text itself.
    HereDoc,
}

/// A word before expansion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Word(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    Literal(String),
    /// `'…'` or `\x`.
    Quoted(String),
    /// `"…"`
    Double(Vec<Part>),
    Param {
        name: String,
        op: ParamOp,
    },
    Command(List),
    /// `$((…))`: what is inside, still to be expanded.
    Arith(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ParamOp {
    Plain,
    /// `${#x}`
    Length,
    /// `-`, `=`, `?`, `+`; `colon`: an empty value counts as unset.
    Value {
        kind: ValueOp,
        colon: bool,
        word: Word,
    },
    /// `#`, `##`, `%`, `%%`
    Trim {
        suffix: bool,
        longest: bool,
        pattern: Word,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ValueOp {
    Default,
    Assign,
    Error,
    Alternative,
}

impl Word {
    /// The text of a word that is one unquoted literal (what keywords, aliases and names must be).
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}
