//! The terminal while the dashboard has it: raw, on its second screen, with a mouse; given back whichever way it ends.
//!
//! ratatui's buffers say what changed, this writes it. Without colours (NO_COLOR) the attributes stay.

use std::io;

use ratatui_core::{
    backend::{Backend, ClearType, WindowSize},
    buffer::Cell,
    layout::{Position, Size},
    style::{Color, Modifier},
    terminal::Terminal,
};
use silo_types::{Doing, Error, Result};

use crate::terminal::{self, RawMode, write_all};

/// Second screen, no cursor, clicks and wheel with their places (xterm's modes 1000 and 1006).
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?1006h\x1b[2J";
const LEAVE: &str = "\x1b[?1006l\x1b[?1000l\x1b[0m\x1b[?25h\x1b[?1049l";

/// Gives the terminal back when it is dropped.
pub struct Screen {
    pub terminal: Terminal<Out>,
    _raw: RawMode,
}

impl Screen {
    /// Errors: Unsupported when there is no terminal.
    pub fn enter(coloured: bool) -> Result<Screen> {
        let refused = || {
            Error::invalid(
                "the dashboard needs a terminal: try 'silo stats --no-stream' or 'silo dash --format json'",
            )
        };
        if !terminal::stdout_is_terminal() {
            return Err(refused());
        }
        let raw = RawMode::start()?.ok_or_else(refused)?;
        // Runs before the hook that gives the mode back; a panic ends the program without unwinding.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = write_all(io::stdout(), LEAVE.as_bytes());
            hook(panic);
        }));
        write_all(io::stdout(), ENTER.as_bytes())?;
        let out = Out {
            bytes: Vec::with_capacity(16 * 1024),
            coloured,
        };
        let terminal = Terminal::new(out).doing("set up the terminal")?;
        Ok(Screen {
            terminal,
            _raw: raw,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing is left to be done when the terminal has gone.
        let _ = write_all(io::stdout(), LEAVE.as_bytes());
    }
}

/// Collects escapes, and writes them at once.
pub struct Out {
    bytes: Vec<u8>,
    coloured: bool,
}

impl Out {
    fn put(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn style(&mut self, cell: &Cell) {
        self.put("\x1b[0");
        for (modifier, code) in [
            (Modifier::BOLD, ";1"),
            (Modifier::DIM, ";2"),
            (Modifier::UNDERLINED, ";4"),
            (Modifier::REVERSED, ";7"),
        ] {
            if cell.modifier.contains(modifier) {
                self.put(code);
            }
        }
        if self.coloured {
            self.colour(cell.fg, 30);
            self.colour(cell.bg, 40);
        }
        self.put("m");
    }

    /// The eight colours that every terminal has.
    fn colour(&mut self, colour: Color, base: u8) {
        let number = match colour {
            Color::Black => 0,
            Color::Red => 1,
            Color::Green => 2,
            Color::Yellow => 3,
            Color::Blue => 4,
            Color::Magenta => 5,
            Color::Cyan => 6,
            Color::White | Color::Gray => 7,
            _ => return,
        };
        self.put(&format!(";{}", base + number));
    }
}

impl Backend for Out {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        let mut style = None;
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                self.put(&format!("\x1b[{};{}H", y + 1, x + 1));
            }
            let wanted = (cell.fg, cell.bg, cell.modifier);
            if style != Some(wanted) {
                self.style(cell);
                style = Some(wanted);
            }
            self.put(cell.symbol());
            next = Some((x + 1, y));
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.put("\x1b[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let position = position.into();
        self.put(&format!("\x1b[{};{}H", position.y + 1, position.x + 1));
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.put("\x1b[0m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        Ok(match terminal::size() {
            (0, _) | (_, 0) => Size::new(80, 24),
            (rows, columns) => Size::new(columns, rows),
        })
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.size()?,
            pixels: Size::ZERO,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = write_all(io::stdout(), &self.bytes);
        self.bytes.clear();
        match written {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }
}
