//! /proc/PID/status, proc_pid_status(5): the numbers of a process in every pid namespace, its users and its rights.
//!
//! Called by the process reader. Pure. The order of lines is the kernel's and is not relied on.

use crate::text::{fields, key_value, kib_to_bytes, number};

/// What Silo takes from the file. Sizes are bytes; a zombie has no memory lines and gets 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcStatus {
    /// Real, effective, saved, file system; as the reader's user namespace numbers them.
    pub uid: [u32; 4],
    /// The same for the group.
    pub gid: [u32; 4],
    /// Its number in each pid namespace from the reader's inwards.
    pub ns_pids: Vec<i32>,
    pub ns_pgids: Vec<i32>,
    pub ns_sids: Vec<i32>,
    pub rss: u64,
    pub rss_anon: u64,
    pub rss_file: u64,
    pub rss_shmem: u64,
    pub swap: u64,
    /// Locked into memory.
    pub locked: u64,
    pub threads: u32,
    /// 0 off, 1 strict, 2 filter.
    pub seccomp: u8,
    pub no_new_privs: bool,
    /// Effective capabilities, bit n is capability n.
    pub cap_eff: u64,
    /// Those that a program inside may at most get.
    pub cap_bnd: u64,
}

impl ProcStatus {
    /// Takes what is there: lines that are missing or odd leave the default.
    pub fn parse(text: &[u8]) -> ProcStatus {
        let mut status = ProcStatus::default();
        for line in text.split(|b| *b == b'\n') {
            if let Some((key, value)) = key_value(line) {
                status.take(key, value);
            }
        }
        status
    }

    fn take(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"Uid" => four(value, &mut self.uid),
            b"Gid" => four(value, &mut self.gid),
            b"NSpid" => self.ns_pids = list(value),
            b"NSpgid" => self.ns_pgids = list(value),
            b"NSsid" => self.ns_sids = list(value),
            b"VmRSS" => self.rss = kib_to_bytes(value).unwrap_or(0),
            b"RssAnon" => self.rss_anon = kib_to_bytes(value).unwrap_or(0),
            b"RssFile" => self.rss_file = kib_to_bytes(value).unwrap_or(0),
            b"RssShmem" => self.rss_shmem = kib_to_bytes(value).unwrap_or(0),
            b"VmSwap" => self.swap = kib_to_bytes(value).unwrap_or(0),
            b"VmLck" => self.locked = kib_to_bytes(value).unwrap_or(0),
            b"Threads" => self.threads = number(value).unwrap_or(0),
            b"Seccomp" => self.seccomp = number(value).unwrap_or(0),
            b"NoNewPrivs" => self.no_new_privs = number(value) == Some(1),
            b"CapEff" => self.cap_eff = hex(value),
            b"CapBnd" => self.cap_bnd = hex(value),
            _ => {}
        }
    }
}

fn four(value: &[u8], into: &mut [u32; 4]) {
    for (slot, field) in into.iter_mut().zip(fields(value)) {
        *slot = number(field).unwrap_or(*slot);
    }
}

fn list(value: &[u8]) -> Vec<i32> {
    fields(value).filter_map(number).collect()
}

fn hex(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).unwrap_or_default();
    u64::from_str_radix(text.trim(), 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PING: &[u8] = b"Name:\tping\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t74520\nPid:\t74520\nPPid:\t74511\n\
Uid:\t1000\t1001\t1002\t1003\nGid:\t0\t0\t0\t5\nGroups:\t0 1 2 \nNStgid:\t74520\t1\nNSpid:\t74520\t1\nNSpgid:\t74520\t1\nNSsid:\t74520\t1\n\
VmLck:\t       4 kB\nVmRSS:\t    1748 kB\nRssAnon:\t     108 kB\nRssFile:\t    1640 kB\nRssShmem:\t       0 kB\nVmSwap:\t      44 kB\n\
Threads:\t3\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn a_contained_process() {
        let status = ProcStatus::parse(PING);
        assert_eq!(status.uid, [1000, 1001, 1002, 1003]);
        assert_eq!(status.gid, [0, 0, 0, 5]);
        assert_eq!(status.ns_pids, [74520, 1]);
        assert_eq!((status.rss, status.rss_anon), (1748 << 10, 108 << 10));
        assert_eq!((status.swap, status.locked), (44 << 10, 4 << 10));
        assert_eq!((status.threads, status.seccomp), (3, 2));
        assert!(status.no_new_privs);
        assert_eq!(status.cap_eff, 0xa804_25fb);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = ProcStatus::parse(&bytes);
        }
        #[test]
        fn no_change_panics(at in 0usize..PING.len(), byte in any::<u8>()) {
            let mut text = PING.to_vec();
            text[at] = byte;
            let _ = ProcStatus::parse(&text);
        }
    }
}
