//! `saturate-mem [--size BYTES] [--rate BYTES/s] [--hold SECONDS]`: takes anonymous memory and writes to each page, so
//! that it is really there, private, and like no other page.

use std::time::{Duration, Instant};

use memmap2::MmapMut;

use super::progress::{Progress, Rate};
use crate::cli::{self, Stop};
use crate::size::human;

const CHUNK: u64 = 16 << 20;

pub fn main(args: &[String]) -> i32 {
    match run(args) {
        Ok(()) => 0,
        Err(message) => cli::fail("saturate-mem", &message),
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let options = cli::options(
        args,
        "s:r:t:",
        &[("size", 's'), ("rate", 'r'), ("hold", 't')],
    )?;
    let goal = super::bytes(&options, 's')?.unwrap_or(u64::MAX);
    let rate = super::bytes(&options, 'r')?;
    if rate == Some(0) {
        return Err("--rate must be above 0".into());
    }
    let hold = super::duration(&options, 't')?;
    let stop = Stop::on_signals();
    let mut progress = Progress::new("saturate-mem");
    let memory = fill(goal, rate, &stop, &mut progress);
    let deadline = hold.map(|time| Instant::now() + time);
    while !stop.asked() && deadline.is_none_or(|end| Instant::now() < end) {
        let left = deadline.map_or(Duration::from_secs(1), |end| {
            end.saturating_duration_since(Instant::now())
        });
        stop.sleep(left.min(Duration::from_secs(1)));
    }
    let total: u64 = memory.iter().map(|chunk| chunk.len() as u64).sum();
    drop(memory);
    progress.say(&format!("{} freed", human(total)));
    Ok(())
}

fn fill(goal: u64, rate: Option<u64>, stop: &Stop, progress: &mut Progress) -> Vec<MmapMut> {
    let page = rustix::param::page_size();
    let mut chunks: Vec<MmapMut> = Vec::new();
    let mut total = 0;
    let mut gain = Rate::new(0.0);
    let start = Instant::now();
    // Small enough that a slow rate is smooth, never less than a page.
    let chunk = rate.map_or(CHUNK, |r| (r / 20).clamp(page as u64, CHUNK));
    while total < goal && !stop.asked() {
        let length = chunk.min(goal - total) as usize;
        let mut map = match MmapMut::map_anon(length) {
            Ok(map) => map,
            Err(e) => {
                progress.say(&format!(
                    "{} allocated, then the kernel said: {}; holding",
                    human(total),
                    cli::reason(&e)
                ));
                return chunks;
            }
        };
        if !touch(&mut map, page, total, stop) {
            chunks.push(map);
            break;
        }
        total += length as u64;
        chunks.push(map);
        progress.tick(|| {
            format!(
                "{} allocated, +{}/s",
                human(total),
                human(gain.per_second(total as f64).max(0.0) as u64)
            )
        });
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(total as f64 / rate as f64);
            stop.sleep(due.saturating_sub(start.elapsed()));
        }
    }
    if !stop.asked() {
        progress.say(&format!("{} allocated, holding", human(total)));
    }
    chunks
}

/// Writes to each page something that no other page holds; `false` when the end was asked for meanwhile.
pub(super) fn touch(map: &mut MmapMut, page: usize, offset: u64, stop: &Stop) -> bool {
    for (index, bytes) in map.chunks_mut(page).enumerate() {
        let unique = (offset + (index * page) as u64)
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let unique = unique.to_ne_bytes();
        let length = unique.len().min(bytes.len());
        bytes[..length].copy_from_slice(&unique[..length]);
        if index % 1024 == 0 && stop.asked() {
            return false;
        }
    }
    true
}
