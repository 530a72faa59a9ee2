//! The file of a recording: three rings of blocks, written in place, so that it never grows and is whole at every moment.
//!
//! ```text
//! page 0       "SILOREC1" · the newest block of each ring (a hint)
//! pages 1–24   as sampled, every 100 ms or more seldom: 10 minutes and more
//! pages 25–96  each second: hours of a busy container, a day of one that mostly waits
//! pages 97–128 each ten seconds: a day
//! ```
//! The file is sparse: a container that lived for a second has a page of each. One writer, any number of readers.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::{
    block::{BLOCK, Entries, HEAD, LONGEST, head, parse_head, write_entry},
    moment::{Moment, Raw},
};

/// A ring: how far apart its moments are, and where its blocks lie.
struct Tier {
    /// Milliseconds; 0: every moment.
    apart: u64,
    first: u32,
    blocks: u32,
}

const TIERS: [Tier; 3] = [
    Tier {
        apart: 0,
        first: 1,
        blocks: 24,
    },
    Tier {
        apart: 1000,
        first: 25,
        blocks: 72,
    },
    Tier {
        apart: 10_000,
        first: 97,
        blocks: 32,
    },
];

/// A moment that is held waits for others no longer than this, milliseconds: so much a killed writer may lose.
const HELD: u64 = 300;

/// Bytes that a recording has at most.
#[cfg(test)]
pub(super) const LARGEST: usize = 129 * BLOCK;

const MAGIC: [u8; 8] = *b"SILOREC1";

impl Tier {
    fn place(&self, index: u32) -> u64 {
        u64::from(self.first + index) * BLOCK as u64
    }
}

/// Where a ring is written.
#[derive(Debug, Default)]
struct Tip {
    /// Of the newest block; `None`: nothing was written yet.
    block: Option<(u32, u32)>,
    /// Where its next entry begins.
    at: usize,
    last: Raw,
    /// The last entries before `at`, which are not in the file yet.
    held: Vec<u8>,
    /// The run of the last entry; 0: there is none.
    run: u64,
    /// Highest held and used memory and busiest stretch since `last`.
    high: (u64, u64, u64),
}

/// Writes a recording: what is pushed is in the file with all that was held before; what is held comes with the next push, or
/// soon.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    tips: [Tip; 3],
    /// What was added last, and when the first was that is held.
    last: Moment,
    held_since: Option<u64>,
}

impl Writer {
    /// Opens or begins a recording, and goes on where it ended.
    pub(crate) fn open(path: &Path) -> io::Result<Writer> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let mut writer = Writer {
            file,
            tips: Default::default(),
            last: Moment::default(),
            held_since: None,
        };
        let mut magic = [0; MAGIC.len()];
        match writer.file.read_exact_at(&mut magic, 0) {
            Ok(()) if magic == MAGIC => writer.go_on(),
            _ => {
                writer.file.set_len(0)?;
                writer.file.write_all_at(&MAGIC, 0)?;
            }
        }
        Ok(writer)
    }

    fn go_on(&mut self) {
        let mut block = [0; BLOCK];
        for (tier, tip) in TIERS.iter().zip(&mut self.tips) {
            let newest = (0..tier.blocks)
                .filter_map(|index| Some((number(&self.file, tier, index)?, index)))
                .max();
            let Some((number, index)) = newest else {
                continue;
            };
            if read_block(&self.file, tier, index, &mut block)
                && let Some(mut entries) = Entries::of(&block)
            {
                entries.by_ref().for_each(drop);
                (tip.at, tip.last) = entries.end();
                tip.block = Some((index, number));
                tip.run = Moment::of(&tip.last).run;
            }
        }
        self.last = Moment::of(&self.tips[0].last);
    }

    /// Adds a moment, and writes it with those that are held.
    pub(crate) fn push(&mut self, moment: &Moment) -> io::Result<()> {
        self.add(moment)?;
        self.flush()
    }

    /// Adds a moment that may wait for others: one write costs more than all the rest of a look.
    pub(crate) fn hold(&mut self, moment: &Moment) -> io::Result<()> {
        self.add(moment)?;
        let since = *self.held_since.get_or_insert(moment.time);
        match moment.time.checked_sub(since) {
            Some(passed) if passed < HELD => Ok(()),
            _ => self.flush(),
        }
    }

    /// Writes what is held.
    fn flush(&mut self) -> io::Result<()> {
        self.held_since = None;
        (0..TIERS.len()).try_for_each(|tier| self.flush_tier(tier))
    }

    fn flush_tier(&mut self, index: usize) -> io::Result<()> {
        let tip = &mut self.tips[index];
        if let Some((place, _)) = tip.block
            && !tip.held.is_empty()
        {
            let at = TIERS[index].place(place) + (tip.at - tip.held.len()) as u64;
            self.file.write_all_at(&tip.held, at)?;
            tip.held.clear();
        }
        Ok(())
    }

    /// One that is not later than the last is taken for a clock that was set back.
    fn add(&mut self, moment: &Moment) -> io::Result<()> {
        let before = self.last;
        if moment.time == before.time {
            return Ok(());
        }
        let busy = match (before.run == moment.run, moment.time > before.time) {
            (true, true) => moment.cpu.saturating_sub(before.cpu) / (moment.time - before.time),
            _ => 0,
        };
        self.append(0, moment)?;
        self.last = *moment;
        for (index, tier) in TIERS.iter().enumerate().skip(1) {
            let tip = &mut self.tips[index];
            let high = (
                tip.high.0.max(moment.held).max(moment.held_high),
                tip.high.1.max(moment.usage).max(moment.usage_high),
                tip.high.2.max(busy),
            );
            tip.high = high;
            let new_run = tip.run != 0 && tip.run != moment.run;
            let passed = moment.time.checked_sub(tip.last.time);
            if !new_run && passed.is_some_and(|passed| passed < tier.apart) {
                continue;
            }
            let coarse = Moment {
                held_high: high.0,
                usage_high: high.1,
                cpu_high: high.2,
                ..*moment
            };
            self.append(index, &coarse)?;
            self.tips[index].high = (0, 0, 0);
        }
        Ok(())
    }

    fn append(&mut self, index: usize, moment: &Moment) -> io::Result<()> {
        let tip = &mut self.tips[index];
        let now = moment.raw();
        let mut entry = [0; LONGEST];
        if let Some((_, number)) = tip.block
            && now.time > tip.last.time
        {
            let length = write_entry(number, &tip.last, &now, &mut entry);
            if tip.at + length <= BLOCK {
                tip.held.extend_from_slice(&entry[..length]);
                tip.at += length;
                tip.last = now;
                tip.run = moment.run;
                return Ok(());
            }
        }
        self.flush_tier(index)?;
        let (tier, tip) = (&TIERS[index], &mut self.tips[index]);
        let (place, number) = match tip.block {
            Some((place, number)) => ((place + 1) % tier.blocks, number.wrapping_add(1)),
            None => (0, 1),
        };
        let start = Raw {
            time: now.time.saturating_sub(1),
            ..Raw::default()
        };
        let length = write_entry(number, &start, &now, &mut entry);
        let mut block = [0; BLOCK];
        block[..HEAD].copy_from_slice(&head(number, start.time));
        block[HEAD..HEAD + length].copy_from_slice(&entry[..length]);
        self.file.write_all_at(&block, tier.place(place))?;
        let hint = (MAGIC.len() + 4 * index) as u64;
        self.file.write_all_at(&place.to_le_bytes(), hint)?;
        tip.block = Some((place, number));
        tip.at = HEAD + length;
        tip.last = now;
        tip.run = moment.run;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

fn number(file: &File, tier: &Tier, index: u32) -> Option<u32> {
    let mut bytes = [0; HEAD];
    file.read_exact_at(&mut bytes, tier.place(index)).ok()?;
    parse_head(&bytes).map(|(number, _)| number)
}

/// False when the file ends before; a last block may be short.
fn read_block(file: &File, tier: &Tier, index: u32, block: &mut [u8; BLOCK]) -> bool {
    block.fill(0);
    matches!(file.read_at(block, tier.place(index)), Ok(got) if got >= HEAD)
}

/// A moment as readers get it: the highest is at least what it was at the end.
fn seen(raw: &Raw) -> Moment {
    let moment = Moment::of(raw);
    Moment {
        held_high: moment.held_high.max(moment.held),
        usage_high: moment.usage_high.max(moment.usage),
        ..moment
    }
}

/// All moments of a recording, oldest first: as fine as they are there.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Moment>> {
    if bytes.get(..MAGIC.len())? != MAGIC {
        return None;
    }
    let mut all: Vec<Moment> = Vec::new();
    for tier in TIERS.iter().rev() {
        let mut blocks: Vec<Entries<'_>> = (0..tier.blocks)
            .filter_map(|index| {
                let from = tier.place(index) as usize;
                let to = bytes.len().min(from + BLOCK);
                Entries::of(bytes.get(from..to)?)
            })
            .collect();
        // Numbers of a ring lie close together, also where they have run over.
        let newest = blocks.iter().map(Entries::number).max().unwrap_or(0);
        blocks.sort_by_key(|block| std::cmp::Reverse(newest.wrapping_sub(block.number())));
        let moments: Vec<Moment> = blocks.into_iter().flatten().map(|raw| seen(&raw)).collect();
        if let Some(first) = moments.first() {
            all.retain(|moment| moment.time < first.time);
        }
        all.extend(moments);
    }
    Some(all)
}

/// So far back the newest moments go at least, milliseconds, where there are older ones; and so many are enough for that, also
/// when memory runs out again and again.
const BACK: u64 = 1500;
const ENOUGH: usize = 96;

/// The moments of the newest block and, where that has just begun, of the one before: one transfer for a container that mostly
/// waits, two for one that works.
pub(super) fn newest(path: &Path) -> Option<Vec<Moment>> {
    let file = File::open(path).ok()?;
    let tier = &TIERS[0];
    // The hints and the first block: most have no other.
    let mut head = [0; BLOCK + BLOCK + HEAD];
    file.read_at(&mut head, 0).ok()?;
    let hint = head.get(MAGIC.len()..MAGIC.len() + 4)?;
    if head[..MAGIC.len()] != MAGIC {
        return None;
    }
    let mut place = u32::from_le_bytes(hint.try_into().ok()?) % tier.blocks;
    // A block, and the head of the one after it: of a writer that was killed between block and hint, or that goes on meanwhile.
    let blocks = &mut head[BLOCK..];
    let read = |place: u32, blocks: &mut [u8]| -> Option<()> {
        blocks.fill(0);
        file.read_at(blocks, tier.place(place)).ok().map(drop)
    };
    if place > 0 {
        read(place, blocks)?;
    }
    let is_last = place + 1 == tier.blocks;
    let following = match is_last {
        true => number(&file, tier, 0),
        false => parse_head(&blocks[BLOCK..]).map(|(number, _)| number),
    };
    let here = parse_head(blocks).map(|(number, _)| number);
    if here.is_some_and(|here| following == Some(here.wrapping_add(1))) {
        place = (place + 1) % tier.blocks;
        read(place, blocks)?;
    }
    let of = |block: &[u8]| -> Option<(u32, Vec<Moment>)> {
        let entries = Entries::of(&block[..BLOCK])?;
        let (number, mut last) = (entries.number(), Vec::with_capacity(ENOUGH));
        let mut oldest = 0;
        for raw in entries {
            match last.len() < ENOUGH {
                true => last.push(raw),
                false => {
                    last[oldest] = raw;
                    oldest = (oldest + 1) % ENOUGH;
                }
            }
        }
        last.rotate_left(oldest);
        Some((number, last.iter().map(seen).collect()))
    };
    let (number, mut moments) = of(blocks)?;
    let (first, last) = (moments.first()?, moments.last()?);
    if (moments.len() < 2 || last.time < first.time + BACK)
        && number != 1
        && read((place + tier.blocks - 1) % tier.blocks, blocks).is_some()
        && let Some((older, mut before)) = of(blocks)
        && older.wrapping_add(1) == number
    {
        before.append(&mut moments);
        moments = before;
    }
    Some(moments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(time: u64, held: u64) -> Moment {
        Moment {
            time,
            cpu: time * 500,
            held,
            usage: held + 8192,
            run: 1,
            ..Moment::default()
        }
    }

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Place {
            Place {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self) -> std::path::PathBuf {
            self.folder.path().join("recording")
        }

        fn read(&self) -> Vec<Moment> {
            read(&std::fs::read(self.path()).unwrap()).unwrap()
        }
    }

    /// 100 ms apart from `from` on, in milliseconds.
    fn fill(writer: &mut Writer, from: u64, count: u64) {
        for n in 0..count {
            let time = from + n * 100;
            writer.push(&moment(time, (n % 50) << 20)).unwrap();
        }
    }

    #[test]
    fn ten_minutes_are_fine_and_a_day_is_there() {
        let file = Place::new();
        let mut writer = Writer::open(&file.path()).unwrap();
        let day = 24 * 36_000;
        fill(&mut writer, 1_000_000, day);
        let moments = file.read();
        let last = moments.last().unwrap().time;
        assert_eq!(last, 1_000_000 + (day - 1) * 100);
        let fine = moments.iter().filter(|m| m.time + 600_000 > last).count();
        assert_eq!(fine, 6000);
        assert!(moments[0].time <= 1_010_000, "{}", moments[0].time);
        let hours = moments.iter().filter(|m| m.time + 6 * 3_600_000 > last);
        assert!(hours.count() > 6 * 3600);
        assert!(moments.windows(2).all(|w| w[0].time < w[1].time));
        let size = std::fs::metadata(file.path()).unwrap().len();
        assert!(size <= LARGEST as u64, "{size}");
        // The peak inside of a second is not lost with its moments.
        let seconds: Vec<&Moment> = moments
            .iter()
            .filter(|m| m.time + 7_200_000 < last && m.time + 10_800_000 > last)
            .collect();
        assert!(
            seconds
                .windows(6)
                .all(|w| w.iter().any(|m| m.held_high == 49 << 20))
        );
        assert!(seconds.iter().all(|m| m.cpu_high == 500));
    }

    #[test]
    fn what_is_held_comes_soon_and_all_at_once() {
        let file = Place::new();
        let mut writer = Writer::open(&file.path()).unwrap();
        let hold = |writer: &mut Writer, time| writer.hold(&moment(time, 0)).unwrap();
        writer.push(&moment(1000, 0)).unwrap();
        for time in [1100, 1200, 1300] {
            hold(&mut writer, time);
            assert_eq!(file.read().len(), 1, "{time}");
        }
        hold(&mut writer, 1400);
        assert_eq!(file.read().len(), 5);
        // What is told takes along what was held.
        hold(&mut writer, 1500);
        writer.push(&moment(1600, 1 << 20)).unwrap();
        assert_eq!(file.read().len(), 7);
        // Killed: only what was held is lost, and the next goes on after what is there.
        hold(&mut writer, 1700);
        std::mem::forget(writer);
        let mut writer = Writer::open(&file.path()).unwrap();
        assert_eq!(file.read().last().unwrap().time, 1600);
        hold(&mut writer, 1800);
        drop(writer);
        let times: Vec<u64> = file.read().iter().map(|moment| moment.time).collect();
        assert_eq!(times, [1000, 1100, 1200, 1300, 1400, 1500, 1600, 1800]);
    }

    #[test]
    fn held_or_pushed_the_file_is_the_same() {
        let files = [Place::new(), Place::new()];
        let mut writers = files
            .each_ref()
            .map(|file| Writer::open(&file.path()).unwrap());
        for n in 0..20_000u64 {
            let moment = moment(1_000_000 + n * 100, (n % 50) << 20);
            writers[0].push(&moment).unwrap();
            writers[1].hold(&moment).unwrap();
        }
        drop(writers);
        let [pushed, held] = files
            .each_ref()
            .map(|file| std::fs::read(file.path()).unwrap());
        assert!(pushed == held);
    }

    #[test]
    fn it_goes_on_where_it_ended_and_survives_any_cut() {
        let file = Place::new();
        fill(&mut Writer::open(&file.path()).unwrap(), 1000, 400);
        let before = file.read();
        fill(&mut Writer::open(&file.path()).unwrap(), 100_000, 3);
        let after = file.read();
        assert_eq!(after.len(), before.len() + 3);
        assert_eq!(after[..before.len()], before[..]);
        let bytes = std::fs::read(file.path()).unwrap();
        for length in (8..bytes.len()).step_by(97) {
            let moments = read(&bytes[..length]).unwrap();
            assert!(moments.len() <= after.len());
        }
        // Cut inside of a page that was half written: what is read is a beginning.
        let fine = BLOCK + 3000;
        let cut = read(&bytes[..fine]).unwrap();
        assert!(cut.len() > 100 && after.starts_with(&cut), "{}", cut.len());
        assert!(read(b"something else").is_none());
    }

    #[test]
    fn the_newest_are_found_with_a_stale_hint_and_after_a_clock_set_back() {
        let file = Place::new();
        let mut writer = Writer::open(&file.path()).unwrap();
        fill(&mut writer, 1_000_000, 20_000);
        let last = file.read().last().copied();
        assert_eq!(newest(&file.path()).unwrap().last().copied(), last);
        let place = writer.tips[0].block.unwrap().0;
        let stale = (place + 23) % 24;
        writer.file.write_all_at(&stale.to_le_bytes(), 8).unwrap();
        let found = newest(&file.path()).unwrap();
        assert_eq!(found.last().copied(), last);
        assert!(found.len() >= 20 || found.len() > 10);
        writer.push(&moment(500, 7 << 20)).unwrap();
        let now = newest(&file.path()).unwrap();
        assert_eq!(now.last().unwrap().time, 500);
        assert!(newest(Path::new("/no/such")).is_none());
    }
}
