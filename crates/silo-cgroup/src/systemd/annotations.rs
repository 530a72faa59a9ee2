//! Annotations `org.systemd.property.NAME`: properties of the unit as a caller wants them, in the text form of GVariant.
//!
//! Pure. Read are the forms that properties of units have: truth values, numbers with or without a type before them, texts, and
//! arrays and tuples of these. A name that ends with `Sec` is in seconds, as in unit files; the manager knows it with `USec`.

use super::wire::{Property, Value};
use silo_types::{Error, Result};

const PREFIX: &str = "org.systemd.property.";
/// How deep arrays and tuples may lie in each other.
const DEEPEST: u8 = 8;

/// The properties among annotations.
pub(super) fn properties(annotations: &[(String, String)]) -> Result<Vec<Property>> {
    let mut found = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let bad = |why: &str| Error::invalid(format!("annotation {key}={text}: {why}"));
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(bad("this is no name of a property"));
        }
        let value = parse(text).ok_or_else(|| {
            bad("a value is true, false, a number, 'text', or a list of these in brackets")
        })?;
        found.push(
            match name.strip_suffix("Sec").filter(|name| !name.ends_with('U')) {
                Some(stem) => {
                    let time =
                        micros(&value).ok_or_else(|| bad("it must be a number of seconds"))?;
                    (format!("{stem}USec"), time)
                }
                None => (name.to_owned(), value),
            },
        );
    }
    Ok(found)
}

fn micros(value: &Value) -> Option<Value> {
    let whole = |seconds: u64| seconds.checked_mul(1_000_000).map(Value::U64);
    match value {
        Value::U32(seconds) => whole(u64::from(*seconds)),
        Value::U64(seconds) => whole(*seconds),
        Value::I32(seconds) => whole(u64::try_from(*seconds).ok()?),
        Value::I64(seconds) => whole(u64::try_from(*seconds).ok()?),
        Value::Double(seconds) if (0.0..1e12).contains(seconds) => {
            Some(Value::U64((seconds * 1e6) as u64))
        }
        _ => None,
    }
}

fn parse(text: &str) -> Option<Value> {
    let (value, rest) = value(text, 0)?;
    rest.trim().is_empty().then_some(value)
}

/// One value, and what follows it.
fn value(text: &str, depth: u8) -> Option<(Value, &str)> {
    let text = text.trim_start();
    if depth > DEEPEST {
        return None;
    }
    match text.chars().next()? {
        quote @ ('\'' | '"') => quoted(&text[1..], quote).map(|(t, rest)| (Value::Text(t), rest)),
        '[' => {
            let (items, rest) = list(&text[1..], ']', depth)?;
            let of = items.first()?.signature();
            let is_same = items.iter().all(|item| item.signature() == of);
            is_same.then_some((Value::Array(of, items), rest))
        }
        '(' => {
            let (fields, rest) = list(&text[1..], ')', depth)?;
            (!fields.is_empty()).then_some((Value::Struct(fields), rest))
        }
        _ => word(text),
    }
}

fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => out.push(letters.next()?.1),
            letter if letter == quote => return Some((out, &text[at + 1..])),
            letter => out.push(letter),
        }
    }
    None
}

fn list(mut text: &str, end: char, depth: u8) -> Option<(Vec<Value>, &str)> {
    let mut items = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix(end) {
            return Some((items, rest));
        }
        let (item, rest) = value(text, depth + 1)?;
        items.push(item);
        text = rest.trim_start();
        match text.strip_prefix(',') {
            Some(rest) => text = rest,
            None if text.starts_with(end) => {}
            None => return None,
        }
    }
}

/// A truth value or a number; a word before it is its type.
fn word(text: &str) -> Option<(Value, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || ",])".contains(c));
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    let typed = |kind: &str| {
        let text = rest.trim_start();
        let end = text.find(|c: char| c.is_whitespace() || ",])".contains(c));
        let (number, rest) = text.split_at(end.unwrap_or(text.len()));
        Some((of_type(kind, number)?, rest))
    };
    match word {
        "true" => Some((Value::Bool(true), rest)),
        "false" => Some((Value::Bool(false), rest)),
        "boolean" => value(rest, DEEPEST).filter(|(value, _)| matches!(value, Value::Bool(_))),
        "string" => value(rest, DEEPEST).filter(|(value, _)| matches!(value, Value::Text(_))),
        "byte" | "@y" => typed("y"),
        "int32" | "@i" => typed("i"),
        "uint32" | "@u" => typed("u"),
        "int64" | "@x" => typed("x"),
        "uint64" | "@t" => typed("t"),
        "double" | "@d" => typed("d"),
        number if number.contains('.') => Some((of_type("d", number)?, rest)),
        number => Some((of_type("i", number)?, rest)),
    }
}

fn of_type(kind: &str, text: &str) -> Option<Value> {
    Some(match kind {
        "y" => Value::Byte(text.parse().ok()?),
        "i" => Value::I32(text.parse().ok()?),
        "u" => Value::U32(text.parse().ok()?),
        "x" => Value::I64(text.parse().ok()?),
        "t" => Value::U64(text.parse().ok()?),
        _ => Value::Double(text.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Result<Property> {
        let key = format!("{PREFIX}{name}");
        let mut found = properties(&[(key, text.to_owned()), ("other".into(), "?".into())])?;
        assert_eq!(found.len(), 1);
        Ok(found.remove(0))
    }

    #[test]
    fn values_have_the_form_of_gvariant() {
        for (text, value) in [
            ("true", Value::Bool(true)),
            ("'inactive-or-failed'", Value::text("inactive-or-failed")),
            ("\"it's\"", Value::text("it's")),
            ("uint64 5", Value::U64(5)),
            ("@t 5", Value::U64(5)),
            ("-7", Value::I32(-7)),
            (
                "['a.service', 'b']",
                Value::Array("s".into(), vec![Value::text("a.service"), Value::text("b")]),
            ),
            (
                "[('/dev/null', 'rw')]",
                Value::Array(
                    "(ss)".into(),
                    vec![Value::Struct(vec![
                        Value::text("/dev/null"),
                        Value::text("rw"),
                    ])],
                ),
            ),
        ] {
            assert_eq!(one("Name", text).unwrap().1, value, "{text}");
        }
        for bad in [
            "",
            "yes",
            "'open",
            "[1, 'a']",
            "[]",
            "1 2",
            "uint64 -1",
            "((((((((((1",
        ] {
            assert!(one("Name", bad).is_err(), "{bad}");
        }
        assert!(one("Na me", "1").is_err());
    }

    #[test]
    fn seconds_become_microseconds() {
        let stop = |text| one("TimeoutStopSec", text).unwrap();
        assert_eq!(
            stop("uint64 2"),
            ("TimeoutStopUSec".into(), Value::U64(2_000_000))
        );
        assert_eq!(stop("0.5").1, Value::U64(500_000));
        assert!(one("TimeoutStopSec", "'2s'").is_err());
        assert_eq!(
            one("TimeoutStopUSec", "uint64 2").unwrap(),
            ("TimeoutStopUSec".into(), Value::U64(2))
        );
    }
}
