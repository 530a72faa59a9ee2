//! Colours, where they help: on a terminal, unless NO_COLOR says otherwise (no-color.org).

use std::io::IsTerminal;

/// Whether escapes may be written to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Coloured,
}

impl Style {
    /// For standard output as it is now.
    pub fn of_stdout() -> Style {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match std::io::stdout().is_terminal() && !refused && !dumb {
            true => Style::Coloured,
            false => Style::Plain,
        }
    }

    pub fn bold(self, text: &str) -> String {
        self.wrapped("1", text)
    }

    pub fn red(self, text: &str) -> String {
        self.wrapped("31", text)
    }

    pub fn green(self, text: &str) -> String {
        self.wrapped("32", text)
    }

    fn wrapped(self, code: &str, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
