//! The subset of Go's text/template that people use with `--format`.
//!
//! ```text
//! text ─ lexer ─▶ tokens ─ parser ─▶ nodes ─ eval + functions ─▶ text
//! ```
//! Fields, variables, pipelines, `if`, `range`, `with`, comments, trim markers, and the functions of Go and of Docker. Data is
//! JSON. Source: pkg.go.dev/text/template and Docker's "Format command and log output" page. Templates come from the user's own
//! command line, yet no input may panic, recurse without end or blow up in memory.

mod ast;
mod eval;
mod functions;
mod lexer;
mod parser;
mod printf;

#[cfg(test)]
mod tests;

use serde_json::Value;
use silo_types::{Error, Result};

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<ast::Node>,
}

/// What a document can answer that is not a field of its JSON: `.Label "name"`.
pub trait Methods {
    /// `None`: there is no such method.
    fn call(&self, name: &str, arguments: &[Value]) -> Option<std::result::Result<Value, String>>;
}

/// A document with nothing but its fields.
pub struct NoMethods;

impl Methods for NoMethods {
    fn call(&self, _: &str, _: &[Value]) -> Option<std::result::Result<Value, String>> {
        None
    }
}

/// How a template is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Over a document: a field that is not there is an error.
    Document,
    /// Over the headers of a table: Docker's functions leave their text alone, missing headers are `<no value>`.
    Header,
}

impl Template {
    /// Errors: Docker's "template parsing error: …".
    pub fn parse(text: &str) -> Result<Template> {
        let tokens = lexer::lex(text).map_err(wrap)?;
        let nodes = parser::parse(tokens).map_err(wrap)?;
        Ok(Template { nodes })
    }

    /// Runs it over one document.
    pub fn execute(&self, data: &Value, methods: &dyn Methods, mode: Mode) -> Result<String> {
        eval::execute(&self.nodes, data, methods, mode).map_err(wrap)
    }
}

fn wrap(text: String) -> Error {
    Error::invalid(format!("template parsing error: template: {text}"))
}
