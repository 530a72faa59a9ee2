//! Somebody who exchanges two names of a folder as fast as it can, and the count of what the other side saw.
//!
//! Used by the races of two crates' tests.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// How many rounds: a few seconds' worth, or as SILO_TEST_ROUNDS says.
pub fn rounds(usual: u64) -> u64 {
    let asked = std::env::var("SILO_TEST_ROUNDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// What was found in each round: a race that was never lost has shown nothing.
#[derive(Default)]
pub struct Tally {
    pub plain: u64,
    pub link: u64,
}

impl Tally {
    #[track_caller]
    pub fn both_were_seen(&self, race: &str, rounds: u64, swaps: u64, began: Instant) {
        let Tally { plain, link } = self;
        println!(
            "{race}: {rounds} rounds in {:.1?}, {plain} saw it plain, {link} saw the link, {swaps} exchanges",
            began.elapsed()
        );
        assert!(
            *plain > 0 && *link > 0,
            "{race}: {plain} plain, {link} links, {swaps} exchanges"
        );
    }
}

/// Exchanges two names for as long as `work` runs; how often it did.
pub fn while_exchanging(one: &Path, other: &Path, work: impl FnOnce()) -> u64 {
    // As fast as it can, and now and then it lets go of the processor, of which there may be few.
    const MOMENT: Duration = Duration::from_micros(50);
    const BURST: u64 = 32;
    let (end, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                for _ in 0..BURST {
                    if renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok() {
                        swaps.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(MOMENT);
            }
        });
        // Also when it fails: else the other one would never end.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(&end);
        work();
    });
    swaps.into_inner()
}
