//! The kernel's lines about programs that did what no program may: `NAME[PID]: segfault at …`, `traps: NAME[PID] trap …`.
//!
//! Called by the monitor when a main process ended by such a signal. The kernel writes them for processes without a handler
//! while `debug.exception-trace` is on, which is usual, and limits their rate.

use silo_types::Result;

use crate::{KernelLog, oomlog::split_record, text::printable};

/// Longest line that is kept.
const LONGEST: usize = 300;

impl KernelLog {
    /// The newest line about a fault of the process with this host pid, among the records not read yet.
    pub fn last_fault(&mut self, pid: i32) -> Result<Option<String>> {
        let mut last = None;
        self.each_new(|record| {
            if let Some((_, message)) = split_record(record)
                && is_fault_of(message, pid)
            {
                last = Some(printable(&message[..message.len().min(LONGEST)]));
            }
        })?;
        Ok(last)
    }
}

/// The name is the program's own choice: the first number in brackets that is followed by what the kernel writes counts.
fn is_fault_of(message: &[u8], pid: i32) -> bool {
    let has = |part: &str| message.windows(part.len()).any(|w| w == part.as_bytes());
    has(&format!("[{pid}]: segfault at "))
        || (message.starts_with(b"traps: ") && has(&format!("[{pid}] ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let segfault = b"crash[4711]: segfault at 0 ip 0000000000400082 sp 00007ffd error 6 in crash[400000+1000]";
        assert!(is_fault_of(segfault, 4711));
        assert!(!is_fault_of(segfault, 471));
        let trap =
            b"traps: crash[12] trap invalid opcode ip:400078 sp:7ffc error:0 in crash[400000+1000]";
        assert!(is_fault_of(trap, 12) && !is_fault_of(trap, 1));
        assert!(!is_fault_of(b"systemd[12] went away", 12));
    }
}
