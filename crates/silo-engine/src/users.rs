//! Users and groups of a container, from its own files: `user[:group]` → numbers.
//!
//! The files are an image's: they are opened inside the root (a link leads nowhere else), must be regular and are read up to a
//! limit. Digits are always a number, never a name (CVE-2016-3697); a number above 2³¹-1 is refused, never wrapped to root.

use std::{io::Read, os::fd::BorrowedFd};

use rustix::{
    fs::{FileType, OFlags, ResolveFlags},
    io::Errno,
};
use silo_types::{Error, Kind, Result};

/// Who a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, sorted. The primary one is always among them: who has it only as that can shake it off by a program
    /// that sets its group, and with it what the group is denied (2022-36109).
    pub groups: Vec<u32>,
    pub home: String,
}

const LONGEST_FILE: u64 = 1 << 20;

/// Reads a file of the root; empty when missing.
pub fn read_inside(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match silo_sys::inside::open(root, path, flags, resolve) {
        Ok(file) => file,
        // Without it the user would lose groups.
        Err(Errno::AGAIN) => {
            return Err(Error::system(
                format!("open {path} of the image"),
                Errno::AGAIN,
            ));
        }
        Err(_) => return Ok(String::new()),
    };
    let kind = rustix::fs::fstat(&file).map(|s| FileType::from_raw_mode(s.st_mode));
    if kind != Ok(FileType::RegularFile) {
        return Err(Error::invalid(format!(
            "{path} of the image is not a regular file"
        )));
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(LONGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::system(format!("read {path} of the image"), e))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(Error::invalid(format!(
            "{path} of the image is longer than 1 MiB"
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Resolves `user` (empty: root) and the groups added to it with the texts of /etc/passwd and /etc/group.
pub fn resolve(user: &str, added: &[String], passwd: &str, group: &str) -> Result<Identity> {
    let (user, chosen_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = parse_number("user", user)?;
    let entry = passwd
        .lines()
        .map(|l| l.split(':').collect::<Vec<_>>())
        .find(|fields| {
            fields.len() >= 6
                && match number {
                    Some(uid) => fields[2].parse() == Ok(uid),
                    None => fields[0] == user,
                }
        });
    let mut identity = match (&entry, number) {
        (Some(fields), _) => Identity {
            uid: field_number(fields[2], "user", user)?,
            gid: field_number(fields[3], "group of user", user)?,
            groups: Vec::new(),
            home: fields[5].to_owned(),
        },
        (None, Some(uid)) => Identity {
            uid,
            ..Identity::default()
        },
        (None, None) => {
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "unable to find user {user}: no matching entries in /etc/passwd of the image"
                ),
            ));
        }
    };
    match chosen_group {
        Some(name) if !name.is_empty() => identity.gid = group_number(name, group)?,
        // As Docker: memberships of /etc/group count only when no group was chosen.
        _ => {
            if let Some(fields) = &entry {
                identity.groups = memberships(fields[0], group);
            }
        }
    }
    for name in added {
        identity.groups.push(group_number(name, group)?);
    }
    identity.groups.push(identity.gid);
    identity.groups.sort_unstable();
    identity.groups.dedup();
    if identity.home.is_empty() {
        identity.home = "/".to_owned();
    }
    Ok(identity)
}

/// Digits (with a sign perhaps) are a number or an error; anything else is a name.
fn parse_number(what: &str, text: &str) -> Result<Option<u32>> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(number) if number <= i32::MAX as u32 => Ok(Some(number)),
        _ => Err(Error::invalid(format!(
            "{what} {text} is out of range: numbers go from 0 to 2147483647"
        ))),
    }
}

fn field_number(field: &str, what: &str, name: &str) -> Result<u32> {
    match field.parse::<u32>() {
        Ok(number) if number <= i32::MAX as u32 => Ok(number),
        _ => Err(Error::invalid(format!(
            "{what} {name}: the image has the bad number {field:?}"
        ))),
    }
}

fn group_number(name: &str, group: &str) -> Result<u32> {
    if let Some(number) = parse_number("group", name)? {
        return Ok(number);
    }
    let entry = group
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 3 && fields[0] == name);
    match entry {
        Some(fields) => field_number(fields[2], "group", name),
        None => Err(Error::invalid(format!(
            "unable to find group {name}: no matching entries in /etc/group of the image"
        ))),
    }
}

fn memberships(user: &str, group: &str) -> Vec<u32> {
    group
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let member = fields.len() >= 4 && fields[3].split(',').any(|name| name == user);
            member.then(|| fields[2].parse().ok()).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nlab:x:1000:1000::/home/lab:/bin/sh\nbig:x:4294967296:0::/:/x\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,lab\naudio:x:29:lab\nlab:x:1000:\n";

    fn who(user: &str) -> Result<Identity> {
        resolve(user, &[], PASSWD, GROUP)
    }

    #[test]
    fn names_numbers_and_groups() {
        let lab = who("lab").unwrap();
        assert_eq!(
            (lab.uid, lab.gid, lab.home.as_str()),
            (1000, 1000, "/home/lab")
        );
        assert_eq!(lab.groups, [10, 29, 1000]);
        assert_eq!(who("").unwrap().groups, [0, 10]);
        assert_eq!(who("1000:29").unwrap().gid, 29);
        assert_eq!(who("lab:audio").unwrap().gid, 29);
        assert_eq!(who("4242").unwrap().gid, 0);
        let added = resolve("lab", &["audio".into(), "77".into()], PASSWD, GROUP).unwrap();
        assert_eq!(added.groups, [10, 29, 77, 1000]);
    }

    #[test]
    fn digits_are_never_names_and_never_wrap() {
        for bad in [
            "4294967296",
            "2147483648",
            "-1",
            "99999999999999999999",
            "nobody",
            "big",
            "0:4294967296",
        ] {
            assert!(who(bad).is_err(), "{bad}");
        }
    }
}
