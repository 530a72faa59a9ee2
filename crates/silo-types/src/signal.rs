//! Signals by name and number, signal(7).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A Linux signal number, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signal(i32);

/// Names on x86_64 and every architecture with the same numbers.
const NAMES: [(&str, i32); 33] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("IOT", 6),
    ("POLL", 29),
];

const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    pub const HUP: Signal = Signal(1);
    pub const INT: Signal = Signal(2);
    pub const KILL: Signal = Signal(9);
    pub const TERM: Signal = Signal(15);
    pub const WINCH: Signal = Signal(28);

    pub fn from_number(number: i32) -> Result<Signal> {
        if (1..=RTMAX).contains(&number) {
            Ok(Signal(number))
        } else {
            Err(Error::invalid(format!("invalid signal: {number}")))
        }
    }

    pub fn number(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = Error;

    /// `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`, `RTMAX-1`.
    fn from_str(text: &str) -> Result<Signal> {
        let bad = || Error::invalid(format!("invalid signal: {text}"));
        if let Ok(number) = text.parse::<i32>() {
            return Signal::from_number(number).map_err(|_| bad());
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Signal(*number));
        }
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(""), _) => RTMIN,
            (_, Some("")) => RTMAX,
            (Some(plus), _) => {
                let above = plus.strip_prefix('+').ok_or_else(bad)?;
                RTMIN.saturating_add(above.parse::<u8>().map_err(|_| bad())?.into())
            }
            (_, Some(minus)) => {
                let below = minus.strip_prefix('-').ok_or_else(bad)?;
                RTMAX.saturating_sub(below.parse::<u8>().map_err(|_| bad())?.into())
            }
            _ => return Err(bad()),
        };
        if (RTMIN..=RTMAX).contains(&number) {
            Ok(Signal(number))
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for Signal {
    /// `SIGTERM`, `SIGRTMIN+3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None => write!(f, "SIGRTMIN{:+}", self.0 - RTMIN),
        }
    }
}

impl TryFrom<String> for Signal {
    type Error = Error;
    fn try_from(text: String) -> Result<Signal> {
        text.parse()
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> String {
        match signal.0 {
            32 | 33 => signal.0.to_string(),
            _ => signal.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("sigterm", 15),
            ("RTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
        }
        for bad in ["0", "65", "-1", "SIGFOO", "", "RTMIN+31", "RTMIN3"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_number_survives_serialisation() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(String::from(signal).parse::<Signal>().unwrap(), signal);
        }
    }
}
