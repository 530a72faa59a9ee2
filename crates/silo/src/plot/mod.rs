//! Curves of what a container used: from a recording to columns of equal time, then to text or SVG. Pure.

mod svg;
mod text;

pub use svg::svg;
pub use text::{Face, LABELS, legend, sparkline, text};

use silo_engine::{Moment, Series, Step};

/// What is drawn upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes: what is held, and with the cache what is charged.
    Memory,
    /// Thousandths of a processor.
    Cpu,
}

/// One column: the highest in its time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Column {
    pub value: f64,
    /// `value` and what comes on top of it.
    pub whole: f64,
}

/// A curve in columns of equal time.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    pub kind: Kind,
    /// Milliseconds since the epoch.
    pub from: u64,
    pub to: u64,
    /// `None`: it did not run, or nothing is known.
    pub columns: Vec<Option<Column>>,
    pub limit: Option<f64>,
    pub last: f64,
    pub high: f64,
    /// When processes were killed for want of memory.
    pub kills: Vec<u64>,
}

impl Curve {
    /// Of a recording that is not empty.
    pub fn new(kind: Kind, series: &Series, from: u64, to: u64, columns: usize) -> Curve {
        let to = to.max(from + 1);
        let mut curve = Curve {
            kind,
            from,
            to,
            columns: vec![None; columns],
            limit: None,
            last: 0.0,
            high: 0.0,
            kills: series
                .kills()
                .map(|(time, _)| time)
                .filter(|time| (from..=to).contains(time))
                .collect(),
        };
        if let [only] = series.moments.as_slice() {
            curve.add(only.time, only, &Step::default());
        }
        for (moment, step) in series.steps() {
            let start = moment.time.saturating_sub(step.length);
            curve.add(start, moment, &step);
        }
        curve
    }

    fn add(&mut self, start: u64, moment: &Moment, step: &Step) {
        if moment.time < self.from || start > self.to {
            return;
        }
        let (value, last, whole, limit) = match self.kind {
            Kind::Memory => (
                moment.held_high as f64,
                moment.held as f64,
                moment.usage_high as f64,
                moment.memory_limit,
            ),
            Kind::Cpu => (step.cpu_high, step.cpu, step.cpu_high, moment.cpu_limit),
        };
        self.limit = (limit > 0).then_some(limit as f64);
        self.last = last;
        self.high = self.high.max(value);
        let (first, end) = (
            self.column(start.max(self.from)),
            self.column(moment.time.min(self.to)),
        );
        // The column that a step begins in belongs to the step before it.
        let first = if first < end && start >= self.from {
            first + 1
        } else {
            first
        };
        for column in &mut self.columns[first..=end] {
            let before = column.unwrap_or_default();
            *column = Some(Column {
                value: before.value.max(value),
                whole: before.whole.max(whole),
            });
        }
    }

    /// Which column a moment falls into.
    pub fn column(&self, time: u64) -> usize {
        let passed = time.saturating_sub(self.from) as usize;
        let length = (self.to - self.from) as usize;
        (passed.saturating_mul(self.columns.len()) / length).min(self.columns.len() - 1)
    }

    /// The top of the drawing: the limit where it is not far above what was used.
    pub fn top(&self) -> f64 {
        let highest = self
            .columns
            .iter()
            .flatten()
            .fold(self.high, |high, column| high.max(column.whole));
        let floor = match self.kind {
            Kind::Memory => 1024.0 * 1024.0,
            Kind::Cpu => 50.0,
        };
        match self.limit {
            Some(limit) if limit <= highest * 2.0 => limit.max(highest) * 1.04,
            _ => (highest * 1.1).max(floor),
        }
    }

    /// `52.3 MiB`, `0.50 CPUs`
    pub fn amount(&self, value: f64) -> String {
        match self.kind {
            Kind::Memory => memory(value),
            Kind::Cpu => format!("{:.2}", value / 1000.0),
        }
    }

    pub fn title(&self) -> &'static str {
        match self.kind {
            Kind::Memory => "memory",
            Kind::Cpu => "cpu",
        }
    }

    /// `memory  now 52.3M · highest 98.0M · limit 100M`
    pub fn heading(&self) -> String {
        let unit = match self.kind {
            Kind::Memory => "",
            Kind::Cpu => " processors",
        };
        let limit = match self.limit {
            Some(limit) => format!("limit {}", self.amount(limit)),
            None => "no limit".to_owned(),
        };
        let kills = match self.kills.len() {
            0 => String::new(),
            1 => " · out of memory once".to_owned(),
            n => format!(" · out of memory {n} times"),
        };
        format!(
            "{}  last {}{unit} · highest {} · {limit}{kills}",
            self.title(),
            self.amount(self.last),
            self.amount(self.high)
        )
    }
}

/// Binary units, three digits: `52.3M`.
pub fn memory(bytes: f64) -> String {
    let units = ["B", "K", "M", "G", "T"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value {
        v if unit == 0 || v >= 99.95 => format!("{v:.0}{}", units[unit]),
        v => format!("{v:.1}{}", units[unit]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const M: u64 = 1 << 20;

    /// Ten seconds that climb to 90 MiB under a limit of 100, at half a processor; then killed.
    pub(crate) fn climb() -> Series {
        let moment = |n: u64| Moment {
            time: 100_000 + n * 100,
            cpu: n * 50_000,
            held: n * 9 * M / 10,
            held_high: n * 9 * M / 10,
            usage: n * M,
            usage_high: n * M,
            memory_limit: 100 * M,
            cpu_limit: 500,
            oom_kills: u64::from(n == 100),
            run: 1,
            ..Moment::default()
        };
        Series {
            moments: (0..=100).map(moment).collect(),
        }
    }

    #[test]
    fn columns_hold_the_highest() {
        let curve = Curve::new(Kind::Memory, &climb(), 100_000, 110_000, 10);
        let values: Vec<u64> = curve
            .columns
            .iter()
            .map(|c| (c.unwrap().value / M as f64).round() as u64)
            .collect();
        assert_eq!(values.len(), 10);
        assert!(values.windows(2).all(|w| w[0] < w[1]), "{values:?}");
        assert_eq!(values[9], 90);
        assert_eq!(curve.limit, Some(100.0 * M as f64));
        assert_eq!(curve.kills, [110_000]);
        let cpu = Curve::new(Kind::Cpu, &climb(), 100_000, 110_000, 10);
        assert!(cpu.columns.iter().all(|c| c.unwrap().value == 500.0));
        assert_eq!(
            cpu.heading(),
            "cpu  last 0.50 processors · highest 0.50 · limit 0.50 · out of memory once"
        );
    }

    #[test]
    fn what_did_not_run_is_empty() {
        let mut series = climb();
        for moment in &mut series.moments[50..] {
            moment.time += 10_000;
            moment.run = 2;
        }
        let curve = Curve::new(Kind::Memory, &series, 100_000, 120_000, 20);
        let there: Vec<bool> = curve.columns.iter().map(Option::is_some).collect();
        assert!(there[..4].iter().all(|there| *there), "{there:?}");
        assert!(there[6..14].iter().all(|there| !*there), "{there:?}");
        // A window beside of it holds nothing and breaks nothing.
        let other = Curve::new(Kind::Cpu, &series, 5, 6, 3);
        assert!(other.columns.iter().all(Option::is_none));
    }

    #[test]
    fn amounts() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1.0K"),
            (52 * M + 300_000, "52.3M"),
            (100 * M, "100M"),
            (2048 * M, "2.0G"),
        ] {
            assert_eq!(memory(bytes as f64), text);
        }
    }
}
