//! The functions of Go's templates and of Docker's.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Mode, eval::is_true, printf};

const NAMES: [&str; 24] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print",
    "printf", "println", "json", "split", "join", "title", "lower", "upper", "pad", "truncate",
    "html",
];

/// Longest padding that `pad` adds on a side.
const LONGEST_PAD: i64 = 10_000;

pub fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

type Called = Result<Value, String>;

/// Errors say what is wrong with the arguments. `and` and `or` are the evaluator's.
pub fn call(name: &str, arguments: &[Value], mode: Mode) -> Called {
    if let Some(result) = general(name, arguments) {
        return result;
    }
    // Over headers, Docker's functions hand the header through.
    if mode == Mode::Header {
        return Ok(arguments
            .iter()
            .find(|value| value.is_string())
            .cloned()
            .unwrap_or_default());
    }
    match (name, arguments) {
        ("json", [value]) => Ok(text(value.to_string())),
        ("split", [Value::String(from), Value::String(at)]) => {
            // Go's Split at nothing gives the letters.
            let parts: Vec<Value> = match at.is_empty() {
                true => from.chars().map(|c| text(c.to_string())).collect(),
                false => from
                    .split(at.as_str())
                    .map(|part| text(part.to_owned()))
                    .collect(),
            };
            Ok(Value::Array(parts))
        }
        ("join", [Value::Array(items), Value::String(with)]) => {
            let items: Vec<String> = items.iter().map(printf::plain).collect();
            Ok(text(items.join(with)))
        }
        ("join", [Value::Null, Value::String(_)]) => Ok(text(String::new())),
        ("title", [Value::String(from)]) => Ok(text(title(from))),
        ("lower", [Value::String(from)]) => Ok(text(from.to_lowercase())),
        ("upper", [Value::String(from)]) => Ok(text(from.to_uppercase())),
        ("html", [value]) => Ok(text(escape(&printf::plain(value)))),
        ("pad", [Value::String(from), before, after]) => {
            let width = |value: &Value| {
                value
                    .as_i64()
                    .filter(|n| (0..=LONGEST_PAD).contains(n))
                    .map(|n| " ".repeat(n as usize))
                    .ok_or_else(|| {
                        format!("padding {value} is not a number from 0 to {LONGEST_PAD}")
                    })
            };
            // Docker leaves an empty source empty.
            if from.is_empty() {
                return Ok(text(String::new()));
            }
            Ok(text(format!("{}{from}{}", width(before)?, width(after)?)))
        }
        ("truncate", [Value::String(from), length]) => {
            let length = length.as_u64().ok_or("length is not a whole number")?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            Ok(text(from.chars().take(length).collect()))
        }
        _ => Err(format!(
            "wrong number or type of arguments: ({})",
            arguments
                .iter()
                .map(printf::type_name)
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

/// Go's own, the same over headers and documents.
fn general(name: &str, arguments: &[Value]) -> Option<Called> {
    Some(match (name, arguments) {
        ("not", [value]) => Ok(Value::Bool(!is_true(value))),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            equals_any(first, others).map(Value::Bool)
        }
        ("ne", [first, second]) => equals(first, second).map(|equal| Value::Bool(!equal)),
        ("lt" | "le" | "gt" | "ge", [first, second]) => order(first, second).map(|order| {
            Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }),
        ("len", [value]) => length(value).map(Value::from),
        ("index", [value, keys @ ..]) => index(value, keys),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("print", values) => Ok(text(printf::print(values))),
        ("println", values) => Ok(text(printf::println(values))),
        ("printf", [Value::String(format), values @ ..]) => {
            Ok(text(printf::printf(format, values)))
        }
        _ => return None,
    })
}

fn text(text: String) -> Value {
    Value::String(text)
}

fn equals_any(first: &Value, others: &[Value]) -> Result<bool, String> {
    for other in others {
        if equals(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Ok(a == b || a.as_f64() == b.as_f64()),
        (Value::Array(_) | Value::Object(_), Value::Array(_) | Value::Object(_)) => {
            Err("non-comparable type".to_owned())
        }
        (Value::Null, _) | (_, Value::Null) => Ok(a == b),
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => Ok(a == b),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => a
                .as_f64()
                .partial_cmp(&b.as_f64())
                .ok_or_else(|| "invalid type for comparison".to_owned()),
        },
        (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_)) => {
            Err("incompatible types for comparison".to_owned())
        }
        _ => Err("invalid type for comparison".to_owned()),
    }
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(fields) => Ok(fields.len()),
        Value::Null => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", printf::type_name(other))),
    }
}

fn index(value: &Value, keys: &[Value]) -> Called {
    let mut at = value;
    for key in keys {
        at = match (at, key) {
            (Value::Object(fields), Value::String(name)) => match fields.get(name) {
                Some(value) => value,
                // Maps of text, such as labels, have an empty text for every other key.
                None => return Ok(text(String::new())),
            },
            (Value::Array(items), Value::Number(_)) => key
                .as_u64()
                .and_then(|at| items.get(usize::try_from(at).ok()?))
                .ok_or_else(|| format!("index out of range: {key}"))?,
            (Value::Null, _) => return Err("index of untyped nil".to_owned()),
            (Value::Object(_) | Value::Array(_), key) => {
                return Err(format!("cannot index with type {}", printf::type_name(key)));
            }
            (other, _) => {
                return Err(format!(
                    "can't index item of type {}",
                    printf::type_name(other)
                ));
            }
        };
    }
    Ok(at.clone())
}

fn slice(value: &Value, bounds: &[Value]) -> Called {
    let length = match value {
        Value::String(_) | Value::Array(_) => length(value)?,
        other => {
            return Err(format!(
                "can't slice item of type {}",
                printf::type_name(other)
            ));
        }
    };
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n <= length)
            .ok_or_else(|| format!("index out of range: {value}")),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match value {
        Value::String(whole) => {
            let bytes = &whole.as_bytes()[from..to];
            Ok(text(String::from_utf8_lossy(bytes).into_owned()))
        }
        Value::Array(items) => Ok(Value::Array(items[from..to].to_vec())),
        _ => Ok(Value::Null),
    }
}

/// The first letter of each word in upper case.
fn title(from: &str) -> String {
    let mut out = String::with_capacity(from.len());
    let mut inside = false;
    for letter in from.chars() {
        match inside {
            true => out.push(letter),
            false => out.extend(letter.to_uppercase()),
        }
        inside = letter.is_alphanumeric() || letter == '_' || letter == '\'';
    }
    out
}

fn escape(from: &str) -> String {
    let mut out = String::with_capacity(from.len());
    for letter in from.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
