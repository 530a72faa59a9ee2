//! The text forms of cgroupfs files, as pure functions (cgroups(7); Documentation/admin-guide/cgroup-v2.rst, "Format").

use std::collections::BTreeSet;

/// v1 has no word for "unlimited": counters then read as the largest number of whole pages (of any page size up to 64 KiB).
const V1_UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;

/// A single unsigned number, white space around it allowed.
pub fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add((byte - b'0').into()),
        _ => None,
    })
}

/// A limit: a number; `max`, `-1` or v1's huge number is `Some(None)`, unlimited.
pub fn limit(text: &[u8]) -> Option<Option<u64>> {
    match text.trim_ascii() {
        b"max" | b"-1" => Some(None),
        digits => number(digits).map(|n| (n < V1_UNLIMITED).then_some(n)),
    }
}

/// The pairs of a flat keyed file: `KEY VALUE` lines; lines whose value is no number are left out.
pub fn flat(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b' ')?;
        Some((&line[..at], number(&line[at + 1..])?))
    })
}

/// The value of one key in a flat keyed file.
pub fn flat_value(text: &[u8], key: &str) -> Option<u64> {
    flat(text)
        .find(|(name, _)| *name == key.as_bytes())
        .map(|(_, value)| value)
}

/// Bytes that the kernel gives back when a v2 group runs short, by its `memory.stat`: cached files and the like.
pub fn droppable(stat: &[u8]) -> u64 {
    let dropped: [&[u8]; 3] = [b"active_file", b"inactive_file", b"slab_reclaimable"];
    flat(stat)
        .filter(|(name, _)| dropped.contains(name))
        .map(|(_, bytes)| bytes)
        .sum()
}

/// A list of CPUs or memory nodes (`0-2,7`, cpuset(7) "List format") as ordered, merged ranges. `None` when malformed.
/// Ranges are never expanded: `0-4294967295` costs nothing.
pub fn list(text: &str) -> Option<Vec<(u32, u32)>> {
    let mut ranges = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        if low > high {
            return None;
        }
        ranges.insert((low, high));
    }
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (low, high) in ranges {
        match merged.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    Some(merged)
}

/// The line of a file of `MAJOR:MINOR …` lines that begins with `key`, without the key.
pub fn line_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix(key)?;
        rest.starts_with(' ').then(|| rest.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_limits() {
        assert_eq!(number(b"42\n"), Some(42));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(limit(b"max\n"), Some(None));
        assert_eq!(limit(b"-1\n"), Some(None));
        assert_eq!(limit(b"9223372036854771712\n"), Some(None));
        assert_eq!(limit(b"4096\n"), Some(Some(4096)));
        assert_eq!(limit(b"x"), None);
    }

    #[test]
    fn flat_files() {
        let text = b"nr_periods 5\nnr_throttled 2\nthrottled_time 17\nodd\n";
        assert_eq!(flat_value(text, "nr_throttled"), Some(2));
        assert_eq!(flat_value(text, "nr"), None);
        assert_eq!(flat(text).count(), 3);
        let stat = b"anon 7\nfile 70\nshmem 20\ninactive_anon 20\ninactive_file 30\nactive_file 20\nslab_reclaimable 5\n";
        assert_eq!(droppable(stat), 55);
    }

    #[test]
    fn lists() {
        assert_eq!(list("0-2,7\n"), Some(vec![(0, 2), (7, 7)]));
        assert_eq!(list("3,1,2"), Some(vec![(1, 3)]));
        assert_eq!(list("0-4294967295"), Some(vec![(0, u32::MAX)]));
        assert_eq!(list(""), Some(vec![]));
        assert_eq!(list("2-1"), None);
        assert_eq!(list("a"), None);
    }

    #[test]
    fn device_lines() {
        let text = "8:0 rbps=1 wbps=max\n8:16 rbps=2\n";
        assert_eq!(line_of(text, "8:0"), Some("rbps=1 wbps=max"));
        assert_eq!(line_of(text, "8:1"), None);
    }
}
