//! `$((…))`: C's integer arithmetic on 64 bits, wrapping, with variables (XCU 2.6.4). The text has been expanded already.

/// Where names get their values and assignments go.
pub trait Variables {
    /// The variable's text; unset is empty.
    fn value(&mut self, name: &str) -> String;
    /// # Errors
    /// When the variable is read-only.
    fn assign(&mut self, name: &str, value: i64) -> Result<(), String>;
}

struct Evaluator<'a> {
    text: &'a [u8],
    at: usize,
    variables: &'a mut dyn Variables,
    depth: u32,
    /// Greater than 0 in the branch of `?:`, `&&` and `||` that is not taken.
    skip: u32,
}

type Value = Result<i64, String>;

/// The value of `text`.
///
/// # Errors
/// A sentence: syntax, division by zero, a read-only variable.
pub fn evaluate(text: &str, variables: &mut dyn Variables) -> Value {
    nested(text, variables, 0)
}

fn nested(text: &str, variables: &mut dyn Variables, depth: u32) -> Value {
    if depth > 32 {
        return Err("arithmetic: variables refer to each other without end".into());
    }
    let mut evaluator = Evaluator {
        text: text.as_bytes(),
        at: 0,
        variables,
        depth,
        skip: 0,
    };
    evaluator.blanks();
    if evaluator.at == evaluator.text.len() {
        return Ok(0);
    }
    let value = evaluator.comma()?;
    if evaluator.at < evaluator.text.len() {
        return Err(format!("arithmetic syntax error in \"{}\"", text.trim()));
    }
    Ok(value)
}

/// Binary operators from the loosest to the tightest; in each row longer ones first.
const LEVELS: &[&[&str]] = &[
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Evaluator<'_> {
    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn eat(&mut self, operator: &str) -> bool {
        let found = self.text[self.at..].starts_with(operator.as_bytes());
        if found {
            self.at += operator.len();
            self.blanks();
        }
        found
    }

    fn next_is(&self, text: &str) -> bool {
        self.text[self.at..].starts_with(text.as_bytes())
    }

    fn error(&self) -> String {
        format!(
            "arithmetic syntax error near \"{}\"",
            String::from_utf8_lossy(&self.text[self.at..])
        )
    }

    fn comma(&mut self) -> Value {
        let mut value = self.assignment()?;
        while self.eat(",") {
            value = self.assignment()?;
        }
        Ok(value)
    }

    fn name(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        if !rest
            .first()
            .is_some_and(|c| c.is_ascii_alphabetic() || *c == b'_')
        {
            return None;
        }
        let length = rest
            .iter()
            .take_while(|c| c.is_ascii_alphanumeric() || **c == b'_')
            .count();
        let name = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length;
        self.blanks();
        Some(name)
    }

    fn assignment(&mut self) -> Value {
        let start = self.at;
        if let Some(name) = self.name() {
            for operator in [
                "<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "^=", "|=", "=",
            ] {
                if self.next_is("==") || !self.eat(operator) {
                    continue;
                }
                let right = self.assignment()?;
                let value = match operator.strip_suffix('=') {
                    None | Some("") => right,
                    Some(binary) => {
                        let left = self.variable(&name)?;
                        self.apply(binary, left, right)?
                    }
                };
                if self.skip == 0 {
                    self.variables.assign(&name, value)?;
                }
                return Ok(value);
            }
            self.at = start;
        }
        self.conditional()
    }

    fn skipped(&mut self, skip: bool, part: fn(&mut Self) -> Value) -> Value {
        self.skip += u32::from(skip);
        let value = part(self);
        self.skip -= u32::from(skip);
        value
    }

    fn conditional(&mut self) -> Value {
        let condition = self.or()?;
        if !self.eat("?") {
            return Ok(condition);
        }
        let yes = self.skipped(condition == 0, Self::comma)?;
        if !self.eat(":") {
            return Err(self.error());
        }
        let no = self.skipped(condition != 0, Self::assignment)?;
        Ok(if condition == 0 { no } else { yes })
    }

    fn or(&mut self) -> Value {
        let mut value = self.and()?;
        while self.eat("||") {
            let right = self.skipped(value != 0, Self::and)?;
            value = i64::from(value != 0 || right != 0);
        }
        Ok(value)
    }

    fn and(&mut self) -> Value {
        let mut value = self.binary(0)?;
        while self.eat("&&") {
            let right = self.skipped(value == 0, |e| e.binary(0))?;
            value = i64::from(value != 0 && right != 0);
        }
        Ok(value)
    }

    fn binary(&mut self, level: usize) -> Value {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = operators
            .iter()
            .find(|o| self.next_is(o) && !self.longer_operator(o))
        {
            self.eat(operator);
            let right = self.binary(level + 1)?;
            left = self.apply(operator, left, right)?;
        }
        Ok(left)
    }

    /// Is what starts with `operator` really another one (`&&`, `||`, `<<`, `+=` …)?
    fn longer_operator(&self, operator: &str) -> bool {
        let next = self
            .text
            .get(self.at + operator.len())
            .copied()
            .unwrap_or(0);
        match operator {
            "|" | "&" => next == operator.as_bytes()[0] || next == b'=',
            "<" | ">" => next == operator.as_bytes()[0],
            "==" | "!=" | "<=" | ">=" => false,
            _ => next == b'=',
        }
    }

    fn apply(&self, operator: &str, left: i64, right: i64) -> Value {
        Ok(match operator {
            "|" => left | right,
            "^" => left ^ right,
            "&" => left & right,
            "==" => i64::from(left == right),
            "!=" => i64::from(left != right),
            "<=" => i64::from(left <= right),
            ">=" => i64::from(left >= right),
            "<" => i64::from(left < right),
            ">" => i64::from(left > right),
            "<<" => left.wrapping_shl(right as u32),
            ">>" => left.wrapping_shr(right as u32),
            "+" => left.wrapping_add(right),
            "-" => left.wrapping_sub(right),
            "*" => left.wrapping_mul(right),
            _ if right == 0 && self.skip > 0 => 0,
            _ if right == 0 => return Err("arithmetic: division by zero".into()),
            "/" => left.wrapping_div(right),
            _ => left.wrapping_rem(right),
        })
    }

    fn unary(&mut self) -> Value {
        if self.next_is("++") || self.next_is("--") {
            let step = if self.eat("++") {
                1
            } else {
                self.eat("--");
                -1
            };
            let name = self.name().ok_or_else(|| self.error())?;
            let value = self.variable(&name)?.wrapping_add(step);
            return self.store(&name, value, value);
        }
        if self.eat("!") {
            return Ok(i64::from(self.unary()? == 0));
        }
        if self.eat("~") {
            return Ok(!self.unary()?);
        }
        if self.eat("-") {
            return Ok(self.unary()?.wrapping_neg());
        }
        if self.eat("+") {
            return self.unary();
        }
        self.primary()
    }

    fn store(&mut self, name: &str, value: i64, result: i64) -> Value {
        if self.skip == 0 {
            self.variables.assign(name, value)?;
        }
        Ok(result)
    }

    fn primary(&mut self) -> Value {
        if self.eat("(") {
            let value = self.comma()?;
            return if self.eat(")") {
                Ok(value)
            } else {
                Err(self.error())
            };
        }
        if let Some(name) = self.name() {
            let value = self.variable(&name)?;
            if self.eat("++") {
                return self.store(&name, value.wrapping_add(1), value);
            }
            if self.eat("--") {
                return self.store(&name, value.wrapping_sub(1), value);
            }
            return Ok(value);
        }
        self.number()
    }

    fn variable(&mut self, name: &str) -> Value {
        let text = self.variables.value(name);
        match text.trim().parse() {
            Ok(value) => Ok(value),
            Err(_) => nested(&text, self.variables, self.depth + 1),
        }
    }

    fn number(&mut self) -> Value {
        let rest = &self.text[self.at..];
        let length = rest
            .iter()
            .take_while(|c| c.is_ascii_alphanumeric())
            .count();
        let text = String::from_utf8_lossy(&rest[..length]).to_lowercase();
        let value = match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None if text.len() > 1 && text.starts_with('0') => i64::from_str_radix(&text, 8),
            None => text.parse(),
        };
        let value = value.map_err(|_| self.error())?;
        self.at += length;
        self.blanks();
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    impl Variables for HashMap<String, String> {
        fn value(&mut self, name: &str) -> String {
            self.get(name).cloned().unwrap_or_default()
        }
        fn assign(&mut self, name: &str, value: i64) -> Result<(), String> {
            self.insert(name.into(), value.to_string());
            Ok(())
        }
    }

    #[test]
    fn values() {
        let mut vars = HashMap::from([
            ("a".to_string(), "5".to_string()),
            ("b".to_string(), "a+1".to_string()),
        ]);
        for (text, value) in [
            ("1+2*3", 7),
            ("(1+2)*3", 9),
            ("10/3", 3),
            ("10%3", 1),
            ("-3", -3),
            ("!0", 1),
            ("~0", -1),
            ("1<<4", 16),
            ("5>3&&2<1", 0),
            ("a", 5),
            ("b*2", 12),
            ("a==5?7:8", 7),
            ("0||2", 1),
            ("0x1f", 31),
            ("010", 8),
            ("1,2", 2),
            ("", 0),
            (" 4 - 1 ", 3),
            ("3&1|4", 5),
            ("0 && 1/0", 0),
            ("2 >= 2", 1),
            ("2 != 2", 0),
            ("x", 0),
        ] {
            assert_eq!(evaluate(text, &mut vars), Ok(value), "{text}");
        }
        assert_eq!(evaluate("c = a += 2", &mut vars), Ok(7));
        assert_eq!(evaluate("c++ + ++c", &mut vars), Ok(16));
        assert_eq!(evaluate("--c", &mut vars), Ok(8));
        assert_eq!(vars["c"], "8");
    }

    #[test]
    fn errors() {
        for text in ["1/0", "1+", "(1", "1 2", "@", "08"] {
            assert!(evaluate(text, &mut HashMap::new()).is_err(), "{text}");
        }
        let mut cycle = HashMap::from([
            ("a".to_string(), "b".to_string()),
            ("b".to_string(), "a".to_string()),
        ]);
        assert!(evaluate("a", &mut cycle).is_err());
    }
}
