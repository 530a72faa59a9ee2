//! Bytes from a terminal to keys and clicks. Pure.

/// What was typed or clicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Key(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    /// Left button, (column, row) from 0.
    Click(u16, u16),
    WheelUp,
    WheelDown,
}

/// Longest sequence that is waited for.
const LONGEST: usize = 32;

/// Holds back the beginning of a sequence that has not arrived whole.
#[derive(Debug, Default)]
pub struct Parser {
    held: Vec<u8>,
}

impl Parser {
    /// Takes in what was read; `last`: nothing more came for a while, so an escape alone is the Escape key.
    pub fn take(&mut self, bytes: &[u8], last: bool) -> Vec<Input> {
        self.held.extend_from_slice(bytes);
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.held.len() {
            match next(&self.held[at..], last) {
                Some((input, length)) => {
                    found.extend(input);
                    at += length;
                }
                None => break,
            }
        }
        self.held.drain(..at);
        if self.held.len() > LONGEST {
            self.held.clear();
        }
        found
    }

    /// Something is held back.
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }
}

/// The input at the start of `bytes` and its length; `None` when more is needed.
fn next(bytes: &[u8], last: bool) -> Option<(Option<Input>, usize)> {
    let first = *bytes.first()?;
    let plain = |input| Some((Some(input), 1));
    match first {
        0x1b => escape(bytes, last),
        b'\r' | b'\n' => plain(Input::Enter),
        b'\t' => plain(Input::Tab),
        0x7f | 0x08 => plain(Input::Backspace),
        // Ctrl-C.
        0x03 => plain(Input::Key('q')),
        0..=0x1f => Some((None, 1)),
        _ => letter(bytes, last),
    }
}

fn letter(bytes: &[u8], last: bool) -> Option<(Option<Input>, usize)> {
    let length = match bytes[0] {
        0..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => return Some((None, 1)),
    };
    match bytes.get(..length) {
        Some(letter) => {
            let text = std::str::from_utf8(letter).ok();
            let input = text.and_then(|text| text.chars().next()).map(Input::Key);
            Some((input, if input.is_some() { length } else { 1 }))
        }
        None if last => Some((None, 1)),
        None => None,
    }
}

fn escape(bytes: &[u8], last: bool) -> Option<(Option<Input>, usize)> {
    match bytes.get(1) {
        None if last => Some((Some(Input::Escape), 1)),
        None => None,
        Some(b'[') => control(bytes, last),
        Some(b'O') => match bytes.get(2) {
            Some(letter) => Some((arrow(*letter), 3)),
            None if last => Some((None, 2)),
            None => None,
        },
        // Alt with a key: the key is taken for itself.
        Some(_) => Some((Some(Input::Escape), 1)),
    }
}

/// `ESC [ … letter`: ECMA-48, and xterm's mouse (mode 1006).
fn control(bytes: &[u8], last: bool) -> Option<(Option<Input>, usize)> {
    let Some(end) = bytes[2..].iter().position(|b| (0x40..=0x7e).contains(b)) else {
        return match last || bytes.len() > LONGEST {
            true => Some((None, bytes.len())),
            false => None,
        };
    };
    let (words, letter, length) = (&bytes[2..2 + end], bytes[2 + end], end + 3);
    let input = match (words.first(), letter) {
        (Some(b'<'), b'M' | b'm') => mouse(&words[1..], letter),
        (_, b'~') => match words {
            b"1" | b"7" => Some(Input::Home),
            b"4" | b"8" => Some(Input::End),
            b"5" => Some(Input::PageUp),
            b"6" => Some(Input::PageDown),
            _ => None,
        },
        _ => arrow(letter),
    };
    Some((input, length))
}

fn arrow(letter: u8) -> Option<Input> {
    Some(match letter {
        b'A' => Input::Up,
        b'B' => Input::Down,
        b'C' => Input::Right,
        b'D' => Input::Left,
        b'H' => Input::Home,
        b'F' => Input::End,
        b'Z' => Input::Tab,
        _ => return None,
    })
}

/// `button;column;row`, from 1.
fn mouse(words: &[u8], letter: u8) -> Option<Input> {
    let text = std::str::from_utf8(words).ok()?;
    let mut numbers = text.split(';').map(|word| word.parse::<u16>().ok());
    let (button, column, row) = (numbers.next()??, numbers.next()??, numbers.next()??);
    match (button, letter) {
        (0, b'M') => Some(Input::Click(
            column.saturating_sub(1),
            row.saturating_sub(1),
        )),
        (64, b'M') => Some(Input::WheelUp),
        (65, b'M') => Some(Input::WheelDown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Vec<Input> {
        Parser::default().take(bytes, true)
    }

    #[test]
    fn keys_and_clicks() {
        assert_eq!(
            all(b"a\r\t\x7f"),
            [Input::Key('a'), Input::Enter, Input::Tab, Input::Backspace]
        );
        assert_eq!(
            all(b"\x1b[A\x1bOB\x1b[5~\x1b[H"),
            [Input::Up, Input::Down, Input::PageUp, Input::Home]
        );
        assert_eq!(all(b"\x1b[<0;12;3M\x1b[<0;12;3m"), [Input::Click(11, 2)]);
        assert_eq!(all(b"\x1b[<65;1;1M"), [Input::WheelDown]);
        assert_eq!(all("é".as_bytes()), [Input::Key('é')]);
        assert_eq!(all(b"\x1b"), [Input::Escape]);
        assert_eq!(all(b"\x03"), [Input::Key('q')]);
    }

    #[test]
    fn sequences_arrive_in_pieces() {
        let mut parser = Parser::default();
        assert_eq!(parser.take(b"\x1b", false), []);
        assert!(parser.is_waiting());
        assert_eq!(parser.take(b"[", false), []);
        assert_eq!(parser.take(b"Bx", false), [Input::Down, Input::Key('x')]);
        assert!(!parser.is_waiting());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_stay(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)) {
            let mut parser = Parser::default();
            for piece in &pieces {
                let _ = parser.take(piece, false);
            }
            let _ = parser.take(b"", true);
            prop_assert!(!parser.is_waiting());
        }
    }
}
