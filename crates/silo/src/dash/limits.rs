//! Changing a limit by a tenth, and taking that back.

use silo_engine::{Engine, Update};
use silo_types::{ByteSize, ContainerId, Error, Resources, Result};

use crate::live::Entry;

const MIB: u64 = 1 << 20;

/// Docker's least memory limit; a hundredth of a processor is the kernel's least quota.
const LEAST_MEMORY: u64 = 6 * MIB;
const LEAST_CPU: u64 = HUNDREDTH;

/// Of a processor, in thousandths.
const HUNDREDTH: u64 = 10;

/// One limit of one container, before and after.
#[derive(Clone, Debug)]
pub struct Change {
    id: ContainerId,
    before: Resources,
    after: Resources,
    text: String,
}

impl Change {
    /// Of memory (0) or processors. Without a limit the first one is a tenth above the highest that was used.
    pub fn of(entry: &Entry, which: usize, more: bool) -> Result<Change> {
        let name = entry.container.name();
        let glance = entry
            .glance
            .ok_or_else(|| Error::conflict(format!("container {name} is not running")))?;
        let moment = glance.moment;
        let (mut before, mut after) = (Resources::default(), Resources::default());
        let text = match which {
            0 => {
                let old = moment.memory_limit;
                let new = tenth(old, moment.peak.max(moment.usage), more);
                let new = whole(new, old, more, MIB).max(LEAST_MEMORY);
                before.memory = Some(if old == 0 { -1 } else { signed(old) });
                after.memory = Some(signed(new));
                format!("memory limit of {name}: {}", ByteSize(new))
            }
            _ => {
                let old = moment.cpu_limit;
                let busiest = entry
                    .line
                    .iter()
                    .fold(0.0, |high: f64, value| high.max(*value));
                let new = tenth(old, busiest as u64, more);
                // As it is shown, so that what is shown is what the kernel has.
                let new = whole(new, old, more, HUNDREDTH).max(LEAST_CPU);
                let quota = |thousandths: u64| signed(thousandths * 100);
                // As quota and period: that has a word for no limit.
                before.cpu_quota = Some(if old == 0 { -1 } else { quota(old) });
                after.cpu_quota = Some(quota(new));
                (before.cpu_period, after.cpu_period) = (Some(100_000), Some(100_000));
                format!("limit of {name}: {:.2} processors", new as f64 / 1000.0)
            }
        };
        Ok(Change {
            id: entry.container.id().clone(),
            before,
            after,
            text,
        })
    }

    /// What was done, in words.
    pub fn apply(&self, engine: &Engine) -> Result<String> {
        set(engine, &self.id, &self.after)?;
        Ok(format!("{}; u takes it back", self.text))
    }

    pub fn undo(&self, engine: &Engine) -> Result<String> {
        set(engine, &self.id, &self.before)?;
        Ok(format!("taken back: {}", self.text))
    }
}

fn set(engine: &Engine, id: &ContainerId, resources: &Resources) -> Result<()> {
    let container = engine.find(id.as_str())?;
    let update = Update {
        resources: Some(resources.clone()),
        restart: None,
        may_kill: false,
    };
    engine.update(&container, &update)
}

/// A tenth more or less of `old`, or a tenth more than `used`.
fn tenth(old: u64, used: u64, more: bool) -> u64 {
    match (old, more) {
        (0, _) => used + used / 10,
        (old, true) => old + (old / 10).max(1),
        (old, false) => old - (old / 10).max(1),
    }
}

/// In whole units, and at least one less than `old` where it is to be less.
fn whole(new: u64, old: u64, more: bool, unit: u64) -> u64 {
    let new = new.div_ceil(unit).max(1) * unit;
    match more || old == 0 {
        true => new,
        false => new.min(old.saturating_sub(unit)),
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth() {
        assert_eq!(tenth(100, 7, true), 110);
        assert_eq!(tenth(100, 7, false), 90);
        assert_eq!(tenth(5, 7, false), 4);
        assert_eq!(tenth(0, 50, false), 55);
    }

    #[test]
    fn in_whole_units() {
        assert_eq!(whole(585, 0, false, 10), 590);
        assert_eq!(whole(585, 650, false, 10), 590);
        assert_eq!(whole(54, 60, false, 10), 50);
        assert_eq!(whole(66, 60, true, 10), 70);
        assert_eq!(whole(0, 0, true, 10), 10);
    }
}
