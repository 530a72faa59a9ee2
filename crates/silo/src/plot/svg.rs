//! Curves as a picture: one file, no scripts, no fonts of its own; blue and orange, which everybody can tell apart.

use std::fmt::Write;

use super::{Column, Curve};
use crate::output::clock;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 34.0;
const BETWEEN: f64 = 60.0;

/// All curves, one below the other.
pub fn svg(name: &str, curves: &[Curve]) -> String {
    let total = TOP + (HEIGHT + BETWEEN) * curves.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {total}\" font-family=\"sans-serif\" font-size=\"13\">\n\
<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        LEFT + WIDTH + 20.0,
        escaped(name)
    );
    for (at, curve) in curves.iter().enumerate() {
        let y = TOP + at as f64 * (HEIGHT + BETWEEN);
        let heading = format!("{name}: {}", curve.heading());
        panel(&mut out, curve, &heading, y);
    }
    out + "</svg>\n"
}

fn panel(out: &mut String, curve: &Curve, heading: &str, y: f64) {
    let top = curve.top();
    let step = WIDTH / curve.columns.len() as f64;
    let level = |value: f64| y + HEIGHT - value.min(top) / top * HEIGHT;
    let _ = write!(
        out,
        "<g>\n<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{}</text>\n",
        y - 10.0,
        escaped(heading)
    );
    let whole = |column: &Column| column.whole;
    let value = |column: &Column| column.value;
    area(out, curve, "#cfd8e3", whole, &level, step, y);
    area(out, curve, "#0072b2", value, &level, step, y);
    for part in [0.0, 0.5, 1.0] {
        let at = level(top * part);
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#999\" stroke-width=\"0.5\"/>\n\
<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT + WIDTH,
            LEFT - 8.0,
            at + 4.0,
            curve.amount(top * part)
        );
    }
    if let Some(limit) = curve.limit.filter(|limit| *limit <= top) {
        let at = level(limit);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#e69f00\" stroke-width=\"2\" stroke-dasharray=\"8 5\"/>",
            LEFT + WIDTH
        );
    }
    for kill in &curve.kills {
        let x = LEFT + (curve.column(*kill) as f64 + 0.5) * step;
        let _ = write!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{y}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#d55e00\" stroke-width=\"2\"/>\n\
<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#d55e00\">out of memory</text>\n",
            y + HEIGHT,
            y + 12.0
        );
    }
    let day = curve.to - curve.from > 20 * 3_600_000;
    for (part, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
        let time = curve.from + ((curve.to - curve.from) as f64 * part) as u64;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            LEFT + WIDTH * part,
            y + HEIGHT + 18.0,
            clock(time * 1_000_000, day)
        );
    }
    out.push_str("</g>\n");
}

/// One path for all stretches that are known.
fn area(
    out: &mut String,
    curve: &Curve,
    colour: &str,
    of: fn(&Column) -> f64,
    level: &dyn Fn(f64) -> f64,
    step: f64,
    y: f64,
) {
    let mut path = String::new();
    for (at, column) in curve.columns.iter().enumerate() {
        let Some(column) = column else { continue };
        let (left, right) = (LEFT + at as f64 * step, LEFT + (at + 1) as f64 * step);
        let _ = write!(
            path,
            "M{left:.1} {:.1}V{:.1}H{right:.1}V{:.1}Z",
            y + HEIGHT,
            level(of(column)),
            y + HEIGHT
        );
    }
    if !path.is_empty() {
        let _ = writeln!(out, "<path d=\"{path}\" fill=\"{colour}\"/>");
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, tests::climb};
    use super::*;

    #[test]
    fn a_picture_has_curve_limit_and_mark() {
        let curve = |kind| Curve::new(kind, &climb(), 100_000, 110_000, 300);
        let picture = svg("a<b", &[curve(Kind::Memory), curve(Kind::Cpu)]);
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("a&lt;b: memory") && !picture.contains("a<b"));
        assert_eq!(picture.matches("stroke-dasharray").count(), 2);
        assert_eq!(picture.matches("#0072b2").count(), 2);
        assert_eq!(picture.matches(">out of memory<").count(), 2);
        assert_eq!(
            picture.matches("<g>").count(),
            picture.matches("</g>").count()
        );
        let empty = Curve::new(Kind::Cpu, &climb(), 1, 2, 10);
        assert!(!svg("x", &[empty]).contains("NaN"));
    }
}
