//! The longest pause that a CPU limit made, as far as it can be known. Pure.
//!
//! No kernel counts it. What the recording has is how many periods ended in a pause from one moment to the next, and the time
//! that processors stood still for it together: of so many pauses one is at least as long as their mean, and none is longer than
//! all of them. With moments 100 ms apart that is often one pause, and known.

use crate::record::Moment;

/// Milliseconds between which the longest pause lies; `None`: there was none in these moments.
///
/// Only the steps of the newest run under the present `limit` (thousandths of a processor) count. `cpus` is how many processors
/// may stand still at once, `most` what no pause can exceed.
pub(crate) fn longest(moments: &[Moment], limit: u64, cpus: f64, most: f64) -> Option<(f64, f64)> {
    let newest = moments.last()?;
    let counts = |m: &Moment| m.run == newest.run && m.cpu_limit == limit;
    let mut found: Option<(f64, f64)> = None;
    for pair in moments.windows(2) {
        let (before, now) = (&pair[0], &pair[1]);
        let pauses = now.throttled.saturating_sub(before.throttled);
        if !counts(before) || !counts(now) || pauses == 0 {
            continue;
        }
        let lost = now.throttled_time.saturating_sub(before.throttled_time) as f64 / 1000.0;
        // One thread for each processor that stands still.
        let at_once = cpus.min(now.pids.max(1) as f64);
        let (least, upto) = (lost / (pauses as f64 * at_once), lost.min(most));
        let known = found.unwrap_or_default();
        found = Some((known.0.max(least.min(most)), known.1.max(upto)));
    }
    found.map(|(least, upto)| (least, upto.max(least)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(time: u64, throttled: u64, throttled_time: u64) -> Moment {
        Moment {
            time,
            throttled,
            throttled_time,
            pids: 1,
            cpu_limit: 500,
            run: 7,
            ..Moment::default()
        }
    }

    #[test]
    fn one_pause_of_one_thread_is_known() {
        let moments = [
            moment(100, 0, 0),
            moment(200, 1, 48_000),
            moment(300, 1, 48_000),
        ];
        assert_eq!(longest(&moments, 500, 4.0, 50.0), Some((48.0, 48.0)));
        assert_eq!(longest(&moments[1..], 500, 4.0, 50.0), None);
        // Of another limit, of another run.
        assert_eq!(longest(&moments, 700, 4.0, 50.0), None);
        let mut older = moments;
        older[0].run = 6;
        assert_eq!(longest(&older, 500, 4.0, 50.0), None);
    }

    #[test]
    fn of_several_there_are_bounds() {
        let many = |pids| {
            let mut now = moment(1100, 10, 700_000);
            now.pids = pids;
            [moment(100, 0, 0), now]
        };
        // Ten pauses of 70 ms in the mean, none above what is possible.
        assert_eq!(longest(&many(1), 500, 2.0, 90.0), Some((70.0, 90.0)));
        // Two processors stood still in each.
        assert_eq!(longest(&many(9), 500, 2.0, 90.0), Some((35.0, 90.0)));
        // A kernel that lets go late does not make the bounds cross.
        assert_eq!(longest(&many(1), 500, 2.0, 60.0), Some((60.0, 60.0)));
        assert_eq!(longest(&[], 500, 2.0, 60.0), None);
    }
}
