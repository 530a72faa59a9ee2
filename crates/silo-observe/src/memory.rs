//! /proc/PID/smaps_rollup and /proc/PID/statm: how much memory a process has, and how much of it alone.
//!
//! Called by the process reader. Pure, except for the one reader of statm. All sizes are bytes.

use std::io;

use silo_types::{Doing, Error, Result};

use crate::{
    Proc,
    text::{fields, key_value, kib_to_bytes, number},
};

/// Sums over all mappings, proc_pid_smaps(5). The kernel walks the page tables to make them: dear for big processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    pub rss: u64,
    /// Resident, each page divided by the number of processes that map it.
    pub pss: u64,
    /// Pages that no other process maps: what ends with this process.
    pub private: u64,
    pub anonymous: u64,
    pub swap: u64,
    pub swap_pss: u64,
}

impl Rollup {
    /// `None` when there is no `Rss` line: the process has no memory any more.
    pub fn parse(text: &[u8]) -> Option<Rollup> {
        let mut rollup = Rollup::default();
        let mut found = false;
        for line in text.split(|b| *b == b'\n') {
            let Some((key, value)) = key_value(line) else {
                continue;
            };
            let bytes = || kib_to_bytes(value).unwrap_or(0);
            match key {
                b"Rss" => {
                    rollup.rss = bytes();
                    found = true;
                }
                b"Pss" => rollup.pss = bytes(),
                b"Private_Clean" | b"Private_Dirty" | b"Private_Hugetlb" => {
                    rollup.private = rollup.private.saturating_add(bytes());
                }
                b"Anonymous" => rollup.anonymous = bytes(),
                b"Swap" => rollup.swap = bytes(),
                b"SwapPss" => rollup.swap_pss = bytes(),
                _ => {}
            }
        }
        found.then_some(rollup)
    }
}

/// /proc/PID/statm, proc_pid_statm(5), in bytes: cheap, but the kernel's counters lag by some pages per processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statm {
    pub size: u64,
    pub resident: u64,
    /// Resident file and shared memory pages.
    pub shared: u64,
    pub text: u64,
    pub data: u64,
}

impl Statm {
    /// `page_size` in bytes, `HostFacts::page_size`.
    pub fn parse(text: &[u8], page_size: u64) -> Option<Statm> {
        let mut pages = fields(text).map(|f| number::<u64>(f).map(|n| n.saturating_mul(page_size)));
        let mut next = || pages.next().flatten();
        let (size, resident, shared, text) = (next()?, next()?, next()?, next()?);
        next()?; // library pages: always 0
        Some(Statm {
            size,
            resident,
            shared,
            text,
            data: next()?,
        })
    }
}

impl Proc {
    /// The sizes of a process without a walk of its page tables.
    pub fn statm(&self, pid: i32) -> Result<Statm> {
        let mut buffer = Vec::new();
        self.process(pid)
            .and_then(|process| process.read(c"statm", &mut buffer))
            .map_err(io::Error::from)
            .doing_with(|| format!("read the memory sizes of process {pid}"))?;
        Statm::parse(&buffer, rustix::param::page_size() as u64)
            .ok_or_else(|| Error::internal(format!("statm of process {pid} has an unknown form")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn private_is_clean_and_dirty_and_huge() {
        let text = b"56161ffa0000-7fffe475c000 ---p 00000000 00:00 0                          [rollup]\n\
Rss:                1764 kB\nPss:                 357 kB\nPss_Dirty:           112 kB\nShared_Clean:       1600 kB\n\
Private_Clean:        52 kB\nPrivate_Dirty:       112 kB\nAnonymous:           112 kB\nPrivate_Hugetlb:       4 kB\n\
Swap:                  8 kB\nSwapPss:               2 kB\n";
        let rollup = Rollup::parse(text).unwrap();
        assert_eq!(rollup.private, 168 << 10);
        assert_eq!((rollup.rss, rollup.pss), (1764 << 10, 357 << 10));
        assert_eq!((rollup.swap, rollup.swap_pss), (8 << 10, 2 << 10));
        assert_eq!(Rollup::parse(b""), None);
    }

    #[test]
    fn own_statm() {
        let sizes = Proc::host()
            .unwrap()
            .statm(std::process::id() as i32)
            .unwrap();
        assert!(sizes.size >= sizes.resident && sizes.resident > 0);
        assert_eq!(
            Statm::parse(b"1 2 3 4 0 5 0\n", 4096).unwrap().data,
            5 * 4096
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Rollup::parse(&bytes);
            let _ = Statm::parse(&bytes, 4096);
        }
        #[test]
        fn no_size_overflows(kib in any::<u64>()) {
            let _ = Rollup::parse(format!("Rss: {kib} kB\nPrivate_Clean: {kib} kB\nPrivate_Dirty: {kib} kB").as_bytes());
        }
    }
}
