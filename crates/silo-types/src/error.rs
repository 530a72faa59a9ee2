//! One error type for the whole of Silo: returned, never logged; printed at one place, the command line or the API.
//!
//! Text: lower case, no full stop, names the object and, where there is one, the way out.

use std::fmt;

/// A result with Silo's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What class of failure it is: decides the exit code and the HTTP status, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for is malformed or impossible: the user must change the request.
    Invalid,
    /// A named object does not exist.
    NotFound,
    /// The request collides with the present state (name taken, container running).
    Conflict,
    /// The host cannot do it (kernel feature, control group, privilege).
    Unsupported,
    /// The program inside the container does not exist (exit code 127).
    CommandNotFound,
    /// The program inside the container cannot be executed (exit code 126).
    CommandNotExecutable,
    /// A system call, file or network operation failed.
    System,
    /// Silo contradicts itself: a bug.
    Internal,
}

impl Kind {
    /// Docker's exit code of `run`, `create`, `exec` for this class (docker-run(1), "Exit status").
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::CommandNotFound => 127,
            Kind::CommandNotExecutable => 126,
            _ => 125,
        }
    }

    /// HTTP status of the Docker Engine API for this class.
    pub fn http_status(self) -> u16 {
        match self {
            Kind::Invalid | Kind::CommandNotFound | Kind::CommandNotExecutable => 400,
            Kind::NotFound => 404,
            Kind::Conflict => 409,
            Kind::Unsupported => 501,
            Kind::System | Kind::Internal => 500,
        }
    }
}

/// An error: its class, a text that stands on its own, and the cause below it, if any.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, text: impl Into<String>) -> Error {
        Error {
            kind,
            text: text.into(),
            source: None,
        }
    }

    pub fn invalid(text: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, text)
    }

    pub fn not_found(text: impl Into<String>) -> Error {
        Error::new(Kind::NotFound, text)
    }

    pub fn conflict(text: impl Into<String>) -> Error {
        Error::new(Kind::Conflict, text)
    }

    pub fn unsupported(text: impl Into<String>) -> Error {
        Error::new(Kind::Unsupported, text)
    }

    pub fn internal(text: impl Into<String>) -> Error {
        Error::new(Kind::Internal, text)
    }

    /// A failed operation of the system: `doing` says what was tried and on what, e.g. "create /var/lib/silo/x".
    pub fn system(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error {
            kind: Kind::System,
            text: doing.into(),
            source: Some(source.into()),
        }
    }

    /// The same class, with `doing` put before the text: "doing: text".
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.text = format!("{doing}: {}", self.text);
        self
    }

    /// The same text and cause with another class.
    pub fn with_kind(mut self, kind: Kind) -> Error {
        self.kind = kind;
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {}", self.text, Cause(source.as_ref())),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// A cause as Silo words it: std's "No such file or directory (os error 2)" becomes "no such file or directory".
struct Cause<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let text = text.split(" (os error ").next().unwrap_or(&text);
        let mut letters = text.chars();
        match letters.next() {
            // "No such file" but "I/O error", "EOF", "ETXTBSY"
            Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
                write!(f, "{}{}", first.to_lowercase(), letters.as_str())
            }
            _ => f.write_str(text),
        }
    }
}

/// `result.doing("create x")` / `.doing_with(|| format!(…))`: turns an I/O result into Silo's.
pub trait Doing<T> {
    /// Wraps the failure as [`Kind::System`] with what was tried.
    fn doing(self, what: impl Into<String>) -> Result<T>;
    /// The same, with the text made only on failure.
    fn doing_with(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|e| Error::system(what, e))
    }

    fn doing_with(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::system(what(), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_lower_case_and_carry_the_cause() {
        let missing = std::io::Error::from_raw_os_error(2);
        let error = Error::system("open /x", missing).context("container c1");
        assert_eq!(
            error.to_string(),
            "container c1: open /x: no such file or directory"
        );
        assert_eq!(error.kind().exit_code(), 125);
    }

    #[test]
    fn exit_codes_are_dockers() {
        assert_eq!(Kind::CommandNotFound.exit_code(), 127);
        assert_eq!(Kind::CommandNotExecutable.exit_code(), 126);
        assert_eq!(Kind::Conflict.http_status(), 409);
    }
}
