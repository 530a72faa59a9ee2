//! What a terminal shows: the escapes that a program wrote, played onto a grid of letters.

/// Rows of letters.
pub struct Grid {
    rows: Vec<Vec<char>>,
    at: (usize, usize),
    /// Something was written beyond the edge.
    pub overflowed: bool,
    /// Colours were set.
    pub coloured: bool,
}

impl Grid {
    /// Plays all that was written so far.
    pub fn of(written: &str, (rows, columns): (usize, usize)) -> Grid {
        let mut grid = Grid {
            rows: vec![vec![' '; columns]; rows],
            at: (0, 0),
            overflowed: false,
            coloured: false,
        };
        let mut letters = written.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\x1b' if letters.peek() == Some(&'[') => {
                    letters.next();
                    let mut words = String::new();
                    for letter in letters.by_ref() {
                        if letter.is_ascii_alphabetic() {
                            grid.control(&words, letter);
                            break;
                        }
                        words.push(letter);
                    }
                }
                letter if letter.is_control() => {}
                letter => grid.put(letter),
            }
        }
        grid
    }

    fn control(&mut self, words: &str, letter: char) {
        let numbers: Vec<usize> = words.split(';').map(|w| w.parse().unwrap_or(0)).collect();
        match letter {
            'H' => {
                let number = |at: usize| numbers.get(at).copied().unwrap_or(1).max(1) - 1;
                self.at = (number(0), number(1));
            }
            'J' => self.rows.iter_mut().for_each(|row| row.fill(' ')),
            'm' => {
                self.coloured |= numbers
                    .iter()
                    .any(|n| (30..38).contains(n) || (40..48).contains(n))
            }
            _ => {}
        }
    }

    fn put(&mut self, letter: char) {
        let (row, column) = self.at;
        match self.rows.get_mut(row).and_then(|row| row.get_mut(column)) {
            Some(cell) => *cell = letter,
            None => self.overflowed = true,
        }
        self.at.1 += 1;
    }

    /// The lines as text.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self
            .rows
            .iter()
            .map(|row| row.iter().collect::<String>().trim_end().to_owned())
            .collect();
        lines.join("\n")
    }
}
