//! A page of labelled lines: what `why`, `whois`, `explain` and their kin print. Wrapped to the terminal, whole lines on pipes.

use super::Style;
use crate::terminal;

/// Label and text, the texts below each other.
#[derive(Debug, Default)]
pub struct Sheet {
    title: String,
    lines: Vec<(String, String)>,
}

/// Narrower than this nothing can be read anyway.
const NARROWEST: usize = 40;

impl Sheet {
    pub fn new(title: impl Into<String>) -> Sheet {
        Sheet {
            title: title.into(),
            lines: Vec::new(),
        }
    }

    /// Adds a line; nothing for an empty text.
    pub fn line(&mut self, label: &str, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.lines.push((label.to_owned(), text));
        }
    }

    /// For standard output as it is now.
    pub fn text(&self) -> String {
        let width = match (terminal::stdout_is_terminal(), terminal::size().1) {
            (false, _) => usize::MAX,
            (true, 0) => 80,
            (true, columns) => usize::from(columns),
        };
        self.render(width, Style::of_stdout())
    }

    fn render(&self, width: usize, style: Style) -> String {
        let widest = self.lines.iter().map(|(label, _)| label.chars().count());
        let indent = widest.max().unwrap_or(0) + 2;
        let mut out = String::new();
        if !self.title.is_empty() {
            for piece in wrap(&self.title, width.max(NARROWEST)) {
                out += &format!("{}\n", style.bold(&piece));
            }
        }
        for (label, text) in &self.lines {
            let room = width.max(NARROWEST).saturating_sub(indent);
            for (at, piece) in wrap(text, room).iter().enumerate() {
                let label = if at == 0 { label.as_str() } else { "" };
                let gap = " ".repeat(indent - label.chars().count());
                let label = if label.is_empty() {
                    String::new()
                } else {
                    style.bold(label)
                };
                out += &format!("{label}{gap}{piece}\n");
            }
        }
        out
    }
}

/// Lines of at most `width` characters, broken at blanks; a longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let together = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && together > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_below_each_other() {
        let mut sheet = Sheet::new("box stopped");
        sheet.line("cause", "one two three four five six seven eight nine");
        sheet.line("a", "short");
        sheet.line("nothing", "");
        assert_eq!(
            sheet.render(40, Style::Plain),
            "box stopped\ncause  one two three four five six seven\n       eight nine\na      short\n"
        );
        assert_eq!(sheet.render(usize::MAX, Style::Plain).lines().count(), 3);
        assert!(
            sheet
                .render(80, Style::Coloured)
                .contains("\x1b[1mcause\x1b[0m")
        );
    }

    #[test]
    fn long_words_are_not_cut() {
        assert_eq!(wrap("ab abcdefgh c", 4), ["ab", "abcdefgh", "c"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
