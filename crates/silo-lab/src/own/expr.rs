//! `expr` (XCU): integers, comparisons, `:` and `match`, `length`, `substr`, `index`.

use regex_lite::Regex;

use crate::cli;

pub fn main(args: &[String]) -> i32 {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut expression = Expression {
        words: &words,
        at: 0,
    };
    match expression.or() {
        Ok(value) if expression.at == words.len() => {
            let status = cli::print(&format!("{value}\n"));
            if status != 0 {
                3
            } else {
                i32::from(!truth(&value))
            }
        }
        Ok(_) => cli::fail("expr", "syntax error") + 1,
        Err(message) => cli::fail("expr", &message) + 1,
    }
}

struct Expression<'a> {
    words: &'a [&'a str],
    at: usize,
}

fn truth(value: &str) -> bool {
    !value.is_empty() && value.parse::<i64>() != Ok(0)
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("not an integer: {text}"))
}

impl Expression<'_> {
    fn eat(&mut self, operators: &[&'static str]) -> Option<&'static str> {
        let word = self.words.get(self.at)?;
        let found = operators.iter().find(|o| *o == word)?;
        self.at += 1;
        Some(found)
    }

    fn or(&mut self) -> Result<String, String> {
        let mut left = self.and()?;
        while self.eat(&["|"]).is_some() {
            let right = self.and()?;
            if !truth(&left) {
                left = if truth(&right) { right } else { "0".into() };
            }
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<String, String> {
        let mut left = self.compare()?;
        while self.eat(&["&"]).is_some() {
            let right = self.compare()?;
            if !(truth(&left) && truth(&right)) {
                left = "0".into();
            }
        }
        Ok(left)
    }

    fn compare(&mut self) -> Result<String, String> {
        let mut left = self.sum()?;
        while let Some(operator) = self.eat(&["=", "==", "!=", "<", "<=", ">", ">="]) {
            let right = self.sum()?;
            let order = match (left.parse::<i64>(), right.parse::<i64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                _ => left.cmp(&right),
            };
            let result = match operator {
                "=" | "==" => order.is_eq(),
                "!=" => order.is_ne(),
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_ge(),
            };
            left = i64::from(result).to_string();
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<String, String> {
        let mut left = self.product()?;
        while let Some(operator) = self.eat(&["+", "-"]) {
            let (a, b) = (number(&left)?, number(&self.product()?)?);
            let result = if operator == "+" {
                a.checked_add(b)
            } else {
                a.checked_sub(b)
            };
            left = result.ok_or("the result is too large")?.to_string();
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<String, String> {
        let mut left = self.matching()?;
        while let Some(operator) = self.eat(&["*", "/", "%"]) {
            let (a, b) = (number(&left)?, number(&self.matching()?)?);
            let result = match operator {
                "*" => a.checked_mul(b),
                _ if b == 0 => return Err("division by zero".into()),
                "/" => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            left = result.ok_or("the result is too large")?.to_string();
        }
        Ok(left)
    }

    fn matching(&mut self) -> Result<String, String> {
        let mut left = self.primary()?;
        while self.eat(&[":"]).is_some() {
            left = match_prefix(&left, &self.primary()?)?;
        }
        Ok(left)
    }

    fn word(&mut self) -> Result<String, String> {
        let word = self.words.get(self.at).ok_or("an operand is missing")?;
        self.at += 1;
        Ok((*word).to_string())
    }

    fn primary(&mut self) -> Result<String, String> {
        let more = self.words.len() - self.at.min(self.words.len()) > 1;
        match self.words.get(self.at).copied() {
            Some("(") => {
                self.at += 1;
                let value = self.or()?;
                if self.eat(&[")"]).is_none() {
                    return Err("missing )".into());
                }
                Ok(value)
            }
            Some("length") if more => {
                self.at += 1;
                Ok(self.word()?.chars().count().to_string())
            }
            Some("match") if more => {
                self.at += 1;
                let text = self.word()?;
                match_prefix(&text, &self.word()?)
            }
            Some("substr") if more => {
                self.at += 1;
                let (text, from, length) = (self.word()?, self.word()?, self.word()?);
                let (Ok(from), Ok(length)) = (from.parse::<usize>(), length.parse::<usize>())
                else {
                    return Ok(String::new());
                };
                Ok(if from == 0 {
                    String::new()
                } else {
                    text.chars().skip(from - 1).take(length).collect()
                })
            }
            Some("index") if more => {
                self.at += 1;
                let (text, set) = (self.word()?, self.word()?);
                Ok(text
                    .chars()
                    .position(|c| set.contains(c))
                    .map_or(0, |i| i + 1)
                    .to_string())
            }
            _ => self.word(),
        }
    }
}

/// `TEXT : PATTERN`: the first group, or how many characters match from the start.
fn match_prefix(text: &str, pattern: &str) -> Result<String, String> {
    let pattern = super::grep::from_basic(pattern.strip_prefix('^').unwrap_or(pattern));
    let regex = Regex::new(&format!("^(?:{pattern})")).map_err(|e| format!("bad pattern: {e}"))?;
    let groups = regex.captures_len() > 1;
    Ok(match regex.captures(text) {
        Some(found) if groups => found
            .get(1)
            .map_or(String::new(), |m| m.as_str().to_string()),
        Some(found) => found
            .get(0)
            .map_or(0, |m| m.as_str().chars().count())
            .to_string(),
        None if groups => String::new(),
        None => "0".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expr(text: &str) -> Result<String, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let mut expression = Expression {
            words: &words,
            at: 0,
        };
        expression.or()
    }

    #[test]
    fn values() {
        for (text, value) in [
            ("1 + 2 * 3", "7"),
            ("( 1 + 2 ) * 3", "9"),
            ("7 % 4", "3"),
            ("a < b", "1"),
            ("10 < 9", "0"),
            ("abc : a.", "2"),
            ("abc : a\\(.\\)", "b"),
            ("0 | x", "x"),
            ("1 & 0", "0"),
            ("length hello", "5"),
            ("substr hello 2 3", "ell"),
            ("index hello l", "3"),
        ] {
            assert_eq!(expr(text), Ok(value.into()), "{text}");
        }
        assert!(expr("1 / 0").is_err() && expr("a + 1").is_err());
    }
}
