//! From the text of a statistics file to figures: pure, one function for each kind of file.

use super::{CpuStats, IoStats, MemoryStats, Psi, Stall, Stats, Throttle};
use crate::parse::{flat, flat_value};

/// v2 `cpu.stat`: microseconds.
pub(super) fn cpu_stat_v2(text: &[u8], stats: &mut Stats) {
    let mut cpu = CpuStats::default();
    let mut throttle = Throttle::default();
    let mut has_quota = false;
    for (key, value) in flat(text) {
        match key {
            b"usage_usec" => cpu.total_ns = value * 1000,
            b"user_usec" => cpu.user_ns = value * 1000,
            b"system_usec" => cpu.system_ns = value * 1000,
            b"nr_periods" => (has_quota, throttle.periods) = (true, value),
            b"nr_throttled" => throttle.throttled = value,
            b"throttled_usec" => throttle.throttled_ns = value * 1000,
            _ => {}
        }
    }
    cpu.throttle = has_quota.then_some(throttle);
    stats.cpu = Some(cpu);
}

/// v1 `cpu.stat`: nanoseconds.
pub(super) fn cpu_stat_v1(text: &[u8], stats: &mut Stats) {
    if let Some(periods) = flat_value(text, "nr_periods") {
        stats.cpu.get_or_insert_default().throttle = Some(Throttle {
            periods,
            throttled: flat_value(text, "nr_throttled").unwrap_or(0),
            throttled_ns: flat_value(text, "throttled_time").unwrap_or(0),
        });
    }
}

/// v1 `memory.stat`: the `total_` lines count the groups below too.
pub(super) fn memory_stat_v1(text: &[u8], memory: &mut MemoryStats) {
    for (key, value) in flat(text) {
        match key {
            b"total_rss" => memory.anon = value,
            b"total_cache" => memory.file = value,
            b"total_shmem" => memory.shmem = value,
            b"total_inactive_file" => memory.inactive_file = value,
            b"total_swap" => memory.swap = Some(value),
            _ => {}
        }
    }
}

/// v2 `memory.stat`.
pub(super) fn memory_stat_v2(text: &[u8], memory: &mut MemoryStats) {
    for (key, value) in flat(text) {
        match key {
            b"anon" => memory.anon = value,
            b"file" => memory.file = value,
            b"shmem" => memory.shmem = value,
            b"inactive_file" => memory.inactive_file = value,
            b"kernel" => memory.kernel = Some(value),
            b"slab_reclaimable" => memory.slab_reclaimable = value,
            _ => {}
        }
    }
}

/// v1 `blkio.throttle.io_service_bytes_recursive` and `io_serviced_recursive`: `MAJOR:MINOR Read N` lines. Read and
/// write; `None` when no disk is listed: nothing was transferred, or (since Linux 6.10) no disk has a throttle anywhere, and
/// then v1 does not count.
pub(super) fn blkio(text: &[u8]) -> Option<(u64, u64)> {
    let mut sums = None;
    for line in text.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let (Some(kind), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        let value = crate::parse::number(value).unwrap_or(0);
        let (read, write) = sums.get_or_insert((0, 0));
        match kind {
            b"Read" => *read += value,
            b"Write" => *write += value,
            _ => {}
        }
    }
    sums
}

/// v2 `io.stat`: `MAJOR:MINOR rbytes=N wbytes=N …` lines.
pub(super) fn io_stat_v2(text: &[u8]) -> IoStats {
    let mut io = IoStats::default();
    for word in text.split(u8::is_ascii_whitespace) {
        let Some(at) = word.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let value = crate::parse::number(&word[at + 1..]).unwrap_or(0);
        match &word[..at] {
            b"rbytes" => io.read_bytes += value,
            b"wbytes" => io.write_bytes += value,
            b"rios" => io.read_ops += value,
            b"wios" => io.write_ops += value,
            _ => {}
        }
    }
    io
}

/// A pressure file; `None` when it is not as expected.
pub(super) fn pressure(text: &[u8]) -> Option<Psi> {
    let text = std::str::from_utf8(text).ok()?;
    let stall = |kind: &str| -> Option<Stall> {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let field = |name: &str| {
            line.split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Stall {
            avg10: field("avg10")?.parse().ok()?,
            avg60: field("avg60")?.parse().ok()?,
            avg300: field("avg300")?.parse().ok()?,
            total_us: field("total")?.parse().ok()?,
        })
    };
    Some(Psi {
        some: stall("some ")?,
        full: stall("full "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_of_both_versions() {
        let mut stats = Stats::default();
        let v2 = b"usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnice_usec 0\nnr_periods 9\nnr_throttled 4\nthrottled_usec 77\nnr_bursts 0\nburst_usec 0\n";
        cpu_stat_v2(v2, &mut stats);
        let cpu = stats.cpu.unwrap();
        assert_eq!(
            (cpu.total_ns, cpu.user_ns, cpu.system_ns),
            (1_500_000, 1_000_000, 500_000)
        );
        assert_eq!(cpu.throttle.unwrap().throttled_ns, 77_000);
        cpu_stat_v1(
            b"nr_periods 3\nnr_throttled 1\nthrottled_time 5\n",
            &mut stats,
        );
        assert_eq!(stats.cpu.unwrap().throttle.unwrap().throttled_ns, 5);
        // The root's and a hybrid host's v2 file have no quota lines
        cpu_stat_v2(b"usage_usec 1\nuser_usec 1\nsystem_usec 0\n", &mut stats);
        assert_eq!(stats.cpu.unwrap().throttle, None);
    }

    #[test]
    fn block_io_of_both_versions() {
        let v1 = b"254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 12288\n254:0 Async 0\n254:0 Discard 0\n254:0 Total 12288\n8:0 Read 1\n8:0 Write 2\nTotal 12291\n";
        assert_eq!(blkio(v1), Some((4097, 8194)));
        assert_eq!(blkio(b"Total 0\n"), None);
        let v2 = b"8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=9 dios=9\n8:0 rbytes=10 wbytes=20 rios=30 wios=40 dbytes=0 dios=0\n";
        let io = io_stat_v2(v2);
        assert_eq!(
            (io.read_bytes, io.write_bytes, io.read_ops, io.write_ops),
            (11, 22, 33, 44)
        );
    }

    #[test]
    fn memory_of_both_versions() {
        let mut memory = MemoryStats::default();
        let v1 = b"cache 1\nrss 2\nhierarchical_memory_limit 9223372036854771712\ntotal_cache 30\ntotal_rss 20\ntotal_shmem 4\ntotal_swap 6\ntotal_inactive_file 5\n";
        memory_stat_v1(v1, &mut memory);
        assert_eq!((memory.anon, memory.file, memory.shmem), (20, 30, 4));
        assert_eq!((memory.inactive_file, memory.swap), (5, Some(6)));
        let v2 = b"anon 1\nfile 2\nkernel 3\nshmem 4\ninactive_file 5\nworkingset_refault_anon 0\n";
        memory_stat_v2(v2, &mut memory);
        assert_eq!((memory.anon, memory.file, memory.shmem), (1, 2, 4));
        assert_eq!(memory.kernel, Some(3));
    }

    #[test]
    fn pressure_files() {
        let text = b"some avg10=1.50 avg60=0.84 avg300=1.22 total=11974955\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let psi = pressure(text).unwrap();
        assert_eq!(psi.some.avg10, 1.5);
        assert_eq!(psi.some.total_us, 11_974_955);
        assert_eq!(psi.full.unwrap().total_us, 7);
        assert_eq!(pressure(b""), None);
    }
}
