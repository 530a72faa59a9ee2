//! A terminal in memory: what a program wrote, as lines of letters. Enough of ECMA-48 for shells, editors of lines and tables.
//!
//! Lines that have scrolled away are kept, so that the whole output of a command can be asked for. Pure.

/// Lines that are kept.
const MOST: usize = 4000;

/// How a letter looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub bold: bool,
    pub faint: bool,
    /// One of the eight colours, black first.
    pub colour: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    pub letters: Vec<(char, Look)>,
    /// It goes on in the next one.
    wrapped: bool,
}

impl Line {
    pub fn text(&self) -> String {
        let text: String = self.letters.iter().map(|(letter, _)| letter).collect();
        text.trim_end().to_owned()
    }
}

/// The terminal.
#[derive(Debug)]
pub struct Vt {
    lines: Vec<Line>,
    /// Lines that were given up at the start.
    dropped: usize,
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
    look: Look,
    state: State,
    words: String,
    /// The beginning of a letter whose bytes have not all arrived.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain,
    Escape,
    Control,
    /// A title or the like, up to BEL or ESC \.
    Title,
}

impl Vt {
    pub fn new((rows, columns): (u16, u16)) -> Vt {
        Vt {
            lines: vec![Line::default()],
            dropped: 0,
            rows: usize::from(rows.max(1)),
            columns: usize::from(columns.max(2)),
            row: 0,
            column: 0,
            look: Look::default(),
            state: State::Plain,
            words: String::new(),
            held: Vec::new(),
        }
    }

    pub fn resize(&mut self, (rows, columns): (u16, u16)) {
        self.rows = usize::from(rows.max(1));
        self.columns = usize::from(columns.max(2));
    }

    /// Number of the line that the cursor is on, counted from the very first.
    pub fn here(&self) -> usize {
        self.dropped + self.row
    }

    /// The line with the cursor, and whether the cursor is behind all of its letters.
    pub fn current(&self) -> (String, bool) {
        let line = &self.lines[self.row];
        (line.text(), self.column >= line.text().chars().count())
    }

    /// The last lines, as many as fit.
    pub fn last(&self, rows: usize) -> &[Line] {
        let end = self.lines.len();
        &self.lines[end.saturating_sub(rows)..end]
    }

    /// Where the cursor is among the last `rows` lines, and its column.
    pub fn cursor(&self, rows: usize) -> Option<(usize, usize)> {
        let first = self.lines.len().saturating_sub(rows);
        Some((self.row.checked_sub(first)?, self.column))
    }

    /// Adds the lines of another one below.
    pub fn extend(&mut self, other: &Vt) {
        let blank = other
            .lines
            .iter()
            .rev()
            .take_while(|line| line.letters.is_empty())
            .count();
        for line in &other.lines[..other.lines.len() - blank] {
            self.lines[self.row] = line.clone();
            self.next_line(line.wrapped);
        }
        self.column = 0;
    }

    /// Lines from number `from` up to number `to`.
    pub fn lines(&self, from: usize, to: usize) -> &[Line] {
        let place = |number: usize| number.saturating_sub(self.dropped).min(self.lines.len());
        &self.lines[place(from)..place(to).max(place(from))]
    }

    /// The same as text, those that were broken at the edge put together.
    pub fn text(&self, from: usize, to: usize) -> String {
        let mut out = String::new();
        for line in self.lines(from, to) {
            let text = line.text();
            match line.wrapped {
                // A blank at the edge is a letter like others.
                true => line
                    .letters
                    .iter()
                    .for_each(|(letter, _)| out.push(*letter)),
                false => out += &(text + "\n"),
            }
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// Takes in what a program wrote.
    pub fn write(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    text.chars().for_each(|letter| self.letter(letter));
                    return;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    String::from_utf8_lossy(good)
                        .chars()
                        .for_each(|letter| self.letter(letter));
                    match error.error_len() {
                        // More may come.
                        None => {
                            self.held = bad.to_vec();
                            return;
                        }
                        Some(length) => {
                            self.letter('\u{fffd}');
                            rest = &bad[length..];
                        }
                    }
                }
            }
        }
    }

    fn letter(&mut self, letter: char) {
        match (self.state, letter) {
            (State::Plain, '\u{1b}') => self.state = State::Escape,
            (State::Plain, letter) => self.plain(letter),
            (State::Escape, '[') => {
                self.words.clear();
                self.state = State::Control;
            }
            (State::Escape, ']') => self.state = State::Title,
            (State::Escape, _) => self.state = State::Plain,
            (State::Control, '\u{40}'..='\u{7e}') => {
                self.state = State::Plain;
                self.control(letter);
            }
            (State::Control, letter) => {
                if self.words.len() < 32 {
                    self.words.push(letter);
                }
            }
            (State::Title, '\u{7}') => self.state = State::Plain,
            (State::Title, '\u{1b}') => self.state = State::Escape,
            (State::Title, _) => {}
        }
    }

    fn plain(&mut self, letter: char) {
        match letter {
            '\r' => self.column = 0,
            '\n' => self.next_line(false),
            '\u{8}' => self.column = self.column.saturating_sub(1),
            '\t' => self.column = ((self.column / 8 + 1) * 8).min(self.columns - 1),
            letter if letter.is_control() => {}
            letter => {
                if self.column >= self.columns {
                    self.next_line(true);
                    self.column = 0;
                }
                let (column, look) = (self.column, self.look);
                let line = &mut self.lines[self.row].letters;
                if line.len() <= column {
                    line.resize(column + 1, (' ', Look::default()));
                }
                line[column] = (letter, look);
                self.column += 1;
            }
        }
    }

    fn next_line(&mut self, wrapped: bool) {
        self.lines[self.row].wrapped = wrapped;
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(Line::default());
        }
        if self.lines.len() > MOST {
            let surplus = MOST / 4;
            self.lines.drain(..surplus);
            self.dropped += surplus;
            self.row = self.row.saturating_sub(surplus);
        }
    }

    fn top(&self) -> usize {
        self.lines.len().saturating_sub(self.rows)
    }

    /// `ESC [ words letter`
    fn control(&mut self, letter: char) {
        let numbers: Vec<usize> = self
            .words
            .split(';')
            .map(|word| word.parse().unwrap_or(0))
            .collect();
        let first = numbers.first().copied().unwrap_or(0);
        let count = first.clamp(1, 1000);
        match letter {
            'A' => self.row = self.row.saturating_sub(count).max(self.top()),
            'B' => self.row = (self.row + count).min(self.lines.len() - 1),
            'C' => self.column = (self.column + count).min(self.columns),
            'D' => self.column = self.column.saturating_sub(count),
            'G' => self.column = (count - 1).min(self.columns),
            'H' | 'f' => {
                let column = numbers.get(1).copied().unwrap_or(1).max(1) - 1;
                self.go_to(count - 1, column);
            }
            'J' => self.clear(first),
            'K' => self.clear_line(first),
            'P' => {
                let line = &mut self.lines[self.row].letters;
                let from = self.column.min(line.len());
                line.drain(from..(from + count).min(line.len()));
            }
            'm' => numbers.iter().for_each(|number| self.look_as(*number)),
            _ => {}
        }
    }

    fn go_to(&mut self, row: usize, column: usize) {
        let top = self.top();
        self.row = top + row.min(self.rows - 1);
        while self.lines.len() <= self.row {
            self.lines.push(Line::default());
        }
        self.column = column.min(self.columns);
    }

    fn clear(&mut self, how: usize) {
        match how {
            0 => {
                self.clear_line(0);
                self.lines.truncate(self.row + 1);
            }
            // What was there scrolls away: it may be asked for.
            _ => {
                let blank = self
                    .lines
                    .iter()
                    .rev()
                    .take_while(|line| line.letters.is_empty())
                    .count();
                let filled = self.lines.len() - blank;
                self.lines.truncate(filled.max(1));
                for _ in 0..self.rows {
                    self.lines.push(Line::default());
                }
                self.row = self.top();
            }
        }
    }

    fn clear_line(&mut self, how: usize) {
        let column = self.column;
        let line = &mut self.lines[self.row].letters;
        match how {
            0 => line.truncate(column),
            1 => line
                .iter_mut()
                .take(column + 1)
                .for_each(|cell| *cell = (' ', Look::default())),
            _ => line.clear(),
        }
    }

    fn look_as(&mut self, number: usize) {
        match number {
            0 => self.look = Look::default(),
            1 => self.look.bold = true,
            2 => self.look.faint = true,
            22 => (self.look.bold, self.look.faint) = (false, false),
            30..=37 => self.look.colour = u8::try_from(number - 30).ok(),
            90..=97 => self.look.colour = u8::try_from(number - 90).ok(),
            39 => self.look.colour = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(size: (u16, u16), text: &str) -> String {
        let mut vt = Vt::new(size);
        vt.write(text.as_bytes());
        vt.text(0, usize::MAX)
    }

    #[test]
    fn lines_are_written_over_and_cleared() {
        assert_eq!(shown((24, 80), "one\r\ntwo"), "one\ntwo");
        assert_eq!(
            shown((24, 80), "\rmem: 1 MiB\x1b[K\rmem: 2\x1b[K\r\n"),
            "mem: 2"
        );
        // A line as an editor draws it: prompt and text, then the cursor put back behind them.
        assert_eq!(
            shown((24, 80), "\r\x1b[K# l\r\x1b[3Cs\r\x1b[K# ls\r\x1b[4C"),
            "# ls"
        );
        assert_eq!(
            shown((24, 80), "\x1b[1;31mred\x1b[0m \x1b]0;title\x07x"),
            "red x"
        );
    }

    #[test]
    fn what_was_broken_at_the_edge_is_whole() {
        assert_eq!(
            shown((4, 10), "0123456789abcdef\r\nx"),
            "0123456789abcdef\nx"
        );
        let mut vt = Vt::new((2, 10));
        vt.write(b"a\r\nb\r\nc\r\nd");
        assert_eq!(vt.here(), 3);
        assert_eq!(vt.text(1, 3), "b\nc");
        assert_eq!(
            vt.last(2).iter().map(Line::text).collect::<Vec<_>>(),
            ["c", "d"]
        );
        assert_eq!(vt.current(), ("d".to_owned(), true));
    }

    #[test]
    fn letters_arrive_in_pieces() {
        let mut vt = Vt::new((2, 10));
        for byte in "é✓".bytes() {
            vt.write(&[byte]);
        }
        vt.write(&[0xff, b'x']);
        assert_eq!(vt.text(0, 1), "é✓\u{fffd}x");
    }

    #[test]
    fn a_cleared_screen_keeps_what_was_there() {
        assert_eq!(
            shown((3, 20), "before\r\n\x1b[2J\x1b[Hafter").replace('\n', ""),
            "beforeafter"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), rows in 1u16..5, columns in 1u16..9) {
            let mut vt = Vt::new((rows, columns));
            vt.write(&bytes);
            vt.write(b"\x1b[9;9H\x1b[2J\x1b[A\x1b[999PX\x1b[J");
            let _ = (vt.text(0, usize::MAX), vt.current(), vt.cursor(3));
        }
    }
}
