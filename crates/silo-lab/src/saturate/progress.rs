//! The progress line: rewritten in place on a terminal, a line a second elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::cli;

pub struct Progress {
    name: &'static str,
    live: bool,
    last: Option<Instant>,
}

impl Progress {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            live: std::io::stdout().is_terminal(),
            last: None,
        }
    }

    /// Shows what `text` makes, if it is time for it.
    pub fn tick(&mut self, text: impl FnOnce() -> String) {
        let every = Duration::from_millis(if self.live { 100 } else { 1000 });
        if self.last.is_none_or(|t| t.elapsed() >= every) {
            self.last = Some(Instant::now());
            self.show(&text());
        }
    }

    fn show(&self, text: &str) {
        let name = self.name;
        let line = if self.live {
            format!("\r{name}: {text}\x1b[K")
        } else {
            format!("{name}: {text}\n")
        };
        cli::print(&line);
    }

    /// A line that stays.
    pub fn say(&mut self, text: &str) {
        self.show(text);
        if self.live {
            cli::print("\n");
        }
        self.last = Some(Instant::now());
    }
}

/// What one counter gained since it was last asked, per second.
pub struct Rate {
    since: Instant,
    value: f64,
}

impl Rate {
    pub fn new(value: f64) -> Self {
        Self {
            since: Instant::now(),
            value,
        }
    }

    /// How long ago it was last asked.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    pub fn per_second(&mut self, value: f64) -> f64 {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-6);
        let rate = (value - self.value) / seconds;
        *self = Self::new(value);
        rate
    }
}
