//! Quantiles of durations.

use std::{fmt, time::Duration};

/// Median and spread of some durations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    pub median: Duration,
    pub p10: Duration,
    pub p90: Duration,
    pub least: Duration,
    pub most: Duration,
}

impl Summary {
    /// All zero when there are none.
    pub fn of(mut durations: Vec<Duration>) -> Summary {
        durations.sort_unstable();
        Summary {
            median: quantile(&durations, 0.5),
            p10: quantile(&durations, 0.1),
            p90: quantile(&durations, 0.9),
            least: quantile(&durations, 0.0),
            most: quantile(&durations, 1.0),
        }
    }

    /// This median over the other's.
    pub fn ratio(&self, other: &Summary) -> f64 {
        self.median.as_secs_f64() / other.median.as_secs_f64()
    }
}

/// Linear between the two nearest values of a sorted list.
fn quantile(sorted: &[Duration], at: f64) -> Duration {
    let Some(last) = sorted.len().checked_sub(1) else {
        return Duration::ZERO;
    };
    let position = at * last as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below).mul_f64(position.fract())
}

/// Milliseconds with two digits after the point.
pub struct Millis(pub Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let ms = Duration::from_millis;
        let summary = Summary::of([4, 1, 3, 2].map(ms).to_vec());
        assert_eq!(summary.least, ms(1));
        assert_eq!(summary.most, ms(4));
        assert_eq!(summary.median, Duration::from_micros(2500));
        assert_eq!(summary.p10, Duration::from_micros(1300));
        assert_eq!(Summary::of(Vec::new()), Summary::default());
        assert_eq!(Summary::of(vec![ms(7)]).p90, ms(7));
    }

    #[test]
    fn ratios_are_of_medians() {
        let of = |ms| Summary::of(vec![Duration::from_millis(ms)]);
        assert_eq!(of(6).ratio(&of(4)), 1.5);
    }
}
