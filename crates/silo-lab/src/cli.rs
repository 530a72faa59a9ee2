//! What all own applets share: short options, output, errors, and signals as flags.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGPIPE, SIGTERM};

use crate::text;

/// Options as typed.
#[derive(Debug, Default)]
pub struct Options {
    found: Vec<(char, Option<String>)>,
    pub operands: Vec<String>,
}

impl Options {
    pub fn has(&self, letter: char) -> bool {
        self.found.iter().any(|f| f.0 == letter)
    }

    /// The last value of an option.
    pub fn value(&self, letter: char) -> Option<&str> {
        self.found
            .iter()
            .rev()
            .find(|f| f.0 == letter)?
            .1
            .as_deref()
    }

    pub fn values(&self, letter: char) -> impl Iterator<Item = &str> {
        self.found
            .iter()
            .filter(move |f| f.0 == letter)
            .filter_map(|f| f.1.as_deref())
    }

    /// The value of an option as a number (or anything else that can be parsed).
    ///
    /// # Errors
    /// Says which option has a bad value.
    pub fn parsed<T: std::str::FromStr>(&self, letter: char) -> Result<Option<T>, String> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| format!("option -{letter}: bad value: {text}"))
        };
        self.value(letter).map(parse).transpose()
    }
}

/// Takes options off `args`. `letters`: each option, followed by `:` when it has a value. `longs`: long names and what
/// they stand for. Options may follow operands, unless `letters` begins with `+`.
///
/// # Errors
/// An unknown option, or a missing value.
pub fn options(args: &[String], letters: &str, longs: &[(&str, char)]) -> Result<Options, String> {
    let mut options = Options::default();
    let takes_value = |c: char| {
        letters
            .find(c)
            .is_some_and(|at| letters[at + c.len_utf8()..].starts_with(':'))
    };
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long
                .split_once('=')
                .map_or((long, None), |(n, v)| (n, Some(v.to_string())));
            let letter = longs
                .iter()
                .find(|l| l.0 == name)
                .map(|l| l.1)
                .ok_or(format!("no such option: {word}"))?;
            let value = if takes_value(letter) && value.is_none() {
                rest.next().cloned()
            } else {
                value
            };
            if takes_value(letter) != value.is_some() {
                return Err(format!(
                    "option --{name}: {}",
                    if value.is_some() {
                        "has no value"
                    } else {
                        "needs a value"
                    }
                ));
            }
            options.found.push((letter, value));
        } else if word.len() > 1 && word.starts_with('-') {
            cluster(&mut options, word, &mut rest, letters, takes_value)?;
        } else {
            options.operands.push(word.clone());
            if letters.starts_with('+') {
                break;
            }
        }
    }
    options.operands.extend(rest.cloned());
    Ok(options)
}

fn cluster<'a>(
    options: &mut Options,
    word: &str,
    rest: &mut impl Iterator<Item = &'a String>,
    letters: &str,
    takes_value: impl Fn(char) -> bool,
) -> Result<(), String> {
    for (at, c) in word.char_indices().skip(1) {
        if matches!(c, ':' | '+') || !letters.contains(c) {
            return Err(format!("no such option: -{c}"));
        }
        if !takes_value(c) {
            options.found.push((c, None));
            continue;
        }
        let attached = &word[at + c.len_utf8()..];
        let value = if attached.is_empty() {
            rest.next().cloned()
        } else {
            Some(attached.to_string())
        };
        options
            .found
            .push((c, Some(value.ok_or(format!("option -{c} needs a value"))?)));
        break;
    }
    Ok(())
}

/// Writes to standard output in one piece; gives the exit code.
pub fn print(text: &str) -> i32 {
    write(&text::to_bytes(text))
}

/// As [`print`], for bytes.
pub fn write(bytes: &[u8]) -> i32 {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => 0,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => 128 + SIGPIPE,
        Err(e) => fail("write error", &reason(&e)),
    }
}

/// Says `name: message` on standard error; gives the exit code 1.
pub fn fail(name: &str, message: &str) -> i32 {
    let line = text::to_bytes(&format!("{name}: {message}\n"));
    // Nobody is left to be told when standard error itself fails.
    let _ = std::io::stderr().write_all(&line);
    1
}

/// An operating system error without its number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.find(" (os error")
        .map_or(text.clone(), |at| text[..at].to_string())
}

/// Runs an applet that gives text or a sentence about what is wrong (then the code is 1).
pub fn answer(name: &str, result: Result<String, String>) -> i32 {
    match result {
        Ok(text) => print(&text),
        Err(message) => fail(name, &message),
    }
}

/// Rust programs ignore SIGPIPE; filters should end by it, as C programs do.
pub fn die_on_closed_pipe() {
    // Without the handler the program ends with an error message instead.
    let _ =
        signal_hook::flag::register_conditional_default(SIGPIPE, Arc::new(AtomicBool::new(true)));
}

/// A flag that SIGINT and SIGTERM set; the second signal ends the process at once.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn on_signals() -> Self {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag still down. Without a handler the default action ends
            // the process, which is what is wanted too.
            let _ = signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&stop.0),
            );
            let _ = signal_hook::flag::register(signal, Arc::clone(&stop.0));
        }
        stop
    }

    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps, but not past a signal for more than 20 ms. Was it the whole time?
    pub fn sleep(&self, time: std::time::Duration) -> bool {
        let end = std::time::Instant::now() + time;
        while !self.asked() {
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(std::time::Duration::from_millis(20)));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str, letters: &str) -> Result<Options, String> {
        options(
            &words.split(' ').map(str::to_string).collect::<Vec<_>>(),
            letters,
            &[("count", 'c'), ("quiet", 'q')],
        )
    }

    #[test]
    fn options_are_taken_off() {
        let o = parse("-qc3 host --count=4 -- -x", "c:q").unwrap();
        assert!(o.has('q'));
        assert_eq!(o.value('c'), Some("4"));
        assert_eq!(o.values('c').collect::<Vec<_>>(), ["3", "4"]);
        assert_eq!(o.operands, ["host", "-x"]);
        assert_eq!(parse("a -q", "+q").unwrap().operands, ["a", "-q"]);
    }

    #[test]
    fn bad_options_are_named() {
        for words in ["-z", "-c", "--nope", "--quiet=1", "-+"] {
            assert!(parse(words, "+c:q").is_err(), "{words}");
        }
    }
}
