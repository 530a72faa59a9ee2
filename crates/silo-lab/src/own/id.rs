//! `id`, `whoami`, and names of users and groups from the image's own files.

use crate::cli;

/// Third field → first field of a file like /etc/passwd.
fn name_in(file: &str, number: u32) -> Option<String> {
    let content = std::fs::read_to_string(file).ok()?;
    let line = content
        .lines()
        .find(|l| l.split(':').nth(2).and_then(|n| n.parse().ok()) == Some(number))?;
    line.split(':').next().map(str::to_string)
}

/// The user's name; the number when it has none.
pub fn user_name(uid: u32) -> String {
    name_in("/etc/passwd", uid).unwrap_or_else(|| uid.to_string())
}

fn group_name(gid: u32) -> Option<String> {
    name_in("/etc/group", gid)
}

/// The (uid, gid) of a user's name.
fn user(name: &str) -> Option<(u32, u32)> {
    let content = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = content
        .lines()
        .map(|l| l.split(':').collect::<Vec<_>>())
        .find(|f| f[0] == name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

fn groups_of(name: &str, gid: u32) -> Vec<u32> {
    let content = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let member = |line: &&str| {
        line.rsplit(':')
            .next()
            .is_some_and(|list| list.split(',').any(|m| m == name))
    };
    let number = |line: &str| -> Option<u32> { line.split(':').nth(2)?.parse().ok() };
    let mut groups = vec![gid];
    groups.extend(
        content
            .lines()
            .filter(member)
            .filter_map(number)
            .filter(|g| *g != gid),
    );
    groups
}

pub fn whoami(_: &[String]) -> i32 {
    cli::print(&format!(
        "{}\n",
        user_name(rustix::process::geteuid().as_raw())
    ))
}

pub fn main(args: &[String]) -> i32 {
    cli::answer("id", describe(args))
}

fn describe(args: &[String]) -> Result<String, String> {
    let options = cli::options(
        args,
        "ugnGr",
        &[
            ("user", 'u'),
            ("group", 'g'),
            ("name", 'n'),
            ("groups", 'G'),
        ],
    )?;
    let (uid, gid, groups) = match options.operands.first() {
        Some(name) => {
            let (uid, gid) = user(name).ok_or(format!("{name}: no such user"))?;
            (uid, gid, groups_of(name, gid))
        }
        None => own_ids()?,
    };
    let shown = |name: Option<String>, number: u32| {
        if options.has('n') {
            name.unwrap_or(number.to_string())
        } else {
            number.to_string()
        }
    };
    if options.has('u') {
        return Ok(shown(name_in("/etc/passwd", uid), uid) + "\n");
    }
    if options.has('g') {
        return Ok(shown(group_name(gid), gid) + "\n");
    }
    if options.has('G') {
        let all: Vec<String> = groups.iter().map(|&g| shown(group_name(g), g)).collect();
        return Ok(all.join(" ") + "\n");
    }
    let both = |number: u32, name: Option<String>| {
        name.map_or(number.to_string(), |n| format!("{number}({n})"))
    };
    let all: Vec<String> = groups.iter().map(|&g| both(g, group_name(g))).collect();
    Ok(format!(
        "uid={} gid={} groups={}\n",
        both(uid, name_in("/etc/passwd", uid)),
        both(gid, group_name(gid)),
        all.join(",")
    ))
}

fn own_ids() -> Result<(u32, u32, Vec<u32>), String> {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mut groups = vec![gid];
    let more = rustix::process::getgroups().map_err(|e| cli::reason(&e.into()))?;
    groups.extend(more.iter().map(|g| g.as_raw()).filter(|g| *g != gid));
    Ok((uid, gid, groups))
}
