//! How memory grew before a process was killed for want of it: a leak, a size, or a sudden allocation. Pure.
//!
//! Looked at are the last seconds of the recording up to the kill. The shape says what would help: a leak meets every limit,
//! a size fits under a higher one, and a sudden allocation is one place in the program.

use serde::Serialize;

use crate::record::Moment;

/// How far back, milliseconds.
pub const WINDOW: u64 = 20_000;

/// Values that are kept for a curve.
const POINTS: usize = 20;

/// A rise in less than this is sudden.
const SUDDEN: u64 = 1000;

/// Memory over the last seconds before a kill.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    pub shape: Shape,
    /// In words, as `12MiB → 512MiB, +25MiB/s, never flat: a leak rather than a size`.
    pub statement: String,
    /// How long a time is looked at.
    pub seconds: f64,
    pub from_bytes: u64,
    pub to_bytes: u64,
    /// While it rose.
    pub bytes_per_second: u64,
    /// The highest in each part of that time, the oldest first; null: it did not run.
    pub bytes: Vec<Option<u64>>,
}

/// What the rise looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// It rose all the time.
    Leak,
    /// It had been at that height for a good while.
    Size,
    /// Nearly all of it came within a second.
    Spike,
    /// It rose, rested, and rose again.
    Steps,
}

/// A moment: milliseconds since the epoch, and bytes that could not be dropped.
type Point = (u64, u64);

/// Of the moments of one run up to its kill number `kills` at `time` (milliseconds); `None` when too little was recorded.
pub(super) fn history(moments: &[Moment], time: u64, kills: u64) -> Option<History> {
    let until = moments.iter().rposition(|m| m.time <= time + SUDDEN)?;
    let run = moments[until].run;
    let of_run = moments[..=until].iter().filter(|m| m.run == run);
    let mut points: Vec<Point> = vec![(run, 0)];
    for moment in of_run {
        points.push((moment.time, moment.held.max(moment.held_high)));
        if kills > 0 && moment.oom_kills >= kills {
            break;
        }
    }
    // What came after the kill is not what led to it.
    let (end, _) = *points.last()?;
    let height = points
        .iter()
        .rev()
        .take_while(|(t, _)| t + SUDDEN >= end)
        .map(|(_, b)| *b)
        .max()?;
    let last = points.iter().rposition(|(_, bytes)| *bytes == height)?;
    points.truncate(last + 1);
    let (end, _) = *points.last()?;
    let from = points.partition_point(|(t, _)| *t < end.saturating_sub(WINDOW));
    let points = &points[from.saturating_sub(1).min(points.len() - 1)..];
    (points.len() >= 2).then(|| judge(points))
}

/// What the points look like; at least two, in order, the last one the height at the kill.
fn judge(points: &[Point]) -> History {
    let (end, high) = points[points.len() - 1];
    let begin = points[0].0.max(end.saturating_sub(WINDOW));
    let span = (end - begin).max(1);
    let low = points[0].1.min(high);
    let growth = high - low;
    let level = |share: u64| low + growth / 100 * share;
    // The rise is from a tenth of it to nine tenths.
    let top = points
        .iter()
        .position(|(_, bytes)| *bytes >= level(90))
        .unwrap_or(points.len() - 1);
    let foot = points[..top]
        .iter()
        .rposition(|(_, bytes)| *bytes <= level(10))
        .unwrap_or(0);
    let rise = points[top]
        .0
        .saturating_sub(points[foot].0.max(begin))
        .max(1);
    let flat = end - points[top].0;
    let climb = points[top].1.saturating_sub(points[foot].1);
    let rate = climb.saturating_mul(1000) / rise;
    let shape = if flat >= 2 * SUDDEN && flat * 10 >= span * 3 || growth < high / 10 {
        Shape::Size
    } else if rise < SUDDEN {
        Shape::Spike
    } else if longest_rest(&points[foot..=top], growth) * 4 > rise {
        Shape::Steps
    } else {
        Shape::Leak
    };
    let mut history = History {
        shape,
        statement: String::new(),
        seconds: span as f64 / 1000.0,
        from_bytes: low,
        to_bytes: high,
        bytes_per_second: rate,
        bytes: columns(points, begin, end),
    };
    history.statement = words(&history, rise, flat);
    history
}

/// The longest time in which hardly anything came, milliseconds.
fn longest_rest(points: &[Point], growth: u64) -> u64 {
    let mut longest = 0;
    let mut since = points.first().copied().unwrap_or_default();
    for point in points {
        if point.1.saturating_sub(since.1) > growth / 50 {
            since = *point;
        }
        longest = longest.max(point.0 - since.0);
    }
    longest
}

fn words(history: &History, rise: u64, flat: u64) -> String {
    let size = |bytes: u64| format!("{} MiB", (bytes as f64 / f64::from(1 << 20)).round());
    let seconds = |ms: u64| match ms {
        ..10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        _ => format!("{} s", ms / 1000),
    };
    let range = format!("{} → {}", size(history.from_bytes), size(history.to_bytes));
    let rate = size(history.bytes_per_second);
    match history.shape {
        Shape::Leak => format!("{range}, +{rate}/s, never flat: a leak rather than a size"),
        Shape::Steps => format!(
            "{range}, in steps with rests between them: it collects something, or its work grows"
        ),
        Shape::Spike => format!(
            "{range} within {}: a sudden allocation rather than a leak",
            seconds(rise.max(100))
        ),
        Shape::Size if flat < SUDDEN => {
            format!("{range}, hardly moving: a size rather than a leak")
        }
        Shape::Size => format!(
            "{range}, then flat for {}: a size rather than a leak",
            seconds(flat)
        ),
    }
}

/// The highest of each part; between moments the one before holds.
fn columns(points: &[Point], begin: u64, end: u64) -> Vec<Option<u64>> {
    let mut columns = vec![None; POINTS];
    let place = |time: u64| {
        let part = (time.saturating_sub(begin) as u128 * POINTS as u128)
            / u128::from((end - begin).max(1));
        (part as usize).min(POINTS - 1)
    };
    for (at, (time, bytes)) in points.iter().enumerate() {
        let next = points.get(at + 1).map_or(*time, |(next, _)| *next);
        // A step belongs to where it ends.
        let last = if place(next) > place(*time) {
            place(next) - 1
        } else {
            place(*time)
        };
        for column in &mut columns[place(*time)..=last] {
            *column = (*column).max(Some(*bytes));
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u64 = 1 << 20;

    fn shape(points: &[(u64, u64)]) -> History {
        let points: Vec<Point> = points
            .iter()
            .map(|(t, mib)| (1_000_000 + t, mib * M))
            .collect();
        judge(&points)
    }

    #[test]
    fn shapes() {
        let steady: Vec<_> = (0..=200).map(|n| (n * 100, 12 + n * 5 / 2)).collect();
        let leak = shape(&steady);
        assert_eq!(leak.shape, Shape::Leak);
        assert_eq!(
            leak.statement,
            "12 MiB → 512 MiB, +25 MiB/s, never flat: a leak rather than a size"
        );
        assert_eq!((leak.seconds, leak.bytes.len()), (20.0, 20));
        assert!(
            leak.bytes.windows(2).all(|pair| pair[0] < pair[1]),
            "{leak:?}"
        );
        // At rest for long, then all at once.
        let spike = shape(&[
            (0, 10),
            (15_000, 10),
            (15_100, 60),
            (15_200, 200),
            (15_300, 500),
        ]);
        assert_eq!(spike.shape, Shape::Spike);
        assert_eq!(
            spike.statement,
            "10 MiB → 500 MiB within 0.3 s: a sudden allocation rather than a leak"
        );
        // At once from its start.
        assert_eq!(shape(&[(0, 0), (100, 48)]).shape, Shape::Spike);
        // Up, and there for long.
        let size = shape(&[
            (0, 10),
            (1500, 480),
            (9000, 482),
            (18_000, 490),
            (18_100, 500),
        ]);
        assert_eq!(size.shape, Shape::Size);
        assert_eq!(
            size.statement,
            "10 MiB → 500 MiB, then flat for 16 s: a size rather than a leak"
        );
        assert_eq!(shape(&[(0, 480), (20_000, 500)]).shape, Shape::Size);
        let steps = shape(&[
            (0, 10),
            (1000, 100),
            (5000, 100),
            (5200, 250),
            (9000, 250),
            (9500, 500),
        ]);
        assert_eq!(steps.shape, Shape::Steps, "{steps:?}");
    }

    #[test]
    fn only_what_led_to_the_kill_counts() {
        let moment = |time: u64, mib: u64, oom_kills: u64, run: u64| Moment {
            time,
            held: mib * M,
            oom_kills,
            run,
            ..Moment::default()
        };
        // A run before; a kill, then its memory is free and another begins to eat.
        let moments = [
            moment(1000, 90, 0, 900),
            moment(5100, 1, 0, 5000),
            moment(8000, 30, 0, 5000),
            moment(10_000, 60, 0, 5000),
            moment(10_050, 2, 1, 5000),
            moment(10_100, 2, 1, 5000),
            moment(12_000, 64, 2, 5000),
        ];
        let first = history(&moments, 10_060, 1).unwrap();
        assert_eq!(
            (first.to_bytes, first.shape),
            (60 * M, Shape::Leak),
            "{first:?}"
        );
        let second = history(&moments, 12_000, 2).unwrap();
        assert_eq!(second.to_bytes, 64 * M, "{second:?}");
        assert_eq!(history(&[], 5, 1), None);
        assert_eq!(
            history(&moments[..1], 500, 1).map(|h| h.to_bytes),
            Some(90 * M)
        );
        // Nothing divides by zero, whatever was recorded.
        let odd = [moment(5, 0, 0, 5), moment(5, 0, 1, 5)];
        assert!(history(&odd, 5, 1).is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_recording_panics(values in proptest::collection::vec((0u64..30_000, 0u64..u64::MAX / 4096, 0u64..3, 0u64..3), 0..60), time in 0u64..40_000) {
            let mut moments: Vec<Moment> = values
                .into_iter()
                .map(|(time, held, oom_kills, run)| Moment { time, held, oom_kills, run, ..Moment::default() })
                .collect();
            moments.sort_by_key(|moment| moment.time);
            let _ = history(&moments, time, 1);
        }
    }
}
