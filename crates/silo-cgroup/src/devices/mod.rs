//! Which devices a group may use: OCI rules, put in force through v1's lists or v2's BPF program.
//!
//! Meaning of a rule list (OCI config-linux, "Device whitelist"): for each wanted access (read, write, mknod) the **last**
//! rule that names the device and that access decides. A list that does not begin with a rule for all devices begins with
//! "deny all". An empty list leaves the group as its parent is.

pub mod program;
mod v1;

use crate::cgroup::Cgroup;
use crate::layout::Controller;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use silo_types::{Doing, Error, Result};
use std::fmt;

/// Accesses as the kernel's bits (`BPF_DEVCG_ACC_*`).
pub const MKNOD: u8 = 1;
pub const READ: u8 = 2;
pub const WRITE: u8 = 4;
pub const ALL: u8 = 7;

/// Block or character device, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Any,
    Block,
    Char,
}

/// One rule; `None` for a number stands for every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub allow: bool,
    pub typ: Type,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Of [`MKNOD`], [`READ`], [`WRITE`]; never 0.
    pub access: u8,
}

impl Rule {
    pub(crate) const DENY_ALL: Rule = Rule {
        allow: false,
        typ: Type::Any,
        major: None,
        minor: None,
        access: ALL,
    };

    /// Is it about every access to every device?
    pub fn is_total(&self) -> bool {
        self.is_any_device() && self.access == ALL
    }

    pub(crate) fn is_any_device(&self) -> bool {
        self.typ == Type::Any && self.major.is_none() && self.minor.is_none()
    }

    fn parse(rule: &LinuxDeviceCgroup) -> Result<Rule> {
        let refuse = |why: &str| Err(Error::invalid(format!("device rule '{rule}': {why}")));
        let typ = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => Type::Any,
            LinuxDeviceType::B => Type::Block,
            LinuxDeviceType::C | LinuxDeviceType::U => Type::Char,
            LinuxDeviceType::P => return refuse("a fifo is no device"),
        };
        let number = |value: Option<i64>| match value {
            None | Some(-1) => Ok(None),
            Some(value) => u32::try_from(value).map(Some),
        };
        let (Ok(major), Ok(minor)) = (number(rule.major()), number(rule.minor())) else {
            return refuse("a device number is out of range");
        };
        let Some(access) = access(rule.access().as_deref().unwrap_or("")) else {
            return refuse("access is made of the letters r, w and m");
        };
        Ok(Rule {
            allow: rule.allow(),
            typ,
            major,
            minor,
            access: if access == 0 { ALL } else { access },
        })
    }

    /// The accesses as letters: `rwm`.
    pub(crate) fn letters(&self) -> String {
        letters(self.access)
    }

    /// The device as v1 writes it: `c 1:3`, `b 8:*`.
    fn device(&self) -> String {
        let typ = match self.typ {
            Type::Any => 'a',
            Type::Block => 'b',
            Type::Char => 'c',
        };
        let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        format!("{typ} {}:{}", number(self.major), number(self.minor))
    }
}

impl fmt::Display for Rule {
    /// As v1 writes it: `c 1:3 rwm`, without allow or deny.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.device(), letters(self.access))
    }
}

/// What every container may use, whatever else it is given: the nodes of its own /dev, the terminals of its own devpts; and
/// nodes may be made, but not used.
pub fn usual() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{B, C};
    const NODES: [(i64, i64); 8] = [
        (1, 3),
        (1, 5),
        (1, 7),
        (1, 8),
        (1, 9),
        (5, 0),
        (5, 1),
        (5, 2),
    ];
    let rule = |kind, major, minor, access: &str| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(true)
            .set_typ(Some(kind))
            .set_major(major)
            .set_minor(minor)
            .set_access(Some(access.to_owned()));
        rule
    };
    let mut rules = vec![rule(C, None, None, "m"), rule(B, None, None, "m")];
    rules.extend(NODES.map(|(major, minor)| rule(C, Some(major), Some(minor), "rwm")));
    rules.push(rule(C, Some(136), None, "rwm"));
    rules
}

const LETTERS: [(char, u8); 3] = [('r', READ), ('w', WRITE), ('m', MKNOD)];

/// The bits of an access text; `None` for an unknown letter.
fn access(text: &str) -> Option<u8> {
    text.chars().try_fold(0, |bits, letter| {
        let (_, bit) = LETTERS.iter().find(|(known, _)| *known == letter)?;
        Some(bits | bit)
    })
}

fn letters(bits: u8) -> String {
    LETTERS
        .iter()
        .filter(|(_, bit)| bits & bit != 0)
        .map(|(letter, _)| letter)
        .collect()
}

/// A checked list: empty, or beginning with a rule for all devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// # Errors
    /// `Invalid` for an access, type or number that no device has.
    pub fn new(list: &[LinuxDeviceCgroup]) -> Result<Rules> {
        let mut rules = Vec::with_capacity(list.len() + 1);
        for rule in list {
            let rule = Rule::parse(rule)?;
            // A rule about everything makes all before it void
            if rule.is_total() {
                rules.clear();
            }
            rules.push(rule);
        }
        if rules.first().is_some_and(|rule| !rule.is_total()) {
            rules.insert(0, Rule::DENY_ALL);
        }
        Ok(Rules(rules))
    }

    pub fn as_slice(&self) -> &[Rule] {
        &self.0
    }
}

/// Puts the rules in force: v1 lists where the devices controller is mounted, else a program on the v2 group.
pub(crate) fn apply(group: &Cgroup, rules: &Rules) -> Result<()> {
    if rules.0.is_empty() {
        return Ok(());
    }
    if let Some(place) = group.layout.place(Controller::Devices) {
        return v1::apply(&group.dirs[place], rules);
    }
    let Some(directory) = group.open_dir_fd()? else {
        return Err(Error::unsupported(
            "device rules: this host has neither the devices controller nor control groups v2",
        ));
    };
    let code = program::program(rules);
    let doing = || format!("load the device rules of cgroup {}", group.path());
    let program = silo_sys::bpf::load_cgroup_device(&code).doing_with(doing)?;
    silo_sys::bpf::attach_cgroup_device(&directory, &program)
        .doing_with(|| format!("attach the device rules to cgroup {}", group.path()))
}
