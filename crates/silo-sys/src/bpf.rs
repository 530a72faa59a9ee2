//! bpf(2): loading a device program (`BPF_PROG_TYPE_CGROUP_DEVICE`) and attaching it to a v2 control group.
//!
//! Called by `silo-cgroup` on hosts whose devices are controlled by v2. Needs CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// One instruction, as the kernel takes it (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    pub code: u8,
    /// Source register in the upper, destination in the lower half.
    pub registers: u8,
    pub off: i16,
    pub imm: i32,
}

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const PROG_QUERY: libc::c_long = 16;

const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

/// Marks programs as Silo's: an update replaces only such a one.
const NAME: [u8; 16] = *b"silo_device\0\0\0\0\0";

#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
struct GetFd {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
struct GetInfo {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The first fields of `struct bpf_prog_info`, to the name.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_len: u32,
    xlated_len: u32,
    jited: u64,
    xlated: u64,
    load_time: u64,
    created_by: u32,
    map_count: u32,
    maps: u64,
    name: [u8; 16],
}

/// Loads a program; the kernel's verifier refuses (`EINVAL`, `EACCES`) what it cannot prove harmless.
pub fn load_cgroup_device(code: &[Insn]) -> io::Result<OwnedFd> {
    // Uses no helper that is reserved to GPL programs
    let license = c"Apache-2.0";
    let mut attr = Load {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: code.len() as u32,
        insns: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: NAME,
        prog_ifindex: 0,
        expected_attach_type: ATTACH_CGROUP_DEVICE,
    };
    let fd = bpf(PROG_LOAD, &mut attr)?;
    Ok(own(fd))
}

/// Attaches a program to the group open as `group` (a v2 directory): beside what others attached, in place of what Silo
/// attached before. Replacing needs Linux 5.6; on older kernels an update fails with `EINVAL`.
pub fn attach_cgroup_device(group: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let former = former(&group)?;
    let mut attr = Attach {
        target_fd: number(&group),
        attach_bpf_fd: number(&program),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI | if former.is_some() { REPLACE } else { 0 },
        replace_bpf_fd: former.as_ref().map_or(0, number),
    };
    bpf(PROG_ATTACH, &mut attr)?;
    Ok(())
}

/// The identifiers of the device programs that are attached to the group itself (not to those above).
pub fn attached_cgroup_device(group: impl AsFd) -> io::Result<Vec<u32>> {
    // The kernel attaches at most 64 programs to a group (BPF_CGROUP_MAX_PROGS)
    let mut ids = vec![0u32; 64];
    let mut attr = Query {
        target_fd: number(&group),
        attach_type: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        padding: 0,
    };
    bpf(PROG_QUERY, &mut attr)?;
    ids.truncate(attr.prog_cnt as usize);
    Ok(ids)
}

/// Silo's program on the group, if one is attached.
fn former(group: &impl AsFd) -> io::Result<Option<OwnedFd>> {
    for id in attached_cgroup_device(group)? {
        let mut attr = GetFd {
            id,
            next_id: 0,
            open_flags: 0,
        };
        let program = own(bpf(PROG_GET_FD_BY_ID, &mut attr)?);
        if name(&program)? == NAME {
            return Ok(Some(program));
        }
    }
    Ok(None)
}

fn name(program: &OwnedFd) -> io::Result<[u8; 16]> {
    let mut info = Info::default();
    let mut attr = GetInfo {
        bpf_fd: number(program),
        info_len: size_of::<Info>() as u32,
        info: &raw mut info as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info.name)
}

fn number(fd: &impl AsFd) -> u32 {
    fd.as_fd().as_raw_fd() as u32
}

fn own(fd: libc::c_long) -> OwnedFd {
    // SAFETY: called only with what bpf(2) has just returned as a new descriptor.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is the member of `union bpf_attr` for `command`, of its whole size, and all pointers in it are to live
    // memory of the lengths that it says.
    let got = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    match got {
        -1 => Err(io::Error::last_os_error()),
        got => Ok(got),
    }
}
