//! /proc/PID/stat, proc_pid_stat(5): identity, ancestry, processor time and size of a process in one line.
//!
//! Called by the process reader for every process and by the liveness check. Pure: text in, numbers out.

use crate::text::number;

/// The fields of the line that Silo shows. Numbers are those of the reader's pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    pub pid: i32,
    /// Name of at most 15 bytes (63 for kernel threads), any bytes.
    pub comm: &'a [u8],
    /// `R S D Z T t X I …`
    pub state: u8,
    pub ppid: i32,
    pub pgid: i32,
    pub sid: i32,
    /// Device number of the controlling terminal; 0: none.
    pub tty: u32,
    /// Foreground process group of that terminal; −1: none.
    pub tpgid: i32,
    pub flags: u32,
    /// Clock ticks in user mode, all threads.
    pub utime: u64,
    /// Clock ticks in kernel mode, all threads.
    pub stime: u64,
    /// As the kernel counts: 20 + nice, or −1 − real-time priority.
    pub priority: i64,
    pub nice: i32,
    pub threads: i32,
    /// Clock ticks after boot.
    pub start_time: u64,
    /// Bytes.
    pub vsize: u64,
    pub rss_pages: u64,
    pub processor: i32,
    /// Scheduling policy, sched(7): 0 is other, 3 batch.
    pub policy: u32,
}

/// Flag of kernel threads in `flags` (`PF_KTHREAD`, linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;

impl<'a> Stat<'a> {
    /// `None` when the line is cut or is no stat line.
    pub fn parse(line: &'a [u8]) -> Option<Stat<'a>> {
        let open = line.iter().position(|b| *b == b'(')?;
        // The name may hold ") R 1": only the last parenthesis ends it.
        let close = line.iter().rposition(|b| *b == b')')?;
        let comm = line.get(open + 1..close)?;
        let rest = line.get(close + 2..)?.trim_ascii_end();
        // Field 3 of the man page is index 0 here.
        let mut fields = rest.split(|b| *b == b' ').enumerate();
        let mut at = |field: usize| fields.find(|(i, _)| *i + 3 == field).map(|(_, text)| text);
        Some(Stat {
            pid: number(&line[..open])?,
            comm,
            state: *at(3)?.first()?,
            ppid: number(at(4)?)?,
            pgid: number(at(5)?)?,
            sid: number(at(6)?)?,
            tty: number::<i32>(at(7)?)? as u32,
            tpgid: number(at(8)?)?,
            flags: number(at(9)?)?,
            utime: number(at(14)?)?,
            stime: number(at(15)?)?,
            priority: number(at(18)?)?,
            nice: number(at(19)?)?,
            threads: number(at(20)?)?,
            start_time: number(at(22)?)?,
            vsize: number(at(23)?)?,
            rss_pages: number::<i64>(at(24)?)?.max(0) as u64,
            processor: number(at(39)?)?,
            policy: number(at(41)?)?,
        })
    }

    /// Works for the kernel and has no program.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// Ended and not waited for. A thread group whose leader ended while others run is alive.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const CAT: &[u8] = b"20921 (cat) R 20919 20919 18126 34816 20919 4194304 119 0 0 0 3 4 0 0 20 0 1 0 181479 \
3133440 410 18446744073709551615 94000631521280 94000631541161 140736066111136 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 94000631557168 \
94000631558784 94000689102848 140736066112146 140736066112245 140736066112245 140736066113515 0\n";

    #[test]
    fn a_usual_line() {
        let stat = Stat::parse(CAT).unwrap();
        assert_eq!(
            (stat.pid, stat.comm, stat.state),
            (20921, &b"cat"[..], b'R')
        );
        assert_eq!((stat.ppid, stat.pgid, stat.sid), (20919, 20919, 18126));
        assert_eq!((stat.tty, stat.tpgid), (34816, 20919));
        assert_eq!((stat.utime, stat.stime, stat.threads), (3, 4, 1));
        assert_eq!(
            (stat.start_time, stat.vsize, stat.rss_pages),
            (181479, 3133440, 410)
        );
        assert_eq!((stat.processor, stat.policy), (1, 0));
        assert!(!stat.is_kernel_thread() && !stat.is_zombie());
    }

    #[test]
    fn a_name_that_looks_like_fields() {
        let mut line = b"7 (x) Z 1 (y) ".to_vec();
        line.extend_from_slice(&CAT[CAT.iter().position(|b| *b == b')').unwrap() + 2..]);
        let stat = Stat::parse(&line).unwrap();
        assert_eq!(
            (stat.pid, stat.comm, stat.state),
            (7, &b"x) Z 1 (y"[..], b'R')
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Stat::parse(&bytes);
        }
        #[test]
        fn no_cut_panics(at in 0usize..CAT.len()) {
            let _ = Stat::parse(&CAT[..at]);
        }
        #[test]
        fn no_field_panics(at in 0usize..CAT.len(), byte in any::<u8>()) {
            let mut line = CAT.to_vec();
            line[at] = byte;
            let _ = Stat::parse(&line);
        }
    }
}
