//! The report: sections with a table and notes, in Markdown.

use std::fmt;

use crate::{measure::Timed, summary::Millis};

/// What is printed at the end.
#[derive(Debug, Default)]
pub struct Report {
    pub sections: Vec<Section>,
}

/// One comparison.
#[derive(Debug, Default)]
pub struct Section {
    pub title: String,
    pub head: Vec<&'static str>,
    pub lines: Vec<Vec<String>>,
    pub notes: Vec<String>,
}

/// A ratio that the project promises.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// The candidate that promises and the one it is measured by: indices.
    pub of: usize,
    pub against: usize,
    pub at_most: f64,
}

impl Section {
    pub fn new(title: impl Into<String>) -> Section {
        Section {
            title: title.into(),
            ..Section::default()
        }
    }

    /// A table of timed commands, with each median over that of `base`.
    pub fn times(mut self, timed: &[Timed], base: usize, with_gone: bool) -> Section {
        self.head = vec!["command", "median ms", "p10", "p90"];
        if with_gone {
            self.head.extend(["all gone, ms", "CPU ms"]);
        }
        self.head.push("ratio");
        for one in timed {
            let mut line = vec![
                one.name.clone(),
                Millis(one.returned.median).to_string(),
                Millis(one.returned.p10).to_string(),
                Millis(one.returned.p90).to_string(),
            ];
            if with_gone {
                line.push(Millis(one.gone.median).to_string());
                line.push(format!("{:.1}", one.cpu.as_secs_f64() * 1e3));
            }
            line.push(format!("{:.2}", one.returned.ratio(&timed[base].returned)));
            self.lines.push(line);
        }
        self
    }

    /// A note for each promise: met or not, by how much.
    pub fn promises(mut self, timed: &[Timed], promises: &[Promise]) -> Section {
        for promise in promises {
            let (of, against) = (&timed[promise.of], &timed[promise.against]);
            let ratio = of.returned.ratio(&against.returned);
            self.notes.push(format!(
                "{}: {} takes {ratio:.2} × {} (at most {:.1})",
                verdict(ratio <= promise.at_most),
                of.name,
                against.name,
                promise.at_most
            ));
        }
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Section {
        self.notes.push(note.into());
        self
    }
}

/// How a promise is marked.
pub fn verdict(is_met: bool) -> &'static str {
    match is_met {
        true => "**met**",
        false => "**not met**",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sections
            .iter()
            .try_for_each(|section| write!(f, "{section}"))
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n", self.title)?;
        if !self.head.is_empty() {
            writeln!(f, "| {} |", self.head.join(" | "))?;
            let rules = self
                .head
                .iter()
                .enumerate()
                .map(|(i, _)| if i == 0 { "---" } else { "---:" });
            writeln!(f, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
            for line in &self.lines {
                writeln!(f, "| {} |", line.join(" | "))?;
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "- {note}")?;
        }
        writeln!(f)
    }
}
