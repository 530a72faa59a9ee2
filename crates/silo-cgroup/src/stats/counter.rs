//! One figure that is a number, read again and again: one pread(2) into the stack, no text beside it.
//!
//! What a recorder reads ten times a second for each busy container, and a list of containers once for each.

use super::reader;
use crate::file;
use crate::layout::{Controller, Layout, Version};
use crate::path::CgroupPath;
use rustix::io::{Errno, pread};
use silo_types::{Error, Result};
use std::os::fd::OwnedFd;

/// No first line of these files is longer: a word and twenty digits.
const LINE: usize = 64;

/// A figure of a group, open.
#[derive(Debug)]
pub struct Counter {
    fd: OwnedFd,
    /// What one of the file's units is worth.
    unit: u64,
    path: String,
}

impl Counter {
    /// Processor time in nanoseconds; `None` where the host does not count it.
    ///
    /// # Errors
    /// `NotFound` when the group does not exist.
    pub fn cpu_total(layout: &Layout, group: &CgroupPath) -> Result<Option<Counter>> {
        if let Some(place) = layout.place(Controller::Cpuacct) {
            return Counter::open(layout, place, group, "cpuacct.usage", 1);
        }
        match layout.place(Controller::Cpu) {
            // Its first line is the total, in microseconds.
            Some(place) if layout.version(place) == Version::V2 => {
                Counter::open(layout, place, group, "cpu.stat", 1000)
            }
            _ => Ok(None),
        }
    }

    /// All that is charged, in bytes; `None` where the host does not count it.
    ///
    /// # Errors
    /// `NotFound` when the group does not exist.
    pub fn memory_usage(layout: &Layout, group: &CgroupPath) -> Result<Option<Counter>> {
        let Some(place) = layout.place(Controller::Memory) else {
            return Ok(None);
        };
        let name = match layout.version(place) {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        Counter::open(layout, place, group, name, 1)
    }

    fn open(
        layout: &Layout,
        place: usize,
        group: &CgroupPath,
        name: &str,
        unit: u64,
    ) -> Result<Option<Counter>> {
        let path = format!("{}/{name}", layout.dir(place, group));
        match file::open_read(&path) {
            Ok(fd) => Ok(Some(Counter { fd, unit, path })),
            Err(Errno::NOENT) => Err(reader::gone(group.as_str())),
            Err(errno) => Err(Error::system(format!("open {path}"), errno)),
        }
    }

    /// What it is now.
    ///
    /// # Errors
    /// `NotFound` when the group has been removed.
    pub fn read(&self) -> Result<u64> {
        let mut text = [0; LINE];
        match pread(&self.fd, &mut text, 0) {
            Ok(got) => Ok(first_number(&text[..got]).saturating_mul(self.unit)),
            Err(Errno::NODEV) => Err(reader::gone(&self.path)),
            Err(errno) => Err(Error::system(format!("read {}", self.path), errno)),
        }
    }
}

/// The digits that come first, after a word or none.
fn first_number(text: &[u8]) -> u64 {
    let digits = text.iter().skip_while(|byte| !byte.is_ascii_digit());
    digits
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0u64, |sum, byte| {
            sum.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'))
        })
}

#[cfg(test)]
mod tests {
    use super::first_number;

    #[test]
    fn the_first_number_of_a_file() {
        assert_eq!(first_number(b"13897308335\n"), 13_897_308_335);
        assert_eq!(first_number(b"usage_usec 1500\nuser_usec 7\n"), 1500);
        assert_eq!(first_number(b""), 0);
        assert_eq!(first_number(b"18446744073709551615\n"), u64::MAX);
    }
}
