//! How the kernel treats a process among others: sched_setattr(2), ioprio_set(2), set_mempolicy(2), personality(2).
//!
//! Called by the runtime for the calling thread only, shortly before it becomes a program; all of it passes through execve(2).

use std::io;

/// How the kernel schedules a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    /// `SCHED_*` of sched(7).
    pub policy: u32,
    /// `SCHED_FLAG_*` of sched_setattr(2).
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `struct sched_attr` up to `SCHED_ATTR_SIZE_VER0`.
#[repr(C)]
#[derive(Default)]
struct Kernels {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// sched_setattr(2) of the calling thread.
pub fn set_scheduler(wanted: &SchedAttr) -> io::Result<()> {
    let attr = Kernels {
        size: size_of::<Kernels>() as u32,
        policy: wanted.policy,
        flags: wanted.flags,
        nice: wanted.nice,
        priority: wanted.priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
    };
    // SAFETY: the structure says its own size and is only read.
    done(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// sched_getattr(2) of the calling thread.
pub fn scheduler() -> io::Result<SchedAttr> {
    let mut attr = Kernels::default();
    let size = size_of::<Kernels>();
    // SAFETY: the kernel writes at most `size` bytes into the structure.
    done(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) })?;
    Ok(SchedAttr {
        policy: attr.policy,
        flags: attr.flags,
        nice: attr.nice,
        priority: attr.priority,
        runtime: attr.runtime,
        deadline: attr.deadline,
        period: attr.period,
    })
}

/// `IOPRIO_WHO_PROCESS`
const WHO_PROCESS: i32 = 1;
/// `IOPRIO_CLASS_SHIFT`
const CLASS_SHIFT: u32 = 13;

/// ioprio_set(2) of the calling thread: class 1 to 3 (real time, best effort, idle), level 0 to 7.
pub fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    let priority = class << CLASS_SHIFT | level;
    // SAFETY: takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) }).map(drop)
}

/// ioprio_get(2) of the calling thread: class and level.
pub fn io_priority() -> io::Result<(u32, u32)> {
    // SAFETY: takes numbers only.
    let got = done(unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0) })? as u32;
    Ok((got >> CLASS_SHIFT, got & ((1 << CLASS_SHIFT) - 1)))
}

/// set_mempolicy(2) of the calling thread: `MPOL_*` with its flags, and the nodes, a bit each.
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> io::Result<()> {
    let (pointer, bits) = match nodes {
        [] => (std::ptr::null(), 0),
        // The kernel reads one bit less than it is told, get_mempolicy(2), "BUGS" of the C library's wrapper.
        _ => (nodes.as_ptr(), nodes.len() * u64::BITS as usize + 1),
    };
    // SAFETY: the kernel reads `bits` - 1 bits, which the slice has.
    done(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) }).map(drop)
}

/// get_mempolicy(2): the mode of the calling thread with its flags.
pub fn memory_policy() -> io::Result<i32> {
    let mut mode: i32 = 0;
    let no_nodes = std::ptr::null_mut::<u64>();
    // SAFETY: the kernel writes one int through the pointer; no nodes are asked for.
    done(unsafe { libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, no_nodes, 0, 0, 0) })?;
    Ok(mode)
}

/// personality(2): `PER_*` of the calling thread.
pub fn set_personality(personality: u32) -> io::Result<()> {
    // SAFETY: takes a number; what it changes is how later calls and programs behave.
    done(unsafe { libc::syscall(libc::SYS_personality, u64::from(personality)) }).map(drop)
}

fn done(result: libc::c_long) -> io::Result<libc::c_long> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_back() {
        // All of it is a thread's own.
        std::thread::spawn(|| {
            let nice = SchedAttr {
                nice: 5,
                ..SchedAttr::default()
            };
            set_scheduler(&nice).unwrap();
            assert_eq!(scheduler().unwrap().nice, 5);
            set_io_priority(2, 6).unwrap();
            assert_eq!(io_priority().unwrap(), (2, 6));
            const BIND: i32 = 2;
            set_memory_policy(BIND, &[1]).unwrap();
            assert_eq!(memory_policy().unwrap(), BIND);
            set_memory_policy(0, &[]).unwrap();
            assert_eq!(memory_policy().unwrap(), 0);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(set_io_priority(7, 0).is_err());
        assert!(set_memory_policy(99, &[]).is_err());
    }
}
