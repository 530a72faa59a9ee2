//! Deviations, gathered by engine, view and figure.

use crate::report::{Section, verdict};

/// Engine, view, figure.
type Key = (&'static str, &'static str, &'static str);

struct Line {
    key: Key,
    count: usize,
    /// Percent, with its sign.
    worst: f64,
    allowed: f64,
}

/// In the order of the first figure of each kind.
#[derive(Default)]
pub struct Table {
    lines: Vec<Line>,
    /// Seconds of which the measurement itself does not know enough.
    pub unjudged: usize,
}

impl Table {
    /// A figure that was seen, and what it should be.
    pub fn add(&mut self, key: Key, seen: f64, made: f64, allowed: f64) {
        let off = deviation(seen, made);
        let at = match self.lines.iter().position(|line| line.key == key) {
            Some(at) => at,
            None => {
                self.lines.push(Line {
                    key,
                    count: 0,
                    worst: 0.0,
                    allowed,
                });
                self.lines.len() - 1
            }
        };
        let line = &mut self.lines[at];
        line.count += 1;
        if off.abs() > line.worst.abs() {
            line.worst = off;
        }
    }

    pub fn section(&self, mut section: Section) -> Section {
        section.head = vec!["who", "view", "figure", "looked at", "off by, %", "allowed"];
        for line in &self.lines {
            let (engine, view, figure) = line.key;
            section.lines.push(vec![
                engine.to_owned(),
                view.to_owned(),
                figure.to_owned(),
                line.count.to_string(),
                format!("{:+.2}", line.worst),
                format!("{:.0} %", line.allowed),
            ]);
        }
        let own = self.lines.iter().filter(|line| line.key.0 == "Silo");
        let untrue: Vec<String> = own
            .filter(|line| line.worst.abs() > line.allowed)
            .map(|line| format!("{} {}", line.key.1, line.key.2))
            .collect();
        let told = match untrue.as_slice() {
            [] => "all figures of Silo are within what is allowed".to_owned(),
            some => format!("Silo is farther off in: {}", some.join(", ")),
        };
        section
            .note(format!("{}: {told}", verdict(untrue.is_empty())))
            .note(format!(
                "{} seconds of processor time were not judged: the kernel's counter is not known closely enough at their ends",
                self.unjudged
            ))
    }
}

/// In percent of what was made; of nothing anything is all.
fn deviation(seen: f64, made: f64) -> f64 {
    match made == 0.0 {
        true if seen == 0.0 => 0.0,
        true => 100.0,
        false => (seen / made - 1.0) * 100.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_counts() {
        let mut table = Table::default();
        let key = ("Silo", "stats", "memory");
        for seen in [101.0, 98.5, 100.2] {
            table.add(key, seen, 100.0, 2.0);
        }
        table.add(("Silo", "top", "zombies"), 3.0, 3.0, 0.0);
        let section = table.section(Section::new("x"));
        assert_eq!(section.lines[0][3..5], ["3", "-1.50"]);
        assert!(section.notes[0].starts_with("**met**"));
        table.add(("Silo", "top", "zombies"), 2.0, 3.0, 0.0);
        let section = table.section(Section::new("x"));
        assert!(section.notes[0].ends_with("farther off in: top zombies"));
        assert_eq!((deviation(0.0, 0.0), deviation(1.0, 0.0)), (0.0, 100.0));
    }
}
