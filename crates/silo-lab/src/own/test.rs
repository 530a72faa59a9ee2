//! `test` and `[` (XCU), also builtins.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use rustix::fs::{Access, access};

use crate::{cli, text};

pub fn main(args: &[String]) -> i32 {
    finish("test", args)
}

pub fn bracket_main(args: &[String]) -> i32 {
    finish("[", args)
}

fn finish(name: &str, args: &[String]) -> i32 {
    let mut argv = vec![name.to_string()];
    argv.extend_from_slice(args);
    match run(&argv) {
        Ok(result) => i32::from(!result),
        Err(message) => {
            cli::fail(name, &message);
            2
        }
    }
}

/// Evaluates `argv` (name first; after `[` a closing bracket must follow).
///
/// # Errors
/// A sentence about what is not understood.
pub fn run(argv: &[String]) -> Result<bool, String> {
    let mut words: Vec<&str> = argv[1..].iter().map(String::as_str).collect();
    if argv[0] == "[" && words.pop() != Some("]") {
        return Err("missing ]".into());
    }
    let mut test = Test {
        words: &words,
        at: 0,
    };
    if words.is_empty() {
        return Ok(false);
    }
    let result = test.or()?;
    match words.get(test.at) {
        None => Ok(result),
        Some(word) => Err(format!("{word}: unexpected")),
    }
}

struct Test<'a> {
    words: &'a [&'a str],
    at: usize,
}

const BINARY: &[&str] = &[
    "=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef",
];
const UNARY: &str = "bcdefghknprstuwxzLSO";

impl Test<'_> {
    fn peek(&self, ahead: usize) -> Option<&str> {
        self.words.get(self.at + ahead).copied()
    }

    fn or(&mut self) -> Result<bool, String> {
        let mut result = self.and()?;
        while self.peek(0) == Some("-o") {
            self.at += 1;
            result |= self.and()?;
        }
        Ok(result)
    }

    fn and(&mut self) -> Result<bool, String> {
        let mut result = self.not()?;
        while self.peek(0) == Some("-a") {
            self.at += 1;
            result &= self.not()?;
        }
        Ok(result)
    }

    fn not(&mut self) -> Result<bool, String> {
        let more = self.words.len() - self.at > 1;
        let binary = self.peek(1).is_some_and(|w| BINARY.contains(&w)) && self.peek(2).is_some();
        if self.peek(0) == Some("!") && more && !binary {
            self.at += 1;
            return Ok(!self.not()?);
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<bool, String> {
        let first = self.peek(0).ok_or("an operand is missing")?.to_string();
        if let (Some(operator), Some(right)) =
            (self.peek(1).filter(|w| BINARY.contains(w)), self.peek(2))
        {
            let result = binary(&first, operator, right)?;
            self.at += 3;
            return Ok(result);
        }
        if first == "(" && self.words.len() - self.at > 1 {
            self.at += 1;
            let result = self.or()?;
            if self.peek(0) != Some(")") {
                return Err("missing )".into());
            }
            self.at += 1;
            return Ok(result);
        }
        let letter = first
            .strip_prefix('-')
            .filter(|l| l.len() == 1 && UNARY.contains(*l));
        if let (Some(letter), Some(operand)) = (letter, self.peek(1)) {
            let result = unary(letter, operand)?;
            self.at += 2;
            return Ok(result);
        }
        self.at += 1;
        Ok(!first.is_empty())
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{text}: not a number"))
}

fn path(text: &str) -> PathBuf {
    text::to_os(text).into()
}

fn binary(left: &str, operator: &str, right: &str) -> Result<bool, String> {
    let modified = |name: &str| path(name).metadata().and_then(|m| m.modified()).ok();
    let identity = |name: &str| path(name).metadata().ok().map(|m| (m.dev(), m.ino()));
    Ok(match operator {
        "=" | "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        ">" => left > right,
        "-nt" => modified(left) > modified(right),
        "-ot" => modified(left) < modified(right),
        "-ef" => identity(left).is_some() && identity(left) == identity(right),
        _ => {
            let (left, right) = (number(left)?, number(right)?);
            match operator {
                "-eq" => left == right,
                "-ne" => left != right,
                "-lt" => left < right,
                "-le" => left <= right,
                "-gt" => left > right,
                _ => left >= right,
            }
        }
    })
}

fn unary(letter: &str, operand: &str) -> Result<bool, String> {
    let file = path(operand);
    let metadata = || file.metadata().ok();
    Ok(match letter {
        "n" => !operand.is_empty(),
        "z" => operand.is_empty(),
        "t" => match number(operand)? {
            0 => rustix::termios::isatty(std::io::stdin()),
            1 => rustix::termios::isatty(std::io::stdout()),
            2 => rustix::termios::isatty(std::io::stderr()),
            _ => false,
        },
        "r" => access(&file, Access::READ_OK).is_ok(),
        "w" => access(&file, Access::WRITE_OK).is_ok(),
        "x" => access(&file, Access::EXEC_OK).is_ok(),
        "h" | "L" => file.is_symlink(),
        "e" => metadata().is_some(),
        "f" => metadata().is_some_and(|m| m.is_file()),
        "d" => metadata().is_some_and(|m| m.is_dir()),
        "s" => metadata().is_some_and(|m| m.len() > 0),
        "b" => metadata().is_some_and(|m| m.file_type().is_block_device()),
        "c" => metadata().is_some_and(|m| m.file_type().is_char_device()),
        "p" => metadata().is_some_and(|m| m.file_type().is_fifo()),
        "S" => metadata().is_some_and(|m| m.file_type().is_socket()),
        "u" => metadata().is_some_and(|m| m.mode() & 0o4000 != 0),
        "g" => metadata().is_some_and(|m| m.mode() & 0o2000 != 0),
        "k" => metadata().is_some_and(|m| m.mode() & 0o1000 != 0),
        _ => metadata().is_some_and(|m| m.uid() == rustix::process::geteuid().as_raw()),
    })
}

#[cfg(test)]
mod tests {
    use super::run;

    fn test(words: &str) -> Result<bool, String> {
        let argv: Vec<String> = std::iter::once("test")
            .chain(words.split(' '))
            .filter(|w| !w.is_empty())
            .map(|w| w.replace('_', ""))
            .collect();
        run(&argv)
    }

    #[test]
    fn expressions() {
        for yes in [
            "a",
            "a = a",
            "1 -lt 2",
            "! a = b",
            "-z _",
            "-n x",
            "-d /",
            "( a = a )",
            "a = b -o c = c",
            "! -f /",
            "-e /proc",
            "! = !",
            "-n = -n",
        ] {
            assert_eq!(test(yes), Ok(true), "{yes}");
        }
        for no in [
            "",
            "_",
            "a != a",
            "2 -le 1",
            "! a",
            "a = a -a a = b",
            "-f /nonexistent",
        ] {
            assert_eq!(test(no), Ok(false), "{no}");
        }
        for bad in ["a -eq 1", "( a", "a b c"] {
            assert!(test(bad).is_err(), "{bad}");
        }
        assert!(run(&["[".into(), "a".into()]).is_err());
    }
}
