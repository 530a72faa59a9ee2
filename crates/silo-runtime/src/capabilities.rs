//! Capabilities(7): which a container gets, and how a process about to exec takes them on.
//!
//! [`resolve`] serves the engine's plan; [`before_setuid`] and [`after_setuid`] serve the runtime's child and allocate nothing.
//! What a container gets is bounding, effective and permitted; inheritable and ambient stay empty, else a program that is not
//! root keeps capabilities through exec.

use std::{
    collections::HashSet,
    fmt,
    ops::{BitAnd, BitOr, Sub},
};

use oci_spec::runtime::{Capability, LinuxCapabilities, Process};
use rustix::{
    io::Errno,
    thread::{self, CapabilitySet, CapabilitySets},
};
use silo_types::{Error, Result};

/// The capabilities of Linux 6.18 with their names, each at its number in linux/capability.h.
const TABLE: [(Capability, &str); 41] = [
    (Capability::Chown, "CHOWN"),
    (Capability::DacOverride, "DAC_OVERRIDE"),
    (Capability::DacReadSearch, "DAC_READ_SEARCH"),
    (Capability::Fowner, "FOWNER"),
    (Capability::Fsetid, "FSETID"),
    (Capability::Kill, "KILL"),
    (Capability::Setgid, "SETGID"),
    (Capability::Setuid, "SETUID"),
    (Capability::Setpcap, "SETPCAP"),
    (Capability::LinuxImmutable, "LINUX_IMMUTABLE"),
    (Capability::NetBindService, "NET_BIND_SERVICE"),
    (Capability::NetBroadcast, "NET_BROADCAST"),
    (Capability::NetAdmin, "NET_ADMIN"),
    (Capability::NetRaw, "NET_RAW"),
    (Capability::IpcLock, "IPC_LOCK"),
    (Capability::IpcOwner, "IPC_OWNER"),
    (Capability::SysModule, "SYS_MODULE"),
    (Capability::SysRawio, "SYS_RAWIO"),
    (Capability::SysChroot, "SYS_CHROOT"),
    (Capability::SysPtrace, "SYS_PTRACE"),
    (Capability::SysPacct, "SYS_PACCT"),
    (Capability::SysAdmin, "SYS_ADMIN"),
    (Capability::SysBoot, "SYS_BOOT"),
    (Capability::SysNice, "SYS_NICE"),
    (Capability::SysResource, "SYS_RESOURCE"),
    (Capability::SysTime, "SYS_TIME"),
    (Capability::SysTtyConfig, "SYS_TTY_CONFIG"),
    (Capability::Mknod, "MKNOD"),
    (Capability::Lease, "LEASE"),
    (Capability::AuditWrite, "AUDIT_WRITE"),
    (Capability::AuditControl, "AUDIT_CONTROL"),
    (Capability::Setfcap, "SETFCAP"),
    (Capability::MacOverride, "MAC_OVERRIDE"),
    (Capability::MacAdmin, "MAC_ADMIN"),
    (Capability::Syslog, "SYSLOG"),
    (Capability::WakeAlarm, "WAKE_ALARM"),
    (Capability::BlockSuspend, "BLOCK_SUSPEND"),
    (Capability::AuditRead, "AUDIT_READ"),
    (Capability::Perfmon, "PERFMON"),
    (Capability::Bpf, "BPF"),
    (Capability::CheckpointRestore, "CHECKPOINT_RESTORE"),
];

/// The word for every capability there is.
const EVERY: &str = "ALL";

/// A set of capabilities, one bit each. Prints as `CAP_CHOWN, CAP_KILL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapSet(u64);

impl CapSet {
    pub const EMPTY: CapSet = CapSet(0);
    pub const ALL: CapSet = CapSet((1 << TABLE.len()) - 1);

    /// What a container gets when nothing is said: Docker's fourteen.
    pub const DEFAULT: CapSet = CapSet(
        CapabilitySet::CHOWN
            .union(CapabilitySet::DAC_OVERRIDE)
            .union(CapabilitySet::FSETID)
            .union(CapabilitySet::FOWNER)
            .union(CapabilitySet::MKNOD)
            .union(CapabilitySet::NET_RAW)
            .union(CapabilitySet::SETGID)
            .union(CapabilitySet::SETUID)
            .union(CapabilitySet::SETFCAP)
            .union(CapabilitySet::SETPCAP)
            .union(CapabilitySet::NET_BIND_SERVICE)
            .union(CapabilitySet::SYS_CHROOT)
            .union(CapabilitySet::KILL)
            .union(CapabilitySet::AUDIT_WRITE)
            .bits(),
    );

    /// What the calling process may hand on: its permitted set.
    pub fn of_this_process() -> Result<CapSet> {
        let sets = thread::capabilities(None)
            .map_err(|e| Error::system("read the capabilities of this process", e))?;
        Ok(CapSet(sets.permitted.bits()) & CapSet::ALL)
    }

    /// From a mask of the kernel's: bit n is capability n.
    pub fn from_bits(bits: u64) -> CapSet {
        CapSet(bits) & CapSet::ALL
    }

    /// The set of one.
    pub fn one(capability: Capability) -> CapSet {
        CapSet(1 << number(capability))
    }

    pub fn contains(self, capability: Capability) -> bool {
        self & CapSet::one(capability) != CapSet::EMPTY
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// By number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        TABLE
            .iter()
            .map(|(capability, _)| *capability)
            .filter(move |capability| self.contains(*capability))
    }

    /// The set as the OCI specification spells it (config.md, "Linux Process", `capabilities`): bounding, effective and
    /// permitted; inheritable and ambient empty.
    pub fn to_oci(self) -> LinuxCapabilities {
        let set: HashSet<Capability> = self.iter().collect();
        let mut sets = LinuxCapabilities::default();
        sets.set_bounding(Some(set.clone()))
            .set_effective(Some(set.clone()))
            .set_permitted(Some(set))
            .set_inheritable(Some(HashSet::new()))
            .set_ambient(Some(HashSet::new()));
        sets
    }

    fn kernel(self) -> CapabilitySet {
        CapabilitySet::from_bits_retain(self.0)
    }
}

impl BitOr for CapSet {
    type Output = CapSet;
    fn bitor(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }
}

impl BitAnd for CapSet {
    type Output = CapSet;
    fn bitand(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }
}

impl Sub for CapSet {
    type Output = CapSet;
    fn sub(self, other: CapSet) -> CapSet {
        CapSet(self.0 & !other.0)
    }
}

impl FromIterator<Capability> for CapSet {
    fn from_iter<I: IntoIterator<Item = Capability>>(list: I) -> CapSet {
        list.into_iter()
            .fold(CapSet::EMPTY, |set, one| set | CapSet::one(one))
    }
}

impl From<&Option<HashSet<Capability>>> for CapSet {
    fn from(set: &Option<HashSet<Capability>>) -> CapSet {
        set.iter().flatten().copied().collect()
    }
}

impl fmt::Display for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, capability) in self.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}CAP_{}", name(capability))?;
        }
        Ok(())
    }
}

/// The number of a capability in the kernel.
fn number(capability: Capability) -> usize {
    // The table has every variant: a test looks each up.
    TABLE
        .iter()
        .position(|(one, _)| *one == capability)
        .unwrap_or(TABLE.len())
}

/// The name without `CAP_`.
pub fn name(capability: Capability) -> &'static str {
    TABLE[number(capability)].1
}

/// A capability by name, with or without `CAP_`, in any case.
pub fn parse(text: &str) -> Result<Capability> {
    let wanted = normal(text);
    match TABLE.iter().find(|(_, name)| *name == wanted) {
        Some((capability, _)) => Ok(*capability),
        None => Err(Error::invalid(match nearest(&wanted) {
            Some(near) => format!("unknown capability {text:?}: did you mean CAP_{near}?"),
            None => format!("unknown capability {text:?}: see capabilities(7) for the names"),
        })),
    }
}

fn normal(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_string()
}

/// The name that differs least from `wanted`, if it differs in at most a third.
fn nearest(wanted: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .map(|(_, name)| (edits(wanted, name), *name))
        .min()
        .filter(|(distance, name)| distance * 3 <= name.len())
        .map(|(_, name)| name)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// What a container gets from `--cap-add`, `--cap-drop` and `--privileged`, as Docker decides it.
///
/// `available` is what the container can be given at all: [`CapSet::of_this_process`], or ALL in a user namespace of its own.
/// - privileged: all that is available, whatever else is said;
/// - `ALL` added: all that is available, less those dropped by name (a dropped `ALL` changes nothing);
/// - `ALL` dropped: those added, and no other;
/// - else the default ones less those dropped, then those added: what is both stays.
///
/// Errors: Invalid for an unknown name, Unsupported for one that was asked for and is not available.
pub fn resolve(
    add: &[String],
    drop: &[String],
    privileged: bool,
    available: CapSet,
) -> Result<CapSet> {
    let (add_all, add) = named(add)?;
    let (drop_all, drop) = named(drop)?;
    if privileged {
        return Ok(available);
    }
    let missing = add - available;
    if !missing.is_empty() {
        return Err(Error::unsupported(format!(
            "cannot add {missing}: neither this process nor its kernel has it to give"
        )));
    }
    Ok(match (add_all, drop_all) {
        (true, _) => available - drop,
        (false, true) => add,
        (false, false) => ((CapSet::DEFAULT & available) - drop) | add,
    })
}

/// Whether `ALL` is in the list, and the rest of it.
fn named(list: &[String]) -> Result<(bool, CapSet)> {
    let (all, names): (Vec<_>, Vec<_>) = list.iter().partition(|text| normal(text) == EVERY);
    let set = names
        .into_iter()
        .map(|text| parse(text))
        .collect::<Result<CapSet>>()?;
    Ok((!all.is_empty(), set))
}

/// First half, as root of the user namespace: cuts the bounding set down, and keeps the permitted set across the change of
/// user that follows (setuid(2) of the caller, any user). One system call for each capability taken away, and two more.
pub fn before_setuid(capabilities: &LinuxCapabilities) -> Result<()> {
    let bounding = CapSet::from(capabilities.bounding());
    // Up to what a set can hold: a kernel newer than the table may have capabilities without a name here.
    for number in (0..u64::BITS).filter(|n| bounding.0 & 1 << n == 0) {
        match thread::remove_capability_from_bounding_set(single(number)) {
            Ok(()) => {}
            // Above the kernel's last capability; there are none after it.
            Err(Errno::INVAL) => break,
            Err(e) => {
                return Err(Error::system(
                    format!("drop capability {number} from the bounding set"),
                    e,
                ));
            }
        }
    }
    thread::set_keep_capabilities(true)
        .map_err(|e| Error::system("keep capabilities across the change of user", e))
}

fn single(number: u32) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << number)
}

/// Second half, as the container's user: permitted, effective, inheritable, then ambient. One system call as a rule.
///
/// A capability that this process lacks is not set: the specification forbids to fail on it. Those are returned, for a
/// warning. Capabilities that the kernel empties by itself (ambient with inheritable, capset(2)) are not emptied again.
pub fn after_setuid(capabilities: &LinuxCapabilities) -> Result<CapSet> {
    let wanted = Sets {
        permitted: CapSet::from(capabilities.permitted()),
        effective: CapSet::from(capabilities.effective()),
        inheritable: CapSet::from(capabilities.inheritable()),
    };
    let given = match wanted.set() {
        Ok(()) => wanted,
        Err(Errno::PERM) => {
            let bounding = CapSet::from(capabilities.bounding());
            let given = wanted.within(CapSet::of_this_process()?, bounding);
            given.set().map_err(|e| {
                Error::system(format!("set the capabilities {}", given.permitted), e)
            })?;
            given
        }
        Err(e) => {
            let permitted = wanted.permitted;
            return Err(Error::system(
                format!("set the capabilities {permitted}"),
                e,
            ));
        }
    };
    let refused = raise_ambient(CapSet::from(capabilities.ambient()), given)?;
    Ok((wanted.all() - given.all()) | refused)
}

/// Those of the ambient set that the kernel keeps out of it, since they are not both permitted and inheritable.
pub fn not_ambient(process: &Process) -> Vec<String> {
    let Some(sets) = process.capabilities() else {
        return Vec::new();
    };
    let possible = CapSet::from(sets.permitted()) & CapSet::from(sets.inheritable());
    let refused = CapSet::from(sets.ambient()) - possible;
    refused
        .iter()
        .map(|one| CapSet::one(one).to_string())
        .collect()
}

/// Sets the ambient set to `wanted`, as far as `given` has it permitted and inheritable; returns the rest.
fn raise_ambient(wanted: CapSet, given: Sets) -> Result<CapSet> {
    let possible = wanted & given.permitted & given.inheritable;
    if !given.inheritable.is_empty() {
        thread::clear_ambient_capability_set()
            .map_err(|e| Error::system("empty the ambient capabilities", e))?;
    }
    for capability in possible.iter() {
        let one = CapSet::one(capability);
        thread::configure_capability_in_ambient_set(one.kernel(), true)
            .map_err(|e| Error::system(format!("raise {one} in the ambient set"), e))?;
    }
    Ok(wanted - possible)
}

/// What capset(2) takes.
#[derive(Clone, Copy)]
struct Sets {
    permitted: CapSet,
    effective: CapSet,
    inheritable: CapSet,
}

impl Sets {
    fn set(self) -> std::result::Result<(), Errno> {
        let sets = CapabilitySets {
            effective: self.effective.kernel(),
            permitted: self.permitted.kernel(),
            inheritable: self.inheritable.kernel(),
        };
        thread::set_capabilities(None, sets)
    }

    /// What of it a process can set that holds `held` below `bounding`.
    fn within(self, held: CapSet, bounding: CapSet) -> Sets {
        let permitted = self.permitted & held;
        Sets {
            permitted,
            effective: self.effective & permitted,
            inheritable: self.inheritable & held & bounding,
        }
    }

    fn all(self) -> CapSet {
        self.permitted | self.effective | self.inheritable
    }
}

#[cfg(test)]
mod tests;
