//! A curve in block characters, eight steps a line; the limit as a dashed line, kills as marks below.

use super::{Column, Curve, Kind};
use crate::output::clock;

/// Eighths of a cell.
const BLOCKS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Width of the labels at the left.
pub const LABELS: usize = 8;

/// How escapes are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Plain,
    /// Blue and orange, which everybody can tell apart.
    Coloured,
}

impl Face {
    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Face::Plain => text.to_owned(),
            Face::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

const BLUE: &str = "34";
const ORANGE: &str = "33";
const FAINT: &str = "2";
const MARK: &str = "1;31";

/// Heading, `height` lines, axis, times.
pub fn text(curve: &Curve, height: usize, face: Face) -> String {
    let top = curve.top();
    let limit_row = curve
        .limit
        .filter(|limit| *limit <= top)
        .map(|limit| row_of(limit, top, height));
    let mut out = face.wrap("1", &curve.heading()) + "\n";
    for row in (0..height).rev() {
        let label = match row {
            _ if limit_row == Some(row) => curve.amount(curve.limit.unwrap_or(0.0)),
            _ if row + 1 == height && limit_row != Some(row.saturating_sub(1)) => curve.amount(top),
            _ if row == height / 2 && limit_row != Some(row + 1) => {
                curve.amount(top * (row as f64 + 0.5) / height as f64)
            }
            0 => curve.amount(0.0),
            _ => String::new(),
        };
        out += &format!("{label:>LABELS$} ┤");
        for column in &curve.columns {
            out += &cell(
                curve,
                *column,
                row,
                height,
                top,
                limit_row == Some(row),
                face,
            );
        }
        out.push('\n');
    }
    out + &axis(curve, face)
}

/// What the signs mean, as far as they are drawn.
pub fn legend(curves: &[Curve]) -> String {
    let memory = curves.iter().any(|curve| curve.kind == Kind::Memory);
    let limit = curves.iter().any(|curve| curve.limit.is_some());
    let signs = [
        (true, "█ used"),
        (memory, "░ file cache, which can be dropped"),
        (limit, "╌ limit"),
    ];
    let shown: Vec<&str> = signs
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, text)| *text)
        .collect();
    format!("\n{:LABELS$}  {}\n", "", shown.join("  "))
}

/// Which line a value ends in.
fn row_of(value: f64, top: f64, height: usize) -> usize {
    ((value / top * height as f64) as usize).min(height.saturating_sub(1))
}

fn cell(
    curve: &Curve,
    column: Option<Column>,
    row: usize,
    height: usize,
    top: f64,
    is_limit: bool,
    face: Face,
) -> String {
    let empty = || match is_limit {
        true => face.wrap(ORANGE, "╌"),
        false => " ".to_owned(),
    };
    let Some(column) = column else { return empty() };
    let eighths = |value: f64| {
        let all = (value / top * (height * 8) as f64).round() as usize;
        // What is there at all is seen.
        let all = if value > 0.0 { all.max(1) } else { all };
        all.saturating_sub(row * 8).min(8)
    };
    let (solid, whole) = (eighths(column.value), eighths(column.whole));
    match (solid, whole) {
        (0, 0) => empty(),
        (0, 1..=3) => empty(),
        // Cache, which can be dropped.
        (0, _) if curve.kind == Kind::Memory => face.wrap(FAINT, "░"),
        (solid, _) => face.wrap(BLUE, BLOCKS[solid]),
    }
}

fn axis(curve: &Curve, face: Face) -> String {
    let width = curve.columns.len();
    let mut out = format!("{:LABELS$} └{}\n", "", "─".repeat(width));
    let day = curve.to - curve.from > 20 * 3_600_000;
    let time = |milliseconds: u64| clock(milliseconds * 1_000_000, day);
    let (first, last) = (time(curve.from), time(curve.to));
    let middle = time(curve.from + (curve.to - curve.from) / 2);
    let mut line = vec![' '; width.max(last.len())];
    let mut place = |text: &str, at: usize| {
        for (slot, letter) in line.iter_mut().skip(at).zip(text.chars()) {
            *slot = letter;
        }
    };
    place(&first, 0);
    if width > 3 * last.len() + 6 {
        place(&middle, width / 2 - middle.len() / 2);
    }
    if width > 2 * last.len() + 2 {
        place(&last, width - last.len());
    }
    let times: String = line.into_iter().collect();
    out += &format!("{:LABELS$}  {}\n", "", times.trim_end());
    if !curve.kills.is_empty() {
        let mut marks = vec![' '; width];
        for kill in &curve.kills {
            marks[curve.column(*kill)] = 'x';
        }
        let marks: String = marks.into_iter().collect();
        out += &format!(
            "{:>LABELS$}  {}\n",
            "killed",
            face.wrap(MARK, marks.trim_end())
        );
    }
    out
}

/// One line of a curve, from nothing to `top`.
pub fn sparkline(values: impl Iterator<Item = Option<f64>>, top: f64) -> String {
    values
        .map(|value| match value {
            None => " ",
            Some(value) if top > 0.0 => BLOCKS[1 + ((value / top * 7.0).round() as usize).min(7)],
            Some(_) => BLOCKS[1],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::climb;
    use super::*;

    #[test]
    fn a_climb_to_the_limit() {
        let curve = Curve::new(Kind::Memory, &climb(), 100_000, 110_000, 40);
        let drawn = text(&curve, 8, Face::Plain);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 1 + 8 + 3, "{drawn}");
        assert!(lines[0].contains("limit 100M"), "{drawn}");
        assert!(lines[1].contains("100M ┤╌╌╌"), "{drawn}");
        assert!(lines[8].ends_with('█'), "{drawn}");
        assert!(drawn.contains('░'), "{drawn}");
        assert_eq!(lines[11].trim_end().chars().last(), Some('x'), "{drawn}");
        assert!(
            lines[1..].iter().all(|line| line.chars().count() <= 50),
            "{drawn}"
        );
        assert!(!drawn.contains('\x1b'));
        assert!(text(&curve, 8, Face::Coloured).contains("\x1b[34m"));
    }

    #[test]
    fn a_spark_for_each_value() {
        let values = [None, Some(0.0), Some(50.0), Some(100.0), Some(1000.0)];
        assert_eq!(sparkline(values.into_iter(), 100.0), " ▁▅██");
        assert_eq!(sparkline([Some(0.0)].into_iter(), 0.0), "▁");
    }
}
