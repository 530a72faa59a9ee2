//! Nodes and a document to text.

use serde_json::Value;

use super::{
    Methods, Mode,
    ast::{Branch, Command, Node, Operand, Pipeline, Position},
    functions, printf,
};

/// Most text that one template may make of one document.
const LONGEST_OUTPUT: usize = 64 << 20;

struct Evaluation<'a> {
    methods: &'a dyn Methods,
    mode: Mode,
    out: String,
    /// The innermost last; `$` first.
    variables: Vec<(String, Value)>,
}

/// Whether a list ran to its end.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

type Evaluated<T> = Result<T, String>;

/// Errors are texts as Go's: `:LINE:COLUMN: executing "" at <.Foo>: what`.
pub fn execute(
    nodes: &[Node],
    data: &Value,
    methods: &dyn Methods,
    mode: Mode,
) -> Evaluated<String> {
    let mut evaluation = Evaluation {
        methods,
        mode,
        out: String::new(),
        variables: vec![(String::new(), data.clone())],
    };
    evaluation.list(nodes, data)?;
    Ok(evaluation.out)
}

/// Go's truth: not false, zero, empty or missing.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

impl Evaluation<'_> {
    fn list(&mut self, nodes: &[Node], dot: &Value) -> Evaluated<Flow> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Evaluated<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.out.push_str(&printf::top(&value));
                } else {
                    self.set(pipeline, value);
                }
            }
            Node::If(branch) => return self.condition(branch, dot, false),
            Node::With(branch) => return self.condition(branch, dot, true),
            Node::Range(branch) => return self.range(branch, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        if self.out.len() > LONGEST_OUTPUT {
            return Err(":1:1: executing \"\": the output is too long".to_owned());
        }
        Ok(Flow::On)
    }

    fn set(&mut self, pipeline: &Pipeline, value: Value) {
        let Some(name) = pipeline.variables.last() else {
            return;
        };
        self.set_one(name, pipeline.declares, value);
    }

    fn set_one(&mut self, name: &str, declares: bool, value: Value) {
        let there = self.variables.iter_mut().rev().find(|(n, _)| n == name);
        match there {
            Some((_, old)) if !declares => *old = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn condition(&mut self, branch: &Branch, dot: &Value, moves_dot: bool) -> Evaluated<Flow> {
        let scope = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let truth = is_true(&value);
        self.set(&branch.pipeline, value.clone());
        let flow = match truth {
            true if moves_dot => self.list(&branch.body, &value),
            true => self.list(&branch.body, dot),
            false => self.list(&branch.otherwise, dot),
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Evaluated<Flow> {
        let scope = self.variables.len();
        let over = self.pipeline(&branch.pipeline, dot)?;
        let pairs: Vec<(Value, Value)> = match over {
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(i, v)| (Value::from(i), v))
                .collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(k, v)| (Value::String(k), v))
                .collect(),
            Value::Null => Vec::new(),
            other => {
                let what = format!("range can't iterate over {}", printf::plain(&other));
                return Err(self.failed(branch.pipeline.position, "range", &what));
            }
        };
        let mut flow = Flow::On;
        if pairs.is_empty() {
            flow = self.list(&branch.otherwise, dot)?;
        }
        for (key, value) in pairs {
            self.variables.truncate(scope);
            let pipeline = &branch.pipeline;
            if let [first, _] = &pipeline.variables[..] {
                self.set_one(first, pipeline.declares, key);
            }
            self.set(pipeline, value.clone());
            if self.list(&branch.body, &value)? == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn failed(&self, position: Position, at: &str, what: &str) -> String {
        let Position { line, column } = position;
        format!(":{line}:{column}: executing \"\" at <{at}>: {what}")
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Evaluated<Value> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped, pipeline.position)?);
        }
        Ok(piped.unwrap_or_default())
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        piped: Option<Value>,
        position: Position,
    ) -> Evaluated<Value> {
        let (first, arguments) = (&command.operands[0], &command.operands[1..]);
        if let Operand::Function(name) = first {
            return self.function(name, arguments, dot, piped, position);
        }
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.operand(argument, dot, position)?);
        }
        values.extend(piped);
        if values.is_empty() {
            return self.operand(first, dot, position);
        }
        let (base, name) = match first {
            Operand::Field(path) => (dot.clone(), path),
            Operand::Variable(variable, path) => (self.look_up(variable), path),
            _ => (Value::Null, &Vec::new()),
        };
        let source = first.source();
        let Some((last, path)) = name.split_last() else {
            return Err(self.failed(
                position,
                &source,
                &format!("can't give argument to non-function {source}"),
            ));
        };
        let base = self.walk(base, path, &source, position)?;
        let called = match base.get(last) {
            None => self.method(last, &values),
            Some(_) => None,
        };
        match called {
            Some(result) => result.map_err(|what| self.failed(position, &source, &what)),
            None => Err(self.failed(
                position,
                &source,
                &format!("{last} is not a method but has arguments"),
            )),
        }
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Evaluated<Value>> {
        match (self.mode, name, arguments) {
            // A label's column is headed by the last part of its name.
            (Mode::Header, "Label", [Value::String(label)]) => {
                let last = label.rsplit('.').next().unwrap_or(label);
                Some(Ok(Value::String(last.replace(['-', '_'], " "))))
            }
            (Mode::Header, ..) => None,
            (Mode::Document, ..) => self.methods.call(name, arguments),
        }
    }

    fn function(
        &mut self,
        name: &str,
        arguments: &[Operand],
        dot: &Value,
        piped: Option<Value>,
        position: Position,
    ) -> Evaluated<Value> {
        // `and` and `or` stop at the first argument that decides.
        if let "and" | "or" = name {
            let mut last = None;
            for argument in arguments {
                let value = self.operand(argument, dot, position)?;
                if is_true(&value) == (name == "or") {
                    return Ok(value);
                }
                last = Some(value);
            }
            return piped.or(last).ok_or_else(|| {
                self.failed(
                    position,
                    name,
                    &format!("wrong number of args for {name}: want at least 1 got 0"),
                )
            });
        }
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.operand(argument, dot, position)?);
        }
        values.extend(piped);
        functions::call(name, &values, self.mode)
            .map_err(|what| self.failed(position, name, &format!("error calling {name}: {what}")))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value, position: Position) -> Evaluated<Value> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Value::Null),
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Field(path) => self.walk_from(dot, path, &operand.source(), position),
            Operand::Variable(name, path) => {
                let value = self.look_up(name);
                self.walk(value, path, &operand.source(), position)
            }
            Operand::Group(pipeline, path) => {
                let value = self.pipeline(pipeline, dot)?;
                self.walk(value, path, &operand.source(), position)
            }
            Operand::Function(name) => self.function(name, &[], dot, None, position),
        }
    }

    fn look_up(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(n, _)| n == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn walk(
        &self,
        from: Value,
        path: &[String],
        source: &str,
        position: Position,
    ) -> Evaluated<Value> {
        match path {
            [] => Ok(from),
            path => self.walk_from(&from, path, source, position),
        }
    }

    fn walk_from(
        &self,
        from: &Value,
        path: &[String],
        source: &str,
        position: Position,
    ) -> Evaluated<Value> {
        let mut at = from;
        for name in path {
            at = match at {
                Value::Object(fields) => match fields.get(name) {
                    Some(value) => value,
                    None if self.mode == Mode::Header => return Ok(Value::Null),
                    None => {
                        let what = format!("map has no entry for key {name:?}");
                        return Err(self.failed(position, source, &what));
                    }
                },
                Value::Null => {
                    let what = format!("nil pointer evaluating interface {{}}.{name}");
                    return Err(self.failed(position, source, &what));
                }
                other => {
                    let what = format!(
                        "can't evaluate field {name} in type {}",
                        printf::type_name(other)
                    );
                    return Err(self.failed(position, source, &what));
                }
            };
        }
        Ok(at.clone())
    }
}
