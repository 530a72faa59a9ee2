//! v1's device lists (Documentation/admin-guide/cgroup-v1/devices.rst): a default, and exceptions to it.
//!
//! They cannot say everything that a rule list can: an exception cannot be narrowed. Such a list is an error, not an
//! approximation.

use super::{ALL, Rule, Rules, access, letters};
use crate::file;
use rustix::io::Errno;
use silo_types::{Doing, Error, Result};
use std::collections::BTreeMap;

/// What the rules come to in v1's terms.
#[derive(Debug, PartialEq, Eq)]
struct Lists {
    /// What holds for devices that are no exception.
    allow: bool,
    /// All of them say the opposite of `allow`.
    exceptions: Vec<Rule>,
}

impl Lists {
    fn of(rules: &Rules) -> Result<Lists> {
        let mut lists = Lists {
            allow: false,
            exceptions: Vec::new(),
        };
        for rule in rules.as_slice() {
            if rule.is_total() {
                lists.allow = rule.allow;
                lists.exceptions.clear();
            } else if rule.allow != lists.allow {
                lists.except(*rule)?;
            } else {
                lists.take_back(rule)?;
            }
        }
        Ok(lists)
    }

    fn except(&mut self, rule: Rule) -> Result<()> {
        if rule.is_any_device() {
            // v1 reads type "a" as everything, whatever the accesses
            return Err(unsayable(&rule, "one kind of access to all devices"));
        }
        match self.exceptions.iter_mut().find(|known| same(known, &rule)) {
            Some(known) => known.access |= rule.access,
            None => self.exceptions.push(rule),
        }
        Ok(())
    }

    /// Removes `rule`'s accesses from the exceptions.
    fn take_back(&mut self, rule: &Rule) -> Result<()> {
        for known in &mut self.exceptions {
            if known.access & rule.access == 0 || !meet(known, rule) {
                continue;
            }
            if !covers(rule, known) {
                return Err(unsayable(rule, "a part of what an earlier rule grouped"));
            }
            known.access &= !rule.access;
        }
        self.exceptions.retain(|known| known.access != 0);
        Ok(())
    }
}

fn unsayable(rule: &Rule, what: &str) -> Error {
    let verb = if rule.allow { "allow" } else { "deny" };
    Error::unsupported(format!(
        "device rule '{verb} {rule}': control groups v1 cannot single out {what}: name the devices one by one"
    ))
}

fn same(a: &Rule, b: &Rule) -> bool {
    (a.typ, a.major, a.minor) == (b.typ, b.major, b.minor)
}

/// Is there a device that both are about?
fn meet(a: &Rule, b: &Rule) -> bool {
    let numbers = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
    let types = a.typ == super::Type::Any || b.typ == super::Type::Any || a.typ == b.typ;
    types && numbers(a.major, b.major) && numbers(a.minor, b.minor)
}

/// Is every device of `small` one of `large`?
fn covers(large: &Rule, small: &Rule) -> bool {
    let numbers = |a: Option<u32>, b: Option<u32>| a.is_none() || a == b;
    let types = large.typ == super::Type::Any || large.typ == small.typ;
    types && numbers(large.major, small.major) && numbers(large.minor, small.minor)
}

/// Exceptions as the list file shows them: device ("c 1:3") and accesses.
type Shown = BTreeMap<String, u8>;

/// What `devices.list` says; `a *:* rwm` is the whole list of a group that allows by default.
fn shown(text: &str) -> Option<Shown> {
    let mut list = Shown::new();
    for line in text.lines() {
        let (device, letters) = line.trim().rsplit_once(' ')?;
        let bits = access(letters)?;
        list.insert(device.to_owned(), bits);
    }
    Some(list)
}

/// Brings the lists of `dir` to `rules` with as few writes as the present lists allow, and reads them back. A group in use
/// never loses, not even for a moment, what it keeps.
pub(super) fn apply(dir: &str, rules: &Rules) -> Result<()> {
    let lists = Lists::of(rules)?;
    let want: Shown = match lists.allow {
        true => Shown::from([("a *:*".to_owned(), ALL)]),
        false => lists
            .exceptions
            .iter()
            .map(|e| (e.device(), e.access))
            .collect(),
    };
    let path = format!("{dir}/devices.list");
    let list = file::open_read(&path).doing_with(|| format!("open {path}"))?;
    let read = || -> Result<Shown> {
        let text = file::reread_text(&list).doing_with(|| format!("read {path}"))?;
        shown(&text).ok_or_else(|| Error::internal(format!("{path} is not as expected: {text:?}")))
    };
    let now = read()?;
    let mut allow = Lines::new(dir, "devices.allow");
    let mut deny = Lines::new(dir, "devices.deny");
    if lists.allow {
        // The file does not show exceptions to "allow", so there is nothing to compare with: start anew
        allow.write("a")?;
        for exception in &lists.exceptions {
            deny.write(&exception.to_string())?;
        }
    } else {
        let mut base = now.clone();
        if base.remove("a *:*").is_some() {
            deny.write("a")?;
        }
        // In the order asked for, which is the order that the list then shows.
        for exception in &lists.exceptions {
            let device = exception.device();
            let more = exception.access & !base.get(&device).unwrap_or(&0);
            if more != 0 {
                allow.write(&format!("{device} {}", letters(more)))?;
            }
        }
        write_more(&mut deny, &base, &want)?;
    }
    if read()? == want {
        return Ok(());
    }
    let (want, got) = (lines(&want).join(", "), lines(&read()?).join(", "));
    Err(Error::unsupported(format!(
        "device rules: {path} says '{got}' instead of '{want}': this host cannot enforce them"
    )))
}

/// Writes the accesses that `this` has more than `other`.
fn write_more(file: &mut Lines, this: &Shown, other: &Shown) -> Result<()> {
    let more: Shown = this
        .iter()
        .map(|(device, bits)| (device.clone(), bits & !other.get(device).unwrap_or(&0)))
        .filter(|(_, bits)| *bits != 0)
        .collect();
    lines(&more).iter().try_for_each(|line| file.write(line))
}

fn lines(list: &Shown) -> Vec<String> {
    list.iter()
        .map(|(device, bits)| format!("{device} {}", letters(*bits)))
        .collect()
}

/// A write-only list file, opened at the first line.
struct Lines {
    path: String,
    file: Option<std::os::fd::OwnedFd>,
}

impl Lines {
    fn new(dir: &str, name: &str) -> Lines {
        Lines {
            path: format!("{dir}/{name}"),
            file: None,
        }
    }

    fn write(&mut self, line: &str) -> Result<()> {
        let outcome = match &self.file {
            Some(file) => file::write_fd(file, line),
            None => file::open_write(&self.path).and_then(|file| {
                let outcome = file::write_fd(&file, line);
                self.file = Some(file);
                outcome
            }),
        };
        match outcome {
            Err(Errno::PERM) => Err(Error::unsupported(format!(
                "device rules: '{line}' in {} is refused: the group above does not have that device, or lists are shut as there are groups below",
                self.path
            ))),
            outcome => {
                outcome.doing_with(|| format!("device rules: write '{line}' to {}", self.path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{READ, Type, WRITE};
    use super::*;

    fn rule(allow: bool, typ: Type, major: Option<u32>, minor: Option<u32>, access: u8) -> Rule {
        Rule {
            allow,
            typ,
            major,
            minor,
            access,
        }
    }

    fn lists(rules: &[Rule]) -> Result<Lists> {
        Lists::of(&Rules(rules.to_vec()))
    }

    #[test]
    fn exceptions_merge_and_vanish() {
        let null = |allow, access| rule(allow, Type::Char, Some(1), Some(3), access);
        let got = lists(&[Rule::DENY_ALL, null(true, READ), null(true, WRITE)]).unwrap();
        assert_eq!(got.exceptions, [null(true, READ | WRITE)]);
        let got = lists(&[Rule::DENY_ALL, null(true, ALL), null(false, WRITE)]).unwrap();
        assert_eq!(got.exceptions[0].to_string(), "c 1:3 rm");
        let got = lists(&[Rule::DENY_ALL, null(true, ALL), null(false, ALL)]).unwrap();
        assert!(got.exceptions.is_empty());
    }

    #[test]
    fn what_lists_cannot_say_is_an_error() {
        let all = rule(true, Type::Char, None, None, ALL);
        let one = rule(false, Type::Char, Some(1), Some(3), WRITE);
        assert!(lists(&[Rule::DENY_ALL, all, one]).is_err());
        let any = rule(true, Type::Any, None, None, READ);
        assert!(lists(&[Rule::DENY_ALL, any]).is_err());
    }
}
