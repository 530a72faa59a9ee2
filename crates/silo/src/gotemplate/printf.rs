//! How Go prints values: `%v` and its kin, fmt's documentation.

use std::fmt::Write;

use serde_json::{Number, Value};

/// Widest field; Go's own bound is 10⁶.
const WIDEST: usize = 10_000;

/// As the result of an action: missing values are said to be so.
pub fn top(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        other => plain(other),
    }
}

/// `%v`
pub fn plain(value: &Value) -> String {
    let mut out = String::new();
    write_plain(&mut out, value);
    out
}

fn write_plain(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&write_number(number)),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { " " } else { "" });
                write_plain(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push_str("map[");
            for (at, (name, value)) in fields.iter().enumerate() {
                out.push_str(if at > 0 { " " } else { "" });
                out.push_str(name);
                out.push(':');
                write_plain(out, value);
            }
            out.push(']');
        }
    }
}

/// Whole numbers in full, others as `%g` with Go's exponents from 21 digits on.
fn write_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            let size = float.abs();
            if size != 0.0 && !(1e-4..1e21).contains(&size) {
                exponent(&format!("{float:e}"), 'e')
            } else {
                format!("{float}")
            }
        }
        _ => number.to_string(),
    }
}

/// Rust's `1e-7` to Go's `1e-07`.
fn exponent(text: &str, letter: char) -> String {
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match power.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', power),
    };
    format!("{mantissa}{letter}{sign}{digits:0>2}")
}

/// Go's name of a value's type, for errors.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Go's Sprint: a space between operands when neither is text.
pub fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !value.is_string() && !values[at - 1].is_string() {
            out.push(' ');
        }
        write_plain(&mut out, value);
    }
    out
}

/// Go's Sprintln: a space between all operands and a newline.
pub fn println(values: &[Value]) -> String {
    let words: Vec<String> = values.iter().map(plain).collect();
    format!("{}\n", words.join(" "))
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    sharp: bool,
    zero: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
}

/// Go's Sprintf; what does not fit is marked in the text as Go does: `%!d(string=x)`.
pub fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let spec = Spec::read(&mut letters);
        match letters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                None => {
                    let _ = write!(out, "%!{verb}(MISSING)");
                }
                Some(value) => out.push_str(&spec.apply(verb, value)),
            },
        }
    }
    let extra: Vec<String> = values
        .map(|v| format!("{}={}", type_name(v), plain(v)))
        .collect();
    if !extra.is_empty() {
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

impl Spec {
    fn read(letters: &mut std::iter::Peekable<std::str::Chars>) -> Spec {
        let mut spec = Spec::default();
        while let Some(flag) = letters.peek() {
            match flag {
                '-' => spec.left = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                '0' => spec.zero = true,
                ' ' => spec.space = true,
                _ => break,
            }
            letters.next();
        }
        spec.width = digits(letters).unwrap_or(0);
        if letters.peek() == Some(&'.') {
            letters.next();
            spec.precision = Some(digits(letters).unwrap_or(0));
        }
        spec
    }

    fn apply(&self, verb: char, value: &Value) -> String {
        let body = match (verb, value) {
            ('v', Value::Number(_)) if self.plus => {
                return self.number(format!("{:+}", Wrapped(value)));
            }
            ('v', Value::Number(_)) => return self.number(plain(value)),
            ('v', _) => plain(value),
            ('s', Value::String(text)) => self.cut(text),
            ('s', Value::Array(_) | Value::Object(_)) => plain(value),
            ('q', Value::String(text)) => format!("{:?}", self.cut(text)),
            ('q', Value::Array(items)) => {
                let quoted: Vec<String> = items
                    .iter()
                    .map(|item| format!("{:?}", plain(item)))
                    .collect();
                format!("[{}]", quoted.join(" "))
            }
            ('t', Value::Bool(truth)) => truth.to_string(),
            ('T', value) => type_name(value).to_owned(),
            ('x' | 'X', Value::String(text)) => {
                let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
                self.cased(verb, hex)
            }
            ('d' | 'x' | 'X' | 'o' | 'b' | 'c' | 'U', Value::Number(number))
                if !number.is_f64() =>
            {
                return self.whole(verb, number);
            }
            ('f' | 'F' | 'e' | 'E' | 'g' | 'G', Value::Number(number)) if number.is_f64() => {
                return self.float(verb, number.as_f64().unwrap_or_default());
            }
            ('d', Value::Array(items)) => {
                let each: Vec<String> = items.iter().map(|item| self.apply(verb, item)).collect();
                return format!("[{}]", each.join(" "));
            }
            (_, Value::Null) => format!("%!{verb}(<nil>)"),
            (_, value) => format!("%!{verb}({}={})", type_name(value), plain(value)),
        };
        self.pad(body)
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(length) => text.chars().take(length).collect(),
            None => text.to_owned(),
        }
    }

    fn cased(&self, verb: char, hex: String) -> String {
        let prefixed = if self.sharp { format!("0x{hex}") } else { hex };
        match verb {
            'X' => prefixed.to_uppercase(),
            _ => prefixed,
        }
    }

    fn whole(&self, verb: char, number: &Number) -> String {
        let value = number
            .as_i64()
            .map(i128::from)
            .or(number.as_u64().map(i128::from))
            .unwrap_or_default();
        let size = value.unsigned_abs();
        let digits = match verb {
            'd' => size.to_string(),
            'o' => format!("{size:o}"),
            'b' => format!("{size:b}"),
            'U' => format!("U+{size:04X}"),
            'c' => {
                let letter = u32::try_from(size).ok().and_then(char::from_u32);
                return self.pad(letter.unwrap_or('\u{fffd}').to_string());
            }
            _ => self.cased(verb, format!("{size:x}")),
        };
        let sign = match value < 0 {
            true => "-",
            false if self.plus => "+",
            false if self.space => " ",
            false => "",
        };
        self.number(format!("{sign}{digits}"))
    }

    fn float(&self, verb: char, value: f64) -> String {
        let text = match (verb, self.precision) {
            ('f' | 'F', precision) => format!("{value:.*}", precision.unwrap_or(6)),
            ('e' | 'E', precision) => {
                exponent(&format!("{value:.*e}", precision.unwrap_or(6)), verb)
            }
            (_, None) => Number::from_f64(value).map_or_else(String::new, |n| write_number(&n)),
            (_, Some(precision)) => significant(value, precision.max(1)),
        };
        let sign = if self.plus && value >= 0.0 { "+" } else { "" };
        self.number(format!("{sign}{text}"))
    }

    /// Padding with zeros goes between sign and digits.
    fn number(&self, text: String) -> String {
        if !self.zero || self.left || text.len() >= self.width {
            return self.pad(text);
        }
        let (sign, digits) = match text.strip_prefix(['-', '+', ' ']) {
            Some(digits) => (&text[..1], digits),
            None => ("", text.as_str()),
        };
        let width = self.width - sign.len();
        format!("{sign}{digits:0>width$}")
    }

    fn pad(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        match (missing, self.left) {
            (0, _) => text,
            (missing, true) => text + &" ".repeat(missing),
            (missing, false) => " ".repeat(missing) + &text,
        }
    }
}

/// `%.Ng`
fn significant(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits - 1);
    let power: i32 = scientific
        .split_once('e')
        .and_then(|(_, power)| power.parse().ok())
        .unwrap_or(0);
    if power < -4 || power >= digits as i32 {
        let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return exponent(&format!("{}e{power}", trimmed(mantissa)), 'e');
    }
    let places = (digits as i32 - 1 - power).max(0) as usize;
    trimmed(&format!("{value:.places$}")).to_owned()
}

fn trimmed(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

fn digits(letters: &mut std::iter::Peekable<std::str::Chars>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = letters.peek().and_then(|c| c.to_digit(10)) {
        let so_far = number.unwrap_or(0usize);
        number = Some((so_far.saturating_mul(10) + digit as usize).min(WIDEST));
        letters.next();
    }
    number
}

/// `%+v` of a number.
struct Wrapped<'a>(&'a Value);

impl std::fmt::Display for Wrapped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = plain(self.0);
        let sign = if text.starts_with('-') { "" } else { "+" };
        write!(f, "{sign}{text}")
    }
}
